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

// With x̂ = (x−mean)·rstd and e = dy·x·(1−alpha)·p·(1−p), the gradient at x̂: dalpha = Σ dy·(1−p)·x,
// dx = dy·(p + alpha·(1−p)) + rstd·(e − Σe/n − x̂·Σ(e·x̂)/n).
func diceBackward[T kernel.Float]() runner {
	var x, alpha, mean, rstd, p, dy, dx []T
	var rows int
	var slope, sum, dot []float64
	var shift, tilt []T
	columns := func(lo, hi int) {
		cols := len(alpha)
		sl, su, do := slope[lo:hi], sum[lo:hi], dot[lo:hi]
		clear(sl)
		clear(su)
		clear(do)
		m := mean[lo:hi]
		for r := range rows {
			xr, gr, pr := x[r*cols+lo:r*cols+hi], dy[r*cols+lo:r*cols+hi], p[r*cols+lo:r*cols+hi]
			for c, q := range pr {
				u := gr[c] * xr[c] * (1 - q)
				sl[c] += float64(u)
				e := u * q
				su[c] += float64(e)
				do[c] += float64(e * (xr[c] - m[c]))
			}
		}
		n := float64(rows)
		for c := lo; c < hi; c++ { // sum and dot still lack the factors 1−alpha and rstd
			r, rest := float64(rstd[c]), 1-float64(alpha[c])
			shift[c] = T(rest * r * sum[c] / n)
			tilt[c] = T(rest * r * r * r * dot[c] / n)
		}
	}
	part := func(lo, hi int) {
		cols := len(alpha)
		for r := lo; r < hi; r++ {
			xr, gr, pr, dr := x[r*cols:(r+1)*cols], dy[r*cols:(r+1)*cols], p[r*cols:(r+1)*cols], dx[r*cols:(r+1)*cols]
			for c := range dr {
				rest := 1 - alpha[c]
				e := xr[c] * rest * pr[c] * (1 - pr[c]) * rstd[c]
				dr[c] = gr[c]*(alpha[c]+pr[c]*rest+e) - shift[c] - (xr[c]-mean[c])*tilt[c]
			}
		}
	}
	return func(in, out []*Tensor) {
		x, alpha, mean, rstd, p, dy = data[T](in[0]), data[T](in[1]), data[T](in[2]), data[T](in[3]), data[T](in[4]), data[T](in[5])
		rows = in[0].Rows
		cols := len(alpha)
		slope, sum, dot = resized(slope, cols), resized(sum, cols), resized(dot, cols)
		shift, tilt = resized(shift, cols), resized(tilt, cols)
		kernel.Parallel(cols, colGrain(rows), columns)
		if dx = dataOrNil[T](out[0]); dx != nil {
			kernel.Parallel(rows, rowGrain(cols), part)
		}
		store(out[1], slope)
	}
}
