package graph

import (
	"math"
	"testing"

	"github.com/millrace/millrace/core/kernel"
)

func at(x *Tensor, r, c int) float64 { return x.F64[r*x.Cols+c] }

func TestReLUDerivativeAtZero(t *testing.T) {
	b := newBench(t)
	x := b.input(1, 3)
	b.value[x].F64 = []float64{0, math.Copysign(0, -1), 1}
	loss := total(Apply(x, ReLU), b.constant(&Tensor{Rows: 1, Cols: 3, F64: []float64{2, 2, 2}}))
	p, err := b.g.CompileTraining(loss, b.wrt)
	if err != nil {
		t.Fatal(err)
	}
	b.bind(p)
	run(t, p)
	near(t, "gradient", p.Grad(x).F64, []float64{0, 0, 2}, 0)
}

func TestPReLUAtZero(t *testing.T) {
	f := func(x, want, dx, dalpha float32) {
		t.Helper()
		y, d, sum := []float32{0}, []float32{9}, []float32{1}
		kernel.Prelu(y, []float32{x}, []float32{0.25})
		kernel.PreluGrad(d, sum, []float32{3}, []float32{x}, []float32{0.25})
		if y[0] != want || d[0] != dx || sum[0] != 1+dalpha {
			t.Errorf("PReLU of %g is %g, gradients %g and %g; want %g, %g and %g", x, y[0], d[0], sum[0]-1, want, dx, dalpha)
		}
	}
	f(2, 2, 3, 0)
	f(-2, -0.5, 0.75, -6)
	f(0, 0, 0.75, 0)
	f(float32(math.Copysign(0, -1)), 0, 0.75, 0)
	f(1e-45, 1e-45, 3, 0)
}

func TestGateOfZeroLeavesTheEmbedding(t *testing.T) {
	b := newBench(t)
	g, e := b.input(3, 4), b.input(3, 4)
	clear(b.value[g].F64)
	near(t, "h", b.infer(Gate(g, e)), b.value[e].F64, 0)
}

func TestBilinearFusionIdentities(t *testing.T) {
	// One head is x·W·y.
	b := newBench(t)
	x, y, w := b.input(3, 4), b.input(3, 5), b.param(20, 1)
	want := make([]float64, 3)
	for r := range 3 {
		for i := range 4 {
			for j := range 5 {
				want[r] += at(b.value[x], r, i) * b.value[w].F64[i*5+j] * at(b.value[y], r, j)
			}
		}
	}
	near(t, "one head", b.infer(BilinearFusion(x, y, w, 1)), want, 1e-12)

	// As many heads as columns: a weighted inner product.
	b = newBench(t)
	x, y, w = b.input(3, 4), b.input(3, 4), b.param(4, 1)
	want = make([]float64, 3)
	for r := range 3 {
		for j := range 4 {
			want[r] += b.value[w].F64[j] * at(b.value[x], r, j) * at(b.value[y], r, j)
		}
	}
	near(t, "k = p = q", b.infer(BilinearFusion(x, y, w, 4)), want, 1e-12)

	// The identity matrix: the inner product.
	b = newBench(t)
	x, y, w = b.input(3, 4), b.input(3, 4), b.param(16, 1)
	clear(b.value[w].F64)
	want = make([]float64, 3)
	for i := range 4 {
		b.value[w].F64[i*4+i] = 1
		for r := range 3 {
			want[r] += at(b.value[x], r, i) * at(b.value[y], r, i)
		}
	}
	near(t, "W = I", b.infer(BilinearFusion(x, y, w, 1)), want, 1e-12)

	// Two heads are one head with a block-diagonal W.
	b = newBench(t)
	x, y, w = b.input(3, 4), b.input(3, 6), b.param(12, 1)
	blocks := b.param(24, 1)
	clear(b.value[blocks].F64)
	for j := range 2 {
		for i := range 2 {
			for c := range 3 {
				b.value[blocks].F64[(j*2+i)*6+j*3+c] = b.value[w].F64[j*6+i*3+c]
			}
		}
	}
	near(t, "two heads", b.infer(BilinearFusion(x, y, w, 2)), b.infer(BilinearFusion(x, y, blocks, 1)), 1e-12)
}

// attention has values for DIN's unit over segments of 3, 0, 1 and 2 behaviours.
func attention(t *testing.T) (b *bench, q, k *Node, r *Ragged) {
	b = newBench(t)
	return b, b.input(4, 3), b.input(6, 3), &Ragged{Offsets: []int32{0, 3, 3, 4, 6}}
}

func TestAttentionInputIsTheConcatenation(t *testing.T) {
	b, q, k, r := attention(t)
	w, bias := b.param(12, 5), b.param(1, 5)
	weights := b.constant(b.random(6, 5))
	grads := func(y *Node) (all []float64) {
		loss := total(y, weights)
		p, err := b.g.CompileTraining(loss, b.wrt, y)
		if err != nil {
			t.Fatal(err)
		}
		b.bind(p)
		run(t, p)
		all = append(all, p.Value(y).F64...)
		for _, n := range b.wrt {
			all = append(all, p.Grad(n).F64...)
		}
		return all
	}
	rep := RepeatSegments(q, r)
	long := Linear(Concat(rep, k, Sub(rep, k), Mul(rep, k)), w, bias, Identity)
	near(t, "value and gradients", grads(AttentionInput(q, k, w, bias, r)), grads(long), 1e-12)
}

