package graph

import (
	"github.com/millrace/millrace/core/kernel"
	"gorgonia.org/gorgonia"
)

// RowSoftmax returns the softmax over the columns of each row, [B, cols]: the gate of a mixture of experts.
func RowSoftmax(x *Node) *Node {
	return apply(rowSoftmaxOp{}, []shape{{x.rows, x.Cols, false}}, x)
}

type rowSoftmaxOp struct{}

func (rowSoftmaxOp) String() string { return "softmax of rows" }

func (rowSoftmaxOp) rows(_ *env, in []*Tensor, out []int) error { return sameRows(in, out, 0) }

func (rowSoftmaxOp) differentiable(int) []bool { return all(1) }

func (rowSoftmaxOp) grads(d *derivation) []*gorgonia.Node {
	return d.apply(rowSoftmaxGrad{}, d.in, d.out, d.grad)
}

func (rowSoftmaxOp) runner(e *env) runner {
	return pick(e, rowSoftmax[float32](), rowSoftmax[float64]())
}

func rowSoftmax[T kernel.Float]() runner {
	var x, y []T
	var cols int
	part := func(lo, hi int) {
		for r := lo; r < hi; r++ {
			kernel.SoftmaxRow(y[r*cols:(r+1)*cols], x[r*cols:(r+1)*cols])
		}
	}
	return func(in, out []*Tensor) {
		x, y, cols = data[T](in[0]), data[T](out[0]), in[0].Cols
		kernel.Parallel(in[0].Rows, rowGrain(cols), part)
	}
}

// rowSoftmaxGrad: (y, dy) → dx = y∘(dy − ⟨y, dy⟩).
type rowSoftmaxGrad struct{ backward }

func (rowSoftmaxGrad) String() string { return "softmax of rows gradient" }

func (rowSoftmaxGrad) rows(_ *env, in []*Tensor, out []int) error { return sameRows(in, out, 0) }

func (rowSoftmaxGrad) runner(e *env) runner {
	return pick(e, rowSoftmaxBackward[float32](), rowSoftmaxBackward[float64]())
}

func rowSoftmaxBackward[T kernel.Float]() runner {
	var y, dy, dx []T
	var cols int
	part := func(lo, hi int) {
		for r := lo; r < hi; r++ {
			yr, gr := y[r*cols:(r+1)*cols], dy[r*cols:(r+1)*cols]
			dot := kernel.Dot(yr, gr)
			for c, v := range yr {
				dx[r*cols+c] = v * (gr[c] - dot)
			}
		}
	}
	return func(in, out []*Tensor) {
		y, dy, dx, cols = data[T](in[0]), data[T](in[1]), data[T](out[0]), in[0].Cols
		kernel.Parallel(in[0].Rows, rowGrain(cols), part)
	}
}
