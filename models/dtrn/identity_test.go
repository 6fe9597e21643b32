package dtrn_test

import (
	"math"
	"strings"
	"testing"

	"github.com/millrace/millrace/models/modeltest"
)

// move gives g's tensors the values of f's: those whose names start with a key of names from where its value says, the others from their own.
func move(g, f *modeltest.Fixture, names map[string]string) {
	g.T.Helper()
	for _, d := range g.Dense {
		from := d.Name
		for to, source := range names {
			if rest, ok := strings.CutPrefix(d.Name, to); ok {
				from = source + rest
			}
		}
		v := f.Values(from)
		g.Set(d.Name, func(i int) float32 { return v[i] })
	}
}

// stir moves every tensor away from where it starts, each its own way.
func stir(f *modeltest.Fixture) {
	f.T.Helper()
	for k, d := range f.Dense {
		v := f.Values(d.Name)
		f.Set(d.Name, func(i int) float32 { return v[i] + 0.2*float32(math.Sin(float64(1+k)*float64(1+i))) })
	}
}

// The condition's parameters are N·d_t + K·d_b + (d_t+d_b+1)·d_h + 2·2P·(d_h+1)·d more than those of fixed norms, however many rows there are.
func TestParametersOfTheCondition(t *testing.T) {
	count := func(keys ...string) int {
		p := modeltest.Program(t, schema, with(keys...))
		n, _ := p.Parameters(modeltest.Trainer(t, p, 9).Tables)
		return n
	}
	const n, k, dt, db, dh, d = 2, 2, 3, 2, 5, 4
	for _, layers := range []string{"1", "3"} {
		p := int(layers[0] - '0')
		got := count("transformer_layers: "+layers) - count("transformer_layers: "+layers, "tim_condition: none")
		if want := n*dt + k*db + (dt+db+1)*dh + 2*2*p*(dh+1)*d; got != want {
			t.Errorf("%s layers: %d parameters more, want %d", layers, got, want)
		}
		got = count("transformer_layers: "+layers, "tim_condition: shared") - count("transformer_layers: "+layers, "tim_condition: none")
		if want := 2 * 2 * p * d; got != want {
			t.Errorf("%s layers, shared norms: %d parameters more, want %d", layers, got, want)
		}
	}
}

// Fixed norms are those that training starts from.
func TestTheConditionStartsAtFixedNorms(t *testing.T) {
	f, g := modeltest.NewFixture(t, schema, with("transformer_layers: 2")), modeltest.NewFixture(t, schema, with("transformer_layers: 2", "tim_condition: none"))
	a, b := scores(f), scores(g)
	near(t, "click", a[0], b[0])
	near(t, "buy", a[1], b[1])
}

// Tasks with equal vectors, refinements, towers and labels have equal scores and equal gradients; the first step of tasks that differ in their vectors alone tells them apart.
func TestEqualTasks(t *testing.T) {
	f := modeltest.NewFixture(t, schema, with())
	f.Set("tim/norm/1/gamma/weight", func(i int) float32 { return float32(math.Sin(float64(i))) })
	f.Set("tim/norm/0/beta/weight", func(i int) float32 { return float32(math.Cos(float64(i))) })
	copyTask(f, "trm/", "tower/", "tim/task/")
	got := scores(f)
	near(t, "scores", got[1], got[0])
	tr := modeltest.Trainer(t, f.Program, 9)
	if err := tr.Step.SetDense(f.Dense); err != nil {
		t.Fatal(err)
	}
	modeltest.Randomise(tr.Tables, 0.5)
	copy(f.Batch.Labels[1], f.Batch.Labels[0])
	gradients := func() map[string][]float32 {
		if _, err := tr.Step.Run(f.Batch, 1); err != nil {
			t.Fatal(err)
		}
		dense, _ := tr.Step.Gradients()
		out := map[string][]float32{}
		for _, d := range dense {
			out[d.Name] = append([]float32(nil), d.Grad.F32...)
		}
		return out
	}
	g, compared := gradients(), 0
	for name, a := range g {
		if !strings.Contains(name, "click") {
			continue
		}
		for i, b := range g[strings.Replace(name, "click", "buy", 1)] {
			if math.Abs(float64(a[i]-b)) > 1e-6*(1+math.Abs(float64(b))) {
				t.Errorf("gradient of %s[%d] is %g, of the other task's %g", name, i, a[i], b)
			}
		}
		compared++
	}
	if compared < 7 {
		t.Errorf("%d tensors are the tasks' own", compared)
	}
	fresh := modeltest.NewFixture(t, schema, with())
	if a, b := fresh.Values("tim/task/click"), fresh.Values("tim/task/buy"); a[0] == b[0] {
		t.Errorf("the tasks start at equal vectors %v", a)
	}
	if a, b := fresh.Values("tim/behaviour/0"), fresh.Values("tim/behaviour/1"); a[0] == b[0] {
		t.Errorf("the behaviour types start at equal vectors %v", a)
	}
}

const twoTypes = "labels: [{name: click}, {name: buy}]\nfields: [{name: item}, {name: saw, type: sequence, shares: item, max: 6}, {name: had, type: sequence, shares: item, max: 6}]\n"

