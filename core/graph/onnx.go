package graph

import (
	"fmt"
	"math"
	"strings"

	"gorgonia.org/gorgonia"

	"github.com/millrace/millrace/core/onnx"
)

// ONNX writes values of graphs as nodes of standard ONNX operators, whose batch and ragged rows are free. What is written is what a plan of Compile computes:
// running statistics, no dropout. Inputs, parameters and lengths of segments are bound before what is computed from them is written.
type ONNX struct {
	to        *onnx.Graph
	values    map[*gorgonia.Node]onnx.Value
	columnsOf map[*gorgonia.Node][]Columns // of values that are not yet one
	lengths   map[*Ragged]onnx.Value
	ragged    map[*Ragged]*onnxSegments
}

// NewONNX returns a writer to a graph of the format.
func NewONNX(to *onnx.Graph) *ONNX {
	return &ONNX{
		to: to, values: map[*gorgonia.Node]onnx.Value{}, columnsOf: map[*gorgonia.Node][]Columns{},
		lengths: map[*Ragged]onnx.Value{}, ragged: map[*Ragged]*onnxSegments{},
	}
}

// Bind says which value of the format, a float32 [rows, cols], an input or parameter is.
func (x *ONNX) Bind(n *Node, v onnx.Value) { x.values[n.expr] = v }

// BindLengths says which value, an int64 [batch], holds the lengths of segments.
func (x *ONNX) BindLengths(r *Ragged, v onnx.Value) { x.lengths[r] = v }

// onnxForm is an operation that can be written as ONNX nodes: those of its first output. The others are for gradients.
type onnxForm interface {
	onnx(x *ONNX, in []onnxInput) onnx.Value
}

// onnxInput is an input of an operation with the shape the graph was built with; rows matter where they are fixed.
type onnxInput struct {
	onnx.Value
	rows, cols int
}

// Write adds the nodes that compute the outputs, and returns the outputs' values.
func (x *ONNX) Write(outputs ...*Node) (values []onnx.Value, err error) {
	defer recoverError(&err)
	defer x.to.Scope("")
	var wanted gorgonia.Nodes
	for _, n := range outputs {
		if n.g != outputs[0].g {
			return nil, fmt.Errorf("write ONNX: outputs of two graphs")
		}
		wanted = append(wanted, n.expr)
	}
	if len(outputs) == 0 {
		return nil, fmt.Errorf("write ONNX: no outputs")
	}
	g := outputs[0].g
	needed := reachable(g.expr, wanted)
	for _, n := range g.expr.AllNodes() {
		if !needed[n] || x.parts(n) != nil {
			continue
		}
		if l := g.leaves[n]; l != nil {
			return nil, fmt.Errorf("write ONNX: nothing is bound to %q", l.name)
		}
		if err := x.use(n, children(g.expr, n)); err != nil {
			return nil, fmt.Errorf("write ONNX: %w", err)
		}
	}
	for _, n := range outputs {
		values = append(values, x.value(n.expr))
	}
	return values, nil
}

// use writes the operation that makes n.
func (x *ONNX) use(n *gorgonia.Node, inputs gorgonia.Nodes) error {
	o := n.Op().(*output)
	switch op := o.op.(type) { // columns are joined only where they are read as one
	case concatOp:
		for _, c := range inputs {
			x.columnsOf[n] = append(x.columnsOf[n], x.parts(c)...)
		}
		return nil
	case sliceOp:
		x.columnsOf[n] = x.selected(x.parts(inputs[0]), op.from, op.from+op.cols)
		return nil
	}
	form, ok := o.op.(onnxForm)
	if !ok {
		return fmt.Errorf("operation %q has no ONNX form", o.op)
	}
	if o.index > 0 {
		return fmt.Errorf("output %d of operation %q has no ONNX form", o.index, o.op)
	}
	x.to.Scope(strings.NewReplacer(" ", "_", "/", "_").Replace(o.op.String()))
	var in []onnxInput
	for _, c := range inputs {
		v := onnxInput{Value: x.value(c), rows: 1, cols: colsOf(c)}
		if !c.IsScalar() {
			v.rows = c.Shape()[0]
		}
		in = append(in, v)
	}
	x.values[n] = form.onnx(x, in)
	return nil
}

// The words in which operations are written.

