package graph

import (
	"math"
	"testing"
)

// sizes are the batches at which gradients are checked.
var sizes = []int{1, 2, 5}

func forSizes(t *testing.T, f func(b *bench, rows int)) {
	t.Helper()
	for _, rows := range sizes {
		f(newBench(t), rows)
	}
}

// ragged shapes: no segment empty, some empty, all empty, one segment.
var ragged = [][]int32{{0, 2, 5, 6}, {0, 0, 3, 3, 4, 4}, {0, 0, 0}, {0, 4}, {0, 1}}

func forRagged(t *testing.T, f func(b *bench, r *Ragged, batch, rows int)) {
	t.Helper()
	for _, offsets := range ragged {
		f(newBench(t), &Ragged{Offsets: offsets}, len(offsets)-1, int(offsets[len(offsets)-1]))
	}
}

func stats(cols int) *Stats {
	s := &Stats{NewTensorOf(Float64, 1, cols), NewTensorOf(Float64, 1, cols)}
	for i := range s.Var.F64 {
		s.Var.F64[i] = 1
	}
	return s
}

func TestLinearGradient(t *testing.T) {
	for _, act := range []Activation{Identity, ReLU, SigmoidAct, TanhAct} {
		forSizes(t, func(b *bench, n int) { b.check(Linear(b.input(n, 3), b.param(3, 4), b.param(1, 4), act), n) })
		forSizes(t, func(b *bench, n int) { b.check(Linear(b.input(n, 3), b.param(3, 4), nil, act), n) })
	}
}

func TestApplyGradient(t *testing.T) {
	for _, act := range []Activation{Identity, ReLU, SigmoidAct, TanhAct} {
		forSizes(t, func(b *bench, n int) { b.check(Apply(b.input(n, 3), act), n) })
	}
}

func TestPReLUGradient(t *testing.T) {
	forSizes(t, func(b *bench, n int) { b.check(PReLU(b.input(n, 3), b.param(1, 3)), n) })
}

func TestBatchNormGradient(t *testing.T) {
	forSizes(t, func(b *bench, n int) {
		b.check(BatchNorm(b.input(n, 3), b.param(1, 3), b.param(1, 3), stats(3), 1e-5, 0.1), n)
	})
	forSizes(t, func(b *bench, n int) { b.check(BatchNorm(b.input(n, 3), nil, nil, stats(3), 1e-2, 0.1), n) })
	for _, act := range []Activation{ReLU, SigmoidAct, TanhAct} {
		forSizes(t, func(b *bench, n int) {
			b.check(BatchNormAct(b.input(n, 3), b.param(1, 3), b.param(1, 3), stats(3), 1e-2, 0.1, act), n)
		})
	}
}

func TestDiceGradient(t *testing.T) {
	forSizes(t, func(b *bench, n int) { b.check(Dice(b.input(n, 3), b.param(1, 3), stats(3), 1e-3, 0.01), n) })
}

func TestDropoutGradient(t *testing.T) {
	forSizes(t, func(b *bench, n int) { b.check(Dropout(b.input(n, 7), 0.3), n) })
}

func TestElementwiseGradients(t *testing.T) {
	forSizes(t, func(b *bench, n int) { b.check(Add(b.input(n, 3), b.input(n, 3)), n) })
	forSizes(t, func(b *bench, n int) { b.check(Sub(b.input(n, 3), b.input(n, 3)), n) })
	forSizes(t, func(b *bench, n int) { b.check(Mul(b.input(n, 3), b.input(n, 3)), n) })
	forSizes(t, func(b *bench, n int) { b.check(AddRow(b.input(n, 3), b.param(1, 3)), n) })
	forSizes(t, func(b *bench, n int) { b.check(Scale(b.input(n, 3), -2.5), n) })
	forSizes(t, func(b *bench, n int) { b.check(Gate(b.input(n, 3), b.input(n, 3)), n) })
}

func TestOneValueUsedOften(t *testing.T) {
	forSizes(t, func(b *bench, n int) {
		x := b.input(n, 3)
		h := Linear(x, b.param(3, 3), nil, TanhAct)
		b.check(Add(Mul(h, h), Add(Mul(h, x), Sub(x, h))), n)
	})
}

func TestColumnGradients(t *testing.T) {
	forSizes(t, func(b *bench, n int) { b.check(Concat(b.input(n, 3), b.input(n, 1), b.input(n, 2)), n) })
	forSizes(t, func(b *bench, n int) { b.check(Slice(b.input(n, 5), 1, 3), n) })
	forSizes(t, func(b *bench, n int) { b.check(RowSum(b.input(n, 5)), n) })
	forSizes(t, func(b *bench, n int) { b.check(Repeat(b.param(1, 4), b.constant(b.random(n, 2))), n) })
	forSizes(t, func(b *bench, n int) { b.check(FieldLinear(b.input(n, 6), b.param(6, 4), 3), n) })
}

