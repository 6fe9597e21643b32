package graph

import (
	"fmt"

	"github.com/millrace/millrace/core/kernel"
	"gorgonia.org/gorgonia"
)

// FMInteraction returns Σ_{f<g} ⟨v_f, v_g⟩ = ½·Σ_c((Σ_f v_fc)² − Σ_f v_fc²), [B, 1]: x [B, fields·d] holds the vectors v_f side by side
// (Rendle, Factorization Machines, ICDM 2010, lemma 3.1).
func FMInteraction(x *Node, fields int) *Node {
	d := fieldWidth("FMInteraction", x, fields)
	return apply(fmOp{fields}, []shape{{x.rows, 1, false}, {x.rows, d, false}}, x)
}

// fieldWidth returns the width of each of the fields that x has side by side.
func fieldWidth(op string, x *Node, fields int) int {
	if fields < 1 || x.Cols%fields != 0 {
		fail("%s: %d columns are not those of %d fields", op, x.Cols, fields)
	}
	return x.Cols / fields
}

// fmOp: x → z, s with s = Σ_f v_f.
type fmOp struct{ fields int }

func (o fmOp) String() string { return fmt.Sprintf("FM interaction of %d fields", o.fields) }

func (o fmOp) rows(_ *env, in []*Tensor, out []int) error { return sameRows(in, out, 0, 0) }

func (o fmOp) differentiable(int) []bool { return all(1) }

func (o fmOp) grads(d *derivation) []*gorgonia.Node {
	return d.apply(fmGrad{fields: o.fields}, d.in, d.in[0], d.aux(1), d.grad)
}

func (o fmOp) runner(e *env) runner {
	return pick(e, fmForward[float32](o.fields), fmForward[float64](o.fields))
}

func fmForward[T kernel.Float](fields int) runner {
	var x, z, s []T
	var d int
	part := func(lo, hi int) {
		for r := lo; r < hi; r++ {
			xr, sr := x[r*fields*d:(r+1)*fields*d], s[r*d:(r+1)*d]
			copy(sr, xr)
			for f := 1; f < fields; f++ {
				kernel.Add(sr, sr, xr[f*d:(f+1)*d])
			}
			if z != nil {
				z[r] = T((kernel.SumSquares(sr) - kernel.SumSquares(xr)) / 2)
			}
		}
	}
	return func(in, out []*Tensor) {
		x, z, d = data[T](in[0]), dataOrNil[T](out[0]), in[0].Cols/fields
		s = own(s, out[1], in[0].Rows*d)
		kernel.Parallel(in[0].Rows, rowGrain(in[0].Cols), part)
	}
}

// fmGrad: (x, s, dz) → dx with dv_f = dz·(s − v_f).
type fmGrad struct {
	backward
	fields int
}

func (o fmGrad) String() string { return fmt.Sprintf("FM interaction of %d fields gradient", o.fields) }

func (o fmGrad) rows(_ *env, in []*Tensor, out []int) error { return sameRows(in, out, 0) }

func (o fmGrad) runner(e *env) runner {
	return pick(e, fmBackward[float32](o.fields), fmBackward[float64](o.fields))
}

func fmBackward[T kernel.Float](fields int) runner {
	var x, s, dz, dx []T
	var d int
	part := func(lo, hi int) {
		for r := lo; r < hi; r++ {
			sr := s[r*d : (r+1)*d]
			for f := range fields {
				at := (r*fields + f) * d
				kernel.Sub(dx[at:at+d], sr, x[at:at+d])
			}
			kernel.Scale(dz[r], dx[r*fields*d:(r+1)*fields*d])
		}
	}
	return func(in, out []*Tensor) {
		x, s, dz, dx, d = data[T](in[0]), data[T](in[1]), data[T](in[2]), data[T](out[0]), in[1].Cols
		kernel.Parallel(in[0].Rows, rowGrain(in[0].Cols), part)
	}
}
