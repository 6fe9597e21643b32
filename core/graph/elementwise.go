package graph

import (
	"fmt"

	"github.com/millrace/millrace/core/kernel"
	"gorgonia.org/gorgonia"
)

// equalShapes returns the shape of an element-wise result.
func equalShapes(op string, a, b *Node) shape {
	sameCols(op, a, b)
	if a.scalar != b.scalar {
		fail("%s: a scalar and a matrix", op)
	}
	return shape{max(a.rows, b.rows), a.Cols, a.scalar}
}

// Add returns a + b element by element over equal shapes.
func Add(a, b *Node) *Node { return apply(addOp{}, []shape{equalShapes("Add", a, b)}, a, b) }

// Sub returns a − b element by element over equal shapes.
func Sub(a, b *Node) *Node { return apply(subOp{}, []shape{equalShapes("Sub", a, b)}, a, b) }

// Mul returns a∘b element by element over equal shapes.
func Mul(a, b *Node) *Node { return apply(mulOp{}, []shape{equalShapes("Mul", a, b)}, a, b) }

// SumScalars adds scalar losses (several tasks).
func SumScalars(xs ...*Node) *Node {
	if len(xs) == 0 {
		fail("SumScalars: nothing to add")
	}
	sum := xs[0]
	for i, x := range xs {
		if !x.scalar {
			fail("SumScalars: not a scalar")
		}
		if i > 0 {
			sum = Add(sum, x)
		}
	}
	return sum
}

// Scale returns alpha·x.
func Scale(x *Node, alpha float64) *Node {
	return apply(scaleOp{alpha}, []shape{{x.rows, x.Cols, x.scalar}}, x)
}

type addOp struct{}

func (addOp) String() string { return "add" }

func (addOp) rows(_ *env, in []*Tensor, out []int) error {
	out[0] = in[0].Rows
	return equalRows(in...)
}

func (addOp) differentiable(int) []bool { return all(2) }

func (addOp) grads(d *derivation) []*gorgonia.Node { return gorgonia.Nodes{d.grad, d.grad} }

func (addOp) runner(e *env) runner {
	return pick(e, elementwise(kernel.Add[float32]), elementwise(kernel.Add[float64]))
}

// elementwise runs f over ranges of the elements.
func elementwise[T kernel.Float](f func(dst, x, y []T)) runner {
	var a, b, y []T
	part := func(lo, hi int) { f(y[lo:hi], a[lo:hi], b[lo:hi]) }
	return func(in, out []*Tensor) {
		a, b, y = data[T](in[0]), data[T](in[1]), data[T](out[0])
		kernel.Parallel(len(y), elementGrain, part)
	}
}

type subOp struct{}

func (subOp) String() string { return "sub" }

func (subOp) rows(_ *env, in []*Tensor, out []int) error {
	out[0] = in[0].Rows
	return equalRows(in...)
}

func (subOp) differentiable(int) []bool { return all(2) }

func (subOp) grads(d *derivation) []*gorgonia.Node {
	return gorgonia.Nodes{d.grad, d.apply(scaleOp{-1}, d.in[1:], d.grad)[0]}
}

func (subOp) runner(e *env) runner {
	return pick(e, elementwise(kernel.Sub[float32]), elementwise(kernel.Sub[float64]))
}

type mulOp struct{}

func (mulOp) String() string { return "mul" }

func (mulOp) rows(_ *env, in []*Tensor, out []int) error {
	out[0] = in[0].Rows
	return equalRows(in...)
}

func (mulOp) differentiable(int) []bool { return all(2) }

func (mulOp) grads(d *derivation) []*gorgonia.Node {
	return gorgonia.Nodes{d.apply(mulOp{}, d.in[:1], d.in[1], d.grad)[0], d.apply(mulOp{}, d.in[1:], d.in[0], d.grad)[0]}
}

func (mulOp) runner(e *env) runner {
	return pick(e, elementwise(kernel.Mul[float32]), elementwise(kernel.Mul[float64]))
}

type scaleOp struct{ alpha float64 }

func (o scaleOp) String() string { return fmt.Sprintf("scale %g", o.alpha) }

func (o scaleOp) rows(_ *env, in []*Tensor, out []int) error { return sameRows(in, out, 0) }

func (o scaleOp) differentiable(int) []bool { return all(1) }

func (o scaleOp) grads(d *derivation) []*gorgonia.Node { return d.apply(o, d.in, d.grad) }

func (o scaleOp) runner(e *env) runner {
	return pick(e, scaled[float32](o.alpha), scaled[float64](o.alpha))
}

func scaled[T kernel.Float](alpha float64) runner {
	var x, y []T
	part := func(lo, hi int) {
		copy(y[lo:hi], x[lo:hi])
		if alpha != 1 {
			kernel.Scale(T(alpha), y[lo:hi])
		}
	}
	return func(in, out []*Tensor) {
		x, y = data[T](in[0]), data[T](out[0])
		kernel.Parallel(len(y), elementGrain, part)
	}
}
