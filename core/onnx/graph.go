// Package onnx writes models in the ONNX format: a graph of standard nodes, its constants, its inputs and outputs, and what is said about them.
//
// It knows the file, not the operations: whoever builds a Graph names them. The protobuf messages are written with protowire after the field numbers of
// onnx.proto, large constants straight from where they lie.
package onnx

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"math"
)

// Value names a tensor in a graph: an input, a constant or the output of a node.
type Value string

// Type is the type of a tensor's elements, by its code in onnx.proto.
type Type int64

// The element types in use.
const (
	Float32 Type = 1
	Int64   Type = 7
	Bool    Type = 9
	Float64 Type = 11
)

// String returns the type's name in ONNX Runtime and NumPy.
func (t Type) String() string {
	switch t {
	case Float32:
		return "float32"
	case Int64:
		return "int64"
	case Bool:
		return "bool"
	}
	return "float64"
}

// size is how many bytes an element takes.
func (t Type) size() int64 {
	switch t {
	case Float32:
		return 4
	case Bool:
		return 1
	}
	return 8
}

// Dim is one dimension of an input or output: a size, or with a name one that is free from run to run. Equal names are equal sizes.
type Dim struct {
	Size int64
	Name string
}

// Domains of operators beside ONNX's own, which is "".
const ML = "ai.onnx.ml"

// Graph is a graph under construction.
type Graph struct {
	name         string
	nodes        *message
	inputs       *message
	outputs      *message
	initializers *message
	names        map[string]int
	constants    map[string]Value // by their contents
	domains      map[string]bool
	scope        string
	body         bool
}

// The field numbers of GraphProto, NodeProto, TensorProto and ValueInfoProto.
const (
	graphNode        = 1
	graphName        = 2
	graphInitializer = 5
	graphInput       = 11
	graphOutput      = 12

	nodeInput     = 1
	nodeOutput    = 2
	nodeName      = 3
	nodeOp        = 4
	nodeAttribute = 5
	nodeDomain    = 7

	tensorDims = 1
	tensorType = 2
	tensorName = 8
	tensorRaw  = 9

	valueName = 1
	valueType = 2
	valueDoc  = 3
)

// NewGraph returns an empty graph.
func NewGraph(name string) *Graph {
	return &Graph{
		name: name, nodes: &message{}, inputs: &message{}, outputs: &message{}, initializers: &message{},
		names: map[string]int{}, constants: map[string]Value{}, domains: map[string]bool{"": true},
	}
}

// Body returns an empty graph that a node of g runs (Attribute Body): it may read g's values and constants, and its names differ from g's. Its constants
// are g's.
func (g *Graph) Body(name string) *Graph {
	b := *g
	b.name, b.body = name, true
	b.nodes, b.inputs, b.outputs = &message{}, &message{}, &message{}
	return &b
}

// unique returns the name, with a number where it is taken.
func (g *Graph) unique(name string) string {
	g.names[name]++
	if n := g.names[name]; n > 1 {
		return g.unique(fmt.Sprintf("%s_%d", name, n-1))
	}
	return name
}

// Scope puts a path before the names of the nodes added from now on.
func (g *Graph) Scope(path string) { g.scope = path }

// Input adds a value given at each run, under its name or, where that is taken, one that begins with it. doc says what it is.
func (g *Graph) Input(name, doc string, t Type, dims ...Dim) Value {
	name = g.unique(name)
	g.inputs.add(graphInput, valueInfo(name, doc, t, dims))
	return Value(name)
}

// Output makes a value an output of the graph and returns its name, chosen as Input chooses.
func (g *Graph) Output(name, doc string, v Value, t Type, dims ...Dim) string {
	name = g.unique(name)
	g.node("Identity", "", []Value{v}, []Value{Value(name)}, nil)
	g.outputs.add(graphOutput, valueInfo(name, doc, t, dims))
	return name
}

func valueInfo(name, doc string, t Type, dims []Dim) *message {
	shape := &message{}
	for _, d := range dims {
		m := &message{}
		if d.Name != "" {
			m.text(2, d.Name)
		} else {
			m.int(1, d.Size)
		}
		shape.add(1, m)
	}
	tensor, typed, info := &message{}, &message{}, &message{}
	tensor.int(1, int64(t))
	tensor.add(2, shape)
	typed.add(1, tensor)
	info.text(valueName, name)
	info.add(valueType, typed)
	if doc != "" {
		info.text(valueDoc, doc)
	}
	return info
}

