package graph

import (
	"math"

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
)

// String returns the name of the function.
func (a Activation) String() string {
	return [...]string{"identity", "relu", "sigmoid", "tanh"}[a]
}

// activate applies a in place.
func activate[T kernel.Float](a Activation, x []T) {
	switch a {
	case ReLU:
		relu(x)
	case SigmoidAct:
		kernel.Sigmoid(x, x)
	case TanhAct:
		kernel.Tanh(x, x)
	}
}

const minusInf = 0xff800000 // its bits; above are the NaN with a sign

// relu sets negative elements to 0 and leaves NaN, of either sign. On float32 it works on the bits: signs are random and a branch would be
// mispredicted half of the time.
func relu[T kernel.Float](x []T) {
	if x, ok := any(x).([]float32); ok {
		for i, v := range x {
			bits := math.Float32bits(v)
			negative := uint32(int32(bits)>>31) &^ uint32((minusInf-int64(bits))>>63)
			x[i] = math.Float32frombits(bits &^ negative)
		}
		return
	}
	for i, v := range x {
		x[i] = max(v, 0)
	}
}

// deactivate sets dz = dy·a'(z), where y = a(z). dz may be dy.
func deactivate[T kernel.Float](a Activation, dz, y, dy []T) {
	y, dy = y[:len(dz)], dy[:len(dz)]
	switch a {
	case Identity:
		copy(dz, dy)
	case ReLU:
		reluGradient(dz, y, dy)
	case SigmoidAct:
		for i, v := range y {
			dz[i] = dy[i] * v * (1 - v)
		}
	case TanhAct:
		for i, v := range y {
			dz[i] = dy[i] * (1 - v*v)
		}
	}
}

// reluGradient sets dz to dy where y, which is not negative, is not 0.
func reluGradient[T kernel.Float](dz, y, dy []T) {
	dz, dy = dz[:len(y)], dy[:len(y)]
	if y, ok := any(y).([]float32); ok {
		dz, dy := any(dz).([]float32)[:len(y)], any(dy).([]float32)[:len(y)]
		for i, v := range y {
			mask := uint32(-int32(math.Float32bits(v)) >> 31) // all ones when y > 0
			dz[i] = math.Float32frombits(math.Float32bits(dy[i]) & mask)
		}
		return
	}
	for i, v := range y {
		dz[i] = 0
		if v > 0 {
			dz[i] = dy[i]
		}
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
	return d.apply(activationGrad{act: o.act}, d.in[:1], d.out, d.grad)
}

func (o activationOp) runner(e *env) runner {
	return pick(e, activationForward[float32](o.act), activationForward[float64](o.act))
}

func activationForward[T kernel.Float](act Activation) runner {
	var x, y []T
	part := func(lo, hi int) {
		copy(y[lo:hi], x[lo:hi])
		activate(act, y[lo:hi])
	}
	return func(in, out []*Tensor) {
		x, y = data[T](in[0]), data[T](out[0])
		kernel.Parallel(len(y), elementGrain, part)
	}
}

// activationGrad: (y, dy) → dx.
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
