package dtrn_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/features"
	_ "github.com/millrace/millrace/models/dtrn"
	"github.com/millrace/millrace/models/modeltest"
	_ "github.com/millrace/millrace/models/multitask"
)

const schema = `
user: user
item: item
labels: [{name: click}, {name: buy}]
fields:
  - {name: user, from: user}
  - {name: item, from: item}
  - {name: category, from: item}
  - {name: clicks, type: sequence, shares: item, from: history, max: 6}
  - {name: click_categories, type: sequence, shares: category, from: history, max: 6}
  - {name: buys, type: sequence, shares: item, max: 6}
`

const small = "model: DTRN\nembedding_dim: 4\ntower_hidden_units: [5]\nexpert_hidden_units: [6]\ngate_hidden_units: [3]\ntask_dim: 3\nbehaviour_dim: 2\nhyper_dim: 5\n" +
	"transformer_dropout: 0\ndtrn_sequence_field: [[clicks, click_categories], [buys]]\n"

func with(keys ...string) string { return small + strings.Join(keys, "\n") + "\n" }

func TestGradients(t *testing.T) {
	for i, m := range []string{
		with(), with("transformer_layers: 2", "transformer_heads: 1", "tim_readout: mean"), with("tim_condition: none", "trm: shared"), with("trm: none", "head: mmoe"),
		with("head: ple", "num_layers: 2", "trm_squeeze: mean", "transformer_positions: false"), with("tim_condition: shared", "trm: none", "head: ple"),
		with("tim_readout: append", "transformer_norm: pre", "tim_join: sum", "trm_activation: tanh"),
		with("tim_condition: none", "tim_readout_weights: pair", "tim_readout_hidden_units: 3", "trm_gate: relu", "trm_hidden_units: 2"),
		with("tim_readout_weights: shared", "hyper_initializer_std: 0.1", "transformer_norm_epsilon: 1.0e-3", "trm_activation: sigmoid"),
	} {
		if i%3 > 0 && testing.Short() {
			continue
		}
		modeltest.CheckGradients(t, schema, m)
	}
}

// scores returns the logits of every label.
func scores(f *modeltest.Fixture) [][]float64 {
	f.T.Helper()
	out := f.Scores()
	for _, label := range out {
		for i, p := range label {
			label[i] = math.Log(p / (1 - p))
		}
	}
	return out
}

func near(t *testing.T, what string, got, want []float64) {
	t.Helper()
	for i := range want {
		if !(math.Abs(got[i]-want[i]) <= 2e-5*max(1, math.Abs(want[i]))) {
			t.Errorf("%s, row %d: logit %g, want %g", what, i, got[i], want[i])
		}
	}
}

func differ(t *testing.T, what string, a, b []float64) {
	t.Helper()
	for i := range a {
		if math.Abs(a[i]-b[i]) > 1e-3 {
			return
		}
	}
	t.Errorf("%s: equal logits %v", what, a)
}

// copyTask makes task buy's own tensors under a prefix equal to click's.
func copyTask(f *modeltest.Fixture, prefixes ...string) {
	f.T.Helper()
	for _, p := range prefixes {
		found := false
		for _, d := range f.Dense {
			if rest, ok := strings.CutPrefix(d.Name, p+"buy"); ok {
				v := f.Values(p + "click" + rest)
				f.Set(d.Name, func(i int) float32 { return v[i] })
				found = true
			}
		}
		if !found {
			f.T.Fatalf("there is no tensor %sbuy…", p)
		}
	}
}

// As drawn, W_γ and W_β are zero: all tasks see one plain Transformer; with refinements and towers alike their scores are equal.
func TestTrainingStartsFromThePlainTransformer(t *testing.T) {
	f := modeltest.NewFixture(t, schema, with())
	copyTask(f, "trm/", "tower/")
	got := scores(f)
	near(t, "two tasks", got[1], got[0])
	f.Set("tim/norm/1/gamma/weight", func(i int) float32 { return float32(i%3) - 1 })
	got = scores(f)
	differ(t, "tasks with conditions of their own", got[1], got[0])
	copyTask(f, "tim/task/")
	got = scores(f)
	near(t, "tasks with equal vectors", got[1], got[0])
}

// Without conditions and with TRM's last layer zero, w = 1 and the model is a shared bottom with a tower a task: the same as trm none.
func TestRefinementOfZeroLeavesTheVectors(t *testing.T) {
	f, g := modeltest.NewFixture(t, schema, with("tim_condition: none")), modeltest.NewFixture(t, schema, with("tim_condition: none", "trm: none"))
	for _, d := range g.Dense {
		v := f.Values(d.Name)
		g.Set(d.Name, func(i int) float32 { return v[i] })
	}
	a, b := scores(f), scores(g)
	near(t, "as drawn", a[0], b[0])
	f.Set("trm/click/1/weight", func(i int) float32 { return float32(math.Sin(float64(i))) })
	a = scores(f)
	differ(t, "refined and not", a[0], b[0])
	f.Zero("trm/click/1/")
	f.Zero("trm/buy/1/")
	a = scores(f)
	near(t, "click", a[0], b[0])
	near(t, "buy", a[1], b[1])
}

