package sim_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/models"
	"github.com/millrace/millrace/models/modeltest"
	_ "github.com/millrace/millrace/models/sim"
)

const (
	schema = "labels: [{name: y}]\nfields: [{name: item}, {name: cat}, {name: items, type: sequence, shares: item, max: 6}, {name: cats, type: sequence, shares: cat, max: 6}]\n"
	small  = "model: sim\nembedding_dim: 4\ndnn_hidden_units: [6]\nattention_dim: 4\nattention_hidden_units: [5]\n"
	hard   = small + "gsu_type: hard\ngsu_field: cats\n"
)

// set gives row 0 of the fixture a candidate and a history of items and categories.
func set(f *modeltest.Fixture, item, cat uint64, items, cats []uint64) {
	b := f.Batch
	for i, ids := range [][]uint64{{item}, {cat}} {
		b.Columns[i].IDs[0] = ids[0]
	}
	for i, ids := range [][]uint64{items, cats} {
		c := &b.Columns[2+i]
		rest := c.IDs[c.Offsets[1]:]
		c.IDs = slices.Concat(ids, rest)
		grown := int32(len(ids)) - c.Offsets[1]
		c.Offsets = slices.Clone(c.Offsets)
		for r := 1; r < len(c.Offsets); r++ {
			c.Offsets[r] += grown
		}
	}
}

// TestHardSearchSeesItsCategoryAlone: behaviours of other categories are as if they were not there, those before the newest K of the category as well.
func TestHardSearchSeesItsCategoryAlone(t *testing.T) {
	f := modeltest.NewFixture(t, schema, hard+"topk: 2\nshort_seq_len: 0\nuse_position_emb: false")
	logit := func(items, cats []uint64) float64 {
		set(f, 3, 5, items, cats)
		return f.Logits()[0]
	}
	want := logit([]uint64{1, 2}, []uint64{5, 5})
	same := func(what string, got float64, equal bool) {
		t.Helper()
		if math.Abs(got-want) < 1e-5 != equal {
			t.Errorf("%s: %g, want it to be %g: %v", what, got, want, equal)
		}
	}
	same("others between", logit([]uint64{7, 1, 8, 2, 9}, []uint64{4, 5, 6, 5, 1}), true)
	same("an older one", logit([]uint64{9, 1, 2}, []uint64{5, 5, 5}), true)
	same("a newer one", logit([]uint64{1, 2, 9}, []uint64{5, 5, 5}), false)
	same("none", logit([]uint64{1, 2}, []uint64{4, 4}), false)
	want = logit(nil, nil)
	same("none of the category", logit([]uint64{1, 2}, []uint64{4, 4}), true)
}

// TestSoftSearchKeepsTheHighest: the K behaviours of the highest ⟨q·W_a, k·W_b⟩ are all that the score depends on.
func TestSoftSearchKeepsTheHighest(t *testing.T) {
	f := modeltest.NewFixture(t, schema, small+"topk: 2\nshort_seq_len: 0\nuse_position_emb: false")
	a, b := f.Values("gsu/a"), f.Values("gsu/b")
	vector := func(item, cat uint64) []float64 {
		set(f, item, cat, nil, nil)
		return append(f.Vector("emb/item", 0, 0), f.Vector("emb/cat", 1, 0)...)
	}
	dot := func(q, k []float64) (s float64) {
		for c := range 4 {
			x, y := 0., 0.
			for i := range q {
				x, y = x+q[i]*float64(a[4*i+c]), y+k[i]*float64(b[4*i+c])
			}
			s += x * y
		}
		return s
	}
	items, cats := []uint64{1, 2, 4, 5, 6, 7}, []uint64{1, 8, 4, 2, 6, 9}
	q := vector(3, 5)
	order := []int{0, 1, 2, 3, 4, 5}
	var r []float64
	for i := range items {
		r = append(r, dot(q, vector(items[i], cats[i])))
	}
	slices.SortFunc(order, func(i, j int) int {
		if r[i] > r[j] {
			return -1
		}
		return 1
	})
	logit := func(keep []int) float64 {
		keep = slices.Clone(keep)
		slices.Sort(keep)
		var i, c []uint64
		for _, k := range keep {
			i, c = append(i, items[k]), append(c, cats[k])
		}
		set(f, 3, 5, i, c)
		return f.Logits()[0]
	}
	if want, got := logit(order[:2]), logit(order); math.Abs(got-want) > 1e-5 {
		t.Errorf("%g with all behaviours, %g with the two of highest score", got, want)
	}
	if a, b := logit(order), logit(order[1:]); math.Abs(a-b) < 1e-4 {
		t.Errorf("without the highest the logit is %g as with it, %g", b, a)
	}
}

