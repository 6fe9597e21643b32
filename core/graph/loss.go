package graph

import (
	"math"

	"github.com/millrace/millrace/core/kernel"
	"gorgonia.org/gorgonia"
)

// BCEWithLogits returns the mean of weight·(softplus(z) − y·z) as a scalar: logits, labels [B, 1], weights [B, 1] or nil; the mean divides by the sum of weights. The loss is accumulated in float64.
// A label that is NaN is a missing label and does not count. Without any label the loss and its gradient are 0.
func BCEWithLogits(logits, labels, weights *Node) *Node {
	ins := []*Node{logits, labels}
	if weights != nil {
		ins = append(ins, weights)
	}
	for _, n := range ins {
		if n.Cols != 1 {
			fail("BCEWithLogits: %d columns, want 1", n.Cols)
		}
	}
	return apply(bceOp{}, []shape{scalar}, ins...)
}

// bceOp: (z, y, [w]) → loss.
type bceOp struct{}

func (bceOp) String() string { return "binary cross-entropy" }

func (bceOp) rows(_ *env, in []*Tensor, out []int) error {
	out[0] = 1
	return equalRows(in...)
}

func (bceOp) differentiable(inputs int) []bool {
	d := make([]bool, inputs)
	d[0] = true
	return d
}

func (bceOp) grads(d *derivation) []*gorgonia.Node {
	grads := make([]*gorgonia.Node, len(d.in))
	grads[0] = d.apply(bceGrad{}, d.in[:1], append(gorgonia.Nodes{d.grad}, d.in...)...)[0]
	return grads
}

func (bceOp) runner(e *env) runner { return pick(e, bce[float32](), bce[float64]()) }

// weight returns the weight of row i, 0 where its label is missing.
func weight[T kernel.Float](label T, weights []T, i int) float64 {
	switch {
	case label != label:
		return 0
	case weights == nil:
		return 1
	default:
		return float64(weights[i])
	}
}

func bce[T kernel.Float]() runner {
	return func(in, out []*Tensor) {
		z, y := data[T](in[0]), data[T](in[1])
		var w []T
		if len(in) > 2 {
			w = data[T](in[2])
		}
		var loss, total float64
		for i, label := range y {
			wi := weight(label, w, i)
			if wi == 0 {
				continue
			}
			v := float64(z[i])
			loss += wi * (max(v, 0) + math.Log1p(math.Exp(-math.Abs(v))) - float64(label)*v)
			total += wi
		}
		if total != 0 {
			loss /= total
		}
		data[T](out[0])[0] = T(loss)
	}
}

// bceGrad: (dloss, z, y, [w]) → dz = dloss·w·(sigmoid(z) − y)/Σw.
type bceGrad struct{ backward }

func (bceGrad) String() string { return "binary cross-entropy gradient" }

func (bceGrad) rows(_ *env, in []*Tensor, out []int) error { return sameRows(in, out, 1) }

func (bceGrad) runner(e *env) runner { return pick(e, bceBackward[float32](), bceBackward[float64]()) }

func bceBackward[T kernel.Float]() runner {
	return func(in, out []*Tensor) {
		g, z, y, dz := data[T](in[0])[0], data[T](in[1]), data[T](in[2]), data[T](out[0])
		var w []T
		if len(in) > 3 {
			w = data[T](in[3])
		}
		var total float64
		for i, label := range y {
			total += weight(label, w, i)
		}
		if total == 0 {
			clear(dz)
			return
		}
		kernel.Sigmoid(dz, z)
		for i, label := range y {
			if wi := weight(label, w, i); wi == 0 {
				dz[i] = 0
			} else {
				dz[i] = T(float64(g) * wi / total * (float64(dz[i]) - float64(label)))
			}
		}
	}
}