func TestBilinearFusionGradient(t *testing.T) {
	for _, heads := range []int{1, 2} {
		forSizes(t, func(b *bench, n int) {
			b.check(BilinearFusion(b.input(n, 4), b.input(n, 6), b.param(24/heads, 1), heads), n)
		})
	}
}

func TestSegmentGradients(t *testing.T) {
	forRagged(t, func(b *bench, r *Ragged, batch, rows int) { b.check(RepeatSegments(b.input(batch, 3), r), rows) })
	forRagged(t, func(b *bench, r *Ragged, batch, rows int) {
		b.check(SegmentWeightedSum(nil, b.input(rows, 3), r), batch)
	})
	forRagged(t, func(b *bench, r *Ragged, batch, rows int) {
		b.check(SegmentWeightedSum(b.input(rows, 1), b.input(rows, 3), r), batch)
	})
	forRagged(t, func(b *bench, r *Ragged, batch, rows int) { b.check(SegmentSoftmax(b.input(rows, 1), r, 0.7), rows) })
}

func TestAttentionInputGradient(t *testing.T) {
	forRagged(t, func(b *bench, r *Ragged, batch, rows int) {
		b.check(AttentionInput(b.input(batch, 3), b.input(rows, 3), b.param(12, 2), b.param(1, 2), r), rows)
	})
	forRagged(t, func(b *bench, r *Ragged, batch, rows int) {
		b.check(AttentionInputAct(b.input(batch, 3), b.input(rows, 3), b.param(12, 2), b.param(1, 2), r, SigmoidAct), rows)
	})
}

func TestBCEGradient(t *testing.T) {
	labels := func(n int) *Tensor {
		y := NewTensorOf(Float64, n, 1)
		for i := range y.F64 {
			y.F64[i] = float64(i % 2)
		}
		return y
	}
	forSizes(t, func(b *bench, n int) { b.checkLoss(BCEWithLogits(b.input(n, 1), b.constant(labels(n)), nil)) })
	forSizes(t, func(b *bench, n int) {
		y, w := labels(n), b.random(n, 1)
		y.F64[0] = math.NaN()
		for i, v := range w.F64 {
			w.F64[i] = v * v
		}
		z := b.input(n, 1)
		b.checkLoss(SumScalars(BCEWithLogits(z, b.constant(y), b.constant(w)), Scale(BCEWithLogits(z, b.constant(labels(n)), nil), 0.3)))
	})
}

// Batches of several chunks, of which the sums are put together.
func TestGradientsOfManyRows(t *testing.T) {
	const n = 1100
	many := func(f func(b *bench) *Node) {
		t.Helper()
		b := newBench(t)
		b.check(f(b), n)
	}
	many(func(b *bench) *Node { return Linear(b.input(n, 3), b.param(3, 4), b.param(1, 4), TanhAct) })
	many(func(b *bench) *Node { return PReLU(b.input(n, 3), b.param(1, 3)) })
	many(func(b *bench) *Node { return Dice(b.input(n, 3), b.param(1, 3), stats(3), 1e-3, 0.01) })
	many(func(b *bench) *Node {
		return BatchNormAct(b.input(n, 3), b.param(1, 3), b.param(1, 3), stats(3), 1e-2, 0.1, SigmoidAct)
	})
	many(func(b *bench) *Node { return AddRow(Dropout(b.input(n, 3), 0.4), b.param(1, 3)) })
	many(func(b *bench) *Node { return BilinearFusion(b.input(n, 4), b.input(n, 4), b.param(8, 1), 2) })
}

func TestLayerNormGradient(t *testing.T) {
	forSizes(t, func(b *bench, n int) { b.check(LayerNorm(b.input(n, 4), b.param(1, 4), b.param(1, 4), 1e-3), n) })
	forSizes(t, func(b *bench, n int) {
		b.check(LayerNormAct(b.input(n, 4), b.param(1, 4), b.param(1, 4), 1e-3, ReLU), n)
	})
}

func TestReshapeGradients(t *testing.T) {
	forSizes(t, func(b *bench, n int) { b.check(SplitRows(b.input(n, 6), 3), 3*n) })
	forSizes(t, func(b *bench, n int) { b.check(JoinRows(b.input(3*n, 2), 3), n) })
}

func TestFieldAttentionGradient(t *testing.T) {
	for _, rate := range []float64{0, 0.4} {
		forSizes(t, func(b *bench, n int) {
			b.check(FieldAttention(b.input(3*n, 4), b.input(3*n, 4), b.input(3*n, 4), 3, 2, 0.7, rate), 3*n)
		})
		forSizes(t, func(b *bench, n int) { // the residual is another value, or a block of the same
			y, _ := FieldAttentionOf(b.input(3*n, 12), b.input(3*n, 4), 4, 3, 2, 0.7, rate)
			b.check(y, 3*n)
		})
		forSizes(t, func(b *bench, n int) {
			y, _ := FieldAttentionOf(b.input(3*n, 16), nil, 4, 3, 2, 0.7, rate)
			b.check(y, 3*n)
		})
	}
}
