package graph

import (
	"github.com/millrace/millrace/core/kernel"
	"gorgonia.org/gorgonia"
)

// Activation names a fused element-wise function.
type Activation int

const (
	Identity Activation = iota
	ReLU                // derivative 0 at 0
	SigmoidAct
	TanhAct
	GELU // the exact one, by the error function
	SiLU
)

// fromInput tells that the derivative is computed from the function's argument, not from its value.
func (a Activation) fromInput() bool { return a == GELU || a == SiLU }

// onlyFromOutput refuses an activation whose derivative wants its argument, in an operation that keeps its value alone.
func (a Activation) onlyFromOutput(op string) {
	if a.fromInput() {
		fail("%s: %v is not computed inside it, apply it afterwards", op, a)
	}
}

// String returns the name of the function.
func (a Activation) String() string {
	return [...]string{"identity", "relu", "sigmoid", "tanh", "gelu", "silu"}[a]
}

// activate sets y = a(x). y may be x.
func activate[T kernel.Float](a Activation, y, x []T) {
	switch a {
	case Identity:
		copy(y, x)
	case ReLU:
		kernel.Relu(y, x)
	case SigmoidAct:
		kernel.Sigmoid(y, x)
	case TanhAct:
		kernel.Tanh(y, x)
	case GELU:
		kernel.Gelu(y, x)
	case SiLU:
		kernel.Silu(y, x)
	}
}

// deactivate sets dz = dy·a'(z), where y = a(z), or z itself where the derivative is taken from it. dz may be dy.
func deactivate[T kernel.Float](a Activation, dz, y, dy []T) {
	switch a {
	case Identity:
		copy(dz, dy)
	case ReLU:
		kernel.ReluGrad(dz, dy, y)
	case SigmoidAct:
		kernel.SigmoidGrad(dz, dy, y)
	case TanhAct:
		kernel.TanhGrad(dz, dy, y)
	case GELU:
		kernel.GeluGrad(dz, dy, y)
	case SiLU:
		kernel.SiluGrad(dz, dy, y)
	}
}

// Apply returns act(x) element by element.
func Apply(x *Node, act Activation) *Node {
	if act == Identity {
		return x
	}
	return apply(activationOp{act}, []shape{{x.rows, x.Cols, false}}, x)
}

type activationOp struct{ act Activation }

func (o activationOp) String() string { return o.act.String() }

func (o activationOp) rows(_ *env, in []*Tensor, out []int) error { return sameRows(in, out, 0) }

func (o activationOp) differentiable(int) []bool { return all(1) }

func (o activationOp) grads(d *derivation) []*gorgonia.Node {
	from := d.out
	if o.act.fromInput() {
		from = d.in[0]
	}
	return d.apply(activationGrad{act: o.act}, d.in[:1], from, d.grad)
}

func (o activationOp) runner(e *env) runner {
	return pick(e, activationForward[float32](o.act), activationForward[float64](o.act))
}

func activationForward[T kernel.Float](act Activation) runner {
	var x, y []T
	part := func(lo, hi int) { activate(act, y[lo:hi], x[lo:hi]) }
	return func(in, out []*Tensor) {
		x, y = data[T](in[0]), data[T](out[0])
		kernel.Parallel(len(y), elementGrain, part)
	}
}

// activationGrad: (y, or x where the derivative is taken from it, dy) → dx.
type activationGrad struct {
	backward
	act Activation
}

func (o activationGrad) String() string { return o.act.String() + " gradient" }

func (o activationGrad) rows(_ *env, in []*Tensor, out []int) error { return sameRows(in, out, 0) }

func (o activationGrad) runner(e *env) runner {
	return pick(e, activationBackward[float32](o.act), activationBackward[float64](o.act))
}

func activationBackward[T kernel.Float](act Activation) runner {
	var y, dy, dx []T
	part := func(lo, hi int) { deactivate(act, dx[lo:hi], y[lo:hi], dy[lo:hi]) }
	return func(in, out []*Tensor) {
		y, dy, dx = data[T](in[0]), data[T](in[1]), data[T](out[0])
		kernel.Parallel(len(dx), elementGrain, part)
	}
}
