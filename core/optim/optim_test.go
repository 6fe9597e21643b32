package optim

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/core/graph"
	"github.com/millrace/millrace/core/kernel"
	"github.com/millrace/millrace/core/table"
)

// bed is a small model without a loss: two dense parameters and two tables, fed with random gradients.
type bed struct {
	c      Config
	o      *Optimizer
	dense  []Dense
	tables []*table.Table
	rng    *rand.Rand
}

func newBed(t testing.TB, c Config, rows int) *bed {
	t.Helper()
	b := &bed{c: c, rng: rand.New(rand.NewPCG(1, 2))}
	var err error
	if b.o, err = New(c); err != nil {
		t.Fatal(err)
	}
	for _, shape := range [][2]int{{7, 5}, {1, 11}} {
		d := Dense{fmt.Sprintf("w%d", shape[0]), graph.NewTensor(shape[0], shape[1]), graph.NewTensor(shape[0], shape[1])}
		for i := range d.Value.F32 {
			d.Value.F32[i] = float32(b.rng.NormFloat64())
		}
		b.dense = append(b.dense, d)
	}
	for _, dim := range []int{1, 3} {
		e, err := table.New(fmt.Sprintf("e%d", dim), table.Options{Dim: dim, State: c.StateSize(dim), InitStd: 0.3})
		if err != nil {
			t.Fatal(err)
		}
		for id := range uint64(rows) {
			e.Admit(id)
		}
		e.Changed(nil)
		b.tables = append(b.tables, e)
	}
	return b
}

// gradients draws the next step's; the second table's batch is sometimes empty.
func (b *bed) gradients() []Rows {
	for _, d := range b.dense {
		for i := range d.Grad.F32 {
			d.Grad.F32[i] = float32(b.rng.NormFloat64())
		}
	}
	var rows []Rows
	for _, e := range b.tables {
		r := Rows{Table: e}
		for range b.rng.IntN(6) {
			if s := b.rng.Uint32N(uint32(e.Len())); !slices.Contains(r.Slots, s) {
				r.Slots = append(r.Slots, s)
			}
		}
		for range len(r.Slots) * e.Dim() {
			r.Grads = append(r.Grads, float32(b.rng.NormFloat64()))
		}
		rows = append(rows, r)
	}
	return rows
}

func widen(x []float32) []float64 {
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = float64(v)
	}
	return y
}

// all is every weight of a table in slot order.
func all(e *table.Table) (w []float32) {
	for i := range e.Chunks() {
		c, _ := e.Chunk(i)
		w = append(w, c...)
	}
	return w
}

func TestAgainstReference(t *testing.T) {
	const rows = table.ChunkRows + 300
	f := func(c Config, wantClipped bool) {
		t.Helper()
		b := newBed(t, c, rows)
		ref := &reference{c: c.withDefaults()}
		for _, d := range b.dense {
			n := len(d.Value.F32)
			ref.params = append(ref.params, &refParam{w: widen(d.Value.F32), a: make([]float64, n), b: make([]float64, n)})
		}
		for _, e := range b.tables {
			w := widen(all(e))
			ref.params = append(ref.params, &refParam{w: w, a: make([]float64, len(w)), b: make([]float64, len(w)), table: true, dim: e.Dim()})
		}
		clipped := false
		for step := range 8 {
			rows := b.gradients()
			for i, d := range b.dense {
				ref.params[i].g = widen(d.Grad.F32)
			}
			for i, r := range rows {
				p := ref.params[2+i]
				p.g, p.batch = make([]float64, len(p.w)), map[int]bool{}
				for k, s := range r.Slots {
					copy(p.g[int(s)*p.dim:], widen(r.Grads[k*p.dim:][:p.dim]))
					p.batch[int(s)] = true
				}
			}
			wantL2, wantNorm := ref.step()
			l2, norm, err := b.o.Step(b.dense, rows)
			if err != nil {
				t.Fatal(err)
			}
			clipped = clipped || norm > c.MaxNorm
			// Weights are float32: their own rounding feeds back, a few units of 6e-8 a step.
			if math.Abs(l2-wantL2) > 1e-6*wantL2 || math.Abs(norm-wantNorm) > 1e-6*wantNorm {
				t.Errorf("%+v step %d: L2 %g, norm %g, want %g, %g", c, step, l2, norm, wantL2, wantNorm)
			}
			for i, p := range ref.params {
				var w []float32
				if i < 2 {
					w = b.dense[i].Value.F32
				} else {
					w = all(b.tables[i-2])
				}
				for j, x := range w {
					if math.Abs(float64(x)-p.w[j]) > 2e-6*(1+math.Abs(p.w[j])) {
						t.Fatalf("%+v step %d parameter %d[%d] = %g, want %g", c, step, i, j, x, p.w[j])
					}
				}
			}
		}
		if c.MaxNorm > 0 && clipped != wantClipped {
			t.Errorf("%+v: clipped %v, want %v", c, clipped, wantClipped)
		}
	}
	for _, rule := range rowNames {
		dense := rule
		if rule == SparseAdamName {
			dense = AdamName
		}
		c := Config{Optimizer: dense, EmbeddingOptimizer: rule, LearningRate: 0.01, FTRLL1: 0.3, FTRLL2: 0.2, WeightDecay: 0.1}
		f(c, false)
		c.EmbeddingL2 = 0.05
		f(c, false)
		c.NetL2, c.MaxNorm = 0.02, 1e6
		f(c, false)
		c.MaxNorm = 2
		f(c, true)
		c.Eps = 0.3 // large enough to see where it is added
		f(c, true)
	}
	f(Config{MaxNorm: 10, EmbeddingL2: 1, Beta1: 0.5, Beta2: 0.7}, true)
}

