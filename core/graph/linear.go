package graph

import (
	"github.com/millrace/millrace/core/kernel"
	"gorgonia.org/gorgonia"
)

// Linear returns act(x·w + b): x [B, in], w [in, out], b [1, out] or nil.
func Linear(x, w, b *Node, act Activation) *Node {
	if w.rows != x.Cols {
		fail("Linear: x has %d columns, w %d rows", x.Cols, w.rows)
	}
	outs := []shape{{x.rows, w.Cols, false}}
	if b == nil {
		return apply(linearOp{act}, outs, x, w)
	}
	rowOf("Linear", "b", b, w.Cols)
	return apply(linearOp{act}, outs, x, w, b)
}

type linearOp struct{ act Activation }

func (o linearOp) String() string { return "linear " + o.act.String() }

func (o linearOp) rows(_ *env, in []*Tensor, out []int) error { return sameRows(in, out, 0) }

func (o linearOp) differentiable(inputs int) []bool { return all(inputs) }

func (o linearOp) grads(d *derivation) []*gorgonia.Node {
	return d.apply(linearGrad{act: o.act}, d.in, append(append(gorgonia.Nodes{}, d.in...), d.out, d.grad)...)
}

func (o linearOp) runner(e *env) runner {
	return pick(e, linearForward[float32](o.act), linearForward[float64](o.act))
}

// From chunkedRows rows up a layer is computed in chunks, each from the product to the activation while it is in the second-level cache, the
// chunks in parallel. Below, the product itself is parallel.
const (
	chunkRows   = 256
	chunkedRows = 256
)

// chunks returns into how many chunks so many rows are cut: of chunkRows, or half of that where it would leave few.
func chunks(rows int) int {
	switch {
	case rows < chunkedRows:
		return 1
	case rows < 8*chunkRows:
		return (rows + chunkRows/2 - 1) / (chunkRows / 2)
	default:
		return (rows + chunkRows - 1) / chunkRows
	}
}

// chunk returns the rows of chunk i of n.
func chunk(i, n, rows int) (lo, hi int) { return i * rows / n, (i + 1) * rows / n }

func linearForward[T kernel.Float](act Activation) runner {
	var x, w, y, b []T
	var rows, inner, cols, n int
	var packed *kernel.Packed
	var repacked kernel.Packed // of weights that are not frozen
	product := func(lo, hi int) {
		if packed != nil {
			kernel.GemmPacked(hi-lo, any(x).([]float32)[lo*inner:], inner, packed, false, any(y).([]float32)[lo*cols:], cols)
			return
		}
		kernel.Gemm(false, false, hi-lo, cols, inner, x[lo*inner:], inner, w, cols, false, y[lo*cols:], cols)
	}
	finish := func(lo, hi int) {
		if b != nil {
			kernel.AddBias(y[lo*cols:], b, hi-lo, cols, cols)
		}
		if act != Identity {
			activate(act, y[lo*cols:hi*cols], y[lo*cols:hi*cols])
		}
	}
	part := func(first, last int) {
		for i := first; i < last; i++ {
			lo, hi := chunk(i, n, rows)
			product(lo, hi)
			finish(lo, hi)
		}
	}
	return func(in, out []*Tensor) {
		rows, inner, cols = in[0].Rows, in[0].Cols, in[1].Cols
		x, w, y, b = data[T](in[0]), data[T](in[1]), data[T](out[0]), nil
		packed = in[1].packed
		if len(in) > 2 {
			b = data[T](in[2])
		}
		if n = chunks(rows); n > 1 {
			if w, ok := any(w).([]float32); ok && packed == nil && repacked.Repack(false, rows/n, inner, cols, w, cols) {
				packed = &repacked
			}
			kernel.Parallel(n, 1, part)
			return
		}
		product(0, rows)
		if b != nil || act != Identity {
			kernel.Parallel(rows, rowGrain(cols), finish)
		}
	}
}

// linearGrad: (x, w, [b], y, dy) → dx, dw, [db], in one pass over dy.
type linearGrad struct {
	backward
	act Activation
}

func (o linearGrad) String() string { return "linear " + o.act.String() + " gradient" }

func (o linearGrad) rows(_ *env, in []*Tensor, out []int) error {
	for i := range out {
		out[i] = in[i].Rows
	}
	return nil
}

func (o linearGrad) runner(e *env) runner {
	return pick(e, linearBackward[float32](o.act, e), linearBackward[float64](o.act, e))
}

func linearBackward[T kernel.Float](act Activation, e *env) runner {
	var w, y, dy, dz, dx, sums []T // sums [chunks, out]: column sums of dz
	var rows, inner, cols, n int
	var bias bool
	var packed *kernel.Packed // wᵀ, where the chunks are worth it
	var repacked kernel.Packed
	part := func(first, last int) {
		for i := first; i < last; i++ {
			lo, hi := chunk(i, n, rows)
			if act != Identity {
				deactivate(act, dz[lo*cols:hi*cols], y[lo*cols:hi*cols], dy[lo*cols:hi*cols])
			}
			if bias {
				kernel.ColSums(sums[i*cols:(i+1)*cols], dz[lo*cols:], hi-lo, cols, cols, false)
			}
			switch {
			case dx == nil:
			case packed != nil:
				kernel.GemmPacked(hi-lo, any(dz).([]float32)[lo*cols:], cols, packed, false, any(dx).([]float32)[lo*inner:], inner)
			default:
				kernel.Gemm(false, true, hi-lo, inner, cols, dz[lo*cols:], cols, w, cols, false, dx[lo*inner:], inner)
			}
		}
	}
	return func(in, out []*Tensor) {
		rows, inner, cols = in[0].Rows, in[0].Cols, in[1].Cols
		x := data[T](in[0])
		w, y, dy, dx = data[T](in[1]), data[T](in[len(in)-2]), data[T](in[len(in)-1]), dataOrNil[T](out[0])
		bias = len(out) > 2 && out[2] != nil
		dz = dy
		if act != Identity {
			dz = scratch[T](e, len(dy))
		}
		n = chunks(rows)
		sums = resized(sums, n*cols)
		packed = nil
		if w, ok := any(w).([]float32); ok && dx != nil && n > 1 && repacked.Repack(true, rows/n, cols, inner, w, cols) {
			packed = &repacked
		}
		kernel.Parallel(n, 1, part)
		if dw := out[1]; dw != nil {
			kernel.Gemm(true, false, inner, cols, rows, x, inner, dz, cols, false, data[T](dw), cols)
		}
		if bias {
			kernel.ColSums(data[T](out[2]), sums, n, cols, cols, false)
		}
	}
}
