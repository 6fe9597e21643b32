package graph

import (
	"fmt"

	"github.com/millrace/millrace/core/kernel"
	"gorgonia.org/gorgonia"
)

// Shift returns x + by, element by element: a logit with the logarithm of an odds ratio that is known beforehand.
func Shift(x *Node, by float64) *Node { return apply(shiftOp{by}, []shape{{x.rows, x.Cols, false}}, x) }

type shiftOp struct{ by float64 }

func (o shiftOp) String() string { return fmt.Sprintf("shift by %g", o.by) }

func (shiftOp) rows(_ *env, in []*Tensor, out []int) error { return sameRows(in, out, 0) }

func (shiftOp) differentiable(int) []bool { return all(1) }

func (shiftOp) grads(d *derivation) []*gorgonia.Node { return gorgonia.Nodes{d.grad} }

func (o shiftOp) runner(e *env) runner {
	return pick(e, shifted[float32](o.by), shifted[float64](o.by))
}

func shifted[T kernel.Float](by float64) runner {
	return func(in, out []*Tensor) {
		x, y := data[T](in[0]), data[T](out[0])
		for i, v := range x {
			y[i] = v + T(by)
		}
	}
}