// TestShortInterestIsOfTheNewest: the short part changes with what is newest, not with what lies before; places tell an order.
func TestShortInterestIsOfTheNewest(t *testing.T) {
	f := modeltest.NewFixture(t, schema, hard+"short_seq_len: 2\nuse_position_emb: false")
	logit := func(items ...uint64) float64 { // of no category that the candidate has
		set(f, 3, 5, items, []uint64{4, 4, 4}[:len(items)])
		return f.Logits()[0]
	}
	if a, b := logit(9, 1, 2), logit(1, 2); math.Abs(a-b) > 1e-5 {
		t.Errorf("an older behaviour changes the logit from %g to %g", b, a)
	}
	if a, b := logit(1, 2, 9), logit(1, 2); math.Abs(a-b) < 1e-5 {
		t.Error("a newer behaviour changes nothing")
	}
	f = modeltest.NewFixture(t, schema, hard+"short_seq_len: 0")
	set(f, 3, 5, []uint64{1, 2, 7}, []uint64{5, 5, 4})
	a := f.Logits()[0]
	set(f, 3, 5, []uint64{2, 1, 7}, []uint64{5, 5, 4})
	b := f.Logits()[0]
	set(f, 3, 5, []uint64{1, 2}, []uint64{5, 5})
	if c := f.Logits()[0]; math.Abs(a-b) < 1e-6 || math.Abs(a-c) < 1e-6 {
		t.Errorf("places tell nothing: %g, turned round %g, one place newer %g", a, b, c)
	}
}

// TestSharedHistoryScoresAlike: candidates of one user, whose history the scorer holds once, score as they do one by one.
func TestSharedHistoryScoresAlike(t *testing.T) {
	for _, model := range []string{hard + "topk: 2\nshort_seq_len: 2", small + "topk: 2\nshort_seq_len: 2"} {
		p := modeltest.Program(t, schema, model)
		tr := modeltest.Trainer(t, p, 9)
		modeltest.Randomise(tr.Tables, .5)
		rows := func(candidates ...uint64) *features.Batch {
			b := &features.Batch{Rows: len(candidates), Columns: make([]features.Column, 4), Labels: make([][]float32, 1)}
			for i := range 2 {
				b.Columns[2+i].Offsets = []int32{0}
			}
			for _, c := range candidates {
				b.Columns[0].IDs, b.Columns[1].IDs = append(b.Columns[0].IDs, c), append(b.Columns[1].IDs, 1+c%3)
				for i, ids := range [][]uint64{{4, 2, 9, 7, 1}, {1, 2, 3, 2, 1}} {
					b.Columns[2+i].IDs = append(b.Columns[2+i].IDs, ids...)
					b.Columns[2+i].Offsets = append(b.Columns[2+i].Offsets, int32(len(b.Columns[2+i].IDs)))
				}
			}
			return b
		}
		score := func(b *features.Batch) []float32 {
			return modeltest.Scores(t, p, tr.Step.Dense(), models.TableRows(tr.Tables), b)
		}
		together := score(rows(1, 2, 3, 4))
		for i, c := range []uint64{1, 2, 3, 4} {
			if alone := score(rows(c)); math.Abs(float64(alone[0]-together[i])) > 1e-6 {
				t.Errorf("candidate %d scores %g among others, %g alone", c, together[i], alone[0])
			}
		}
	}
}

func TestOverfit(t *testing.T) {
	for _, model := range []string{small, hard} {
		p := modeltest.Program(t, schema, model+"learning_rate: 0.02\nembedding_initializer_std: 0.1\nalpha: 0.001\n")
		modeltest.Overfit(t, p, 500)
	}
}

func TestGradients(t *testing.T) {
	const two = "labels: [{name: y}, {name: buy}]\nfields: [{name: user}, {name: item}, {name: cat}, {name: n, type: numeric}, {name: items, type: sequence, shares: item, max: 6}, {name: cats, type: sequence, shares: cat, max: 6}]\n"
	for _, keys := range []string{
		"topk: 2\nshort_seq_len: 1\nnum_heads: 2\nalpha: 0.3\n",
		"topk: 1\nshort_seq_len: 0\nnum_heads: 4\nuse_position_emb: false\n",
		"topk: 2\nshort_seq_len: 2\ngsu_type: hard\ngsu_field: cats\nattention_dropout: 0.2\nattention_hidden_activations: dice\n",
		"sim_sequence_field: [items, cats]\nsim_target_field: [item, cat]\ntopk: 2\n",
	} {
		modeltest.CheckGradients(t, two, small+keys)
	}
}

