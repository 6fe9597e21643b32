package graph

import (
	"fmt"

	"gorgonia.org/gorgonia"
)

// SplitRows cuts each row into n rows: [B, n·cols] → [B·n, cols]. The fields of a batch become rows that share weights.
func SplitRows(x *Node, n int) *Node {
	if n < 1 || x.Cols%n != 0 {
		fail("SplitRows: %d columns into %d rows", x.Cols, n)
	}
	return apply(reshapeOp{n, 1}, []shape{{x.rows * n, x.Cols / n, false}}, x)
}

// JoinRows puts each n rows side by side: [B·n, cols] → [B, n·cols].
func JoinRows(x *Node, n int) *Node {
	if n < 1 || x.rows%n != 0 {
		fail("JoinRows: %d rows by %d", x.rows, n)
	}
	return apply(reshapeOp{1, n}, []shape{{x.rows / n, x.Cols * n, false}}, x)
}

// reshapeOp makes rows·split/join rows of the same elements.
type reshapeOp struct{ split, join int }

func (o reshapeOp) String() string { return fmt.Sprintf("reshape rows by %d/%d", o.split, o.join) }

func (o reshapeOp) rows(_ *env, in []*Tensor, out []int) error {
	if in[0].Rows%o.join != 0 {
		return fmt.Errorf("%d rows cannot be joined by %d", in[0].Rows, o.join)
	}
	out[0] = in[0].Rows * o.split / o.join
	return nil
}

func (o reshapeOp) differentiable(int) []bool { return all(1) }

func (o reshapeOp) grads(d *derivation) []*gorgonia.Node {
	return d.apply(reshapeOp{o.join, o.split}, d.in, d.grad)
}

func (o reshapeOp) runner(e *env) runner { return pick(e, scaled[float32](1), scaled[float64](1)) }
