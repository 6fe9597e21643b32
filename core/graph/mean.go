package graph

import (
	"github.com/millrace/millrace/core/kernel"
	"gorgonia.org/gorgonia"
)

// Mean returns the mean of all elements as a scalar, 0 where there are none. It is accumulated in float64.
func Mean(x *Node) *Node { return apply(meanOp{}, []shape{scalar}, x) }

type meanOp struct{}

func (meanOp) String() string { return "mean" }

func (meanOp) rows(_ *env, _ []*Tensor, out []int) error {
	out[0] = 1
	return nil
}

func (meanOp) differentiable(int) []bool { return all(1) }

func (meanOp) grads(d *derivation) []*gorgonia.Node {
	return d.apply(meanGrad{}, d.in, d.in[0], d.grad)
}

func (meanOp) runner(e *env) runner { return pick(e, mean[float32], mean[float64]) }

func mean[T kernel.Float](in, out []*Tensor) {
	x := data[T](in[0])
	data[T](out[0])[0] = T(kernel.Sum(x) / float64(max(len(x), 1)))
}

// meanGrad: (x, dy) → dx = dy/n in each of the n elements.
type meanGrad struct{ backward }

func (meanGrad) String() string { return "mean gradient" }

func (meanGrad) rows(_ *env, in []*Tensor, out []int) error { return sameRows(in, out, 0) }

func (meanGrad) runner(e *env) runner { return pick(e, meanBackward[float32], meanBackward[float64]) }

func meanBackward[T kernel.Float](in, out []*Tensor) {
	dx := data[T](out[0])
	g := T(float64(data[T](in[1])[0]) / float64(max(len(dx), 1)))
	for i := range dx {
		dx[i] = g
	}
}

// Softplus returns log(1 + eˣ) element by element: −log σ(−x), the loss of a logit x whose label is 0, and of −x whose label is 1.
func Softplus(x *Node) *Node {
	return apply(softplusOp{}, []shape{{x.rows, x.Cols, x.scalar}}, x)
}

type softplusOp struct{}

func (softplusOp) String() string { return "softplus" }

func (softplusOp) rows(_ *env, in []*Tensor, out []int) error { return sameRows(in, out, 0) }

func (softplusOp) differentiable(int) []bool { return all(1) }

func (softplusOp) grads(d *derivation) []*gorgonia.Node {
	return d.apply(softplusGrad{}, d.in, d.in[0], d.grad)
}

func (softplusOp) runner(e *env) runner { return pick(e, softplus[float32](), softplus[float64]()) }

func softplus[T kernel.Float]() runner {
	var x, y []T
	part := func(lo, hi int) { kernel.Softplus(y[lo:hi], x[lo:hi]) }
	return func(in, out []*Tensor) {
		x, y = data[T](in[0]), data[T](out[0])
		kernel.Parallel(len(x), elementGrain/16, part)
	}
}

// softplusGrad: (x, dy) → dx = dy·σ(x).
type softplusGrad struct{ backward }

func (softplusGrad) String() string { return "softplus gradient" }

func (softplusGrad) rows(_ *env, in []*Tensor, out []int) error { return sameRows(in, out, 0) }

func (softplusGrad) runner(e *env) runner {
	return pick(e, softplusBackward[float32](), softplusBackward[float64]())
}

func softplusBackward[T kernel.Float]() runner {
	var x, dy, dx []T
	part := func(lo, hi int) {
		kernel.Sigmoid(dx[lo:hi], x[lo:hi])
		kernel.Mul(dx[lo:hi], dx[lo:hi], dy[lo:hi])
	}
	return func(in, out []*Tensor) {
		x, dy, dx = data[T](in[0]), data[T](in[1]), data[T](out[0])
		kernel.Parallel(len(x), elementGrain, part)
	}
}
