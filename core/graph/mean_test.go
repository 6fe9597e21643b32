package graph

import (
	"math"
	"testing"
)

func TestMeanAndSoftplusGradients(t *testing.T) {
	forSizes(t, func(b *bench, n int) { b.checkLoss(Mean(b.input(n, 3))) })
	forSizes(t, func(b *bench, n int) { b.checkLoss(Scale(Mean(Softplus(b.input(n, 3))), 0.7)) })
	forSizes(t, func(b *bench, n int) { b.check(Softplus(b.input(n, 3)), n) })
}

// TestMeanOfNothing: a batch without pairs has no auxiliary loss, and no NaN.
func TestMeanOfNothing(t *testing.T) {
	b := newBench(t)
	near(t, "mean of no rows", b.infer(Mean(b.input(0, 3))), []float64{0}, 0)
	b = newBench(t)
	near(t, "mean", b.infer(Mean(b.constant(&Tensor{Rows: 2, Cols: 2, F64: []float64{1, 2, 3, 6}}))), []float64{3}, 1e-15)
	b = newBench(t)
	near(t, "softplus", b.infer(Softplus(b.constant(&Tensor{Rows: 1, Cols: 3, F64: []float64{0, 50, -2}}))), []float64{math.Ln2, 50, math.Log1p(math.Exp(-2))}, 1e-12)
}