// Op adds a node of a standard operator and returns its output.
func (g *Graph) Op(op string, in ...Value) Value { return g.OpWith(op, nil, in...) }

// OpWith is Op with attributes.
func (g *Graph) OpWith(op string, attributes []Attribute, in ...Value) Value {
	return g.OpIn("", op, attributes, in...)
}

// OpTwo is OpWith for an operator of two outputs.
func (g *Graph) OpTwo(op string, attributes []Attribute, in ...Value) (Value, Value) {
	first, second := g.output(op), g.output(op)
	g.node(op, "", in, []Value{first, second}, attributes)
	return first, second
}

// OpIn is OpWith for an operator of another domain.
func (g *Graph) OpIn(domain, op string, attributes []Attribute, in ...Value) Value {
	out := g.output(op)
	g.node(op, domain, in, []Value{out}, attributes)
	return out
}

// output names an output of a node.
func (g *Graph) output(op string) Value {
	if g.scope != "" {
		op = g.scope + "/" + op
	}
	return Value(g.unique(op))
}

func (g *Graph) node(op, domain string, in, out []Value, attributes []Attribute) {
	m := &message{}
	for _, v := range in {
		m.text(nodeInput, string(v))
	}
	for _, v := range out {
		m.text(nodeOutput, string(v))
	}
	m.text(nodeName, string(out[0]))
	m.text(nodeOp, op)
	for _, a := range attributes {
		m.add(nodeAttribute, a.m)
	}
	if domain != "" {
		m.text(nodeDomain, domain)
		g.domains[domain] = true
	}
	g.nodes.add(graphNode, m)
}

// Floats adds a constant of float32 numbers; no dims make a scalar. Equal small constants are one.
func (g *Graph) Floats(values []float32, dims ...int64) Value {
	b := make([]byte, 0, 4*len(values))
	for _, v := range values {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	}
	return g.constant(Float32, b, dims)
}

// Doubles adds a constant of float64 numbers.
func (g *Graph) Doubles(values []float64, dims ...int64) Value {
	b := make([]byte, 0, 8*len(values))
	for _, v := range values {
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
	}
	return g.constant(Float64, b, dims)
}

// Ints adds a constant of integers, of one dimension.
func (g *Graph) Ints(values ...int64) Value {
	return g.constant(Int64, intBytes(values), []int64{int64(len(values))})
}

// Int adds a constant of one integer, a scalar.
func (g *Graph) Int(v int64) Value { return g.constant(Int64, intBytes([]int64{v}), nil) }

func intBytes(values []int64) []byte {
	b := make([]byte, 0, 8*len(values))
	for _, v := range values {
		b = binary.LittleEndian.AppendUint64(b, uint64(v))
	}
	return b
}

// constant adds an unnamed constant, or finds an equal one.
func (g *Graph) constant(t Type, b []byte, dims []int64) Value {
	key := fmt.Sprint(t, dims, string(b))
	if v, ok := g.constants[key]; ok {
		return v
	}
	v := g.tensor(g.unique("constant"), t, raw(b), dims)
	g.constants[key] = v
	return v
}

func raw(b []byte) *Data {
	return &Data{Size: int64(len(b)), Write: func(w *bufio.Writer) error {
		_, err := w.Write(b)
		return err
	}}
}

// Tensor adds a named constant whose little-endian bytes are made when the model is written.
func (g *Graph) Tensor(name string, t Type, d *Data, dims ...int64) Value {
	return g.tensor(g.unique(name), t, d, dims)
}

func (g *Graph) tensor(name string, t Type, d *Data, dims []int64) Value {
	want := t.size()
	m := &message{}
	for _, n := range dims {
		m.int(tensorDims, n)
		want *= n
	}
	if want != d.Size {
		panic(fmt.Sprintf("BUG: constant %s of shape %v has %d bytes, want %d", name, dims, d.Size, want))
	}
	m.int(tensorType, int64(t))
	m.text(tensorName, name)
	m.data(tensorRaw, d)
	g.initializers.add(graphInitializer, m)
	return Value(name)
}

// message returns the graph's own message.
func (g *Graph) message() *message {
	m := &message{}
	m.text(graphName, g.name)
	m.join(g.nodes)
	if !g.body {
		m.join(g.initializers)
	}
	m.join(g.inputs)
	m.join(g.outputs)
	return m
}
