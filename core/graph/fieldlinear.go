package graph

import (
	"fmt"

	"github.com/millrace/millrace/core/kernel"
	"gorgonia.org/gorgonia"
)

// FieldLinear maps each field's own columns by the field's own matrix, no bias: x [B, fields·g], w [fields·g, d] → [B, fields·d], where the
// columns of field f are x's [f·g, (f+1)·g) and w's rows of the same numbers. It embeds numeric fields.
func FieldLinear(x, w *Node, fields int) *Node {
	if fields < 1 || x.Cols%fields != 0 || w.rows != x.Cols {
		fail("FieldLinear: %d fields, x has %d columns, w %d rows", fields, x.Cols, w.rows)
	}
	return apply(fieldLinearOp{fields}, []shape{{x.rows, fields * w.Cols, false}}, x, w)
}

type fieldLinearOp struct{ fields int }

func (o fieldLinearOp) String() string { return fmt.Sprintf("linear of %d fields", o.fields) }

func (o fieldLinearOp) rows(_ *env, in []*Tensor, out []int) error { return sameRows(in, out, 0) }

func (o fieldLinearOp) differentiable(int) []bool { return all(2) }

func (o fieldLinearOp) grads(d *derivation) []*gorgonia.Node {
	return d.apply(fieldLinearGrad{fields: o.fields}, d.in, d.in[0], d.in[1], d.grad)
}

func (o fieldLinearOp) runner(e *env) runner {
	return pick(e, fieldLinear[float32](o.fields), fieldLinear[float64](o.fields))
}

func fieldLinear[T kernel.Float](fields int) runner {
	var x, w, y []T
	var g, d int
	part := func(lo, hi int) {
		clear(y[lo*fields*d : hi*fields*d])
		for i := lo * fields; i < hi*fields; i++ {
			f := i % fields
			for c, v := range x[i*g : (i+1)*g] {
				if v != 0 {
					kernel.Axpy(v, w[(f*g+c)*d:(f*g+c+1)*d], y[i*d:(i+1)*d])
				}
			}
		}
	}
	return func(in, out []*Tensor) {
		x, w, y = data[T](in[0]), data[T](in[1]), data[T](out[0])
		g, d = in[0].Cols/fields, in[1].Cols
		kernel.Parallel(in[0].Rows, rowGrain(out[0].Cols), part)
	}
}

// fieldLinearGrad: (x, w, dy) → dx, dw.
type fieldLinearGrad struct {
	backward
	fields int
}

func (o fieldLinearGrad) String() string {
	return fmt.Sprintf("linear of %d fields gradient", o.fields)
}

func (o fieldLinearGrad) rows(_ *env, in []*Tensor, out []int) error {
	return sameRows(in, out, 0, 1)
}

func (o fieldLinearGrad) runner(e *env) runner {
	return pick(e, fieldLinearBackward[float32](o.fields), fieldLinearBackward[float64](o.fields))
}

func fieldLinearBackward[T kernel.Float](fields int) runner {
	var x, w, dy, dx, dw []T
	var g, d, rows int
	inputs := func(lo, hi int) {
		for i := lo * fields; i < hi*fields; i++ {
			f := i % fields
			for c := range g {
				dx[i*g+c] = kernel.Dot(w[(f*g+c)*d:(f*g+c+1)*d], dy[i*d:(i+1)*d])
			}
		}
	}
	weights := func(lo, hi int) {
		clear(dw[lo*g*d : hi*g*d])
		for r := range rows {
			for f := lo; f < hi; f++ {
				i := r*fields + f
				for c, v := range x[i*g : (i+1)*g] {
					if v != 0 {
						kernel.Axpy(v, dy[i*d:(i+1)*d], dw[(f*g+c)*d:(f*g+c+1)*d])
					}
				}
			}
		}
	}
	return func(in, out []*Tensor) {
		x, w, dy, dx, dw = data[T](in[0]), data[T](in[1]), data[T](in[2]), dataOrNil[T](out[0]), dataOrNil[T](out[1])
		g, d, rows = in[0].Cols/fields, in[1].Cols, in[0].Rows
		if dx != nil {
			kernel.Parallel(rows, rowGrain(fields*d), inputs)
		}
		if dw != nil {
			kernel.Parallel(fields, max(elementGrain/max(rows*g*d, 1), 1), weights)
		}
	}
}
