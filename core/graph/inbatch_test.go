package graph

import (
	"math"
	"math/rand/v2"
	"testing"
)

// inBatchLoss is the definition, pair by pair.
func inBatchLoss(u, v, y, w, logq []float64, d int, scale float64) float64 {
	loss, total := 0., 0.
	for i := range y {
		share := y[i]
		if w != nil {
			share *= w[i]
		}
		if !(share > 0) {
			continue
		}
		score := func(j int) float64 {
			s := 0.
			for c := range d {
				s += u[i*d+c] * v[j*d+c]
			}
			return scale*s - logq[j]
		}
		sum := 0.
		for j := range y {
			sum += math.Exp(score(j))
		}
		loss += share * (math.Log(sum) - score(i))
		total += share
	}
	if total == 0 {
		return 0
	}
	return loss / total
}

func TestInBatchSoftmax(t *testing.T) {
	const d = 3
	for _, n := range []int{1, 2, 5, 64, 65, 200} {
		for _, weighted := range []bool{false, true} {
			b := newBench(t)
			u, v := b.input(n, d), b.input(n, d)
			y, w, logq := b.random(n, 1), b.random(n, 1), b.random(n, 1)
			for i := range n {
				y.F64[i], w.F64[i] = float64(i%3/2), math.Abs(w.F64[i])
				if i%5 == 4 {
					y.F64[i] = math.NaN()
				}
			}
			if n < 4 {
				y.F64[0] = 1
			}
			var wn *Node
			weights := []float64(nil)
			if weighted {
				wn, weights = b.constant(w), w.F64
			}
			loss := InBatchSoftmax(u, v, b.constant(y), wn, b.constant(logq), 1.7)
			near(t, "loss", b.infer(loss), []float64{inBatchLoss(b.value[u].F64, b.value[v].F64, y.F64, weights, logq.F64, d, 1.7)}, 1e-12)
			if n <= 65 {
				b.checkLoss(loss)
			}
		}
	}
}

// TestInBatchSoftmaxIsTheSoftmax: a batch of one question over distinct candidates is the listwise loss of one group; nobody asking, the loss is 0.
func TestInBatchSoftmaxIsTheSoftmax(t *testing.T) {
	b := newBench(t)
	u, v := b.input(4, 2), b.input(4, 2)
	for r := range 4 {
		copy(b.value[u].F64[2*r:], b.value[u].F64[:2])
	}
	column := func(x ...float64) *Node { return b.constant(&Tensor{Rows: len(x), Cols: 1, F64: x}) }
	y := column(0, 1, 0, 0)
	got := InBatchSoftmax(u, v, y, nil, column(0, 0, 0, 0), 2)
	want := ListwiseWithLogits(Scale(RowSum(Mul(u, v)), 2), y, nil, column(0, 0, 0, 0), 1)
	near(t, "loss", b.infer(got), b.infer(want), 1e-14)
	b.checkLoss(SumScalars(got, InBatchSoftmax(u, v, column(0, math.NaN(), 0, 0), nil, column(0, 0, 0, 0), 2)))
	near(t, "loss", b.infer(InBatchSoftmax(u, v, column(0, 0, 0, 0), nil, column(0, 0, 0, 0), 2)), []float64{0}, 0)
}

// TestInBatchSoftmaxInFloat32: the product's type on batches of many blocks, and the same bits from one thread and from many are kernel.Parallel's to keep; here against the definition.
func TestInBatchSoftmaxInFloat32(t *testing.T) {
	const n, d = 300, 8
	rng := rand.New(rand.NewPCG(2, 2))
	g := New(Float32)
	make32 := func(name string, cols int, value func(i int) float64) (*Node, *Tensor, []float64) {
		x, wide := NewTensor(n, cols), []float64{}
		for i := range x.F32 {
			x.F32[i] = float32(value(i))
			wide = append(wide, float64(x.F32[i]))
		}
		return g.Input(name, cols), x, wide
	}
	random := func(int) float64 { return rng.NormFloat64() }
	u, ut, uw := make32("u", d, random)
	v, vt, vw := make32("v", d, random)
	y, yt, yw := make32("y", 1, func(i int) float64 { return float64(i % 2) })
	q, qt, qw := make32("q", 1, func(i int) float64 { return -float64(i%9) - 1 })
	loss := InBatchSoftmax(u, v, y, nil, q, 5)
	p, err := g.CompileTraining(loss, []*Node{u, v})
	if err != nil {
		t.Fatal(err)
	}
	for i, node := range []*Node{u, v, y, q} {
		p.Bind(node, []*Tensor{ut, vt, yt, qt}[i])
	}
	run(t, p)
	near(t, "loss", []float64{float64(p.Value(loss).F32[0])}, []float64{inBatchLoss(uw, vw, yw, nil, qw, d, 5)}, 1e-5)
	if allocs := testing.AllocsPerRun(20, func() { run(t, p) }); allocs > 0 {
		t.Errorf("%v allocations a step", allocs)
	}
}