func TestAttentionWeightsOfOneAreSumPooling(t *testing.T) {
	b, _, k, r := attention(t)
	a := b.input(6, 1)
	for i := range 6 {
		b.value[a].F64[i] = 1
	}
	sum := make([]float64, 12)
	for s, offset := range r.Offsets[:4] {
		for row := offset; row < r.Offsets[s+1]; row++ {
			for c := range 3 {
				sum[s*3+c] += at(b.value[k], int(row), c)
			}
		}
	}
	near(t, "weights of one", b.infer(SegmentWeightedSum(a, k, r)), sum, 1e-15)
	near(t, "no weights", b.infer(SegmentWeightedSum(nil, k, r)), sum, 1e-15)
	for s := range 4 {
		for c := range 3 {
			sum[s*3+c] /= max(float64(r.Offsets[s+1]-r.Offsets[s]), 1)
		}
	}
	near(t, "softmax of equal scores", b.infer(SegmentWeightedSum(SegmentSoftmax(a, r, 3), k, r)), sum, 1e-15)
}

func TestSoftmaxOfOneBehaviourIsOne(t *testing.T) {
	b := newBench(t)
	a, k, r := b.input(3, 1), b.input(3, 2), &Ragged{Offsets: []int32{0, 1, 2, 3}}
	b.value[a].F64 = []float64{-1e6, 3, 1e6}
	near(t, "v", b.infer(SegmentWeightedSum(SegmentSoftmax(a, r, 1), k, r)), b.value[k].F64, 0)
}

func TestOrderOfBehavioursDoesNotMatter(t *testing.T) {
	b, q, k, r := attention(t)
	w, bias, out := b.param(12, 5), b.param(1, 5), b.param(5, 1)
	scores := Linear(AttentionInput(q, k, w, bias, r), out, nil, TanhAct)
	v := SegmentWeightedSum(SegmentSoftmax(scores, r, 1), k, r)
	want := append([]float64{}, b.infer(v)...)
	x := b.value[k].F64
	for c := range 3 { // segment 0 turned round, segment 3 exchanged
		x[c], x[6+c] = x[6+c], x[c]
		x[12+c], x[15+c] = x[15+c], x[12+c]
	}
	near(t, "v", b.infer(v), want, 1e-12)
}

func TestBCEWithLogits(t *testing.T) {
	nan := math.NaN()
	f := func(z, y, w []float64, want float64) {
		t.Helper()
		for _, dtype := range []DType{Float32, Float64} {
			g := New(dtype)
			column := func(name string, x []float64) (*Node, *Tensor) {
				c := NewTensorOf(dtype, len(x), 1)
				for i, v := range x {
					set(c, i, v)
				}
				return g.Input(name, 1), c
			}
			zn, zt := column("z", z)
			yn, yt := column("y", y)
			wn, wt := column("w", w)
			loss := BCEWithLogits(zn, yn, nil)
			if w != nil {
				loss = BCEWithLogits(zn, yn, wn)
			}
			p, err := g.CompileTraining(loss, []*Node{zn})
			if err != nil {
				t.Fatal(err)
			}
			p.Bind(zn, zt)
			p.Bind(yn, yt)
			p.Bind(wn, wt)
			run(t, p)
			got := p.Value(loss)
			if dtype == Float64 {
				near(t, "loss", got.F64, []float64{want}, 1e-14)
			} else {
				near(t, "loss", []float64{float64(got.F32[0])}, []float64{want}, 1e-6)
			}
			for _, v := range append(append([]float32{}, p.Grad(zn).F32...), 0) {
				if v != v {
					t.Error("a gradient is NaN")
				}
			}
			for _, v := range p.Grad(zn).F64 {
				if v != v {
					t.Error("a gradient is NaN")
				}
			}
		}
	}
	f([]float64{0, 0}, []float64{0, 1}, nil, math.Ln2)
	f([]float64{1000, -1000}, []float64{1, 0}, nil, 0)
	f([]float64{1000, -1000}, []float64{0, 1}, nil, 1000)
	f([]float64{0, 7}, []float64{1, nan}, nil, math.Ln2)
	f([]float64{nan, 0}, []float64{nan, 1}, nil, math.Ln2)
	f([]float64{3, 7}, []float64{nan, nan}, nil, 0)
	f([]float64{0, 1000}, []float64{1, 0}, []float64{3, 1}, (3*math.Ln2+1000)/4)
	f([]float64{0, 1000}, []float64{1, 0}, []float64{3, 0}, math.Ln2)
	f([]float64{0, 1000}, []float64{1, 0}, []float64{0, 0}, 0)
	f(nil, nil, nil, 0)
}

// With nothing to look at, FinalMLP's gate reads one learned vector of zeros: no gradient gets past its hidden layer.
func TestGateWithoutContextTrainsItsBiasOnly(t *testing.T) {
	b := newBench(t)
	e := b.input(3, 4)
	x, w, bias := b.param(1, 2), b.param(2, 5), b.param(1, 5)
	out, outBias := b.param(5, 4), b.param(1, 4)
	clear(b.value[x].F64)
	clear(b.value[bias].F64)
	gate := Linear(Linear(Repeat(x, e), w, bias, ReLU), out, outBias, Identity)
	p, err := b.g.CompileTraining(total(Gate(gate, e), b.constant(b.random(3, 4))), b.wrt)
	if err != nil {
		t.Fatal(err)
	}
	b.bind(p)
	run(t, p)
	for _, n := range []*Node{x, w, bias, out} {
		near(t, n.name, p.Grad(n).F64, make([]float64, len(b.value[n].F64)), 0)
	}
	for i, v := range p.Grad(outBias).F64 {
		if v == 0 {
			t.Errorf("gradient %d of the output bias is 0", i)
		}
	}
}
