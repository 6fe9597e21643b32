package graph

import (
	"github.com/millrace/millrace/core/kernel"
	"gorgonia.org/gorgonia"
)

// LayerNorm normalises each row over its columns: gamma·(x−mean)/sqrt(var+eps) + beta with the row's mean and biased variance. gamma and beta [1, cols].
func LayerNorm(x, gamma, beta *Node, eps float64) *Node {
	return LayerNormAct(x, gamma, beta, eps, Identity)
}

// LayerNormAct is act(LayerNorm(x)) in one operation. The activation is Identity or ReLU.
func LayerNormAct(x, gamma, beta *Node, eps float64, act Activation) *Node {
	rowOf("LayerNorm", "gamma", gamma, x.Cols)
	rowOf("LayerNorm", "beta", beta, x.Cols)
	if act != Identity && act != ReLU {
		fail("LayerNorm: with %v", act)
	}
	return apply(layerNormOp{eps, act}, []shape{{x.rows, x.Cols, false}, {x.rows, 2, false}}, x, gamma, beta)
}

// layerNormOp: (x, gamma, beta) → y, statistics [B, 2] of mean and 1/sqrt(var+eps).
type layerNormOp struct {
	eps float64
	act Activation
}

func (o layerNormOp) String() string { return "layer norm " + o.act.String() }

func (layerNormOp) rows(_ *env, in []*Tensor, out []int) error { return sameRows(in, out, 0, 0) }

func (layerNormOp) differentiable(int) []bool { return all(3) }

func (o layerNormOp) grads(d *derivation) []*gorgonia.Node {
	return d.apply(layerNormGrad{act: o.act}, d.in, d.in[0], d.in[1], d.in[2], d.aux(1), d.out, d.grad)
}

func (o layerNormOp) runner(e *env) runner {
	return pick(e, layerNorm[float32](o), layerNorm[float64](o))
}

func layerNorm[T kernel.Float](o layerNormOp) runner {
	var n normRows[T]
	n.layerNormOp = o
	part := func(lo, hi int) { n.forward(lo, hi) }
	return func(in, out []*Tensor) {
		n.x, n.gamma, n.beta = data[T](in[0]), data[T](in[1]), data[T](in[2])
		n.y, n.stats = dataOrNil[T](out[0]), dataOrNil[T](out[1])
		kernel.Parallel(in[0].Rows, rowGrain(in[0].Cols), part)
	}
}

// layerNormGrad: (x, gamma, beta, statistics, y, dy) → dx, dgamma, dbeta.
type layerNormGrad struct {
	backward
	act Activation
}

func (o layerNormGrad) String() string { return "layer norm " + o.act.String() + " gradient" }

func (layerNormGrad) rows(_ *env, in []*Tensor, out []int) error {
	return sameRows(in, out, 0, 1, 2)
}

func (o layerNormGrad) runner(e *env) runner {
	return pick(e, layerNormBackward[float32](o.act), layerNormBackward[float64](o.act))
}

func layerNormBackward[T kernel.Float](act Activation) runner {
	var n normRows[T]
	n.act = act
	var sums chunkSums[T]
	part := func(first, last int) {
		for i := first; i < last; i++ {
			lo, hi := sums.rows(i)
			n.backward(sums.of(i), lo, hi)
		}
	}
	return func(in, out []*Tensor) {
		n.x, n.gamma, n.stats, n.y, n.dy = data[T](in[0]), data[T](in[1]), data[T](in[3]), data[T](in[4]), data[T](in[5])
		n.dx = dataOrNil[T](out[0])
		cols := in[0].Cols
		sums.reset(in[0].Rows, 3*cols)
		kernel.Parallel(sums.n, 1, part)
		total := sums.total()
		if out[1] != nil {
			copy(data[T](out[1]), total[:cols])
		}
		if out[2] != nil {
			copy(data[T](out[2]), total[cols:2*cols])
		}
	}
}
