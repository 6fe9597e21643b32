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
		y := n.y[r*cols : (r+1)*cols]
		kernel.Mul(y, x, n.gamma)
		kernel.Axpy(T(-mean), n.gamma, y)
		kernel.Scale(T(rstd), y)
		kernel.Add(y, y, n.beta)
		if n.act == ReLU {
			kernel.Relu(y, y)
		}
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

// backward adds the gradients of gamma and beta from rows lo to hi to the first columns of sums [4·cols], the rest of which is scratch, and
// computes dx where it is not nil. With dz the gradient before the activation, x̂ = (x−mean)·rstd and g = dz·gamma: dx = rstd·(g − mean(g) − x̂·mean(g·x̂)) over the row,
// dgamma = Σ dz·x̂, dbeta = Σ dz over the rows.
func (n *normRows[T]) backward(sums []T, lo, hi int) {
	cols := len(n.gamma)
	dgamma, dbeta, normal, dz := sums[:cols], sums[cols:2*cols], sums[2*cols:3*cols], sums[3*cols:4*cols]
	for r := lo; r < hi; r++ {
		rstd := n.stats[2*r+1]
		deactivate(n.act, dz, n.y[r*cols:(r+1)*cols], n.dy[r*cols:(r+1)*cols])
		shift := -n.stats[2*r] * rstd
		for c, v := range n.x[r*cols : (r+1)*cols] {
			normal[c] = v*rstd + shift
		}
		kernel.MulAdd(dgamma, dz, normal)
		kernel.Add(dbeta, dbeta, dz)
		if n.dx == nil {
			continue
		}
		kernel.Mul(dz, dz, n.gamma)
		mean, tilt := T(kernel.Sum(dz)/float64(cols)), kernel.Dot(dz, normal)/T(cols)
		dx := n.dx[r*cols : (r+1)*cols]
		for c, g := range dz {
			dx[c] = rstd * (g - mean - normal[c]*tilt)
		}
	}
}
