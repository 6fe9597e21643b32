package graph

import (
	"github.com/millrace/millrace/core/kernel"
	"gorgonia.org/gorgonia"
)

// Dice is DIN's activation p·x + (1−p)·alpha·x with p = sigmoid((x−mean)/sqrt(var+eps)) (KDD 2018, equation 3); statistics as in BatchNorm. alpha [1, cols].
func Dice(x, alpha *Node, s *Stats, eps, momentum float64) *Node {
	s.check("Dice", x)
	rowOf("Dice", "alpha", alpha, x.Cols)
	outs := []shape{{x.rows, x.Cols, false}, fixed(1, x.Cols), fixed(1, x.Cols), {x.rows, x.Cols, false}}
	return apply(diceOp{normSpec{s, eps, momentum}}, outs, x, alpha)
}

// diceOp: (x, alpha) → y, mean, rstd, p.
type diceOp struct{ normSpec }

func (o diceOp) String() string { return "dice" }

func (o diceOp) rows(_ *env, in []*Tensor, out []int) error {
	out[0], out[1], out[2], out[3] = in[0].Rows, 1, 1, in[0].Rows
	return nil
}

func (o diceOp) differentiable(int) []bool { return all(2) }

func (o diceOp) grads(d *derivation) []*gorgonia.Node {
	return d.apply(diceGrad{}, d.in, d.in[0], d.in[1], d.aux(1), d.aux(2), d.aux(3), d.grad)
}

func (o diceOp) runner(e *env) runner {
	return pick(e, dice[float32](o.normSpec, e.training), dice[float64](o.normSpec, e.training))
}

func dice[T kernel.Float](spec normSpec, training bool) runner {
	m := newMoments[T](spec, training)
	var x, alpha, rest, y, p []T // rest: 1 − alpha
	part := func(lo, hi int) {
		cols := len(alpha)
		for r := lo; r < hi; r++ {
			xr := x[r*cols : (r+1)*cols]
			var pr, yr []T
			if y != nil {
				yr = y[r*cols : (r+1)*cols]
				pr = yr
			}
			if p != nil {
				pr = p[r*cols : (r+1)*cols]
			}
			kernel.Sub(pr, xr, m.mean)
			kernel.Mul(pr, pr, m.rstd)
			kernel.Sigmoid(pr, pr)
			if y == nil {
				continue
			}
			kernel.Mul(yr, pr, rest)
			kernel.Add(yr, yr, alpha)
			kernel.Mul(yr, yr, xr)
		}
	}
	return func(in, out []*Tensor) {
		m.run(in[0], out[1], out[2])
		x, alpha, y, p = data[T](in[0]), data[T](in[1]), dataOrNil[T](out[0]), dataOrNil[T](out[3])
		rest = resized(rest, len(alpha))
		for c, v := range alpha {
			rest[c] = 1 - v
		}
		if y != nil || p != nil {
			kernel.Parallel(in[0].Rows, rowGrain(in[0].Cols), part)
		}
	}
}

// diceGrad: (x, alpha, mean, rstd, p, dy) → dx, dalpha.
type diceGrad struct{ backward }

func (diceGrad) String() string { return "dice gradient" }

func (diceGrad) rows(_ *env, in []*Tensor, out []int) error { return sameRows(in, out, 0, 1) }

func (diceGrad) runner(e *env) runner {
	return pick(e, diceBackward[float32](), diceBackward[float64]())
}

// With x̂ = (x−mean)·rstd and e = dy·x·p·(1−p), so that (1−alpha)·e is the gradient at x̂: dalpha = Σ dy·(1−p)·x,
// dx = dy·(p + alpha·(1−p)) + (1−alpha)·rstd·(e − Σe/n − x̂·Σ(e·x̂)/n).
func diceBackward[T kernel.Float]() runner {
	var x, alpha, mean, rstd, p, dy, dx []T
	var cols int
	var sums chunkSums[T]               // Σ dy·(1−p)·x, Σ e, Σ e·(x−mean)
	var space []T                       // [chunks, 2, cols]
	var rest, inner, shift, negTilt []T // 1−alpha, (1−alpha)·rstd, and what the sums take from each row
	first := func(from, to int) {
		for i := from; i < to; i++ {
			slope, sum, dot := sums.of(i)[:cols], sums.of(i)[cols:2*cols], sums.of(i)[2*cols:]
			t, e := space[2*i*cols:(2*i+1)*cols], space[(2*i+1)*cols:(2*i+2)*cols]
			lo, hi := sums.rows(i)
			for r := lo; r < hi; r++ {
				xr, gr, pr := x[r*cols:(r+1)*cols], dy[r*cols:(r+1)*cols], p[r*cols:(r+1)*cols]
				kernel.Mul(t, gr, xr)
				kernel.Add(slope, slope, t)
				kernel.SigmoidGrad(e, t, pr)
				kernel.Mul(t, t, pr)
				kernel.Sub(slope, slope, t)
				kernel.Add(sum, sum, e)
				kernel.Sub(t, xr, mean)
				kernel.MulAdd(dot, t, e)
			}
		}
	}
	second := func(from, to int) {
		for i := from; i < to; i++ {
			t := space[2*i*cols : (2*i+1)*cols]
			lo, hi := sums.rows(i)
			for r := lo; r < hi; r++ {
				xr, gr, pr, dr := x[r*cols:(r+1)*cols], dy[r*cols:(r+1)*cols], p[r*cols:(r+1)*cols], dx[r*cols:(r+1)*cols]
				kernel.Mul(t, pr, rest)
				kernel.Add(t, t, alpha)
				kernel.Mul(dr, t, gr)
				kernel.Mul(t, gr, xr)
				kernel.SigmoidGrad(t, t, pr)
				kernel.MulAdd(dr, t, inner)
				kernel.Sub(t, xr, mean)
				kernel.MulAdd(dr, t, negTilt)
				kernel.Sub(dr, dr, shift)
			}
		}
	}
	return func(in, out []*Tensor) {
		x, alpha, mean, rstd, p, dy = data[T](in[0]), data[T](in[1]), data[T](in[2]), data[T](in[3]), data[T](in[4]), data[T](in[5])
		cols = len(alpha)
		sums.reset(in[0].Rows, 3*cols)
		space = resized(space, 2*sums.n*cols)
		kernel.Parallel(sums.n, 1, first)
		total, n := sums.total(), float64(max(in[0].Rows, 1))
		if out[1] != nil {
			copy(data[T](out[1]), total[:cols])
		}
		if dx = dataOrNil[T](out[0]); dx == nil {
			return
		}
		rest, inner, shift, negTilt = resized(rest, cols), resized(inner, cols), resized(shift, cols), resized(negTilt, cols)
		for c := range cols {
			r, a := float64(rstd[c]), 1-float64(alpha[c])
			rest[c], inner[c] = T(a), T(a*r)
			shift[c] = T(a * r * float64(total[cols+c]) / n)
			negTilt[c] = T(-a * r * r * r * float64(total[2*cols+c]) / n)
		}
		kernel.Parallel(sums.n, 1, second)
	}
}
