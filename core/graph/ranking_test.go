package graph

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// rankedBy makes a loss of lossOf's inputs out of one that wants groups as well.
func rankedBy(groups []float64, loss func(z, y, w, g *Node) *Node) (func(z, y, w *Node) *Node, func(p *Plan)) {
	var g *Node
	make := func(z, y, w *Node) *Node {
		g = z.g.Input("groups", 1)
		return loss(z, y, w, g)
	}
	bind := func(p *Plan) {
		x := NewTensorOf(p.env.dtype, len(groups), 1)
		for i, v := range groups {
			set(x, i, v)
		}
		p.Bind(g, x)
	}
	return make, bind
}

func listwise(negatives float64) func(z, y, w, g *Node) *Node {
	return func(z, y, w, g *Node) *Node { return ListwiseWithLogits(z, y, w, g, negatives) }
}

func rankLossOf(t *testing.T, dtype DType, loss func(z, y, w, g *Node) *Node, z, y, w, groups []float64) (float64, []float64) {
	t.Helper()
	make, bind := rankedBy(groups, loss)
	return lossOf(t, dtype, make, z, y, w, bind)
}

func TestPairwiseWithLogits(t *testing.T) {
	nan, half := math.NaN(), math.Log(2)
	softplus := func(x float64) float64 { return math.Log1p(math.Exp(x)) }
	f := func(z, y, w, g []float64, want float64) {
		t.Helper()
		got, _ := rankLossOf(t, Float64, PairwiseWithLogits, z, y, w, g)
		near(t, "loss", []float64{got}, []float64{want}, 1e-14)
		got, _ = rankLossOf(t, Float32, PairwiseWithLogits, z, y, w, g)
		near(t, "loss in float32", []float64{got}, []float64{want}, 1e-6)
	}
	one := []float64{0, 0, 0}
	f([]float64{0, 0, 0}, []float64{1, 0, 0}, nil, one, half)
	f([]float64{2, 1, 0}, []float64{1, 0, 0}, nil, one, (softplus(-1)+softplus(-2))/2)
	f([]float64{2, 1, 0}, []float64{0, 0, 1}, nil, one, (softplus(2)+softplus(1))/2)
	f([]float64{2, 1, 0}, []float64{1, 1, 0}, nil, one, (softplus(-2)+softplus(-1))/2)
	f([]float64{2, 1, 0}, []float64{1, 1, 1}, nil, one, 0)                           // nothing to order
	f([]float64{2, 1, 0}, []float64{1, 0, nan}, nil, one, softplus(-1))              // a missing label
	f([]float64{2, 1, 0}, []float64{1, 0, 0}, []float64{1, 1, 0}, one, softplus(-1)) // a row of weight 0
	f([]float64{2, 1, 0}, []float64{1, 0, 0}, nil, []float64{1, 0, 1}, softplus(-2)) // pairs stay within their group
	f([]float64{3, 2, 1, 0}, []float64{1, 1, 0, 0}, nil, []float64{1, 0, 0, 1}, (softplus(-3)+softplus(-1))/2)
	f([]float64{-800, 0, 0}, []float64{1, 0, 0}, nil, one, 800) // far out it is linear
	f([]float64{800, 0, 0}, []float64{1, 0, 0}, nil, one, 0)
}

func TestListwiseWithLogits(t *testing.T) {
	nan := math.NaN()
	f := func(negatives float64, z, y, w, g []float64, want float64) {
		t.Helper()
		got, _ := rankLossOf(t, Float64, listwise(negatives), z, y, w, g)
		near(t, "loss", []float64{got}, []float64{want}, 1e-13)
		got, _ = rankLossOf(t, Float32, listwise(negatives), z, y, w, g)
		near(t, "loss in float32", []float64{got}, []float64{want}, 1e-6)
	}
	one := []float64{0, 0, 0}
	e := math.E
	f(1, []float64{0, 0, 0}, []float64{1, 0, 0}, nil, one, math.Log(3))
	f(1, []float64{1, 0, 0}, []float64{1, 0, 0}, nil, one, math.Log(e+2)-1)
	f(4, []float64{1, 0, 0}, []float64{1, 0, 0}, nil, one, math.Log(e+8)-1) // each negative stands for four
	f(1, []float64{1, 0, 0}, []float64{1, 1, 0}, nil, one, math.Log(e+2)-.5)
	f(1, []float64{1, 0, 0}, []float64{1, 1, 1}, nil, one, 0)
	f(1, []float64{1, 0, 5}, []float64{1, 0, nan}, nil, one, math.Log(e+1)-1)
	f(1, []float64{1, 0, 0}, []float64{1, 0, 0}, []float64{1, 1, 3}, one, math.Log(e+4)-1)
	f(1, []float64{1, 0, 0}, []float64{1, 0, 0}, nil, []float64{1, 0, 1}, math.Log(e+1)-1)
	f(1, []float64{-800, 0, 0}, []float64{1, 0, 0}, nil, one, 800+math.Log(2))
}

