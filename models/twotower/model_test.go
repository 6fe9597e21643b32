package twotower_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/models"
	"github.com/millrace/millrace/models/modeltest"
	_ "github.com/millrace/millrace/models/twotower"
)

const (
	schema = "user: user\nitem: item\nlabels: [{name: y}]\nfields: [{name: user}, {name: item}, {name: hist, type: sequence, shares: item, max: 6}]\n"
	small  = "model: twotower\nembedding_dim: 4\n"
	flat   = small + "user_tower_units: 3\nitem_tower_units: 3\n"
)

// vectors computes a vector of the fixture's rows.
func vectors(t *testing.T, f *modeltest.Fixture, name string) [][]float64 {
	t.Helper()
	v, err := f.Program.NewVectors(name)
	if err != nil {
		t.Fatal(err)
	}
	w, err := f.Program.NewWeights("test", f.Dense)
	if err != nil {
		t.Fatal(err)
	}
	all, err := v.Append(nil, f.Batch, w, models.TableRows(f.Tables))
	if err != nil {
		t.Fatal(err)
	}
	var out [][]float64
	for r := range f.Batch.Rows {
		var row []float64
		for _, x := range all[r*v.Dim() : (r+1)*v.Dim()] {
			row = append(row, float64(x))
		}
		out = append(out, row)
	}
	return out
}

func dot(a, b []float64) (sum float64) {
	for i := range a {
		sum += a[i] * b[i]
	}
	return sum
}

// TestScoreIsTheTowersProduct: the towers see their own fields alone, the vectors have length one, and the logit is their product over the temperature and a bias.
func TestScoreIsTheTowersProduct(t *testing.T) {
	f := modeltest.NewFixture(t, schema, flat+"temperature: 0.5")
	f.Set("out/bias", func(int) float32 { return .25 })
	user, item := vectors(t, f, "user"), vectors(t, f, "item")
	w, b := f.Values("item/out/weight"), f.Values("item/out/bias")
	var want []float64
	for r := range f.Batch.Rows {
		want = append(want, dot(user[r], item[r])/.5+.25)
		v := make([]float64, 3)
		x := f.Vector("emb/item", 1, r)
		for c := range v {
			v[c] = float64(b[c])
			for k := range x {
				v[c] += x[k] * float64(w[3*k+c])
			}
		}
		length := math.Sqrt(dot(v, v))
		for c := range v {
			if math.Abs(item[r][c]-v[c]/length) > 1e-5 {
				t.Errorf("row %d: item vector %v, want %v/%g", r, item[r], v, length)
			}
		}
	}
	modeltest.Near(t, f.Logits(), want)
	if len(f.Values("user/out/weight")) != 8*3 {
		t.Error("the user's tower does not have its two fields, the history among them")
	}
}

// TestUnnormalised: without it vectors are what the towers say.
func TestUnnormalised(t *testing.T) {
	f := modeltest.NewFixture(t, schema, flat+"normalise: false\ntemperature: 1")
	user, item := vectors(t, f, "user"), vectors(t, f, "item")
	var want []float64
	for r := range f.Batch.Rows {
		want = append(want, dot(user[r], item[r]))
	}
	modeltest.Near(t, f.Logits(), want)
	if math.Abs(dot(item[0], item[0])-1) < 1e-3 {
		t.Error("the vectors have length one")
	}
}

func TestVectorNames(t *testing.T) {
	if _, err := modeltest.Program(t, schema, small).NewVectors("query"); err == nil || err.Error() != `model twotower has no vector "query", only user, item` {
		t.Error(err)
	}
}

func TestOverfit(t *testing.T) {
	modeltest.Overfit(t, modeltest.Program(t, schema, small+"learning_rate: 0.02\nembedding_initializer_std: 0.1\n"), 400)
}

func TestGradients(t *testing.T) {
	const one = "user: user\nitem: item\nlabels: [{name: y}]\nfields: [{name: user}, {name: item}, {name: n, type: numeric}, {name: price, type: numeric, from: item}, {name: hist, type: sequence, shares: item, max: 6}]\n"
	const two = "user: user\nitem: item\nlabels: [{name: y}, {name: buy}]\nfields: [{name: user}, {name: item}, {name: n, type: numeric}, {name: hist, type: sequence, shares: item, max: 6}]\n"
	modeltest.CheckGradients(t, two, small+"user_tower_units: [5, 4]\nitem_tower_units: [4]\ntemperature: 1")
	modeltest.CheckGradients(t, one, small+"user_tower_units: [4]\nitem_tower_units: [4]\nnormalise: false\ntemperature: 2")
	modeltest.CheckGradients(t, one, small+"user_tower_units: [5, 4]\nitem_tower_units: [4]\ntemperature: 1\nloss: in_batch_softmax\nfrequency_buckets: 10")
}

