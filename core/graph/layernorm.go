package graph

import (
	"math"

	"github.com/millrace/millrace/core/kernel"
	"gorgonia.org/gorgonia"
)

// LayerNorm normalises each row over its columns: gamma·(x−mean)/sqrt(var+eps) + beta with the row's mean and biased variance. gamma and beta [1, cols].
func LayerNorm(x, gamma, beta *Node, eps float64) *Node {
	rowOf("LayerNorm", "gamma", gamma, x.Cols)
	rowOf("LayerNorm", "beta", beta, x.Cols)
	return apply(layerNormOp{eps}, []shape{{x.rows, x.Cols, false}, {x.rows, 2, false}}, x, gamma, beta)
}

// layerNormOp: (x, gamma, beta) → y, statistics [B, 2] of mean and 1/sqrt(var+eps).
type layerNormOp struct{ eps float64 }

func (layerNormOp) String() string { return "layer norm" }

func (layerNormOp) rows(_ *env, in []*Tensor, out []int) error { return sameRows(in, out, 0, 0) }

func (layerNormOp) differentiable(int) []bool { return all(3) }

func (o layerNormOp) grads(d *derivation) []*gorgonia.Node {
	return d.apply(layerNormGrad{}, d.in, d.in[0], d.in[1], d.in[2], d.aux(1), d.grad)
}

func (o layerNormOp) runner(e *env) runner {
	return pick(e, layerNorm[float32](o.eps), layerNorm[float64](o.eps))
}

func layerNorm[T kernel.Float](eps float64) runner {
	var x, gamma, beta, y, stats []T
	part := func(lo, hi int) {
		cols := len(gamma)
		for r := lo; r < hi; r++ {
			xr := x[r*cols : (r+1)*cols]
			mean := kernel.Sum(xr) / float64(cols)
			var squares float64
			for _, v := range xr {
				d := float64(v) - mean
				squares += d * d
			}
			rstd := 1 / math.Sqrt(squares/float64(cols)+eps)
			if stats != nil {
				stats[2*r], stats[2*r+1] = T(mean), T(rstd)
			}
			if y == nil {
				continue
			}
			yr := y[r*cols : (r+1)*cols]
			for c, v := range xr {
				yr[c] = T((float64(v)-mean)*rstd)*gamma[c] + beta[c]
			}
		}
	}
	return func(in, out []*Tensor) {
		x, gamma, beta = data[T](in[0]), data[T](in[1]), data[T](in[2])
		y, stats = dataOrNil[T](out[0]), dataOrNil[T](out[1])
		kernel.Parallel(in[0].Rows, rowGrain(in[0].Cols), part)
	}
}

// layerNormGrad: (x, gamma, beta, statistics, dy) → dx, dgamma, dbeta.
type layerNormGrad struct{ backward }

func (layerNormGrad) String() string { return "layer norm gradient" }

func (layerNormGrad) rows(_ *env, in []*Tensor, out []int) error {
	return sameRows(in, out, 0, 1, 2)
}

func (layerNormGrad) runner(e *env) runner {
	return pick(e, layerNormBackward[float32](), layerNormBackward[float64]())
}

// With x̂ = (x−mean)·rstd and g = dy·gamma: dx = rstd·(g − mean(g) − x̂·mean(g·x̂)) over the row, dgamma = Σ dy·x̂, dbeta = Σ dy over the rows.
func layerNormBackward[T kernel.Float]() runner {
	var x, gamma, stats, dy, dx []T
	var sums chunkSums[T]
	part := func(first, last int) {
		cols := len(gamma)
		for i := first; i < last; i++ {
			lo, hi := sums.rows(i)
			dgamma, dbeta := sums.of(i)[:cols], sums.of(i)[cols:]
			for r := lo; r < hi; r++ {
				xr, gr := x[r*cols:(r+1)*cols], dy[r*cols:(r+1)*cols]
				mean, rstd := stats[2*r], stats[2*r+1]
				var sum, dot float64
				for c, v := range xr {
					normal := (v - mean) * rstd
					g := gr[c] * gamma[c]
					sum += float64(g)
					dot += float64(g * normal)
					dgamma[c] += gr[c] * normal
					dbeta[c] += gr[c]
				}
				if dx == nil {
					continue
				}
				shift, tilt := T(sum/float64(cols)), T(dot/float64(cols))
				dr := dx[r*cols : (r+1)*cols]
				for c, v := range xr {
					dr[c] = rstd * (gr[c]*gamma[c] - shift - (v-mean)*rstd*tilt)
				}
			}
		}
	}
	return func(in, out []*Tensor) {
		x, gamma, stats, dy = data[T](in[0]), data[T](in[1]), data[T](in[3]), data[T](in[4])
		dx = dataOrNil[T](out[0])
		cols := in[0].Cols
		sums.reset(in[0].Rows, 2*cols)
		kernel.Parallel(sums.n, 1, part)
		total := sums.total()
		if out[1] != nil {
			copy(data[T](out[1]), total[:cols])
		}
		if out[2] != nil {
			copy(data[T](out[2]), total[cols:])
		}
	}
}