// TestTwoRowsArePairAndList: with one positive and one negative both losses are the cross-entropy of the difference.
func TestTwoRowsArePairAndList(t *testing.T) {
	z, y, g := []float64{.3, -1.2, 2, 2.5}, []float64{1, 0, 0, 1}, []float64{0, 0, 1, 1}
	a, da := rankLossOf(t, Float64, PairwiseWithLogits, z, y, nil, g)
	b, db := rankLossOf(t, Float64, listwise(1), z, y, nil, g)
	near(t, "loss", []float64{a}, []float64{b}, 1e-14)
	near(t, "gradient", da, db, 1e-14)
}

// TestWeightsAreRows: a row of weight 2 counts as two rows; an order of rows and the numbers of groups mean nothing.
func TestWeightsAreRows(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	var z, y, w, g, zz, yy, gg []float64
	for i := range 60 {
		z, y, w, g = append(z, rng.NormFloat64()), append(y, float64(i%3/2)), append(w, float64(rng.IntN(4))), append(g, float64(rng.IntN(9)))
		for range int(w[i]) {
			zz, yy, gg = append(zz, z[i]), append(yy, y[i]), append(gg, 8-g[i])
		}
	}
	slices.Reverse(zz)
	slices.Reverse(yy)
	slices.Reverse(gg)
	for _, loss := range []func(z, y, w, g *Node) *Node{PairwiseWithLogits, listwise(1), listwise(3)} {
		a, _ := rankLossOf(t, Float64, loss, z, y, w, g)
		b, _ := rankLossOf(t, Float64, loss, zz, yy, nil, gg)
		near(t, "loss", []float64{a}, []float64{b}, 1e-13)
	}
}

// TestRankingLossesMoveWithNoConstant: only differences within a group count, and derivatives sum to zero there.
func TestRankingLossesMoveWithNoConstant(t *testing.T) {
	z, y, g := []float64{.3, -1.2, 2, 2.5, 1}, []float64{1, 0, 0, 1, 0}, []float64{0, 0, 1, 1, 1}
	for _, loss := range []func(z, y, w, g *Node) *Node{PairwiseWithLogits, listwise(1)} {
		a, slope := rankLossOf(t, Float64, loss, z, y, nil, g)
		moved := slices.Clone(z)
		for i := range moved {
			moved[i] += 7 - 3*g[i]
		}
		b, _ := rankLossOf(t, Float64, loss, moved, y, nil, g)
		near(t, "loss", []float64{b}, []float64{a}, 1e-13)
		near(t, "sums of the gradient", []float64{slope[0] + slope[1], slope[2] + slope[3] + slope[4]}, []float64{0, 0}, 1e-15)
	}
}

func TestRankingGradients(t *testing.T) {
	forSizes(t, func(b *bench, n int) {
		y, w, g := b.random(n, 1), b.random(n, 1), b.random(n, 1)
		for i, v := range w.F64 {
			w.F64[i], y.F64[i], g.F64[i] = v*v, float64(i%3/2), float64(i%7%max(n, 1)/2)
		}
		z, yn, gn := b.input(n, 1), b.constant(y), b.constant(g)
		b.checkLoss(SumScalars(PairwiseWithLogits(z, yn, b.constant(w), gn), Scale(ListwiseWithLogits(z, yn, nil, gn, 2.5), .3), BCEWithLogits(Shift(z, .7), yn, nil)))
	})
}

func TestGroupsAreChecked(t *testing.T) {
	for _, bad := range []float64{-1, 2, .5, math.NaN()} {
		b := newBench(t)
		x := NewTensorOf(Float64, 2, 1)
		x.F64[1] = bad
		z := b.input(2, 1)
		p, err := b.g.Compile(PairwiseWithLogits(z, z, nil, b.constant(x)))
		if err != nil {
			t.Fatal(err)
		}
		b.bind(p)
		if err := p.Run(); err == nil || !strings.Contains(err.Error(), "row 1 has group") {
			t.Errorf("group %g: %v", bad, err)
		}
	}
}

func BenchmarkRankingLosses(b *testing.B) {
	for name, loss := range map[string]func(z, y, w, g *Node) *Node{"pairwise": PairwiseWithLogits, "listwise": listwise(1)} {
		b.Run(name, func(b *testing.B) {
			const rows, size = 4096, 64
			g := New(Float32)
			z, y, n := g.Input("z", 1), g.Input("y", 1), g.Input("g", 1)
			p, err := g.CompileTraining(loss(z, y, nil, n), []*Node{z})
			if err != nil {
				b.Fatal(err)
			}
			in := [3]*Tensor{NewTensor(rows, 1), NewTensor(rows, 1), NewTensor(rows, 1)}
			for r := range rows {
				in[0].F32[r], in[1].F32[r], in[2].F32[r] = float32(r%13)/7, float32(r%5/4), float32(r/size)
			}
			p.Bind(z, in[0])
			p.Bind(y, in[1])
			p.Bind(n, in[2])
			b.ReportAllocs()
			for b.Loop() {
				if err := p.Run(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