func TestErrors(t *testing.T) {
	modeltest.Errors(t, schema, map[string]string{
		small + "user_tower_units: [8, 4]":                              "user_tower_units ends with 4 and item_tower_units with 64",
		small + "item_tower_units: []":                                  "item_tower_units is empty",
		small + "temperature: 0":                                        "temperature is 0",
		small + "frequency_buckets: 0":                                  "frequency_buckets is 0",
		small + "frequency_rate: 2":                                     "frequency_rate is 2",
		small + "item_fields: itm":                                      `item_fields: the schema has no field "itm"; the nearest is "item"`,
		small + "item_fields: [user, item, hist]":                       "every field is the item's",
		small + "item_fields: [hist]\nloss: sampled_softmax":            "the schema's item column must be a field of the item's tower",
		small + "negative_sampling: {rate: 0.5}\nloss: sampled_softmax": "negative_sampling: loss in_batch_softmax takes its negatives from the batch",
	})
	modeltest.Errors(t, "user: user\nitem: item\nlabels: [{name: y}]\nfields: [{name: user}, {name: item}, {name: place}]\n", map[string]string{small + "position_bias: place\nloss: in_batch_softmax": "position_bias: loss in_batch_softmax asks which item"})
	modeltest.Errors(t, "labels: [{name: y}]\nfields: [{name: user}]\n", map[string]string{small: "no field is the item's"})
	modeltest.Errors(t, "item: item\nlabels: [{name: y}, {name: z}]\nfields: [{name: user}, {name: item}]\n", map[string]string{small + "loss: in_batch_softmax": "is for one label"})
}

// TestInBatchSoftmaxLearnsTheTruth: users of twelve tastes take items of their taste, or any, of which the first are met far oftener than the last. Trained on positives alone, with the batch's items for negatives, scores are the
// logarithms of how likely a user takes an item, but for a constant: an item of his taste 13 times as likely as another's, a frequent one as much likelier as it is more frequent. Without the correction the latter would be lost.
func TestInBatchSoftmaxLearnsTheTruth(t *testing.T) {
	const tastes, items, rows = 12, 48, 96
	p := modeltest.Program(t, "user: user\nitem: item\nlabels: [{name: y}]\nfields: [{name: user}, {name: item}]\n",
		"model: twotower\nembedding_dim: 8\nuser_tower_units: [16]\nitem_tower_units: [16]\nlearning_rate: 0.01\nembedding_initializer_std: 0.1\nloss: in_batch_softmax\ntemperature: 0.2\nfrequency_buckets: 1000")
	tr := modeltest.Trainer(t, p, items)
	rng := rand.New(rand.NewPCG(4, 4))
	batch := func(fill func(r int) (user, item uint64)) *features.Batch {
		b := &features.Batch{Rows: rows, Columns: make([]features.Column, 2), Labels: make([][]float32, 1)}
		for r := range rows {
			u, i := fill(r)
			b.Columns[0].IDs, b.Columns[1].IDs, b.Labels[0] = append(b.Columns[0].IDs, 1+u), append(b.Columns[1].IDs, 1+i), append(b.Labels[0], 1)
		}
		return b
	}
	for range 600 {
		b := batch(func(int) (uint64, uint64) {
			taste := rng.Uint64N(tastes)
			rank := min(uint64(rng.ExpFloat64()*1.2), 3) // the first of a taste's four items is met in 57 of 100 rows, the last in 8
			if rng.IntN(2) == 0 {
				return taste, taste + tastes*rank
			}
			return taste, rng.Uint64N(tastes) + tastes*rank // not by taste
		})
		if _, _, err := tr.Train(b); err != nil {
			t.Fatal(err)
		}
	}
	var own, other [4]float64 // mean logits of the items of a rank, of the user's taste and of other tastes
	for taste := range uint64(tastes) {
		b := batch(func(r int) (uint64, uint64) { return taste, uint64(r % items) })
		s := modeltest.Scores(t, p, tr.Step.Dense(), models.TableRows(tr.Tables), b)
		for i := range uint64(items) {
			z := math.Log(float64(s[i]) / (1 - float64(s[i])))
			if i%tastes == taste {
				own[i/tastes] += z / tastes
			} else {
				other[i/tastes] += z / tastes / (tastes - 1)
			}
		}
	}
	for rank := range own {
		if got, want := own[rank]-other[rank], math.Log(13); math.Abs(got-want) > .35 {
			t.Errorf("items of rank %d score %g more to those of their taste, want about %g", rank, got, want)
		}
	}
	frequency := func(rank float64) float64 { return math.Exp(-rank/1.2) - math.Exp(-(rank+1)/1.2) }
	for _, z := range [][4]float64{own, other} {
		if got, want := z[0]-z[2], math.Log(frequency(0)/frequency(2)); math.Abs(got-want) > .35 {
			t.Errorf("the frequent items score %g more than the rare ones, want about %g", got, want)
		}
	}
}