func TestErrors(t *testing.T) {
	modeltest.Errors(t, schema, map[string]string{
		"model: sim\ngsu_type: lsh":                  `gsu_type is "lsh", want soft or hard`,
		"model: sim\ngsu_type: hard":                 "gsu_field must name the sequence",
		"model: sim\ngsu_type: hard\ngsu_field: cat": "gsu_field cat is not among the sequences items, cats",
		"model: sim\ngsu_type: hard\ngsu_field: kat": `the schema has no field "kat"`,
		"model: sim\ngsu_field: cats":                "gsu_field cats is for gsu_type hard",
		"model: sim\ntopk: 0":                        "topk is 0",
		"model: sim\nalpha: 0":                       "alpha is 0, want more than 0",
		"model: sim\nshort_seq_len: -1":              "short_seq_len is -1",
		"model: sim\nnum_heads: 3":                   "num_heads is 3: it must divide attention_dim, 64",
		"model: sim\nattention_dropout: 1":           "attention_dropout is 1",
		"model: sim\nattention_hidden_units: []":     "attention_hidden_units is empty",
	})
	modeltest.Errors(t, "labels: [{name: y}]\nfields: [{name: user}]\n", map[string]string{"model: sim": "SIM needs a history"})
}

// TestFindsWhatIsLongAgo: whether the user once took the candidate's kind of thing, anywhere in a history of twenty others, decides; both searches find it: the hard one at once, the soft one, which has to learn what is alike, in part.
func TestFindsWhatIsLongAgo(t *testing.T) {
	const items, kinds, length, rows = 20, 10, 20, 128
	for _, search := range []struct {
		keys  string
		steps int
		least float64
	}{{"gsu_type: hard\ngsu_field: cats\n", 120, .9}, {"gsu_type: soft\nalpha: 0.2\n", 600, .75}} {
		if search.steps > 300 && testing.Short() {
			continue
		}
		p := modeltest.Program(t, "labels: [{name: y}]\nfields: [{name: item}, {name: cat}, {name: items, type: sequence, shares: item, max: 20}, {name: cats, type: sequence, shares: cat, max: 20}]\n",
			"model: sim\nembedding_dim: 8\nembedding_initializer_std: 0.3\ndnn_hidden_units: [16]\nattention_dim: 8\ntopk: 4\nshort_seq_len: 2\nuse_position_emb: false\nlearning_rate: 0.01\n"+search.keys)
		tr := modeltest.Trainer(t, p, items)
		rng := rand.New(rand.NewPCG(3, 3))
		kind := func(item uint64) uint64 { return 1 + item%kinds }
		batch := func() *features.Batch {
			b := &features.Batch{Rows: rows, Columns: make([]features.Column, 4), Labels: make([][]float32, 1)}
			b.Columns[2].Offsets, b.Columns[3].Offsets = []int32{0}, []int32{0}
			for r := range rows {
				candidate := 1 + rng.Uint64N(items)
				history := make([]uint64, length)
				for i := range history {
					for history[i] = 1 + rng.Uint64N(items); kind(history[i]) == kind(candidate); history[i] = 1 + rng.Uint64N(items) {
					}
				}
				if r%2 == 1 {
					history[rng.IntN(length)] = candidate
				}
				b.Labels[0] = append(b.Labels[0], float32(r%2))
				b.Columns[0].IDs, b.Columns[1].IDs = append(b.Columns[0].IDs, candidate), append(b.Columns[1].IDs, kind(candidate))
				for _, item := range history {
					b.Columns[2].IDs, b.Columns[3].IDs = append(b.Columns[2].IDs, item), append(b.Columns[3].IDs, kind(item))
				}
				for i := 2; i < 4; i++ {
					b.Columns[i].Offsets = append(b.Columns[i].Offsets, int32(len(b.Columns[i].IDs)))
				}
			}
			return b
		}
		for range search.steps {
			if _, _, err := tr.Train(batch()); err != nil {
				t.Fatal(err)
			}
		}
		right, asked := 0, 0
		for range 4 {
			b := batch()
			for r, s := range modeltest.Scores(t, p, tr.Step.Dense(), models.TableRows(tr.Tables), b) {
				if (s > .5) == (b.Labels[0][r] == 1) {
					right++
				}
				asked++
			}
		}
		if share := float64(right) / float64(asked); share < search.least {
			t.Errorf("%s%g of the rows are told apart, want at least %g", search.keys, share, search.least)
		}
	}
}
