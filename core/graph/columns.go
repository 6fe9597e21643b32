package graph

import (
	"fmt"

	"github.com/millrace/millrace/core/kernel"
	"gorgonia.org/gorgonia"
)

// Concat joins values with equal rows side by side.
func Concat(xs ...*Node) *Node {
	if len(xs) == 0 {
		fail("Concat: nothing to join")
	}
	if len(xs) == 1 {
		return xs[0]
	}
	out := shape{}
	for _, x := range xs {
		out.cols += x.Cols
		out.rows = max(out.rows, x.rows)
	}
	return apply(concatOp{}, []shape{out}, xs...)
}

type concatOp struct{}

func (concatOp) String() string { return "concat" }

func (concatOp) rows(_ *env, in []*Tensor, out []int) error {
	out[0] = in[0].Rows
	return equalRows(in...)
}

func (concatOp) differentiable(inputs int) []bool { return all(inputs) }

func (concatOp) grads(d *derivation) []*gorgonia.Node {
	var grads gorgonia.Nodes
	from := 0
	for i, n := range d.in {
		grads = append(grads, d.apply(sliceOp{from, n.Shape()[1]}, d.in[i:i+1], d.grad)[0])
		from += n.Shape()[1]
	}
	return grads
}

func (concatOp) runner(e *env) runner { return pick(e, concat[float32](), concat[float64]()) }

func concat[T kernel.Float]() runner {
	var from []*Tensor
	var y []T
	var cols int
	part := func(lo, hi int) {
		col := 0
		for _, t := range from {
			x, w := data[T](t), t.Cols
			for r := lo; r < hi; r++ {
				copy(y[r*cols+col:r*cols+col+w], x[r*w:(r+1)*w])
			}
			col += w
		}
	}
	return func(in, out []*Tensor) {
		from, y, cols = in, data[T](out[0]), out[0].Cols
		kernel.Parallel(out[0].Rows, rowGrain(cols), part)
	}
}

// Slice takes columns [from, to).
func Slice(x *Node, from, to int) *Node {
	if from < 0 || to > x.Cols || from >= to {
		fail("Slice: columns [%d, %d) of %d", from, to, x.Cols)
	}
	if from == 0 && to == x.Cols {
		return x
	}
	return apply(sliceOp{from, to - from}, []shape{{x.rows, to - from, false}}, x)
}

type sliceOp struct{ from, cols int }

func (o sliceOp) String() string { return fmt.Sprintf("columns %d+%d", o.from, o.cols) }

func (o sliceOp) rows(_ *env, in []*Tensor, out []int) error { return sameRows(in, out, 0) }

func (o sliceOp) differentiable(int) []bool { return all(1) }

func (o sliceOp) grads(d *derivation) []*gorgonia.Node {
	return d.apply(padOp{from: o.from}, d.in, d.grad)
}

func (o sliceOp) runner(e *env) runner {
	return pick(e, slice[float32](o.from), slice[float64](o.from))
}

func slice[T kernel.Float](from int) runner {
	var x, y []T
	var wide, cols int
	part := func(lo, hi int) {
		for r := lo; r < hi; r++ {
			copy(y[r*cols:(r+1)*cols], x[r*wide+from:r*wide+from+cols])
		}
	}
	return func(in, out []*Tensor) {
		x, y, wide, cols = data[T](in[0]), data[T](out[0]), in[0].Cols, out[0].Cols
		kernel.Parallel(out[0].Rows, rowGrain(cols), part)
	}
}

// padOp: dy [B, cols] → [B, wide], zero but for the columns from the given one.
type padOp struct {
	backward
	from int
}

func (o padOp) String() string { return fmt.Sprintf("pad from %d", o.from) }

func (o padOp) rows(_ *env, in []*Tensor, out []int) error { return sameRows(in, out, 0) }

func (o padOp) runner(e *env) runner { return pick(e, pad[float32](o.from), pad[float64](o.from)) }

func pad[T kernel.Float](from int) runner {
	var x, y []T
	var wide, cols int
	part := func(lo, hi int) {
		clear(y[lo*wide : hi*wide])
		for r := lo; r < hi; r++ {
			copy(y[r*wide+from:r*wide+from+cols], x[r*cols:(r+1)*cols])
		}
	}
	return func(in, out []*Tensor) {
		x, y, wide, cols = data[T](in[0]), data[T](out[0]), out[0].Cols, in[0].Cols
		kernel.Parallel(out[0].Rows, rowGrain(wide), part)
	}
}