// TestFullMovesEveryRow: full-table Adam with L2 moves rows the batch has not got, by about the learning rate; sparse Adam leaves them and says which it moved.
func TestFullMovesEveryRow(t *testing.T) {
	f := func(rule string, wantMoved, wantMarked int) {
		t.Helper()
		b := newBed(t, Config{EmbeddingOptimizer: rule, EmbeddingL2: 0.05, LearningRate: 1e-3}, 40)
		before := all(b.tables[1])
		rows := []Rows{{Table: b.tables[0]}, {Table: b.tables[1], Slots: []uint32{30, 4}, Grads: []float32{1, 1, 1, -1, -1, -1}}}
		if _, _, err := b.o.Step(b.dense, rows); err != nil {
			t.Fatal(err)
		}
		moved := 0
		for i, x := range all(b.tables[1]) {
			if d := math.Abs(float64(x - before[i])); d > 0 {
				moved++
				if d < 0.9e-3 || d > 1.1e-3 {
					t.Errorf("%s moved weight %d by %g, want about the learning rate", rule, i, d)
				}
			}
		}
		if marked := b.tables[1].Changed(nil); moved != wantMoved || len(marked) != wantMarked {
			t.Errorf("%s moved %d weights and marked rows %v, want %d and %d", rule, moved, marked, wantMoved, wantMarked)
		}
	}
	f(AdamName, 40*3, 0)
	f(SparseAdamName, 2*3, 2)
}

// run takes steps and returns all weights.
func (b *bed) run(t testing.TB, steps int) (w []float32) {
	t.Helper()
	for range steps {
		if _, _, err := b.o.Step(b.dense, b.gradients()); err != nil {
			t.Fatal(err)
		}
	}
	for _, d := range b.dense {
		w = append(w, d.Value.F32...)
	}
	for _, e := range b.tables {
		w = append(w, all(e)...)
	}
	return w
}

func TestThreadsChangeNoBit(t *testing.T) {
	defer kernel.SetThreads(0)
	for _, rule := range []string{AdamName, SparseAdamName, LAMBName} {
		c := Config{EmbeddingOptimizer: rule, EmbeddingL2: 0.1, NetL2: 0.1, MaxNorm: 1}
		if rule == LAMBName {
			c.Optimizer = rule
		}
		kernel.SetThreads(1)
		want := newBed(t, c, 5000).run(t, 5)
		kernel.SetThreads(3)
		if got := newBed(t, c, 5000).run(t, 5); !slices.Equal(got, want) {
			t.Errorf("%s on three threads differs from one", rule)
		}
	}
}

func TestResume(t *testing.T) {
	for _, c := range []Config{
		{MaxNorm: 3, EmbeddingL2: 0.01}, {EmbeddingOptimizer: SparseAdamName}, {Optimizer: AdagradName}, {Optimizer: SGDName}, {Optimizer: FTRLName}, {Optimizer: LAMBName},
	} {
		want := newBed(t, c, 100).run(t, 9)
		b := newBed(t, c, 100)
		b.run(t, 4)
		state, steps := b.o.State()
		o, err := New(c)
		if err != nil {
			t.Fatal(err)
		}
		if err := o.Load(state, steps); err != nil {
			t.Fatal(err)
		}
		b.o = o
		if got := b.run(t, 5); !slices.Equal(got, want) || o.Steps() != 9 {
			t.Errorf("%+v: resumed after 4 of 9 steps (at %d) it ends elsewhere", c, o.Steps())
		}
	}
}

