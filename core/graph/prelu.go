package graph

import (
	"github.com/millrace/millrace/core/kernel"
	"gorgonia.org/gorgonia"
)

// PReLU returns max(0,x) + alpha·min(0,x), alpha [1, cols] (models: one slope a unit).
func PReLU(x, alpha *Node) *Node {
	rowOf("PReLU", "alpha", alpha, x.Cols)
	return apply(preluOp{}, []shape{{x.rows, x.Cols, false}}, x, alpha)
}

type preluOp struct{}

func (preluOp) String() string { return "prelu" }

func (preluOp) rows(_ *env, in []*Tensor, out []int) error { return sameRows(in, out, 0) }

func (preluOp) differentiable(int) []bool { return all(2) }

func (preluOp) grads(d *derivation) []*gorgonia.Node {
	return d.apply(preluGrad{}, d.in, d.in[0], d.in[1], d.grad)
}

func (preluOp) runner(e *env) runner {
	return pick(e, preluForward[float32](), preluForward[float64]())
}

func preluForward[T kernel.Float]() runner {
	var x, alpha, y []T
	part := func(lo, hi int) {
		cols := len(alpha)
		for r := lo; r < hi; r++ {
			kernel.Prelu(y[r*cols:(r+1)*cols], x[r*cols:(r+1)*cols], alpha)
		}
	}
	return func(in, out []*Tensor) {
		x, alpha, y = data[T](in[0]), data[T](in[1]), data[T](out[0])
		kernel.Parallel(in[0].Rows, rowGrain(in[0].Cols), part)
	}
}

// preluGrad: (x, alpha, dy) → dx, dalpha.
type preluGrad struct{ backward }

func (preluGrad) String() string { return "prelu gradient" }

func (preluGrad) rows(_ *env, in []*Tensor, out []int) error { return sameRows(in, out, 0, 1) }

func (preluGrad) runner(e *env) runner {
	return pick(e, preluBackward[float32](e), preluBackward[float64](e))
}

func preluBackward[T kernel.Float](e *env) runner {
	var x, alpha, dy, dx []T
	var sums chunkSums[T]
	part := func(first, last int) {
		cols := len(alpha)
		for i := first; i < last; i++ {
			lo, hi := sums.rows(i)
			for r := lo; r < hi; r++ {
				kernel.PreluGrad(dx[r*cols:(r+1)*cols], sums.of(i), dy[r*cols:(r+1)*cols], x[r*cols:(r+1)*cols], alpha)
			}
		}
	}
	return func(in, out []*Tensor) {
		x, alpha, dy, dx = data[T](in[0]), data[T](in[1]), data[T](in[2]), dataOrNil[T](out[0])
		if dx == nil {
			dx = scratch[T](e, len(x))
		}
		sums.reset(in[0].Rows, in[0].Cols)
		kernel.Parallel(sums.n, 1, part)
		if out[1] != nil {
			copy(data[T](out[1]), sums.total())
		}
	}
}
