package graph

import (
	"math"

	"github.com/millrace/millrace/core/kernel"
	"gorgonia.org/gorgonia"
)

// ProductLogit is the logit of the product of two probabilities given by their logits, log(p/(1−p)) with p = σ(a)·σ(b): ESMM's pCTCVR of pCTR and pCVR
// (SIGIR 2018, equation 1). It is −log(e^−a + e^−b + e^−(a+b)), taken with the largest exponent in front. a and b have equal shapes.
func ProductLogit(a, b *Node) *Node {
	return apply(productLogitOp{}, []shape{equalShapes("ProductLogit", a, b)}, a, b)
}

type productLogitOp struct{}

func (productLogitOp) String() string { return "logit of a product" }

func (productLogitOp) rows(_ *env, in []*Tensor, out []int) error {
	out[0] = in[0].Rows
	return equalRows(in...)
}

func (productLogitOp) differentiable(int) []bool { return all(2) }

func (productLogitOp) grads(d *derivation) []*gorgonia.Node {
	return d.apply(productLogitGrad{}, d.in, d.in[0], d.in[1], d.grad)
}

func (productLogitOp) runner(e *env) runner {
	return pick(e, productLogit[float32](), productLogit[float64]())
}

// terms are e^−a, e^−b and e^−(a+b), divided by e^top.
func terms(a, b float64) (x, y, z, top float64) {
	top = max(-a, -b, -a-b)
	return math.Exp(-a - top), math.Exp(-b - top), math.Exp(-a - b - top), top
}

func productLogit[T kernel.Float]() runner {
	var a, b, y []T
	part := func(lo, hi int) {
		for i := lo; i < hi; i++ {
			p, q, r, top := terms(float64(a[i]), float64(b[i]))
			y[i] = T(-top - math.Log(p+q+r))
		}
	}
	return func(in, out []*Tensor) {
		a, b, y = data[T](in[0]), data[T](in[1]), data[T](out[0])
		kernel.Parallel(len(a), elementGrain/16, part)
	}
}

// productLogitGrad: (a, b, dy) → da = dy·(e^−a + e^−(a+b))/Σ, db = dy·(e^−b + e^−(a+b))/Σ.
type productLogitGrad struct{ backward }

func (productLogitGrad) String() string { return "logit of a product gradient" }

func (productLogitGrad) rows(_ *env, in []*Tensor, out []int) error { return sameRows(in, out, 0, 1) }

func (productLogitGrad) runner(e *env) runner {
	return pick(e, productLogitBackward[float32](), productLogitBackward[float64]())
}

func productLogitBackward[T kernel.Float]() runner {
	var a, b, dy, da, db []T
	part := func(lo, hi int) {
		for i := lo; i < hi; i++ {
			p, q, r, _ := terms(float64(a[i]), float64(b[i]))
			g := float64(dy[i]) / (p + q + r)
			if da != nil {
				da[i] = T(g * (p + r))
			}
			if db != nil {
				db[i] = T(g * (q + r))
			}
		}
	}
	return func(in, out []*Tensor) {
		a, b, dy, da, db = data[T](in[0]), data[T](in[1]), data[T](in[2]), dataOrNil[T](out[0]), dataOrNil[T](out[1])
		kernel.Parallel(len(a), elementGrain/16, part)
	}
}
