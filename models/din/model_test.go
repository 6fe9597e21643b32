package din_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/models"
	_ "github.com/millrace/millrace/models/din"
	"github.com/millrace/millrace/models/modeltest"
)

const schema = `
user: user
item: item
labels: [{name: click}]
fields:
  - {name: item, from: item}
  - {name: category, from: item}
  - {name: hist_item, type: sequence, shares: item, from: history, max: 100}
  - {name: hist_category, type: sequence, shares: category, from: history, max: 100}
`

const small = "model: din\nembedding_dim: 4\ndnn_hidden_units: [8]\nattention_hidden_units: [6]\nattention_hidden_activations: sigmoid\n"

// scorer builds a model whose scores can be asked for after its dense tensors or the batch were changed.
func scorer(t *testing.T, text string) func(b *features.Batch, changes map[string]float32) []float32 {
	p := modeltest.Program(t, schema, text)
	tr := modeltest.Trainer(t, p, 9)
	modeltest.Randomise(tr.Tables, 0.7)
	return func(b *features.Batch, changes map[string]float32) []float32 {
		t.Helper()
		dense := tr.Step.Dense()
		for name, x := range changes {
			modeltest.Set(t, dense, name, func(int) float32 { return x })
		}
		return modeltest.Scores(t, p, dense, models.TableRows(tr.Tables), b)
	}
}

// batch has rows of the same candidate whose histories are given.
func batch(histories ...[]uint64) *features.Batch {
	b := &features.Batch{Rows: len(histories), Columns: make([]features.Column, 4), Labels: [][]float32{make([]float32, len(histories))}}
	b.Columns[2].Offsets, b.Columns[3].Offsets = []int32{0}, []int32{0}
	for _, h := range histories {
		b.Columns[0].IDs, b.Columns[1].IDs = append(b.Columns[0].IDs, 3), append(b.Columns[1].IDs, 2)
		for _, id := range h {
			b.Columns[2].IDs, b.Columns[3].IDs = append(b.Columns[2].IDs, id), append(b.Columns[3].IDs, 1+id%4)
		}
		for c := 2; c < 4; c++ {
			b.Columns[c].Offsets = append(b.Columns[c].Offsets, int32(len(b.Columns[c].IDs)))
		}
	}
	return b
}

func near(t *testing.T, what string, a, b float32) {
	t.Helper()
	if math.Abs(float64(a-b)) > 1e-6 {
		t.Errorf("%s: %g and %g, want equal", what, a, b)
	}
}

func differs(t *testing.T, what string, a, b float32) {
	t.Helper()
	if math.Abs(float64(a-b)) < 1e-5 {
		t.Errorf("%s: both %g, want different", what, a)
	}
}

func TestOrderOfHistory(t *testing.T) {
	for _, softmax := range []string{"true", "false"} {
		s := scorer(t, small+"din_use_softmax: "+softmax+"\n")
		got := s(batch([]uint64{1, 5, 7}, []uint64{7, 1, 5}, []uint64{7, 1, 6}), nil)
		near(t, "a permuted history", got[0], got[1])
		differs(t, "another history", got[0], got[2])
	}
}

// TestNeighboursDoNotMatter: a row's score does not depend on how long the other histories of its batch are.
func TestNeighboursDoNotMatter(t *testing.T) {
	s := scorer(t, strings.Replace(small, "sigmoid", "dice", 1)+"dnn_activations: dice\nbatch_norm: true\ndin_use_softmax: true\n")
	alone := s(batch([]uint64{1, 5}), nil)
	among := s(batch(nil, []uint64{1, 5}, []uint64{1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3}, nil), nil)
	near(t, "a row among longer histories", alone[0], among[1])
	near(t, "two empty histories", among[0], among[3])
}

func TestAttentionWeights(t *testing.T) {
	one := map[string]float32{"attention/out/weight": 0, "attention/out/bias": 1}
	two := map[string]float32{"attention/out/weight": 0, "attention/out/bias": 2}
	none := map[string]float32{"attention/out/weight": 0, "attention/out/bias": 0}

	soft := scorer(t, small+"din_use_softmax: true\n")
	near(t, "softmax of equal scores", soft(batch([]uint64{1, 5, 7}), one)[0], soft(batch([]uint64{1, 5, 7}), none)[0])
	near(t, "softmax over one behaviour", soft(batch([]uint64{5}), nil)[0], soft(batch([]uint64{5}), two)[0])
	near(t, "softmax over twice the same", soft(batch([]uint64{5}), nil)[0], soft(batch([]uint64{5, 5}), nil)[0])

	sum := scorer(t, small)
	near(t, "zero weights and an empty history", sum(batch([]uint64{1, 5, 7}), none)[0], sum(batch(nil), nil)[0])
	near(t, "weight 1 on twice the same and weight 2 on one", sum(batch([]uint64{5, 5}), one)[0], sum(batch([]uint64{5}), two)[0])
	differs(t, "one and two of the same behaviour, summed", sum(batch([]uint64{5, 5}), one)[0], sum(batch([]uint64{5}), one)[0])
}

