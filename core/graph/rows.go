package graph

import (
	"fmt"

	"github.com/millrace/millrace/core/kernel"
	"gorgonia.org/gorgonia"
)

// AddRow adds a [1, cols] row to every row of x.
func AddRow(x, row *Node) *Node {
	rowOf("AddRow", "row", row, x.Cols)
	return apply(addRowOp{}, []shape{{x.rows, x.Cols, false}}, x, row)
}

type addRowOp struct{}

func (addRowOp) String() string { return "add row" }

func (addRowOp) rows(_ *env, in []*Tensor, out []int) error { return sameRows(in, out, 0) }

func (addRowOp) differentiable(int) []bool { return all(2) }

func (addRowOp) grads(d *derivation) []*gorgonia.Node {
	return gorgonia.Nodes{d.grad, d.apply(colSumOp{}, d.in[1:], d.grad)[0]}
}

func (addRowOp) runner(e *env) runner {
	return pick(e, addRow[float32](), addRow[float64]())
}

func addRow[T kernel.Float]() runner {
	var x, row, y []T
	part := func(lo, hi int) {
		cols := len(row)
		for r := lo; r < hi; r++ {
			kernel.Add(y[r*cols:(r+1)*cols], x[r*cols:(r+1)*cols], row)
		}
	}
	return func(in, out []*Tensor) {
		x, row, y = data[T](in[0]), data[T](in[1]), data[T](out[0])
		kernel.Parallel(in[0].Rows, rowGrain(len(row)), part)
	}
}

// colSumOp: dy [B, cols] → [1, cols].
type colSumOp struct{ backward }

func (colSumOp) String() string { return "column sum" }

func (colSumOp) rows(_ *env, _ []*Tensor, out []int) error {
	out[0] = 1
	return nil
}

func (colSumOp) runner(e *env) runner { return pick(e, colSum[float32](), colSum[float64]()) }

func colSum[T kernel.Float]() runner {
	sums := newColSums[T]()
	return func(in, out []*Tensor) {
		sums.run(data[T](out[0]), data[T](in[0]), in[0].Rows, in[0].Cols)
	}
}

// Repeat turns a row [1, cols] into [B, cols], with B the rows of like: a learned vector shared by the batch.
func Repeat(row, like *Node) *Node {
	if row.rows != 1 {
		fail("Repeat: %v is not one row", shape{rows: row.rows, cols: row.Cols})
	}
	return apply(repeatOp{}, []shape{{like.rows, row.Cols, false}}, row, like)
}

type repeatOp struct{}

func (repeatOp) String() string { return "repeat" }

func (repeatOp) rows(_ *env, in []*Tensor, out []int) error { return sameRows(in, out, 1) }

func (repeatOp) differentiable(int) []bool { return []bool{true, false} }

func (repeatOp) grads(d *derivation) []*gorgonia.Node {
	return gorgonia.Nodes{d.apply(colSumOp{}, d.in[:1], d.grad)[0], nil}
}

func (repeatOp) runner(e *env) runner { return pick(e, repeat[float32](), repeat[float64]()) }

func repeat[T kernel.Float]() runner {
	var row, y []T
	part := func(lo, hi int) {
		for r := lo; r < hi; r++ {
			copy(y[r*len(row):(r+1)*len(row)], row)
		}
	}
	return func(in, out []*Tensor) {
		row, y = data[T](in[0]), data[T](out[0])
		kernel.Parallel(out[0].Rows, rowGrain(len(row)), part)
	}
}

// RowSum returns the sum over the columns, [B, 1].
func RowSum(x *Node) *Node { return apply(rowSumOp{}, []shape{{x.rows, 1, false}}, x) }

type rowSumOp struct{}

func (rowSumOp) String() string { return "row sum" }

func (rowSumOp) rows(_ *env, in []*Tensor, out []int) error { return sameRows(in, out, 0) }

func (rowSumOp) differentiable(int) []bool { return all(1) }

func (rowSumOp) grads(d *derivation) []*gorgonia.Node {
	return d.apply(spreadOp{cols: d.in[0].Shape()[1]}, d.in, d.grad)
}

func (rowSumOp) runner(e *env) runner { return pick(e, rowSum[float32](), rowSum[float64]()) }

func rowSum[T kernel.Float]() runner {
	var x, y []T
	var cols int
	part := func(lo, hi int) {
		for r := lo; r < hi; r++ {
			y[r] = T(kernel.Sum(x[r*cols : (r+1)*cols]))
		}
	}
	return func(in, out []*Tensor) {
		x, y, cols = data[T](in[0]), data[T](out[0]), in[0].Cols
		kernel.Parallel(in[0].Rows, rowGrain(cols), part)
	}
}

// spreadOp: dy [B, 1] → [B, cols], each row one number.
type spreadOp struct {
	backward
	cols int
}

func (o spreadOp) String() string { return fmt.Sprintf("spread to %d", o.cols) }

func (o spreadOp) rows(_ *env, in []*Tensor, out []int) error { return sameRows(in, out, 0) }

func (o spreadOp) runner(e *env) runner { return pick(e, spread[float32](), spread[float64]()) }

func spread[T kernel.Float]() runner {
	var x, y []T
	var cols int
	part := func(lo, hi int) {
		for r := lo; r < hi; r++ {
			row := y[r*cols : (r+1)*cols]
			for c := range row {
				row[c] = x[r]
			}
		}
	}
	return func(in, out []*Tensor) {
		x, y, cols = data[T](in[0]), data[T](out[0]), out[0].Cols
		kernel.Parallel(in[0].Rows, rowGrain(cols), part)
	}
}
