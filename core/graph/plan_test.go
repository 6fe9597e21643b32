package graph

import (
	"math"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
)

// net is one of everything: ragged attention, normalisations, dropout, gate, fusion and a weighted loss.
type net struct {
	g                *Graph
	q, k, y, w       *Node
	params           map[*Node]*Tensor
	stats            []*Stats
	r                *Ragged
	score, out, loss *Node
}

func newNet(dtype DType) *net {
	g := New(dtype)
	n := &net{g: g, r: &Ragged{}, params: map[*Node]*Tensor{}}
	rng := rand.New(rand.NewPCG(5, 6))
	param := func(name string, rows, cols int) *Node {
		p := g.Param(name, rows, cols)
		t := NewTensorOf(dtype, rows, cols)
		for i := range rows * cols {
			set(t, i, 0.5*rng.NormFloat64())
		}
		n.params[p] = t
		return p
	}
	running := func(cols int) *Stats {
		s := &Stats{NewTensorOf(dtype, 1, cols), NewTensorOf(dtype, 1, cols)}
		for i := range cols {
			set(s.Var, i, 1)
		}
		n.stats = append(n.stats, s)
		return s
	}
	n.q, n.k = g.Input("q", 4), g.Input("k", 4)
	n.y, n.w = g.Input("y", 1), g.Input("w", 1)
	h := AttentionInput(n.q, n.k, param("a/w", 16, 6), param("a/b", 1, 6), n.r)
	h = Dice(h, param("a/alpha", 1, 6), running(6), 1e-9, 0.01)
	n.score = SegmentSoftmax(Linear(h, param("a/out", 6, 1), nil, Identity), n.r, 0.5)
	v := SegmentWeightedSum(n.score, n.k, n.r)
	x := Concat(n.q, v, Mul(n.q, v))
	x = Gate(Linear(Repeat(param("context", 1, 3), n.q), param("g/w", 3, 12), param("g/b", 1, 12), SigmoidAct), x)
	x1 := BatchNorm(Linear(x, param("1/w", 12, 8), param("1/b", 1, 8), Identity), param("1/gamma", 1, 8), param("1/beta", 1, 8), running(8), 1e-5, 0.1)
	x1 = Dropout(Apply(x1, ReLU), 0.2)
	x2 := Dropout(PReLU(Linear(x, param("2/w", 12, 4), nil, Identity), param("2/alpha", 1, 4)), 0.3)
	n.out = Add(AddRow(BilinearFusion(x1, x2, param("f/w", 16, 1), 2), param("f/b", 1, 1)), RowSum(Slice(x1, 2, 5)))
	n.loss = SumScalars(BCEWithLogits(n.out, n.y, n.w), Scale(BCEWithLogits(n.out, n.y, nil), 0.1))
	return n
}

func set(t *Tensor, i int, v float64) {
	if t.F64 != nil {
		t.F64[i] = v
	} else {
		t.F32[i] = float32(v)
	}
}

func (n *net) wrt() []*Node {
	wrt := []*Node{n.q, n.k}
	for _, p := range n.g.nodes {
		if n.params[p] != nil {
			wrt = append(wrt, p)
		}
	}
	return wrt
}

func (n *net) training(t testing.TB) *Plan {
	t.Helper()
	p, err := n.g.CompileTraining(n.loss, n.wrt(), n.out)
	if err != nil {
		t.Fatal(err)
	}
	n.bindParams(p)
	return p
}

func (n *net) inference(t testing.TB) *Plan {
	t.Helper()
	p, err := n.g.Compile(n.out)
	if err != nil {
		t.Fatal(err)
	}
	n.bindParams(p)
	return p
}

func (n *net) bindParams(p *Plan) {
	for node, value := range n.params {
		p.Bind(node, value)
	}
}

// bind gives p a batch drawn from seed with the given history lengths.
func (n *net) bind(p *Plan, seed uint64, lengths ...int) {
	rng := rand.New(rand.NewPCG(seed, 9))
	offsets := []int32{0}
	for _, l := range lengths {
		offsets = append(offsets, offsets[len(offsets)-1]+int32(l))
	}
	random := func(rows, cols int) *Tensor {
		t := NewTensorOf(n.g.dtype, rows, cols)
		for i := range rows * cols {
			set(t, i, rng.NormFloat64())
		}
		return t
	}
	b := len(lengths)
	y, w := random(b, 1), random(b, 1)
	for i := range b {
		set(y, i, float64(i%2))
		set(w, i, float64(i+1))
	}
	p.Bind(n.q, random(b, 4))
	p.Bind(n.k, random(int(offsets[b]), 4))
	p.Bind(n.y, y)
	p.Bind(n.w, w)
	p.BindOffsets(n.r, offsets)
}

