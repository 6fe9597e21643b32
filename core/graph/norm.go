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
	return BatchNormAct(x, gamma, beta, s, eps, momentum, Identity)
}

// BatchNormAct is act of BatchNorm in one operation.
func BatchNormAct(x, gamma, beta *Node, s *Stats, eps, momentum float64, act Activation) *Node {
	s.check("BatchNorm", x)
	act.onlyFromOutput("BatchNorm")
	op := batchNormOp{normSpec{s, eps, momentum}, act}
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

type batchNormOp struct {
	normSpec
	act Activation
}

func (o batchNormOp) String() string { return "batch norm " + o.act.String() }

func (o batchNormOp) rows(_ *env, in []*Tensor, out []int) error {
	out[0], out[1], out[2] = in[0].Rows, 1, 1
	return nil
}

func (o batchNormOp) differentiable(inputs int) []bool { return all(inputs) }

func (o batchNormOp) grads(d *derivation) []*gorgonia.Node {
	inputs := gorgonia.Nodes{d.in[0], d.aux(1), d.aux(2), d.out, d.grad}
	if len(d.in) > 1 {
		inputs = append(inputs, d.in[1])
	}
	return d.apply(batchNormGrad{act: o.act}, d.in, inputs...)
}

func (o batchNormOp) runner(e *env) runner {
	return pick(e, batchNorm[float32](o, e.training), batchNorm[float64](o, e.training))
}

func batchNorm[T kernel.Float](o batchNormOp, training bool) runner {
	m := newMoments[T](o.normSpec, training)
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
			if o.act != Identity {
				activate(o.act, yr, yr)
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

// batchNormGrad: (x, mean, rstd, y, dy, [gamma]) → dx, [dgamma, dbeta].
type batchNormGrad struct {
	backward
	act Activation
}

func (o batchNormGrad) String() string { return "batch norm " + o.act.String() + " gradient" }

func (o batchNormGrad) rows(_ *env, in []*Tensor, out []int) error {
	out[0] = in[0].Rows
	for i := range out[1:] {
		out[1+i] = 1
	}
	return nil
}

func (o batchNormGrad) runner(e *env) runner {
	return pick(e, batchNormBackward[float32](o.act, e), batchNormBackward[float64](o.act, e))
}

// With g the gradient before the activation and x̂ = (x−mean)·rstd: dbeta = Σ g, dgamma = Σ g·x̂, dx = gamma·rstd·(g − dbeta/n − x̂·dgamma/n).
func batchNormBackward[T kernel.Float](act Activation, e *env) runner {
	var x, mean, rstd, y, dy, gamma, g, product, dx []T
	var cols int
	var sums chunkSums[T] // Σ g, Σ g·(x−mean)
	var sum, dot []float64
	var a, b, k []T // dx = g·a + (x−mean)·b + k
	first := func(from, to int) {
		for i := from; i < to; i++ {
			lo, hi := sums.rows(i)
			s := sums.of(i)
			if act != Identity {
				deactivate(act, g[lo*cols:hi*cols], y[lo*cols:hi*cols], dy[lo*cols:hi*cols])
			}
			for r := lo; r < hi; r++ {
				kernel.Sub(product[r*cols:(r+1)*cols], x[r*cols:(r+1)*cols], mean)
			}
			kernel.Mul(product[lo*cols:hi*cols], product[lo*cols:hi*cols], g[lo*cols:hi*cols])
			kernel.ColSums(s[:cols], g[lo*cols:], hi-lo, cols, cols, false)
			kernel.ColSums(s[cols:], product[lo*cols:], hi-lo, cols, cols, false)
		}
	}
	second := func(lo, hi int) {
		for r := lo; r < hi; r++ {
			xr, gr, dr := x[r*cols:(r+1)*cols], g[r*cols:(r+1)*cols], dx[r*cols:(r+1)*cols]
			kernel.Sub(dr, xr, mean)
			kernel.Mul(dr, dr, b)
			kernel.MulAdd(dr, gr, a)
			kernel.Add(dr, dr, k)
		}
	}
	return func(in, out []*Tensor) {
		x, mean, rstd, gamma = data[T](in[0]), data[T](in[1]), data[T](in[2]), nil
		y, dy = data[T](in[3]), data[T](in[4])
		rows := in[0].Rows
		cols = in[0].Cols
		if len(in) > 5 {
			gamma = data[T](in[5])
		}
		dx = dataOrNil[T](out[0])
		space := scratch[T](e, 2*len(x))
		g, product = space[:len(x)], space[len(x):]
		if act == Identity {
			g = dy
		}
		if dx != nil {
			product = dx // until the second pass
		}
		sums.reset(rows, 2*cols)
		if rows > 0 {
			kernel.Parallel(sums.n, 1, first)
		}
		sum, dot = resized(sum, cols), resized(dot, cols)
		a, b, k = resized(a, cols), resized(b, cols), resized(k, cols)
		total, n := sums.total(), float64(max(rows, 1))
		for c := range cols {
			r := float64(rstd[c])
			sum[c], dot[c] = float64(total[c]), float64(total[cols+c])*r
			s := r
			if gamma != nil {
				s *= float64(gamma[c])
			}
			a[c], b[c], k[c] = T(s), T(-s*dot[c]/n*r), T(-s*sum[c]/n)
		}
		if dx != nil {
			kernel.Parallel(rows, rowGrain(cols), second)
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
