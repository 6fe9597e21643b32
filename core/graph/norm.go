package graph

import (
	"math"

	"github.com/millrace/millrace/core/kernel"
	"gorgonia.org/gorgonia"
)

// Stats are the running statistics of a normalisation: float buffers that training updates and inference reads. Mean starts 0, Var 1; [1, cols].
type Stats struct{ Mean, Var *Tensor }

// BatchNorm normalises each column over the rows: gamma·(x−mean)/sqrt(var+eps) + beta. In training it uses the batch's mean and biased variance and moves the running
// statistics by momentum (new = (1−momentum)·old + momentum·batch, the batch variance unbiased, n/(n−1)); in inference it uses the running ones. gamma and beta [1, cols], or both nil for no affine part.
// A batch of one row has no unbiased variance: it moves the running mean and leaves the running variance.
func BatchNorm(x, gamma, beta *Node, s *Stats, eps, momentum float64) *Node {
	s.check("BatchNorm", x)
	op := batchNormOp{normSpec{s, eps, momentum}}
	outs := []shape{{x.rows, x.Cols, false}, fixed(1, x.Cols), fixed(1, x.Cols)}
	if gamma == nil && beta == nil {
		return apply(op, outs, x)
	}
	if gamma == nil || beta == nil {
		fail("BatchNorm: gamma and beta come together")
	}
	rowOf("BatchNorm", "gamma", gamma, x.Cols)
	rowOf("BatchNorm", "beta", beta, x.Cols)
	return apply(op, outs, x, gamma, beta)
}

func (s *Stats) check(op string, x *Node) {
	for _, t := range []*Tensor{s.Mean, s.Var} {
		if t == nil || t.Cols != x.Cols || t.DType() != x.g.dtype {
			fail("%s: running statistics do not fit %d columns", op, x.Cols)
		}
	}
}

// normSpec is what BatchNorm and Dice share.
type normSpec struct {
	stats         *Stats
	eps, momentum float64
}

// moments computes the mean and 1/sqrt(var+eps) that a normalisation uses in the plan at hand.
type moments[T kernel.Float] struct {
	normSpec
	training   bool
	x          []T
	rows, cols int
	mean, rstd []T // what to normalise with
	mean64     []float64
	var64      []float64
	part       func(lo, hi int)
}

func newMoments[T kernel.Float](spec normSpec, training bool) *moments[T] {
	m := &moments[T]{normSpec: spec, training: training}
	m.part = m.columns
	return m
}

// columns computes the statistics of columns [lo, hi) of the batch and moves the running ones.
func (m *moments[T]) columns(lo, hi int) {
	kernel.ColMoments(m.mean64[lo:hi], m.var64[lo:hi], m.x[lo:], m.rows, hi-lo, m.cols)
	mean, variance := data[T](m.stats.Mean), data[T](m.stats.Var)
	unbiased := float64(m.rows) / float64(m.rows-1)
	for c := lo; c < hi; c++ {
		m.mean[c] = T(m.mean64[c])
		m.rstd[c] = T(1 / math.Sqrt(m.var64[c]+m.eps))
		mean[c] = T((1-m.momentum)*float64(mean[c]) + m.momentum*m.mean64[c])
		if m.rows > 1 {
			variance[c] = T((1-m.momentum)*float64(variance[c]) + m.momentum*m.var64[c]*unbiased)
		}
	}
}

// run fills mean and rstd, into the given outputs or, where they are nil, into memory of its own.
func (m *moments[T]) run(x, meanOut, rstdOut *Tensor) {
	m.x, m.rows, m.cols = data[T](x), x.Rows, x.Cols
	m.mean = own(m.mean, meanOut, x.Cols)
	m.rstd = own(m.rstd, rstdOut, x.Cols)
	if m.training && x.Rows > 0 {
		m.mean64, m.var64 = resized(m.mean64, x.Cols), resized(m.var64, x.Cols)
		kernel.Parallel(x.Cols, colGrain(x.Rows), m.part)
		return
	}
	copy(m.mean, data[T](m.stats.Mean))
	for c, v := range data[T](m.stats.Var) {
		m.rstd[c] = T(1 / math.Sqrt(float64(v)+m.eps))
	}
}

// own returns the elements of t, or n elements of scratch where t is nil.
func own[T kernel.Float](scratch []T, t *Tensor, n int) []T {
	if t != nil {
		return data[T](t)
	}
	return resized(scratch, n)
}

type batchNormOp struct{ normSpec }

func (o batchNormOp) String() string { return "batch norm" }

func (o batchNormOp) rows(_ *env, in []*Tensor, out []int) error {
	out[0], out[1], out[2] = in[0].Rows, 1, 1
	return nil
}

func (o batchNormOp) differentiable(inputs int) []bool { return all(inputs) }

