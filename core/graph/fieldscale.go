package graph

import (
	"fmt"

	"github.com/millrace/millrace/core/kernel"
	"gorgonia.org/gorgonia"
)

// FieldSum returns scale times the sum over each field's own columns, [B, fields]: x [B, fields·d]. With scale 1/d it is the squeeze of SENET, with 1 the pooling of CIN.
func FieldSum(x *Node, fields int, scale float64) *Node {
	fieldWidth("FieldSum", x, fields)
	return apply(fieldSumOp{fields, scale}, []shape{{x.rows, fields, false}}, x)
}

type fieldSumOp struct {
	fields int
	scale  float64
}

func (o fieldSumOp) String() string {
	return fmt.Sprintf("%g times the sums of %d fields", o.scale, o.fields)
}

func (o fieldSumOp) rows(_ *env, in []*Tensor, out []int) error { return sameRows(in, out, 0) }

func (o fieldSumOp) differentiable(int) []bool { return all(1) }

func (o fieldSumOp) grads(d *derivation) []*gorgonia.Node {
	return d.apply(fieldSumGrad{of: o}, d.in, d.grad)
}

func (o fieldSumOp) runner(e *env) runner {
	return pick(e, fieldSum[float32](o.scale), fieldSum[float64](o.scale))
}

func fieldSum[T kernel.Float](scale float64) runner {
	var x, y []T
	var d int
	part := func(lo, hi int) {
		for i := lo; i < hi; i++ {
			y[i] = T(scale * kernel.Sum(x[i*d:(i+1)*d]))
		}
	}
	return func(in, out []*Tensor) {
		x, y, d = data[T](in[0]), data[T](out[0]), in[0].Cols/out[0].Cols
		kernel.Parallel(len(y), rowGrain(d), part)
	}
}

// fieldSumGrad: dy [B, fields] → dx [B, fields·d].
type fieldSumGrad struct {
	backward
	of fieldSumOp
}

func (o fieldSumGrad) String() string { return o.of.String() + " gradient" }

func (o fieldSumGrad) rows(_ *env, in []*Tensor, out []int) error { return sameRows(in, out, 0) }

func (o fieldSumGrad) runner(e *env) runner {
	return pick(e, fieldSpread[float32](o.of.scale), fieldSpread[float64](o.of.scale))
}

func fieldSpread[T kernel.Float](scale float64) runner {
	var dy, dx []T
	var d int
	part := func(lo, hi int) {
		for i := lo; i < hi; i++ {
			v, to := T(scale)*dy[i], dx[i*d:(i+1)*d]
			for c := range to {
				to[c] = v
			}
		}
	}
	return func(in, out []*Tensor) {
		dy, dx, d = data[T](in[0]), data[T](out[0]), out[0].Cols/in[0].Cols
		kernel.Parallel(len(dy), rowGrain(d), part)
	}
}

// FieldScale multiplies each field's columns by the field's own factor: x [B, fields·d], a [B, fields] → [B, fields·d] (the re-weighting of SENET; the gates of a mixture of experts).
func FieldScale(x, a *Node) *Node {
	fieldWidth("FieldScale", x, a.Cols)
	return apply(fieldScaleOp{}, []shape{{max(x.rows, a.rows), x.Cols, false}}, x, a)
}

type fieldScaleOp struct{}

func (fieldScaleOp) String() string { return "fields by factors" }

func (fieldScaleOp) rows(_ *env, in []*Tensor, out []int) error {
	out[0] = in[0].Rows
	return equalRows(in...)
}

func (fieldScaleOp) differentiable(int) []bool { return all(2) }

func (fieldScaleOp) grads(d *derivation) []*gorgonia.Node {
	return d.apply(fieldScaleGrad{}, d.in, d.in[0], d.in[1], d.grad)
}

func (fieldScaleOp) runner(e *env) runner {
	return pick(e, fieldScale[float32](), fieldScale[float64]())
}

func fieldScale[T kernel.Float]() runner {
	var x, a, y []T
	var d int
	part := func(lo, hi int) {
		copy(y[lo*d:hi*d], x[lo*d:hi*d])
		for i := lo; i < hi; i++ {
			kernel.Scale(a[i], y[i*d:(i+1)*d])
		}
	}
	return func(in, out []*Tensor) {
		x, a, y, d = data[T](in[0]), data[T](in[1]), data[T](out[0]), in[0].Cols/in[1].Cols
		kernel.Parallel(len(a), rowGrain(d), part)
	}
}

// fieldScaleGrad: (x, a, dy) → dx = a·dy, da = ⟨x, dy⟩ of each field.
type fieldScaleGrad struct{ backward }

func (fieldScaleGrad) String() string { return "fields by factors gradient" }

func (fieldScaleGrad) rows(_ *env, in []*Tensor, out []int) error { return sameRows(in, out, 0, 1) }

func (fieldScaleGrad) runner(e *env) runner {
	return pick(e, fieldScaleBackward[float32](), fieldScaleBackward[float64]())
}

func fieldScaleBackward[T kernel.Float]() runner {
	var x, a, dy, dx, da []T
	var d int
	part := func(lo, hi int) {
		for i := lo; i < hi; i++ {
			if da != nil {
				da[i] = kernel.Dot(x[i*d:(i+1)*d], dy[i*d:(i+1)*d])
			}
			if dx != nil {
				copy(dx[i*d:(i+1)*d], dy[i*d:(i+1)*d])
				kernel.Scale(a[i], dx[i*d:(i+1)*d])
			}
		}
	}
	return func(in, out []*Tensor) {
		x, a, dy, dx, da = data[T](in[0]), data[T](in[1]), data[T](in[2]), dataOrNil[T](out[0]), dataOrNil[T](out[1])
		d = in[0].Cols / in[1].Cols
		kernel.Parallel(len(a), rowGrain(d), part)
	}
}