func (x *ONNX) op(op string, in ...onnx.Value) onnx.Value { return x.to.Op(op, in...) }

func (x *ONNX) add(a, b onnx.Value) onnx.Value    { return x.op("Add", a, b) }
func (x *ONNX) sub(a, b onnx.Value) onnx.Value    { return x.op("Sub", a, b) }
func (x *ONNX) mul(a, b onnx.Value) onnx.Value    { return x.op("Mul", a, b) }
func (x *ONNX) matmul(a, b onnx.Value) onnx.Value { return x.op("MatMul", a, b) }

// number is a float32 scalar.
func (x *ONNX) number(v float64) onnx.Value { return x.to.Floats([]float32{float32(v)}) }

// scaled multiplies by a number, where it is not 1.
func (x *ONNX) scaled(a onnx.Value, by float64) onnx.Value {
	if by == 1 {
		return a
	}
	return x.mul(a, x.number(by))
}

// row is a constant [1, cols].
func (x *ONNX) row(values []float32) onnx.Value { return x.to.Floats(values, 1, int64(len(values))) }

// reshape gives a value other dimensions; −1 stands for what is left.
func (x *ONNX) reshape(a onnx.Value, dims ...int64) onnx.Value {
	return x.op("Reshape", a, x.to.Ints(dims...))
}

func (x *ONNX) transpose(a onnx.Value, perm ...int64) onnx.Value {
	return x.to.OpWith("Transpose", []onnx.Attribute{onnx.Ints("perm", perm...)}, a)
}

// columns takes columns [from, to).
func (x *ONNX) columns(a onnx.Value, from, to int) onnx.Value {
	return x.slice(a, 1, from, to)
}

// slice takes [from, to) of an axis.
func (x *ONNX) slice(a onnx.Value, axis, from, to int) onnx.Value {
	return x.op("Slice", a, x.to.Ints(int64(from)), x.to.Ints(int64(to)), x.to.Ints(int64(axis)))
}

func (x *ONNX) concat(axis int64, in ...onnx.Value) onnx.Value {
	if len(in) == 1 {
		return in[0]
	}
	return x.to.OpWith("Concat", []onnx.Attribute{onnx.Int("axis", axis)}, in...)
}

// sum adds up over an axis; keep leaves it there with size 1.
func (x *ONNX) sum(a onnx.Value, axis int64, keep bool) onnx.Value {
	return x.reduce("ReduceSum", a, axis, keep)
}

func (x *ONNX) reduce(op string, a onnx.Value, axis int64, keep bool) onnx.Value {
	var k int64
	if keep {
		k = 1
	}
	return x.to.OpWith(op, []onnx.Attribute{onnx.Int("keepdims", k)}, a, x.to.Ints(axis))
}

// take picks along an axis by indices.
func (x *ONNX) take(a onnx.Value, axis int64, indices onnx.Value) onnx.Value {
	return x.to.OpWith("Gather", []onnx.Attribute{onnx.Int("axis", axis)}, a, indices)
}

func (x *ONNX) unsqueeze(a onnx.Value, axes ...int64) onnx.Value {
	return x.op("Unsqueeze", a, x.to.Ints(axes...))
}

func (x *ONNX) cast(a onnx.Value, t onnx.Type) onnx.Value {
	return x.to.OpWith("Cast", []onnx.Attribute{onnx.Int("to", int64(t))}, a)
}

func (x *ONNX) softmax(a onnx.Value, axis int64) onnx.Value {
	return x.to.OpWith("Softmax", []onnx.Attribute{onnx.Int("axis", axis)}, a)
}

// activate is an activation of every element.
func (x *ONNX) activate(act Activation, a onnx.Value) onnx.Value {
	switch act {
	case ReLU:
		return x.op("Relu", a)
	case SigmoidAct:
		return x.op("Sigmoid", a)
	case TanhAct:
		return x.op("Tanh", a)
	case SiLU:
		return x.mul(a, x.op("Sigmoid", a))
	case GELU:
		half := x.mul(a, x.number(0.5))
		return x.mul(half, x.add(x.number(1), x.op("Erf", x.mul(a, x.number(1/math.Sqrt2)))))
	}
	return a
}

// dense is a·w + b.
func (x *ONNX) dense(a, w, b onnx.Value) onnx.Value { return x.op("Gemm", a, w, b) }