func run(t testing.TB, p *Plan) {
	t.Helper()
	if err := p.Run(); err != nil {
		t.Fatal(err)
	}
}

// bits returns the value, the loss and the gradients as one list.
func (n *net) bits(p *Plan) []uint32 {
	var out []uint32
	add := func(t *Tensor) {
		for _, v := range t.F32 {
			out = append(out, math.Float32bits(v))
		}
	}
	add(p.Value(n.out))
	if p.Value(n.loss) != nil {
		add(p.Value(n.loss))
		for _, node := range n.wrt() {
			add(p.Grad(node))
		}
	}
	return out
}

func sameBits(t *testing.T, what string, got, want []uint32) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d numbers, want %d", what, len(got), len(want))
		return
	}
	for i := range got {
		if got[i] != want[i] {
			t.Errorf("%s: number %d is %g, want %g", what, i, math.Float32frombits(got[i]), math.Float32frombits(want[i]))
			return
		}
	}
}

func TestWholeNetGradient(t *testing.T) {
	n := newNet(Float64)
	b := &bench{t: t, g: n.g, rng: rand.New(rand.NewPCG(1, 2)), value: n.params, wrt: n.wrt()}
	n.r.Offsets = []int32{0, 3, 3, 4, 9}
	b.value[n.q], b.value[n.k], b.value[n.y], b.value[n.w] = b.random(4, 4), b.random(9, 4), b.random(4, 1), b.random(4, 1)
	b.checkLoss(n.loss)
}

func TestSameRunSameBits(t *testing.T) {
	first := func() []uint32 {
		n := newNet(Float32)
		p := n.training(t)
		p.SetStep(1, 1)
		n.bind(p, 1, 3, 0, 5, 1)
		run(t, p)
		run(t, p)
		return n.bits(p)
	}
	sameBits(t, "a second net", first(), first())
}

func TestOtherBatchSizesWithoutRebuilding(t *testing.T) {
	n := newNet(Float32)
	p, q := n.training(t), n.inference(t)
	for seed, lengths := range [][]int{{3, 0, 5, 1}, {2}, {1, 1, 1, 1, 1, 9, 0}, {0}, {0, 0}, {4, 4}} {
		alone := newNet(Float32) // training does not read the running statistics, so a new net trains the same
		fresh := alone.training(t)
		n.bind(p, uint64(seed), lengths...)
		alone.bind(fresh, uint64(seed), lengths...)
		run(t, p)
		run(t, fresh)
		sameBits(t, "training at another size", n.bits(p), alone.bits(fresh))

		fresh = n.inference(t)
		n.bind(q, uint64(seed), lengths...)
		n.bind(fresh, uint64(seed), lengths...)
		run(t, q)
		run(t, fresh)
		sameBits(t, "inference at another size", n.bits(q), n.bits(fresh))
	}
}

func TestPlansOfOneGraphLeaveEachOtherAlone(t *testing.T) {
	between := func(disturb bool) []uint32 {
		n := newNet(Float32)
		train, other, infer := n.training(t), n.training(t), n.inference(t)
		train.SetStep(4, 2)
		n.bind(train, 1, 3, 0, 5, 1)
		n.bind(other, 2, 1, 1)
		n.bind(infer, 3, 8)
		run(t, train)
		if disturb {
			run(t, infer)
			run(t, other)
			run(t, infer)
		}
		return n.bits(train)
	}
	sameBits(t, "with other plans run", between(true), between(false))
}

// One history for many candidates gives what the history repeated for each gives.
func TestSharedSegments(t *testing.T) {
	n := newNet(Float64)
	sum := SegmentWeightedSum(nil, n.k, n.r)
	n.out = Add(n.out, RowSum(sum))
	long, short := n.inference(t), n.inference(t)
	f := func(batch, length int) {
		t.Helper()
		lengths := make([]int, batch)
		for i := range lengths {
			lengths[i] = length
		}
		n.bind(long, 1, lengths...)
		once := NewTensorOf(Float64, length, 4)
		repeated := long.Value(n.k)
		copy(once.F64, repeated.F64)
		for b := range batch {
			copy(repeated.F64[b*length*4:], once.F64)
		}
		run(t, long)
		short.Bind(n.q, long.Value(n.q))
		short.Bind(n.k, once)
		short.BindShared(n.r, batch, length)
		run(t, short)
		near(t, "scores", short.Value(n.out).F64, long.Value(n.out).F64, 1e-12)
	}
	f(1, 1)
	f(3, 5)
	f(40, 7)
	f(5, 0)
	f(2, 5)
	short.Bind(n.k, NewTensorOf(Float64, 10, 4))
	if err := short.Run(); err == nil || !strings.Contains(err.Error(), "10 rows where the shared segment has 5") {
		t.Errorf("rows of the history repeated: %v", err)
	}
	n.bind(short, 1, 2, 0, 3) // ragged again
	n.bind(long, 1, 2, 0, 3)
	run(t, short)
	run(t, long)
	near(t, "ragged again", short.Value(n.out).F64, long.Value(n.out).F64, 0)
	train := n.training(t)
	n.bind(train, 1, 4)
	train.BindShared(n.r, 1, 4)
	if err := train.Run(); err == nil || !strings.Contains(err.Error(), "shared segments have no gradients") {
		t.Errorf("a training plan of shared segments: %v", err)
	}
}

