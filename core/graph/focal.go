package graph

import (
	"fmt"
	"math"

	"github.com/millrace/millrace/core/kernel"
	"gorgonia.org/gorgonia"
)

// FocalWithLogits returns the mean of weight·FL as a scalar, FL = −α(1−p)^γ·ln p of a positive and −(1−α)p^γ·ln(1−p) of a negative, p = sigmoid(logit) (Lin et al. 2017, equation 5): rows that the model
// is sure of and right about count less, the more so the larger γ. With γ = 0 and α = ½ it is half of BCEWithLogits. Shapes, weights and missing labels are as there.
func FocalWithLogits(logits, labels, weights *Node, gamma, alpha float64) *Node {
	ins := []*Node{logits, labels}
	if weights != nil {
		ins = append(ins, weights)
	}
	for _, n := range ins {
		if n.Cols != 1 {
			fail("FocalWithLogits: %d columns, want 1", n.Cols)
		}
	}
	if !(gamma >= 0 && alpha >= 0 && alpha <= 1) {
		fail("FocalWithLogits: γ %g and α %g, want at least 0, and 0 to 1", gamma, alpha)
	}
	return apply(focalOp{gamma, alpha}, []shape{scalar}, ins...)
}

// focalOp: (z, y, [w]) → loss.
type focalOp struct{ gamma, alpha float64 }

func (o focalOp) String() string { return fmt.Sprintf("focal loss γ %g α %g", o.gamma, o.alpha) }

func (focalOp) rows(_ *env, in []*Tensor, out []int) error {
	out[0] = 1
	return equalRows(in...)
}

func (focalOp) differentiable(inputs int) []bool {
	d := make([]bool, inputs)
	d[0] = true
	return d
}

func (o focalOp) grads(d *derivation) []*gorgonia.Node {
	grads := make([]*gorgonia.Node, len(d.in))
	grads[0] = d.apply(focalGrad{of: o}, d.in[:1], append(gorgonia.Nodes{d.grad}, d.in...)...)[0]
	return grads
}

func (o focalOp) runner(e *env) runner { return pick(e, focal[float32](o), focal[float64](o)) }

// of is the loss of a positive at logit z with α = 1 and its derivative: that of a negative is this at −z, its derivative turned.
func (o focalOp) of(z float64) (loss, slope float64) {
	log := -(max(-z, 0) + math.Log1p(math.Exp(-math.Abs(z)))) // ln sigmoid(z)
	p := math.Exp(log)
	q := 1 / (1 + math.Exp(z)) // 1−p without cancellation
	scale := math.Pow(q, o.gamma)
	return -scale * log, scale * (o.gamma*p*log - q)
}

func focal[T kernel.Float](o focalOp) runner {
	return func(in, out []*Tensor) {
		z, y := data[T](in[0]), data[T](in[1])
		var w []T
		if len(in) > 2 {
			w = data[T](in[2])
		}
		var sum, total float64
		for i, label := range y {
			wi := weight(label, w, i)
			if wi == 0 {
				continue
			}
			positive, _ := o.of(float64(z[i]))
			negative, _ := o.of(-float64(z[i]))
			sum += wi * (float64(label)*o.alpha*positive + (1-float64(label))*(1-o.alpha)*negative)
			total += wi
		}
		if total != 0 {
			sum /= total
		}
		data[T](out[0])[0] = T(sum)
	}
}

// focalGrad: (dloss, z, y, [w]) → dz.
type focalGrad struct {
	backward
	of focalOp
}

func (g focalGrad) String() string { return g.of.String() + " gradient" }

func (focalGrad) rows(_ *env, in []*Tensor, out []int) error { return sameRows(in, out, 1) }

func (g focalGrad) runner(e *env) runner {
	return pick(e, focalBackward[float32](g.of), focalBackward[float64](g.of))
}

func focalBackward[T kernel.Float](o focalOp) runner {
	return func(in, out []*Tensor) {
		g, z, y, dz := float64(data[T](in[0])[0]), data[T](in[1]), data[T](in[2]), data[T](out[0])
		var w []T
		if len(in) > 3 {
			w = data[T](in[3])
		}
		var total float64
		for i, label := range y {
			total += weight(label, w, i)
		}
		for i, label := range y {
			wi := weight(label, w, i)
			if wi == 0 {
				dz[i] = 0
				continue
			}
			_, up := o.of(float64(z[i]))
			_, down := o.of(-float64(z[i]))
			dz[i] = T(g * wi / total * (float64(label)*o.alpha*up - (1-float64(label))*(1-o.alpha)*down))
		}
	}
}
