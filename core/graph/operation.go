package graph

import (
	"fmt"
	"hash"
	"hash/fnv"

	"github.com/chewxy/hm"
	"github.com/millrace/millrace/core/kernel"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// shape is the shape of a value: rows 0 are free. A scalar is held as [1, 1].
type shape struct {
	rows, cols int
	scalar     bool
}

// free and fixed make the shapes of values with free and with known rows.
func free(cols int) shape        { return shape{0, cols, false} }
func fixed(rows, cols int) shape { return shape{rows, cols, false} }

var scalar = shape{1, 1, true}

// operation is one kind of numeric work on tensors, with one or more outputs. Values of it hold configuration only and are shared
// by every graph and plan that uses them.
type operation interface {
	fmt.Stringer
	// rows fills the number of rows of each output from the actual inputs, and refuses inputs that do not fit together.
	rows(e *env, in []*Tensor, out []int) error
	// runner makes the code that computes the outputs for one plan. It may keep scratch memory.
	runner(e *env) runner
	// differentiable tells for which inputs grads gives a gradient.
	differentiable(inputs int) []bool
	// grads returns the gradient with respect to each input, nil where it is not differentiable.
	grads(d *derivation) []*gorgonia.Node
}

// runner computes the outputs from the inputs. Outputs have their shapes when it is called; one that nobody reads is nil and is not computed.
type runner func(in, out []*Tensor)

// pick returns the runner of the plan's element type.
func pick(e *env, f32, f64 runner) runner {
	if e.dtype == Float64 {
		return f64
	}
	return f32
}

// env is what the operations of one plan share.
type env struct {
	dtype      DType
	training   bool
	seed, step uint64
	ragged     map[*Ragged]*segments
	scratch32  []float32
	scratch64  []float64
}

// scratch returns n elements of undefined contents that the running step alone uses, until it ends. Steps share them: what stays in the
// cache is worth more than memory of one's own.
func scratch[T kernel.Float](e *env, n int) []T {
	if p, ok := any(&e.scratch32).(*[]T); ok {
		*p = resized(*p, n)
		return *p
	}
	p := any(&e.scratch64).(*[]T)
	*p = resized(*p, n)
	return *p
}

// use is one application of an operation in a graph: the outputs of one use are computed together.
type use struct {
	g    *Graph
	op   operation
	id   uint64
	in   []hm.Type
	outs []shape
}

func (g *Graph) use(op operation, outs []shape, inputs []*gorgonia.Node) *use {
	u := &use{g: g, op: op, id: g.nextID, outs: outs, in: make([]hm.Type, len(inputs))}
	g.nextID++
	for i, n := range inputs {
		u.in[i] = valueType(g.dtype, n.IsScalar())
	}
	return u
}

// node returns output i of the use in the graph of the inputs; asked twice, the same node.
func (u *use) node(i int, e *env, inputs []*gorgonia.Node) *gorgonia.Node {
	n, err := gorgonia.ApplyOp(&output{use: u, index: i, env: e}, inputs...)
	if err != nil {
		fail("%v: %w", u.op, err)
	}
	return n
}

func valueType(dtype DType, scalar bool) hm.Type {
	if scalar {
		return dtype.gorgonia()
	}
	return gorgonia.TensorType{Dims: 2, Of: dtype.gorgonia()}
}

// output is one output of a use as Gorgonia's Op and SDOp.
type output struct {
	*use
	index int
	env   *env
}

// Arity returns the number of inputs.
func (o *output) Arity() int { return len(o.in) }

// Type returns the type of the operation as a new function type: Gorgonia recycles it.
func (o *output) Type() hm.Type {
	types := append(append([]hm.Type{}, o.in...), valueType(o.g.dtype, o.outs[o.index].scalar))
	return hm.NewFnType(types...)
}

// InferShape returns the shape the graph was built with, free rows as nominalRows.
func (o *output) InferShape(...gorgonia.DimSizer) (tensor.Shape, error) {
	s := o.outs[o.index]
	if s.scalar {
		return tensor.ScalarShape(), nil
	}
	if s.rows == 0 {
		s.rows = nominalRows
	}
	return tensor.Shape{s.rows, s.cols}, nil
}

// ReturnsPtr, CallsExtern and OverwritesInput tell Gorgonia's machines that a result is new memory made in Go.
func (o *output) ReturnsPtr() bool     { return false }
func (o *output) CallsExtern() bool    { return false }
func (o *output) OverwritesInput() int { return -1 }

// WriteHash writes the number of the use, so that no two are merged.
func (o *output) WriteHash(h hash.Hash) { fmt.Fprintf(h, "millrace %d %d", o.id, o.index) }

// Hashcode returns the hash of WriteHash.
func (o *output) Hashcode() uint32 {
	h := fnv.New32a()
	o.WriteHash(h)
	return h.Sum32()
}

// String returns the name of the operation and the number of the output.
func (o *output) String() string {
	if o.index == 0 {
		return o.op.String()
	}
	return fmt.Sprintf("%v.%d", o.op, o.index)
}

// DiffWRT tells which inputs have gradients: those of the first output; the others are for the gradient's own use.
func (o *output) DiffWRT(inputs int) []bool {
	if o.index > 0 {
		return make([]bool, inputs)
	}
	return o.op.differentiable(inputs)
}

// SymDiff adds the gradients with respect to the inputs to the graph.
func (o *output) SymDiff(inputs gorgonia.Nodes, out, grad *gorgonia.Node) (grads gorgonia.Nodes, err error) {
	defer recoverError(&err)
	return o.op.grads(&derivation{of: o, in: inputs, out: out, grad: grad}), nil
}

// Do runs the operation for one output on Gorgonia's own values; its TapeMachine calls it, the plan does not.
func (o *output) Do(values ...gorgonia.Value) (gorgonia.Value, error) {
	in := make([]*Tensor, len(values))
	for i, v := range values {
		var err error
		if in[i], err = fromValue(v); err != nil {
			return nil, fmt.Errorf("%v: input %d: %w", o, i, err)
		}
	}
	rows := make([]int, len(o.outs))
	if err := o.op.rows(o.env, in, rows); err != nil {
		return nil, fmt.Errorf("%v: %w", o, err)
	}
	out := make([]*Tensor, len(o.outs))
	out[o.index] = NewTensorOf(o.g.dtype, rows[o.index], o.outs[o.index].cols)
	o.op.runner(o.env)(in, out)
	return toValue(out[o.index], o.outs[o.index].scalar), nil
}

// fromValue wraps the memory of a Gorgonia value.
func fromValue(v gorgonia.Value) (*Tensor, error) {
	switch v := v.(type) {
	case *gorgonia.F32:
		return &Tensor{Rows: 1, Cols: 1, F32: []float32{float32(*v)}}, nil
	case *gorgonia.F64:
		return &Tensor{Rows: 1, Cols: 1, F64: []float64{float64(*v)}}, nil
	case *tensor.Dense:
		t := &Tensor{Rows: v.Shape()[0], Cols: v.Shape()[1]}
		if v.Dtype() == tensor.Float64 {
			t.F64 = v.Float64s()
		} else {
			t.F32 = v.Float32s()
		}
		return t, nil
	}
	return nil, fmt.Errorf("a %T is not a matrix", v)
}

// toValue wraps t as a Gorgonia value.
func toValue(t *Tensor, scalar bool) gorgonia.Value {
	switch {
	case scalar && t.F64 != nil:
		v := gorgonia.F64(t.F64[0])
		return &v
	case scalar:
		v := gorgonia.F32(t.F32[0])
		return &v
	case t.F64 != nil:
		return tensor.New(tensor.WithShape(t.Rows, t.Cols), tensor.WithBacking(t.F64))
	default:
		return tensor.New(tensor.WithShape(t.Rows, t.Cols), tensor.WithBacking(t.F32))
	}
}

// derivation is what an operation has at hand to write down its gradient.
type derivation struct {
	of        *output
	in        gorgonia.Nodes
	out, grad *gorgonia.Node
}

// aux returns a further output of the differentiated use.
func (d *derivation) aux(i int) *gorgonia.Node { return d.of.node(i, d.of.env, d.in) }

// apply adds a use of op and returns its outputs, which have the shapes of the given nodes.
func (d *derivation) apply(op operation, like gorgonia.Nodes, inputs ...*gorgonia.Node) []*gorgonia.Node {
	outs := make([]shape, len(like))
	for i, n := range like {
		if n.IsScalar() {
			outs[i] = scalar
		} else {
			outs[i] = fixed(n.Shape()[0], n.Shape()[1])
		}
	}
	u := d.of.g.use(op, outs, inputs)
	nodes := make([]*gorgonia.Node, len(like))
	for i := range nodes {
		nodes[i] = u.node(i, d.of.env, inputs)
	}
	return nodes
}

// backward is embedded by the operations that compute gradients: they are not differentiated again.
type backward struct{}

func (backward) differentiable(inputs int) []bool     { return make([]bool, inputs) }
func (backward) grads(d *derivation) []*gorgonia.Node { return make([]*gorgonia.Node, len(d.in)) }

// sameRows gives output i the rows of input of[i].
func sameRows(in []*Tensor, out []int, of ...int) error {
	for i, j := range of {
		out[i] = in[j].Rows
	}
	return nil
}

// all returns n times true.
func all(n int) []bool {
	out := make([]bool, n)
	for i := range out {
		out[i] = true
	}
	return out
}

// equalRows refuses inputs whose numbers of rows differ.
func equalRows(in ...*Tensor) error {
	for _, t := range in[1:] {
		if t.Rows != in[0].Rows {
			return fmt.Errorf("inputs of %d and %d rows", in[0].Rows, t.Rows)
		}
	}
	return nil
}