func TestUnitRows(t *testing.T) {
	forSizes(t, func(b *bench, n int) {
		x := b.input(n, 3)
		b.check(UnitRows(x), n)
		got := b.infer(UnitRows(x))
		for r := range n {
			near(t, "length", []float64{math.Hypot(math.Hypot(got[3*r], got[3*r+1]), got[3*r+2])}, []float64{1}, 1e-9)
		}
	})
	b := newBench(t)
	x := b.input(1, 2)
	clear(b.value[x].F64)
	near(t, "zeros", b.infer(UnitRows(x)), []float64{0, 0}, 0)
}

// frequencies runs a training plan of LogFrequency over batches of codes and returns what the last one says.
func frequencies(t *testing.T, state *Tensor, rate float64, batches ...[]float64) []float64 {
	t.Helper()
	g := New(Float64)
	c, z := g.Input("c", 1), g.Input("z", 1)
	q := LogFrequency(c, state, rate)
	p, err := g.CompileTraining(BCEWithLogits(z, z, nil), []*Node{z}, q)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range batches {
		codes := &Tensor{Rows: len(x), Cols: 1, F64: x}
		p.Bind(c, codes)
		p.Bind(z, codes)
		run(t, p)
	}
	return p.Value(q).F64
}

func TestLogFrequency(t *testing.T) {
	state := NewTensorOf(Float64, 5, FrequencyColumns)
	// 0 is met in rows 1, 2, 4 and 6, 1 in row 3, 2 in row 5.
	got := frequencies(t, state, .01, []float64{0, 0, 1}, []float64{0, 2, 0})
	near(t, "log frequency", got, []float64{math.Log(4. / 6), math.Log(1. / 5), math.Log(4. / 6)}, 1e-12)
	// Going on with the state as it was saved: row 7.
	near(t, "log frequency", frequencies(t, state, .01, []float64{1}), []float64{math.Log(2. / 7)}, 1e-12)

	// What is forgotten: frequency 1/2 at first, then 1/10.
	state = NewTensorOf(Float64, 3, FrequencyColumns)
	var first, then []float64
	for range 500 {
		first = append(first, 0, 1)
		then = append(then, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1)
	}
	near(t, "log frequency", frequencies(t, state, .02, first)[:1], []float64{math.Log(.5)}, 1e-2)
	near(t, "log frequency", frequencies(t, state, .02, then)[:1], []float64{math.Log(.1)}, 1e-2)

	// Inference reads and changes nothing; what was never met counts as met next.
	g := New(Float64)
	c := g.Input("c", 1)
	q := LogFrequency(c, state, .02)
	p, err := g.Compile(q)
	if err != nil {
		t.Fatal(err)
	}
	before := append([]float64{}, state.F64...)
	p.Bind(c, &Tensor{Rows: 1, Cols: 1, F64: []float64{0}})
	run(t, p)
	near(t, "state", state.F64, before, 0)
}

// TestFrequenciesOfAStream: over draws of known probabilities, also in float32 with a clock far beyond what its fraction holds.
func TestFrequenciesOfAStream(t *testing.T) {
	state := NewTensor(11, FrequencyColumns)
	state.F32[10*FrequencyColumns+2] = 5 // the clock at 5·2²³ rows
	g := New(Float32)
	c, z := g.Input("c", 1), g.Input("z", 1)
	q := LogFrequency(c, state, .005)
	p, err := g.CompileTraining(BCEWithLogits(z, z, nil), []*Node{z}, q)
	if err != nil {
		t.Fatal(err)
	}
	for k := range 10 {
		state.F32[k*FrequencyColumns+2] = 5 // all were met just before
	}
	rng := rand.New(rand.NewPCG(8, 8))
	x := NewTensor(500, 1)
	p.Bind(c, x)
	p.Bind(z, x)
	for range 400 {
		for i := range x.F32 {
			x.F32[i] = float32(min(int(rng.ExpFloat64()*2), 9))
		}
		run(t, p)
	}
	for i, code := range x.F32 {
		want := (1 - math.Exp(-.5)) * math.Exp(-.5*float64(code))
		if code == 9 {
			want = math.Exp(-4.5)
		}
		if got := float64(p.Value(q).F32[i]); math.Abs(got-math.Log(want)) > .25 { // 4.5 deviations of a mean at rate 0.005
			t.Errorf("code %g: log frequency %g, want %g", code, got, math.Log(want))
		}
	}
}

func BenchmarkInBatchSoftmax(b *testing.B) {
	const n, d = 4096, 32
	g := New(Float32)
	u, v, y, q := g.Input("u", d), g.Input("v", d), g.Input("y", 1), g.Input("q", 1)
	p, err := g.CompileTraining(InBatchSoftmax(u, v, y, nil, q, 10), []*Node{u, v})
	if err != nil {
		b.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(2, 2))
	for _, x := range []*Node{u, v, y, q} {
		in := NewTensor(n, x.Cols)
		for i := range in.F32 {
			switch x {
			case y:
				in.F32[i] = float32(i % 2)
			case q:
			default:
				in.F32[i] = float32(rng.NormFloat64() / 6)
			}
		}
		p.Bind(x, in)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := p.Run(); err != nil {
			b.Fatal(err)
		}
	}
}
