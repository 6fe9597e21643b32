package graph

import (
	"fmt"

	"github.com/millrace/millrace/core/kernel"
	"gorgonia.org/gorgonia"
)

// PairDots returns the inner products ⟨v_f, v_g⟩ of all pairs of fields, [B, fields·(fields−1)/2], in order (0,1), (0,2), …, (1,2), …:
// x [B, fields·d] holds the vectors v_f side by side (the interaction of DLRM, 2019; without its weights that of FwFM, WWW 2018).
func PairDots(x *Node, fields int) *Node {
	fieldWidth("PairDots", x, fields)
	if fields < 2 {
		fail("PairDots: one field has no pairs")
	}
	return apply(pairDotsOp{fields}, []shape{{x.rows, pairs(fields), false}}, x)
}

// pairs returns how many pairs so many fields make.
func pairs(fields int) int { return fields * (fields - 1) / 2 }

type pairDotsOp struct{ fields int }

func (o pairDotsOp) String() string {
	return fmt.Sprintf("inner products of %d fields", o.fields)
}

func (o pairDotsOp) rows(_ *env, in []*Tensor, out []int) error { return sameRows(in, out, 0) }

func (o pairDotsOp) differentiable(int) []bool { return all(1) }

func (o pairDotsOp) grads(d *derivation) []*gorgonia.Node {
	return d.apply(pairDotsGrad{fields: o.fields}, d.in, d.in[0], d.grad)
}

func (o pairDotsOp) runner(e *env) runner {
	return pick(e, pairDots[float32](o.fields), pairDots[float64](o.fields))
}

func pairDots[T kernel.Float](fields int) runner {
	var x, p []T
	var d int
	part := func(lo, hi int) {
		at := lo * pairs(fields)
		for r := lo; r < hi; r++ {
			xr := x[r*fields*d : (r+1)*fields*d]
			for f := range fields {
				for g := f + 1; g < fields; g++ {
					p[at] = kernel.Dot(xr[f*d:(f+1)*d], xr[g*d:(g+1)*d])
					at++
				}
			}
		}
	}
	return func(in, out []*Tensor) {
		x, p, d = data[T](in[0]), data[T](out[0]), in[0].Cols/fields
		kernel.Parallel(in[0].Rows, rowGrain(pairs(fields)*d), part)
	}
}

// pairDotsGrad: (x, dp) → dx with dv_f = Σ_{g≠f} dp_fg·v_g.
type pairDotsGrad struct {
	backward
	fields int
}

func (o pairDotsGrad) String() string { return pairDotsOp{o.fields}.String() + " gradient" }

func (o pairDotsGrad) rows(_ *env, in []*Tensor, out []int) error { return sameRows(in, out, 0) }

func (o pairDotsGrad) runner(e *env) runner {
	return pick(e, pairDotsBackward[float32](o.fields), pairDotsBackward[float64](o.fields))
}

func pairDotsBackward[T kernel.Float](fields int) runner {
	var x, dp, dx []T
	var d int
	part := func(lo, hi int) {
		clear(dx[lo*fields*d : hi*fields*d])
		at := lo * pairs(fields)
		for r := lo; r < hi; r++ {
			xr, dr := x[r*fields*d:(r+1)*fields*d], dx[r*fields*d:(r+1)*fields*d]
			for f := range fields {
				for g := f + 1; g < fields; g++ {
					kernel.Axpy(dp[at], xr[g*d:(g+1)*d], dr[f*d:(f+1)*d])
					kernel.Axpy(dp[at], xr[f*d:(f+1)*d], dr[g*d:(g+1)*d])
					at++
				}
			}
		}
	}
	return func(in, out []*Tensor) {
		x, dp, dx, d = data[T](in[0]), data[T](in[1]), data[T](out[0]), in[0].Cols/fields
		kernel.Parallel(in[0].Rows, rowGrain(2*pairs(fields)*d), part)
	}
}