// Behaviour types in another order with their tensors are the same types.
func TestBehaviourTypesMayChangePlaces(t *testing.T) {
	const keys = "model: DTRN\nembedding_dim: 4\ntower_hidden_units: []\ntrm: none\ntransformer_dropout: 0\ntask_dim: 3\nbehaviour_dim: 2\nhyper_dim: 5\n"
	for _, readout := range []string{"target", "mean", "append"} {
		f := modeltest.NewFixture(t, twoTypes, keys+"tim_readout: "+readout+"\ndtrn_sequence_field: [[saw], [had]]\n")
		g := modeltest.NewFixture(t, twoTypes, keys+"tim_readout: "+readout+"\ndtrn_sequence_field: [[had], [saw]]\n")
		stir(f)
		move(g, f, map[string]string{"tim/0/": "tim/1/", "tim/1/": "tim/0/", "tim/behaviour/0": "tim/behaviour/1", "tim/behaviour/1": "tim/behaviour/0"})
		want := scores(f)
		differ(t, readout+", interests in each other's places", scores(g)[0], want[0])
		for _, task := range []string{"click", "buy"} {
			w := f.Values("tower/" + task + "/out/weight") // rows: item, first type, second type
			g.Set("tower/"+task+"/out/weight", func(i int) float32 { return w[[3]int{0, 8, 4}[i/4]+i%4] })
		}
		got := scores(g)
		near(t, readout+", click", got[0], want[0])
		near(t, readout+", buy", got[1], want[1])
	}
}

// An empty sequence gives the zero vector: nothing of TIM reaches the rows whose sequences are all empty.
func TestEmptySequences(t *testing.T) {
	for _, readout := range []string{"target", "mean", "append"} {
		f := modeltest.NewFixture(t, schema, with("tim_readout: "+readout))
		empty := -1
		for r := range f.Batch.Rows {
			if c := f.Batch.Columns[5]; c.Offsets[r] == c.Offsets[r+1] {
				empty = r
			}
		}
		if empty < 0 {
			t.Fatal("no row is without behaviours")
		}
		before := scores(f)[0]
		for k, d := range f.Dense {
			if strings.HasPrefix(d.Name, "tim/") {
				f.Set(d.Name, func(i int) float32 { return float32(math.Sin(float64(k + 3*i))) })
			}
		}
		after := scores(f)[0]
		near(t, readout+", no behaviours", after[empty:empty+1], before[empty:empty+1])
		differ(t, readout+", behaviours", after, before)
	}
}

// The order of the tasks does not matter, whatever the head.
func TestTasksMayChangePlaces(t *testing.T) {
	turned := strings.Replace(schema, "[{name: click}, {name: buy}]", "[{name: buy}, {name: click}]", 1)
	for _, head := range []string{"plain", "mmoe", "ple"} {
		m := with("head: "+head, "num_layers: 2", "shared_gate: shared", "tim_readout_weights: pair")
		f, g := modeltest.NewFixture(t, schema, m), modeltest.NewFixture(t, turned, m)
		stir(f)
		move(g, f, nil)
		a, b := scores(f), scores(g)
		differ(t, head+", the tasks", a[0], a[1])
		near(t, head+", click", b[1], a[0])
		near(t, head+", buy", b[0], a[1])
	}
}

// A ReLU gate starts at 1 as the sigmoid's does.
func TestGatesStartAtOne(t *testing.T) {
	plain := scores(modeltest.NewFixture(t, schema, with("trm: none")))
	for _, keys := range []string{"trm_gate: relu", "trm_gate: sigmoid", "trm_squeeze: mean", "trm_activation: tanh", "trm: shared"} {
		f := modeltest.NewFixture(t, schema, with(keys))
		got := scores(f)
		near(t, keys, got[0], plain[0])
		for _, d := range f.Dense {
			if strings.HasPrefix(d.Name, "trm/") && strings.HasSuffix(d.Name, "1/weight") {
				f.Set(d.Name, func(i int) float32 { return float32(math.Sin(float64(i))) })
			}
		}
		differ(t, keys+", a gate that weighs", scores(f)[0], plain[0])
	}
}

// With one task and one behaviour type there are no names to tell tasks apart, and MMoE's and PLE's heads work as well.
func TestOneTask(t *testing.T) {
	const one = "labels: [{name: y}]\nfields: [{name: item}, {name: saw, type: sequence, shares: item, max: 6}]\n"
	for _, head := range []string{"plain", "mmoe", "ple"} {
		f := modeltest.NewFixture(t, one, "model: DTRN\nembedding_dim: 4\nhead: "+head+"\nexpert_hidden_units: [4]\n")
		if got := f.Scores(); len(got) != 1 || !(got[0][0] > 0 && got[0][0] < 1) {
			t.Errorf("%s: scores %v", head, got)
		}
		for _, d := range f.Dense {
			if strings.HasPrefix(d.Name, "trm/y") || strings.HasPrefix(d.Name, "tower/y") {
				t.Errorf("%s: tensor %s of the only task bears its name", head, d.Name)
			}
		}
	}
}