func TestParametersAreKnownByName(t *testing.T) {
	b := newBed(t, Config{}, 5)
	b.run(t, 1)
	m := b.o.params[1].state[0]
	slices.Reverse(b.dense)
	b.run(t, 1)
	if b.o.params[0].state[0] != m {
		t.Error("the state did not follow its parameter")
	}
}

func TestErrors(t *testing.T) {
	f := func(change func(b *bed, rows []Rows) ([]Dense, []Rows), want string) {
		t.Helper()
		b := newBed(t, Config{EmbeddingL2: 0.1}, 20)
		w := b.run(t, 1)
		d, r := change(b, b.gradients())
		_, _, err := b.o.Step(d, r)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
		if after := b.run(t, 0); !slices.Equal(after, w) || b.o.Steps() != 1 {
			t.Errorf("%q moved weights or the step count", want)
		}
		b.run(t, 1) // the next good step is as if nothing had been
		other := newBed(t, Config{EmbeddingL2: 0.1}, 20)
		other.run(t, 1)
		other.gradients()
		if !slices.Equal(b.run(t, 0), other.run(t, 1)) {
			t.Errorf("%q left traces", want)
		}
	}
	f(func(b *bed, r []Rows) ([]Dense, []Rows) { return b.dense[:1], r }, "1 parameters, want 2")
	f(func(b *bed, r []Rows) ([]Dense, []Rows) {
		return []Dense{b.dense[0], {"other", b.dense[1].Value, b.dense[1].Grad}}, r
	}, "parameter other was not there before")
	f(func(b *bed, r []Rows) ([]Dense, []Rows) {
		return []Dense{b.dense[0], {"w1", b.dense[0].Value, b.dense[0].Grad}}, r
	}, "parameter w1 is [7, 5], its state [1, 11]")
	f(func(b *bed, r []Rows) ([]Dense, []Rows) {
		return []Dense{b.dense[0], {"w1", b.dense[1].Value, b.dense[0].Grad}}, r
	}, "not float32 of one size")
	f(func(b *bed, r []Rows) ([]Dense, []Rows) { return b.dense, []Rows{r[0], r[0]} }, "table e1 is there twice")
	f(func(b *bed, r []Rows) ([]Dense, []Rows) {
		return b.dense, []Rows{{b.tables[1], []uint32{1}, []float32{1}}}
	}, "table e3: 1 floats of gradient for 1 rows of 3")
	f(func(b *bed, r []Rows) ([]Dense, []Rows) {
		return b.dense, []Rows{{b.tables[0], []uint32{3, 20}, []float32{1, 1}}}
	}, "slot is not in its table")
	f(func(b *bed, r []Rows) ([]Dense, []Rows) {
		return b.dense, []Rows{{b.tables[0], []uint32{3}, []float32{float32(math.NaN())}}}
	}, "step 2: gradient norm NaN")
	f(func(b *bed, r []Rows) ([]Dense, []Rows) {
		b.dense[0].Grad.F32[3] = float32(math.Inf(1))
		return b.dense, r
	}, "gradient norm +Inf")
	f(func(b *bed, r []Rows) ([]Dense, []Rows) {
		e, _ := table.New("bare", table.Options{Dim: 2})
		return b.dense, []Rows{{Table: e}}
	}, "table bare keeps 0 floats of state a row, adam needs 4")
}

func TestConfig(t *testing.T) {
	f := func(c Config, want string) {
		t.Helper()
		if _, err := New(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("New(%+v): %v, want %q", c, err, want)
		}
	}
	f(Config{Optimizer: "lion"}, `optimizer "lion"`)
	f(Config{Optimizer: SparseAdamName}, `optimizer "sparse_adam"`)
	f(Config{EmbeddingOptimizer: "x"}, `embedding optimizer "x"`)
	f(Config{LearningRate: -1}, "learning rate -1")
	f(Config{Beta2: 1}, "beta2 1")
	f(Config{EmbeddingL2: math.NaN()}, "embedding regularizer NaN")

	s := func(c Config, want int) {
		t.Helper()
		if got := c.StateSize(5); got != want {
			t.Errorf("%+v: state of %d floats for rows of 5, want %d", c, got, want)
		}
	}
	s(Config{}, 10)
	s(Config{EmbeddingOptimizer: SparseAdamName}, 10)
	s(Config{Optimizer: AdagradName}, 5)
	s(Config{Optimizer: AdamName, EmbeddingOptimizer: SGDName}, 0)
}

