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

func linearForward[T kernel.Float](act Activation) runner {
	var y, b []T
	var cols int
	epilogue := func(lo, hi int) {
		if b != nil {
			for r := lo; r < hi; r++ {
				kernel.Add(y[r*cols:(r+1)*cols], y[r*cols:(r+1)*cols], b)
			}
		}
		activate(act, y[lo*cols:hi*cols])
	}
	return func(in, out []*Tensor) {
		x, w := in[0], in[1]
		y, b, cols = data[T](out[0]), nil, w.Cols
		kernel.Gemm(false, false, x.Rows, w.Cols, w.Rows, data[T](x), x.Cols, data[T](w), w.Cols, false, y, w.Cols)
		if len(in) > 2 {
			b = data[T](in[2])
		}
		if b != nil || act != Identity {
			kernel.Parallel(x.Rows, rowGrain(cols), epilogue)
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
	return pick(e, linearBackward[float32](o.act), linearBackward[float64](o.act))
}

func linearBackward[T kernel.Float](act Activation) runner {
	var scratch, dz, y, dy []T
	part := func(lo, hi int) { deactivate(act, dz[lo:hi], y[lo:hi], dy[lo:hi]) }
	sums := newColSums[T]()
	return func(in, out []*Tensor) {
		x, w := in[0], in[1]
		y, dy = data[T](in[len(in)-2]), data[T](in[len(in)-1])
		dz = dy
		if act != Identity {
			scratch = resized(scratch, len(dy))
			dz = scratch
			kernel.Parallel(len(dy), elementGrain, part)
		}
		if dx := out[0]; dx != nil {
			kernel.Gemm(false, true, x.Rows, x.Cols, w.Cols, dz, w.Cols, data[T](w), w.Cols, false, data[T](dx), x.Cols)
		}
		if dw := out[1]; dw != nil {
			kernel.Gemm(true, false, x.Cols, w.Cols, x.Rows, data[T](x), x.Cols, dz, w.Cols, false, data[T](dw), w.Cols)
		}
		if len(out) > 2 && out[2] != nil {
			sums.run(data[T](out[2]), dz, x.Rows, w.Cols)
		}
	}
}