func TestInferencePlansRunAtTheSameTime(t *testing.T) {
	n := newNet(Float32)
	want := n.inference(t)
	n.bind(want, 1, 3, 0, 5, 1)
	run(t, want)
	var wg sync.WaitGroup
	results := make([][]uint32, 4)
	for i := range results {
		p := n.inference(t)
		n.bind(p, 1, 3, 0, 5, 1)
		wg.Go(func() {
			for range 20 {
				if err := p.Run(); err != nil {
					t.Error(err)
					return
				}
			}
			results[i] = n.bits(p)
		})
	}
	wg.Wait()
	for _, r := range results {
		sameBits(t, "a plan among four", r, n.bits(want))
	}
}

func TestCompilingAtTheSameTime(t *testing.T) {
	one := newNet(Float32)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for _, n := range []*net{one, newNet(Float32)} {
				p, err := n.g.CompileTraining(n.loss, n.wrt(), n.out)
				if err != nil {
					t.Error(err)
					return
				}
				n.bindParams(p)
				if _, err := n.g.Compile(n.out); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

func TestNoAllocationInSteadyState(t *testing.T) {
	n := newNet(Float32)
	for _, p := range []*Plan{n.training(t), n.inference(t)} {
		n.bind(p, 1, 40, 0, 5, 100, 1)
		run(t, p)
		if allocs := testing.AllocsPerRun(20, func() { run(t, p) }); allocs != 0 {
			t.Errorf("%v allocations a run (training %v)", allocs, p.env.training)
		}
	}
	p, _, _ := mlp(t, 1500, 8, 40, 1) // in chunks, on several threads
	run(t, p)
	if allocs := testing.AllocsPerRun(20, func() { run(t, p) }); allocs >= 1 {
		t.Errorf("%v allocations a run in chunks", allocs)
	}
}

func TestFrozenWeightsGiveTheSameBits(t *testing.T) {
	for _, batch := range []int{1, 7, 300} {
		n := newNet(Float32)
		p := n.inference(t)
		lengths := make([]int, batch)
		for i := range lengths {
			lengths[i] = i % 5
		}
		n.bind(p, 1, lengths...)
		run(t, p)
		want := n.bits(p)
		for _, w := range n.params {
			w.Freeze()
		}
		run(t, p)
		sameBits(t, "frozen weights", n.bits(p), want)
		if allocs := testing.AllocsPerRun(10, func() { run(t, p) }); allocs >= 1 {
			t.Errorf("%v allocations a run", allocs)
		}
	}
}

func TestFloat32FollowsFloat64(t *testing.T) {
	n32, n64 := newNet(Float32), newNet(Float64)
	p32, p64 := n32.training(t), n64.training(t)
	for _, p := range []*Plan{p32, p64} {
		p.SetStep(1, 1)
	}
	n32.bind(p32, 1, 3, 2, 5, 4, 9, 8)
	n64.bind(p64, 1, 3, 2, 5, 4, 9, 8)
	run(t, p32)
	run(t, p64)
	wide := func(x *Tensor) (y []float64) {
		for _, v := range x.F32 {
			y = append(y, float64(v))
		}
		return y
	}
	near(t, "value", wide(p32.Value(n32.out)), p64.Value(n64.out).F64, 1e-4)
	near(t, "loss", wide(p32.Value(n32.loss)), p64.Value(n64.loss).F64, 1e-5)
	for i, node := range n32.wrt() {
		near(t, node.name, wide(p32.Grad(node)), p64.Grad(n64.wrt()[i]).F64, 1e-4)
	}
}

// A gradient that two inputs share is given out twice, so that who scales one in place does not scale the other.
func TestSharedGradientsAreApart(t *testing.T) {
	b := newBench(t)
	x, y := b.input(2, 3), b.input(2, 3)
	loss := total(Add(x, y), b.constant(b.random(2, 3)))
	p, err := b.g.CompileTraining(loss, b.wrt)
	if err != nil {
		t.Fatal(err)
	}
	b.bind(p)
	run(t, p)
	near(t, "the other gradient", p.Grad(y).F64, p.Grad(x).F64, 0)
	p.Grad(x).F64[0]++
	if p.Grad(x).F64[0] == p.Grad(y).F64[0] {
		t.Error("both gradients are one tensor")
	}
}

func TestRunErrors(t *testing.T) {
	f := func(want string, spoil func(n *net, p *Plan)) {
		t.Helper()
		n := newNet(Float32)
		p := n.training(t)
		n.bind(p, 1, 3, 0, 5, 1)
		spoil(n, p)
		if err := p.Run(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	f(`"q": no tensor bound`, func(n *net, p *Plan) { p.Bind(n.q, nil) })
	f(`"q" is [4, 5], want [any, 4]`, func(n *net, p *Plan) { p.Bind(n.q, NewTensor(4, 5)) })
	f(`"f/w" is [15, 1], want [16, 1]`, func(n *net, p *Plan) { p.Bind(n.g.named["f/w"], NewTensor(15, 1)) })
	f(`"q" does not hold`, func(n *net, p *Plan) { p.Bind(n.q, NewTensorOf(Float64, 4, 4)) })
	f(`"q" does not hold`, func(n *net, p *Plan) { p.Bind(n.q, &Tensor{Rows: 4, Cols: 4, F32: make([]float32, 15)}) })
	f("5 rows for 4 ragged segments", func(n *net, p *Plan) { p.Bind(n.q, NewTensor(5, 4)) })
	f("8 ragged rows where the offsets end at 9", func(n *net, p *Plan) { p.Bind(n.k, NewTensor(8, 4)) })
	f("inputs of 4 and 3 rows", func(n *net, p *Plan) { p.Bind(n.y, NewTensor(3, 1)) })
	f("offset 2 is 2 after 3", func(n *net, p *Plan) { p.BindOffsets(n.r, []int32{0, 3, 2, 8, 9}) })
	f("must start with 0", func(n *net, p *Plan) { p.BindOffsets(n.r, []int32{1, 3, 3, 8, 9}) })
	f("must start with 0", func(n *net, p *Plan) { p.BindOffsets(n.r, nil) })
}

func TestBuildErrors(t *testing.T) {
	f := func(want string, build func(g *Graph)) {
		t.Helper()
		if err := Build(func() { build(New(Float32)) }); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	f("are called", func(g *Graph) { g.Input("x", 1); g.Param("x", 1, 2) })
	f("has 0 columns", func(g *Graph) { g.Input("x", 0) })
	f("w 3 rows", func(g *Graph) { Linear(g.Input("x", 2), g.Param("w", 3, 1), nil, ReLU) })
	f("b is [1, 2], want [1, 1]", func(g *Graph) { Linear(g.Input("x", 3), g.Param("w", 3, 1), g.Param("b", 1, 2), ReLU) })
	f("2 and 3 columns", func(g *Graph) { Add(g.Input("x", 2), g.Input("y", 3)) })
	f("columns [1, 3) of 2", func(g *Graph) { Slice(g.Input("x", 2), 1, 3) })
	f("3 heads do not divide", func(g *Graph) { BilinearFusion(g.Input("x", 2), g.Input("y", 3), g.Param("w", 2, 1), 3) })
	f("rate 1 is not", func(g *Graph) { Dropout(g.Input("x", 2), 1) })
	f("two graphs", func(g *Graph) { Add(g.Input("x", 2), New(Float32).Input("y", 2)) })
	f("running statistics do not fit", func(g *Graph) { BatchNorm(g.Input("x", 2), nil, nil, stats(2), 1e-5, 0.1) })
	f("not a scalar", func(g *Graph) { SumScalars(g.Input("x", 1)) })
}

func TestCompileErrors(t *testing.T) {
	g := New(Float32)
	x, unused := g.Input("x", 1), g.Param("unused", 1, 1)
	loss := BCEWithLogits(x, g.Input("y", 1), nil)
	f := func(want string, compile func() (*Plan, error)) {
		t.Helper()
		if _, err := compile(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	f(`does not depend on "unused"`, func() (*Plan, error) { return g.CompileTraining(loss, []*Node{unused}) })
	f("not a scalar", func() (*Plan, error) { return g.CompileTraining(x, []*Node{x}) })
	f("inputs and parameters only", func() (*Plan, error) { return g.CompileTraining(loss, []*Node{loss}) })
	f("another graph", func() (*Plan, error) { return New(Float32).Compile(loss) })
	f("no outputs", func() (*Plan, error) { return g.Compile() })
}