// With γ = 0 and β = b in the last norm every behaviour is b: the mean is b whatever the sequence, and zero for none.
func TestConstantNorm(t *testing.T) {
	f := modeltest.NewFixture(t, schema, with("tim_readout: mean", "trm: none"))
	f.Zero("tim/norm/1/gamma/bias")
	f.Set("tim/norm/1/beta/bias", func(i int) float32 { return float32(i) - 1 })
	c := &f.Batch.Columns
	set := func(column int, lists ...[]uint64) {
		(*c)[column] = features.Column{Offsets: []int32{0}}
		for _, l := range lists {
			(*c)[column].IDs = append((*c)[column].IDs, l...)
			(*c)[column].Offsets = append((*c)[column].Offsets, int32(len((*c)[column].IDs)))
		}
	}
	f.Batch.Rows = 3
	for i := range 3 {
		(*c)[i].IDs = []uint64{2, 2, 2}
	}
	set(3, []uint64{1, 2, 3}, []uint64{9}, nil)
	set(4, []uint64{4, 5, 6}, []uint64{7}, nil)
	set(5, []uint64{8}, []uint64{8}, []uint64{8})
	got := scores(f)[0]
	near(t, "two histories", got[:1], got[1:2])
	differ(t, "a history and none", got[:1], got[2:])
}

// Without places the order of behaviours does not matter; with them it does.
func TestOrder(t *testing.T) {
	for _, readout := range []string{"target", "mean"} {
		for _, places := range []string{"true", "false"} {
			f := modeltest.NewFixture(t, schema, with("tim_readout: "+readout, "transformer_positions: "+places, "transformer_layers: 2"))
			if places == "true" {
				f.Set("tim/1/positions", func(i int) float32 { return float32(math.Sin(float64(i))) })
			}
			before := scores(f)[0]
			c := &f.Batch.Columns[5]
			for b := range f.Batch.Rows {
				slices.Reverse(c.IDs[c.Offsets[b]:c.Offsets[b+1]])
			}
			after := scores(f)[0]
			if places == "false" {
				near(t, readout+", reversed", after, before)
			} else {
				differ(t, readout+", reversed", after, before)
			}
		}
	}
}

// A row's score does not depend on its neighbours.
func TestNeighboursDoNotMatter(t *testing.T) {
	f := modeltest.NewFixture(t, schema, with())
	all := scores(f)
	b := *f.Batch
	f.Batch = &features.Batch{Rows: 1, Columns: make([]features.Column, len(b.Columns)), Labels: [][]float32{{0}, {0}}}
	for i, c := range b.Columns {
		if c.Offsets == nil {
			f.Batch.Columns[i].IDs = c.IDs[5:6]
			continue
		}
		ids := c.IDs[c.Offsets[5]:c.Offsets[6]]
		f.Batch.Columns[i] = features.Column{IDs: ids, Offsets: []int32{0, int32(len(ids))}}
	}
	one := scores(f)
	near(t, "alone", one[0], all[0][5:6])
	near(t, "alone", one[1], all[1][5:6])
}

func TestErrors(t *testing.T) {
	modeltest.Errors(t, schema, map[string]string{
		with("transformer_heads: 3"): "3 transformer_heads do not divide",
		with("tim_readout: last"):    `tim_readout is "last"`,
		with("trm: yes"):             "trm",
		with("head: plee"):           `head is "plee"`,
		strings.Replace(small, "dropout: 0", "dropout: 1", 1):     "transformer_dropout is 1",
		strings.Replace(small, "hyper_dim: 5", "hyper_dim: 0", 1): "hyper_dim is 0",
		with("dtrn_target_field: [item, item, item]"):             "dtrn_target_field has 3 entries",
		strings.Replace(small, "[buys]", "[user]", 1):             "field user is categorical, want a sequence",
		strings.Replace(small, "[buys]", "[purchases]", 1):        "purchases",
		with("head: mmoe", "num_experts: 0"):                      "num_experts is 0",
		strings.Replace(small, "units: [5]", "units: [0]", 1):     "tower_hidden_units",
	})
	modeltest.Errors(t, "labels: [{name: y}]\nfields: [{name: a}]", map[string]string{"model: dtrn\n": "no sequence field"})
}
