package graph

import (
	"math"
	"math/rand/v2"
	"testing"
)

// lossOf runs a loss over logits, labels and, where given, weights, and returns it with its gradient.
func lossOf(t *testing.T, dtype DType, make func(z, y, w *Node) *Node, z, y, w []float64, bind ...func(p *Plan)) (float64, []float64) {
	t.Helper()
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
	var wn *Node
	var wt *Tensor
	if w != nil {
		wn, wt = column("w", w)
	}
	loss := make(zn, yn, wn)
	p, err := g.CompileTraining(loss, []*Node{zn})
	if err != nil {
		t.Fatal(err)
	}
	p.Bind(zn, zt)
	p.Bind(yn, yt)
	if w != nil {
		p.Bind(wn, wt)
	}
	for _, f := range bind {
		f(p)
	}
	run(t, p)
	numbers := func(x *Tensor) []float64 {
		if x.F64 != nil {
			return x.F64
		}
		out := []float64{}
		for _, v := range x.F32 {
			out = append(out, float64(v))
		}
		return out
	}
	return numbers(p.Value(loss))[0], numbers(p.Grad(zn))
}

func TestFocalWithLogits(t *testing.T) {
	nan := math.NaN()
	f := func(gamma, alpha float64, z, y, w []float64, want float64) {
		t.Helper()
		focal := func(z, y, w *Node) *Node { return FocalWithLogits(z, y, w, gamma, alpha) }
		got, _ := lossOf(t, Float64, focal, z, y, w)
		near(t, "loss", []float64{got}, []float64{want}, 1e-14)
		got, _ = lossOf(t, Float32, focal, z, y, w)
		near(t, "loss in float32", []float64{got}, []float64{want}, 1e-6*(1+want))
	}
	half := math.Log(2)
	f(2, .25, []float64{0}, []float64{1}, nil, .25*.25*half)
	f(2, .25, []float64{0}, []float64{0}, nil, .75*.25*half)
	f(1, .5, []float64{0, 0}, []float64{1, 0}, nil, .25*half)
	f(2, .25, []float64{0, 5}, []float64{1, nan}, nil, .25*.25*half)              // a missing label
	f(2, .25, []float64{0, 5}, []float64{nan, nan}, nil, 0)                       // nothing but missing labels
	f(0, 1, []float64{0, 1}, []float64{1, 1}, []float64{1, 0}, half)              // weight 0
	f(2, 1, []float64{-800}, []float64{1}, nil, 800)                              // far out it is linear
	f(2, 1, []float64{800}, []float64{1}, nil, 0)                                 // and without an underflow of logarithms
	f(0, .5, []float64{1}, []float64{.5}, nil, .25*(2*math.Log1p(math.Exp(1))-1)) // a label between counts as a share of both
}

// TestFocalIdentities: with γ = 0 and α = ½ it is half of the cross-entropy, the gradient as well.
func TestFocalIdentities(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 4))
	var z, y, w []float64
	for i := range 67 {
		z, y, w = append(z, 4*rng.NormFloat64()), append(y, float64(rng.IntN(2))), append(w, rng.Float64())
		if i%9 == 0 {
			y[i] = math.NaN()
		}
	}
	for _, weights := range [][]float64{nil, w} {
		got, slope := lossOf(t, Float64, func(z, y, w *Node) *Node { return FocalWithLogits(z, y, w, 0, .5) }, z, y, weights)
		want, wantSlope := lossOf(t, Float64, func(z, y, w *Node) *Node { return Scale(BCEWithLogits(z, y, w), .5) }, z, y, weights)
		near(t, "loss", []float64{got}, []float64{want}, 1e-14)
		near(t, "gradient", slope, wantSlope, 1e-14)
	}
}

func TestFocalGradients(t *testing.T) {
	forSizes(t, func(b *bench, n int) {
		y, w := b.random(n, 1), b.random(n, 1)
		for i, v := range w.F64 {
			w.F64[i], y.F64[i] = v*v, float64(i%2)
		}
		z := b.input(n, 1)
		b.checkLoss(SumScalars(FocalWithLogits(z, b.constant(y), b.constant(w), 2, .25), Scale(FocalWithLogits(z, b.constant(y), nil, .7, .6), .3)))
	})
}
