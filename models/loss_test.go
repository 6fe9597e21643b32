package models_test

import (
	"math"
	"testing"

	"github.com/millrace/millrace/models"
	_ "github.com/millrace/millrace/models/dnn"
	_ "github.com/millrace/millrace/models/lr"
	"github.com/millrace/millrace/models/modeltest"
)

const grouped = "user: user\nlabels: [{name: y}]\nfields: [{name: user}, {name: item}, {name: n, type: numeric}]\n"

func TestLossKeys(t *testing.T) {
	for name, want := range map[string]string{
		"binary_crossentropy": models.CrossEntropyLoss, "FocalLoss": models.FocalLoss, "pairwise": models.PairwiseLoss, "BPR": models.PairwiseLoss, "RankNet": models.PairwiseLoss,
		"PairwiseLogisticLoss": models.PairwiseLoss, "listwise": models.ListwiseLoss, "SoftmaxCrossEntropyLoss": models.ListwiseLoss, "in_batch_softmax": models.InBatchLoss,
	} {
		spec, err := models.Parse([]byte("model: lr\nloss: "+name), modeltest.Schema(t, grouped))
		if err != nil || spec.Settings.Loss != want {
			t.Errorf("loss %s: %v, want %s", name, err, want)
		}
	}
	modeltest.Errors(t, "labels: [{name: y}]\nfields: [{name: a}]\n", map[string]string{
		"model: lr\nloss: pairwise":  "loss pairwise compares rows of one group: the schema names neither group nor user",
		"model: lr\nloss: hinge":     `loss is "hinge", want binary_crossentropy, focal_loss, pairwise, listwise or in_batch_softmax`,
		"model: lr\nloss: bpr\nx: 1": `unknown key "x"`,
	})
	modeltest.Errors(t, grouped, map[string]string{
		"model: lr\npointwise_weight: 1":                   "pointwise_weight is 1 with loss binary_crossentropy",
		"model: lr\nloss: bpr\npointwise_weight: -1":       "pointwise_weight is -1",
		"model: lr\nnegative_sampling: {rate: 0}":          "rate is 0, want more than 0 and at most 1",
		"model: lr\nnegative_sampling: {rate: 2}":          "rate is 2",
		"model: lr\nnegative_sampling: {share: 1}":         "want {rate: R}",
		"model: lr\nnegative_sampling: 0.1":                "want {rate: R}",
		"model: lr\nnegative_sampling: {rate: 1, seed: 1}": "want {rate: R}",
	})
	modeltest.Errors(t, "labels: [{name: y}, {name: z}]\nfields: [{name: a}]\n", map[string]string{
		"model: lr\nnegative_sampling: {rate: 0.5}": "negative_sampling: the schema has 2 labels",
	})
	s := modeltest.Schema(t, grouped)
	spec, err := models.Parse([]byte("model: lr\nloss: in_batch_softmax"), s)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := models.NewProgram(spec, s, 1); err == nil {
		t.Error("a model without towers takes a loss over items")
	}
}

// TestRankingLossesTrain: the losses of groups fall on 64 rows whose groups are rows apart, and what they leave out of a score, its level, the cross-entropy beside them puts in.
func TestRankingLossesTrain(t *testing.T) {
	for loss, least := range map[string]float64{ // what a list of several positives cannot fall below is the entropy of which of them
		"pairwise": .02, "listwise": 1.45, "pairwise\npointwise_weight: 0.5": .05, "listwise\nnegative_sampling: {rate: 0.5}": 1.45,
	} {
		p := modeltest.Program(t, grouped, "model: dnn\nembedding_dim: 4\nhidden_units: [16]\nlearning_rate: 0.01\nembedding_initializer_std: 0.1\nloss: "+loss)
		tr := modeltest.Trainer(t, p, 64)
		b := modeltest.Batch(p.Schema(), 64, 64, 1)
		for r := range b.Groups {
			b.Groups[r] = uint64(1 + r%8)
			b.Columns[1].IDs[r] = uint64(1 + r)
		}
		var first, last float64
		for range 300 {
			l, _, err := tr.Train(b)
			if err != nil {
				t.Fatal(err)
			}
			if first == 0 {
				first = l
			}
			last = l
		}
		if !(first > least+.3 && last < least) {
			t.Errorf("loss %s: %g at first, %g at last, want less than %g", loss, first, last, least)
		}
		b.Groups = nil
		if _, _, err := tr.Train(b); err == nil {
			t.Errorf("loss %s: a batch without groups trains", loss)
		}
	}
}

// TestSamplingShiftsTheLoss: of logits that say the truth about all rows, the loss over the kept ones is least: with the odds of kept rows 1/R times as high, a bias alone learns the rate of all.
func TestSamplingShiftsTheLoss(t *testing.T) {
	const rate = .2
	p := modeltest.Program(t, grouped, "model: lr\nlearning_rate: 0.05\nnegative_sampling: {rate: 0.2}")
	tr := modeltest.Trainer(t, p, 1)
	b := modeltest.Batch(p.Schema(), 300, 1, 1)
	for r := range b.Rows { // 100 positives and, of 1000 negatives, the 200 kept
		b.Labels[0][r] = 0
		if r < 100 {
			b.Labels[0][r] = 1
		}
		b.Columns[2].Values[r], b.Columns[2].Missing[r] = 0, 0
	}
	for range 2000 {
		if _, _, err := tr.Train(b); err != nil {
			t.Fatal(err)
		}
	}
	got := float64(modeltest.Scores(t, p, tr.Step.Dense(), models.TableRows(tr.Tables), b)[0])
	kept := 100. / 300
	if want := kept / (kept + (1-kept)/rate); math.Abs(got-want) > 1e-3 || math.Abs(want-100./1100) > 1e-12 {
		t.Errorf("score %g, want %g", got, want)
	}
}