func (o batchNormOp) grads(d *derivation) []*gorgonia.Node {
	op := batchNormGrad{affine: len(d.in) > 1}
	inputs := gorgonia.Nodes{d.in[0], d.aux(1), d.aux(2), d.grad}
	if op.affine {
		inputs = append(inputs, d.in[1])
	}
	return d.apply(op, d.in, inputs...)
}

func (o batchNormOp) runner(e *env) runner {
	return pick(e, batchNorm[float32](o.normSpec, e.training), batchNorm[float64](o.normSpec, e.training))
}

func batchNorm[T kernel.Float](spec normSpec, training bool) runner {
	m := newMoments[T](spec, training)
	var x, y, scale, gamma, beta []T
	part := func(lo, hi int) {
		cols := len(scale)
		for r := lo; r < hi; r++ {
			yr := y[r*cols : (r+1)*cols]
			kernel.Sub(yr, x[r*cols:(r+1)*cols], m.mean)
			kernel.Mul(yr, yr, scale)
			if beta != nil {
				kernel.Add(yr, yr, beta)
			}
		}
	}
	return func(in, out []*Tensor) {
		m.run(in[0], out[1], out[2])
		x, y = data[T](in[0]), dataOrNil[T](out[0])
		scale, gamma, beta = resized(scale, in[0].Cols), nil, nil
		copy(scale, m.rstd)
		if len(in) > 1 {
			gamma, beta = data[T](in[1]), data[T](in[2])
			kernel.Mul(scale, scale, gamma)
		}
		if y != nil {
			kernel.Parallel(in[0].Rows, rowGrain(in[0].Cols), part)
		}
	}
}

// batchNormGrad: (x, mean, rstd, dy, [gamma]) → dx, [dgamma, dbeta].
type batchNormGrad struct {
	backward
	affine bool
}

func (o batchNormGrad) String() string { return "batch norm gradient" }

func (o batchNormGrad) rows(_ *env, in []*Tensor, out []int) error {
	out[0] = in[0].Rows
	for i := range out[1:] {
		out[1+i] = 1
	}
	return nil
}

func (o batchNormGrad) runner(e *env) runner {
	return pick(e, batchNormBackward[float32](), batchNormBackward[float64]())
}

// With x̂ = (x−mean)·rstd: dbeta = Σ dy, dgamma = Σ dy·x̂, dx = gamma·rstd·(dy − dbeta/n − x̂·dgamma/n).
func batchNormBackward[T kernel.Float]() runner {
	var x, mean, rstd, dy, gamma, dx []T
	var rows int
	var sum, dot []float64
	var a, b, k []T // dx = dy·a + x·b + k
	columns := func(lo, hi int) {
		cols := len(mean)
		s, d := sum[lo:hi], dot[lo:hi]
		clear(s)
		clear(d)
		m := mean[lo:hi]
		for r := range rows {
			xr, gr := x[r*cols+lo:r*cols+hi], dy[r*cols+lo:r*cols+hi]
			for c, g := range gr {
				s[c] += float64(g)
				d[c] += float64(g * (xr[c] - m[c]))
			}
		}
		n := float64(rows)
		for c := lo; c < hi; c++ {
			r := float64(rstd[c])
			dot[c] *= r
			scale := r
			if gamma != nil {
				scale *= float64(gamma[c])
			}
			a[c] = T(scale)
			b[c] = T(-scale * dot[c] / n * r)
			k[c] = T(-scale * sum[c] / n)
		}
	}
	part := func(lo, hi int) {
		cols := len(mean)
		for r := lo; r < hi; r++ {
			xr, gr, dr := x[r*cols:(r+1)*cols], dy[r*cols:(r+1)*cols], dx[r*cols:(r+1)*cols]
			for c := range dr {
				dr[c] = gr[c]*a[c] + (xr[c]-mean[c])*b[c] + k[c]
			}
		}
	}
	return func(in, out []*Tensor) {
		x, mean, rstd, dy, gamma = data[T](in[0]), data[T](in[1]), data[T](in[2]), data[T](in[3]), nil
		rows = in[0].Rows
		if len(in) > 4 {
			gamma = data[T](in[4])
		}
		cols := in[0].Cols
		sum, dot = resized(sum, cols), resized(dot, cols)
		a, b, k = resized(a, cols), resized(b, cols), resized(k, cols)
		kernel.Parallel(cols, colGrain(rows), columns)
		if dx = dataOrNil[T](out[0]); dx != nil {
			kernel.Parallel(rows, rowGrain(cols), part)
		}
		if len(out) > 1 {
			store(out[1], dot)
			store(out[2], sum)
		}
	}
}

// store writes float64 results to an output somebody reads.
func store(t *Tensor, from []float64) {
	switch {
	case t == nil:
	case t.F64 != nil:
		copy(t.F64, from)
	default:
		for i, v := range from {
			t.F32[i] = float32(v)
		}
	}
}