// TestDeadUnit: with zero output weights and bias v_U is zero, and the attention's gradient reaches its output layer alone.
func TestDeadUnit(t *testing.T) {
	p := modeltest.Program(t, schema, small)
	tr := modeltest.Trainer(t, p, 9)
	modeltest.Randomise(tr.Tables, 0.7)
	dense := tr.Step.Dense()
	modeltest.Set(t, dense, "attention/out/weight", func(int) float32 { return 0 })
	if err := tr.Step.SetDense(dense); err != nil {
		t.Fatal(err)
	}
	if _, err := tr.Step.Run(modeltest.Batch(p.Schema(), 16, 9, 1), 1); err != nil {
		t.Fatal(err)
	}
	grads, _ := tr.Step.Gradients()
	for _, d := range grads {
		if !strings.HasPrefix(d.Name, "attention") {
			continue
		}
		dead := !slices.ContainsFunc(d.Grad.F32, func(x float32) bool { return x != 0 })
		if want := !strings.HasPrefix(d.Name, "attention/out"); dead != want {
			t.Errorf("%s: gradient zero is %v, want %v", d.Name, dead, want)
		}
	}
}

// TestSeparateUnits: fields named one by one have a unit each, of the width of one field.
func TestSeparateUnits(t *testing.T) {
	p := modeltest.Program(t, schema, small+"din_target_field: [item, category]\ndin_sequence_field: [hist_item, hist_category]\n")
	tr := modeltest.Trainer(t, p, 3)
	for _, n := range []string{"attention1/0/weight", "attention2/0/weight"} {
		if got := len(modeltest.Values(t, tr.Step.Dense(), n)); got != 4*4*6 {
			t.Errorf("%s has %d numbers, want %d", n, got, 4*4*6)
		}
	}
	if g := p.SequenceGroups(); len(g) != 2 {
		t.Errorf("sequence groups %v, want two", g)
	}
}

// TestPastRating: a history field without a counterpart joins the behaviour, and the candidate has a learned vector in its place.
func TestPastRating(t *testing.T) {
	with := schema + "  - {name: hist_rating, type: sequence, from: history, attribute: rating, max: 100}\n"
	p := modeltest.Program(t, with, small)
	tr := modeltest.Trainer(t, p, 9)
	if got := len(modeltest.Values(t, tr.Step.Dense(), "attention/candidate/hist_rating")); got != 4 {
		t.Errorf("the candidate's vector has %d numbers, want 4", got)
	}
	if got, want := len(modeltest.Values(t, tr.Step.Dense(), "attention/0/weight")), 4*12*6; got != want {
		t.Errorf("the unit's first layer has %d weights, want %d", got, want)
	}
	b := modeltest.Batch(p.Schema(), 16, 9, 1)
	before := slices.Clone(tr.Tables["emb/hist_rating"].Row(1))
	for range 2 {
		if _, _, err := tr.Train(b); err != nil {
			t.Fatal(err)
		}
	}
	if slices.Equal(before, tr.Tables["emb/hist_rating"].Row(1)) {
		t.Error("the ratings' table does not train")
	}
}

// TestParameterCount is the published setting on Amazon Electronics: 63,001 items and 801 categories.
func TestParameterCount(t *testing.T) {
	got, padding := modeltest.Parameters(t, schema, `
model: DIN
embedding_dim: 64
dnn_hidden_units: [1024, 512, 256]
dnn_activations: Dice
attention_hidden_units: [512, 256]
attention_hidden_activations: "Dice"
din_use_softmax: true
batch_norm: true
net_dropout: 0.1
attention_dropout: 0.1
din_target_field: [[item, category]]
din_sequence_field: [[hist_item, hist_category]]
`, map[string]int{"item": 63001, "category": 801})
	if want := 5403522; got+padding != want {
		t.Errorf("%d parameters and %d of padding rows, want %d together", got, padding, want)
	}
}

func TestGradients(t *testing.T) {
	for _, act := range []string{"dice", "prelu", "sigmoid"} {
		for _, softmax := range []bool{true, false} {
			t.Run(fmt.Sprint(act, softmax), func(t *testing.T) {
				modeltest.CheckGradients(t, schema, fmt.Sprintf("%sdnn_activations: %s\nattention_scale: %v\ndin_use_softmax: %v\n",
					strings.Replace(small, "sigmoid", act, 1), act, softmax, softmax))
			})
		}
	}
}

// TestOneHistoryForAll: candidates that share one history score as they do alone, and as they do beside a row with another history.
func TestOneHistoryForAll(t *testing.T) {
	for _, settings := range []string{"din_use_softmax: true\n", "din_use_softmax: false\n"} {
		for _, h := range [][]uint64{{1, 5, 7, 5}, {2}, nil} {
			s := scorer(t, strings.Replace(small, "sigmoid", "dice", 1)+settings)
			all := batch(h, h, h, h)
			other := batch(h, h, h, h, []uint64{9})
			for r := range 4 {
				all.Columns[0].IDs[r], other.Columns[0].IDs[r] = uint64(r+1), uint64(r+1)
			}
			together, beside := s(all, nil), s(other, nil)
			for r := range 4 {
				one := batch(h)
				one.Columns[0].IDs[0] = uint64(r + 1)
				near(t, "alone and with other candidates", s(one, nil)[0], together[r])
				near(t, "beside another history", beside[r], together[r])
			}
		}
	}
}
