package graph

import (
	"math"

	"github.com/millrace/millrace/core/kernel"
	"github.com/millrace/millrace/core/onnx"
	"gorgonia.org/gorgonia"
)

// unitFloor keeps the length of a row that is zero from being divided by.
const unitFloor = 1e-12

// UnitRows divides each row by its length, y = x/√(‖x‖² + 10⁻¹²): [B, cols]. The inner product of two such rows is their cosine.
func UnitRows(x *Node) *Node {
	return apply(unitRowsOp{}, []shape{{x.rows, x.Cols, false}, {x.rows, 1, false}}, x)
}

// unitRowsOp: x → y, 1/length.
type unitRowsOp struct{}

func (unitRowsOp) String() string { return "unit rows" }

func (unitRowsOp) rows(_ *env, in []*Tensor, out []int) error { return sameRows(in, out, 0, 0) }

func (unitRowsOp) differentiable(int) []bool { return all(1) }

func (unitRowsOp) grads(d *derivation) []*gorgonia.Node {
	return d.apply(unitRowsGrad{}, d.in, d.out, d.aux(1), d.grad)
}

func (unitRowsOp) runner(e *env) runner { return pick(e, unitRows[float32](), unitRows[float64]()) }

func unitRows[T kernel.Float]() runner {
	var x, y, inverse []T
	var cols int
	part := func(lo, hi int) {
		for r := lo; r < hi; r++ {
			xr := x[r*cols : (r+1)*cols]
			by := T(1 / math.Sqrt(kernel.SumSquares(xr)+unitFloor))
			if inverse != nil {
				inverse[r] = by
			}
			if y != nil {
				yr := y[r*cols : (r+1)*cols]
				copy(yr, xr)
				kernel.Scale(by, yr)
			}
		}
	}
	return func(in, out []*Tensor) {
		x, y, inverse, cols = data[T](in[0]), dataOrNil[T](out[0]), dataOrNil[T](out[1]), in[0].Cols
		kernel.Parallel(in[0].Rows, rowGrain(cols), part)
	}
}

// unitRowsGrad: (y, 1/length, dy) → dx = (dy − y·⟨y, dy⟩)/length.
type unitRowsGrad struct{ backward }

func (unitRowsGrad) String() string { return "unit rows gradient" }

func (unitRowsGrad) rows(_ *env, in []*Tensor, out []int) error { return sameRows(in, out, 0) }

func (unitRowsGrad) runner(e *env) runner {
	return pick(e, unitRowsBackward[float32](), unitRowsBackward[float64]())
}

func unitRowsBackward[T kernel.Float]() runner {
	var y, inverse, dy, dx []T
	var cols int
	part := func(lo, hi int) {
		for r := lo; r < hi; r++ {
			yr, gr, to := y[r*cols:(r+1)*cols], dy[r*cols:(r+1)*cols], dx[r*cols:(r+1)*cols]
			along := kernel.Dot(yr, gr)
			for c, v := range yr {
				to[c] = inverse[r] * (gr[c] - v*along)
			}
		}
	}
	return func(in, out []*Tensor) {
		y, inverse, dy, dx, cols = data[T](in[0]), data[T](in[1]), data[T](in[2]), data[T](out[0]), in[0].Cols
		kernel.Parallel(in[0].Rows, rowGrain(cols), part)
	}
}

func (unitRowsOp) onnx(x *ONNX, in []onnxInput) onnx.Value {
	a := in[0].Value
	return x.op("Div", a, x.op("Sqrt", x.add(x.reduce("ReduceSum", x.mul(a, a), 1, true), x.number(unitFloor))))
}
