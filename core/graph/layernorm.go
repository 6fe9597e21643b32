package graph

import (
	"math"

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

// The variance is E[x²] − mean² from sums in float64, which cost a float32 row nothing in accuracy; a float64 row takes it from the deviations.
func layerNorm[T kernel.Float](o layerNormOp) runner {
	var x, gamma, beta, y, stats []T
	part := func(lo, hi int) {
		cols := len(gamma)
		for r := lo; r < hi; r++ {
			xr := x[r*cols : (r+1)*cols]
			mean, variance := rowMoments(xr)
			rstd := 1 / math.Sqrt(variance+o.eps)
			if stats != nil {
				stats[2*r], stats[2*r+1] = T(mean), T(rstd)
			}
			if y == nil {
				continue
			}
			yr := y[r*cols : (r+1)*cols]
			kernel.Mul(yr, xr, gamma)
			kernel.Axpy(T(-mean), gamma, yr)
			kernel.Scale(T(rstd), yr)
			kernel.Add(yr, yr, beta)
			if o.act == ReLU {
				kernel.Relu(yr, yr)
			}
		}
	}
	return func(in, out []*Tensor) {
		x, gamma, beta = data[T](in[0]), data[T](in[1]), data[T](in[2])
		y, stats = dataOrNil[T](out[0]), dataOrNil[T](out[1])
		kernel.Parallel(in[0].Rows, rowGrain(in[0].Cols), part)
	}
}

// rowMoments returns the mean and the biased variance of a row.
func rowMoments[T kernel.Float](x []T) (mean, variance float64) {
	n := float64(len(x))
	mean = kernel.Sum(x) / n
	if _, single := any(x).([]float32); single {
		return mean, max(kernel.SumSquares(x)/n-mean*mean, 0)
	}
	for _, v := range x {
		d := float64(v) - mean
		variance += d * d
	}
	return mean, variance / n
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

// With dz the gradient before the activation, x̂ = (x−mean)·rstd and g = dz·gamma: dx = rstd·(g − mean(g) − x̂·mean(g·x̂)) over the row,
// dgamma = Σ dz·x̂, dbeta = Σ dz over the rows.
func layerNormBackward[T kernel.Float](act Activation) runner {
	var x, gamma, stats, y, dy, dx []T
	var sums chunkSums[T]
	part := func(first, last int) {
		cols := len(gamma)
		for i := first; i < last; i++ {
			lo, hi := sums.rows(i)
			space := sums.of(i)
			dgamma, dbeta, normal, dz := space[:cols], space[cols:2*cols], space[2*cols:3*cols], space[3*cols:]
			for r := lo; r < hi; r++ {
				rstd := stats[2*r+1]
				deactivate(act, dz, y[r*cols:(r+1)*cols], dy[r*cols:(r+1)*cols])
				shift := -stats[2*r] * rstd
				for c, v := range x[r*cols : (r+1)*cols] {
					normal[c] = v*rstd + shift
				}
				kernel.MulAdd(dgamma, dz, normal)
				kernel.Add(dbeta, dbeta, dz)
				if dx == nil {
					continue
				}
				kernel.Mul(dz, dz, gamma)
				mean, tilt := T(kernel.Sum(dz)/float64(cols)), kernel.Dot(dz, normal)/T(cols)
				dr := dx[r*cols : (r+1)*cols]
				for c, g := range dz {
					dr[c] = rstd * (g - mean - normal[c]*tilt)
				}
			}
		}
	}
	return func(in, out []*Tensor) {
		x, gamma, stats, y, dy = data[T](in[0]), data[T](in[1]), data[T](in[3]), data[T](in[4]), data[T](in[5])
		dx = dataOrNil[T](out[0])
		cols := in[0].Cols
		sums.reset(in[0].Rows, 4*cols)
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
