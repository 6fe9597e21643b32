package graph

import (
	"math"
	"testing"
)

func TestSegmentAttentionGradient(t *testing.T) {
	for _, heads := range []int{1, 2} {
		forRagged(t, func(b *bench, r *Ragged, _, rows int) {
			b.check(SegmentAttention(b.input(rows, 4), b.input(rows, 4), b.input(rows, 4), r, heads, 0.7), rows)
		})
	}
}

func TestAddPositionsGradient(t *testing.T) {
	forRagged(t, func(b *bench, r *Ragged, _, rows int) {
		b.check(AddPositions(b.input(rows, 3), b.param(2, 3), r), rows)
	})
}

func TestMixtureGradient(t *testing.T) {
	forSizes(t, func(b *bench, n int) { b.check(Mixture(b.input(n, 6), b.input(n, 3)), n) })
	forSizes(t, func(b *bench, n int) { b.check(Mixture(b.input(n, 2), b.input(n, 1)), n) })
}

func TestProductLogitGradient(t *testing.T) {
	forSizes(t, func(b *bench, n int) { b.check(ProductLogit(b.input(n, 1), b.input(n, 1)), n) })
}

func TestSegmentAttentionIsFieldAttentionOverEqualSegments(t *testing.T) {
	b := newBench(t)
	q, k, v := b.input(6, 4), b.input(6, 4), b.input(6, 4)
	r := &Ragged{Offsets: []int32{0, 3, 6}}
	near(t, "segments of three", b.infer(SegmentAttention(q, k, v, r, 2, 0.6)), b.infer(FieldAttention(q, k, v, 3, 2, 0.6, 0)), 1e-12)
}

// The vectors of places are counted from a segment's end; places beyond the last share it.
func TestAddPositions(t *testing.T) {
	b := newBench(t)
	x, p := b.input(4, 1), b.param(2, 1)
	copy(b.value[x].F64, []float64{0, 0, 0, 0})
	copy(b.value[p].F64, []float64{10, 20})
	near(t, "places", b.infer(AddPositions(x, p, &Ragged{Offsets: []int32{0, 3, 3, 4}})), []float64{20, 20, 10, 10}, 0)
}

func TestProductLogitIsTheLogitOfTheProduct(t *testing.T) {
	sigmoid := func(x float64) float64 { return 1 / (1 + math.Exp(-x)) }
	f := func(x, y, want float64) {
		t.Helper()
		b := newBench(t)
		a, c := b.input(1, 1), b.input(1, 1)
		b.value[a].F64[0], b.value[c].F64[0] = x, y
		if got := b.infer(ProductLogit(a, c))[0]; !(math.Abs(got-want) <= 1e-9*math.Max(1, math.Abs(want))) {
			t.Errorf("logit of σ(%g)·σ(%g) = %g, want %g", x, y, got, want)
		}
	}
	for _, x := range []float64{-4, 0, 0.3, 7} {
		for _, y := range []float64{-2, 0, 5} {
			p := sigmoid(x) * sigmoid(y)
			f(x, y, math.Log(p/(1-p)))
		}
	}
	f(-800, 0, -800-math.Log(2))
	f(-800, -800, -1600)
	f(900, 900, 900-math.Log(2))
	f(900, 3, 3)
}

func TestMixtureOfEqualExpertsIsTheExpert(t *testing.T) {
	b := newBench(t)
	x, g := b.input(3, 2), b.input(3, 4)
	near(t, "equal experts", b.infer(Mixture(Concat(x, x, x, x), g)), b.value[x].F64, 1e-12)
}
