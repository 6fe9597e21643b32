package graph

import (
	"math"

	"github.com/millrace/millrace/core/kernel"
)

// normRows normalises rows and computes the gradient: x, y, dy and dx [rows, cols], stats [rows, 2] of mean and 1/sqrt(var+eps), gamma and beta [cols].
type normRows[T kernel.Float] struct {
	layerNormOp
	x, gamma, beta, y, stats, dy, dx []T
}

// forward computes y and stats, where they are not nil, for rows lo to hi. The variance is E[x²] − mean² from sums in float64, which cost a float32 row nothing in accuracy; a float64 row takes it from the deviations.
func (n *normRows[T]) forward(lo, hi int) {
	cols := len(n.gamma)
	for r := lo; r < hi; r++ {
		x := n.x[r*cols : (r+1)*cols]
		mean, variance := rowMoments(x)
		rstd := 1 / math.Sqrt(variance+n.eps)
		if n.stats != nil {
			n.stats[2*r], n.stats[2*r+1] = T(mean), T(rstd)
		}
		if n.y == nil {
			continue
		}
		kernel.Normalise(n.y[r*cols:(r+1)*cols], x, n.gamma, n.beta, T(rstd), T(-mean*rstd), n.act == ReLU)
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

// backward adds the gradients of gamma and beta from rows lo to hi to the first columns of sums [3·cols], the rest of which is scratch, and
// computes dx where it is not nil. With dz the gradient before the activation, x̂ = (x−mean)·rstd and g = dz·gamma: dx = rstd·(g − mean(g) − x̂·mean(g·x̂)) over the row,
// dgamma = Σ dz·x̂, dbeta = Σ dz over the rows.
func (n *normRows[T]) backward(sums []T, lo, hi int) {
	cols := len(n.gamma)
	dgamma, dbeta, dx := sums[:cols], sums[cols:2*cols], sums[2*cols:3*cols]
	for r := lo; r < hi; r++ {
		from, to := r*cols, (r+1)*cols
		if n.dx != nil {
			dx = n.dx[from:to]
		}
		rstd := n.stats[2*r+1]
		kernel.NormaliseGrad(dx, dgamma, dbeta, n.x[from:to], n.y[from:to], n.dy[from:to], n.gamma, rstd, -n.stats[2*r]*rstd, n.act == ReLU)
	}
}
