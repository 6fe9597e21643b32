package graph

import (
	"gorgonia.org/gorgonia"

	"github.com/millrace/millrace/core/onnx"
)

// Leaves are the inputs and parameters that outputs are computed from, and of each the columns: a tower of a model reads only its own fields' columns of the
// input that all fields share.
func Leaves(outputs ...*Node) map[*Node][]bool {
	leaves := map[*Node][]bool{}
	if len(outputs) == 0 {
		return leaves
	}
	g := outputs[0].g
	var wanted gorgonia.Nodes
	for _, n := range outputs {
		wanted = append(wanted, n.expr)
	}
	needed := reachable(g.expr, wanted)
	columns := map[*gorgonia.Node][]bool{}
	need := func(n *gorgonia.Node, from, to int) {
		if columns[n] == nil {
			columns[n] = make([]bool, colsOf(n))
		}
		for c := from; c < to; c++ {
			columns[n][c] = true
		}
	}
	for _, n := range wanted {
		need(n, 0, colsOf(n))
	}
	all := g.expr.AllNodes() // inputs come first
	for i := len(all) - 1; i >= 0; i-- {
		n := all[i]
		if !needed[n] {
			continue
		}
		if l := g.leaves[n]; l != nil {
			leaves[l] = columns[n]
			continue
		}
		in := children(g.expr, n)
		at := 0 // of the columns that stand for this input's
		for k, c := range in {
			switch op := n.Op().(*output).op.(type) {
			case sliceOp:
				at = -op.from
			case concatOp:
			case fieldLinearOp:
				if k > 0 {
					need(c, 0, colsOf(c))
					continue
				}
				wide, narrow := colsOf(n)/op.fields, colsOf(c)/op.fields
				for col, used := range columns[n] {
					if f := col / wide; used {
						need(c, f*narrow, (f+1)*narrow)
					}
				}
				continue
			default:
				need(c, 0, colsOf(c))
				continue
			}
			for col := range colsOf(c) {
				if j := at + col; j >= 0 && j < len(columns[n]) && columns[n][j] {
					need(c, col, col+1)
				}
			}
			at += colsOf(c)
		}
	}
	return leaves
}

func colsOf(n *gorgonia.Node) int {
	if n.IsScalar() {
		return 1
	}
	return n.Shape()[1]
}

// Columns are some columns of a value, side by side with others. Without a value they are columns that nothing reads.
type Columns struct {
	Value onnx.Value
	Cols  int
}

// BindColumns is Bind for an input that is put together of columns. Those that an output does not need (Leaves) may be left without a value.
func (x *ONNX) BindColumns(n *Node, columns []Columns) { x.columnsOf[n.expr] = columns }

// parts are the columns that a value is put together of: what lies side by side is joined only where an operation reads it as one.
func (x *ONNX) parts(n *gorgonia.Node) []Columns {
	if v := x.values[n]; v != "" {
		return []Columns{{v, colsOf(n)}}
	}
	return x.columnsOf[n]
}

// value returns a value as one.
func (x *ONNX) value(n *gorgonia.Node) onnx.Value {
	if x.values[n] == "" {
		x.values[n] = x.join(x.columnsOf[n])
	}
	return x.values[n]
}

// join puts columns side by side, zeros in the place of those without a value.
func (x *ONNX) join(parts []Columns) onnx.Value {
	var rows onnx.Value
	var values []onnx.Value
	for _, p := range parts {
		if p.Value != "" {
			rows = x.rowsOf(p.Value)
			break
		}
	}
	for _, p := range parts {
		if p.Value == "" {
			p.Value = x.op("Expand", x.number(0), x.concat(0, rows, x.to.Ints(int64(p.Cols))))
		}
		values = append(values, p.Value)
	}
	return x.concat(1, values...)
}

// rowsOf is the number of a value's rows, int64 [1].
func (x *ONNX) rowsOf(a onnx.Value) onnx.Value {
	return x.to.OpWith("Shape", []onnx.Attribute{onnx.Int("start", 0), onnx.Int("end", 1)}, a)
}

// selected are the columns [from, to) of columns.
func (x *ONNX) selected(parts []Columns, from, to int) []Columns {
	var out []Columns
	at := 0
	for _, p := range parts {
		lo, hi := max(from-at, 0), min(to-at, p.Cols)
		at += p.Cols
		if lo >= hi {
			continue
		}
		if p.Value != "" && hi-lo < p.Cols {
			p.Value = x.columns(p.Value, lo, hi)
		}
		out = append(out, Columns{p.Value, hi - lo})
	}
	return out
}