func TestLoadRejects(t *testing.T) {
	x := graph.NewTensor(1, 2)
	f := func(optimizer string, state map[string]*graph.Tensor) {
		t.Helper()
		o, _ := New(Config{Optimizer: optimizer})
		if err := o.Load(state, 3); err == nil || o.Steps() != 0 {
			t.Errorf("%s loaded %v", optimizer, state)
		}
	}
	f(AdamName, map[string]*graph.Tensor{"w/m": x})
	f(AdamName, map[string]*graph.Tensor{"w/m": x, "w/v": x, "w": x})
	f(AdamName, map[string]*graph.Tensor{"w/sum": x})
	f(AdamName, map[string]*graph.Tensor{"w/m": x, "w/v": {Rows: 2, Cols: 2}})
	f(SGDName, map[string]*graph.Tensor{"w/m": x})
}

func TestPlateau(t *testing.T) {
	var p Plateau
	f := func(metric float64, want string) {
		t.Helper()
		improved, reduce, stop := p.Observe(metric)
		got := strings.Join(slices.Compact([]string{
			map[bool]string{true: "improved"}[improved], map[bool]string{true: "reduce"}[reduce], map[bool]string{true: "stop"}[stop],
		}), " ")
		if strings.TrimSpace(got) != want {
			t.Errorf("%g: %q, want %q", metric, got, want)
		}
		// What is saved in between is all of it.
		b, err := json.Marshal(&p)
		if err != nil {
			t.Fatal(err)
		}
		var q Plateau
		if err := json.Unmarshal(b, &q); err != nil || q != p {
			t.Fatalf("%s is not what was saved: %v", b, err)
		}
		p = q
	}
	f(math.NaN(), "reduce")
	f(0.7, "improved")
	f(0.7+0.9e-6, "reduce")
	f(0.7+1.1e-6, "improved")
	f(0.6, "reduce")
	f(0.7, "reduce stop")
	r := func(lr, want float64) {
		t.Helper()
		if got := p.Rate(lr); math.Abs(got-want) > 1e-12*want {
			t.Errorf("rate after %g is %g, want %g", lr, got, want)
		}
	}
	r(1e-3, 1e-4)
	r(5e-6, 1e-6)
}

func TestStepDoesNotAllocate(t *testing.T) {
	for _, rule := range []string{AdamName, SparseAdamName} {
		b := newBed(t, Config{EmbeddingOptimizer: rule, EmbeddingL2: 0.1, MaxNorm: 1}, 3000)
		rows := b.gradients()
		if n := testing.AllocsPerRun(20, func() {
			if _, _, err := b.o.Step(b.dense, rows); err != nil {
				t.Fatal(err)
			}
		}); n > 0 {
			t.Errorf("%s: %g allocations a step", rule, n)
		}
	}
}

// TestLAMBWholeParameter: the ratio is that of the whole parameter, over all of its blocks. A constant gradient has a direction of ones in the first step.
func TestLAMBWholeParameter(t *testing.T) {
	const n = 3*denseGrain + 5
	o, err := New(Config{Optimizer: LAMBName, LearningRate: 0.1})
	if err != nil {
		t.Fatal(err)
	}
	d := Dense{"w", graph.NewTensor(1, n), graph.NewTensor(1, n)}
	norm := 0.0
	for i := range n {
		d.Value.F32[i], d.Grad.F32[i] = float32(i%7-3), 0.5
		norm += float64(d.Value.F32[i]) * float64(d.Value.F32[i])
	}
	if _, _, err := o.Step([]Dense{d}, nil); err != nil {
		t.Fatal(err)
	}
	step := 0.1 * math.Sqrt(norm/n)
	for i, x := range d.Value.F32 {
		if want := float64(i%7-3) - step; math.Abs(float64(x)-want) > 1e-5 {
			t.Fatalf("weight %d is %g, want %g", i, x, want)
		}
	}
}

// Nothing is allocated by a step of any rule once its buffers have grown.
func TestStepsAllocateNothing(t *testing.T) {
	defer kernel.SetThreads(0)
	for _, threads := range []int{1, 2} {
		kernel.SetThreads(threads)
		for _, rule := range rowNames {
			c := Config{EmbeddingOptimizer: rule, EmbeddingL2: 0.1, MaxNorm: 1}
			if rule != SparseAdamName {
				c.Optimizer = rule
			}
			b := newBed(t, c, 3000)
			b.run(t, 3)
			rows := b.gradients()
			if n := testing.AllocsPerRun(50, func() {
				if _, _, err := b.o.Step(b.dense, rows); err != nil {
					t.Fatal(err)
				}
			}); n != 0 {
				t.Errorf("%s on %d threads: %v allocations a step", rule, threads, n)
			}
		}
	}
}
