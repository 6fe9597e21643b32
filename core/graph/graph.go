// Package graph is the bridge to Gorgonia: a graph of coarse, fused operations with their own gradients, and a plan of our own
// that runs it without allocations.
//
// Gorgonia keeps the expression graph and the symbolic differentiation; the operations here implement its Op and SDOp
// interfaces, and Plan flattens the graph once into steps over preallocated buffers. Every value is a row-major matrix
// [rows, cols]: cols are fixed when the graph is built, rows may differ from run to run (the batch, the ragged behaviours).
// Building panics on a programmer's mistake and is recovered at one boundary (Build); running returns errors.
//
// Operations keep nothing between calls. What a forward pass leaves for its gradient (batch statistics, a product) is a further
// output of the operation, so two plans of one graph share parameters and running statistics and nothing else.
package graph

import (
	"errors"
	"fmt"
	"sync"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// nominalRows stands for the free number of rows in the shapes that Gorgonia sees; nothing reads it when a plan runs.
const nominalRows = 2

// Node is a value in a graph: an input, a parameter or the output of an operation. Cols is its width.
type Node struct {
	Cols int

	g      *Graph
	expr   *gorgonia.Node
	rows   int // 0: free
	scalar bool
	name   string // inputs and parameters
}

// Graph is under construction until it is compiled to a Plan. Construction is not safe for concurrent use; compiling is.
type Graph struct {
	compiling sync.Mutex // guards what compiling changes: nextID, and Gorgonia's cached hashes

	dtype    DType
	expr     *gorgonia.ExprGraph
	forward  *env
	named    map[string]*Node
	leaves   map[*gorgonia.Node]*Node
	nodes    []*Node
	nextID   uint64
	dropouts uint64
}

// New returns an empty graph of the given element type.
func New(dtype DType) *Graph {
	return &Graph{
		dtype:   dtype,
		expr:    gorgonia.NewGraph(),
		forward: &env{dtype: dtype},
		named:   map[string]*Node{},
		leaves:  map[*gorgonia.Node]*Node{},
	}
}

// Build runs f and turns the panics of graph construction into an error.
func Build(f func()) (err error) {
	defer recoverError(&err)
	f()
	return nil
}

// buildError is what construction panics with.
type buildError struct{ error }

func fail(format string, args ...any) { panic(Misuse(format, args...)) }

// Misuse returns the error that layers built on this package panic with; Build recovers it.
func Misuse(format string, args ...any) error { return buildError{fmt.Errorf(format, args...)} }

// recoverError turns a panic of construction into *err and lets any other panic go on.
func recoverError(err *error) {
	switch r := recover().(type) {
	case nil:
	case buildError:
		*err = r.error
	default:
		panic(r)
	}
}

// Input adds a value given at each run: [rows, cols] with rows free. Names are unique within a graph.
func (g *Graph) Input(name string, cols int) *Node { return g.leaf(name, 0, cols) }

// Param adds a trainable value [rows, cols] bound once.
func (g *Graph) Param(name string, rows, cols int) *Node {
	if rows <= 0 {
		fail("parameter %q has %d rows", name, rows)
	}
	return g.leaf(name, rows, cols)
}

// DType returns the element type of the graph's values.
func (g *Graph) DType() DType { return g.dtype }

func (g *Graph) leaf(name string, rows, cols int) *Node {
	if cols <= 0 {
		fail("%q has %d columns", name, cols)
	}
	if g.named[name] != nil {
		fail("two inputs or parameters are called %q", name)
	}
	n := &Node{Cols: cols, g: g, rows: rows, name: name}
	n.expr = newLeaf(g.expr, g.dtype, name, rows, cols)
	g.named[name] = n
	g.leaves[n.expr] = n
	g.nodes = append(g.nodes, n)
	return n
}

func newLeaf(expr *gorgonia.ExprGraph, dtype DType, name string, rows, cols int) *gorgonia.Node {
	if rows == 0 {
		rows = nominalRows
	}
	return gorgonia.NewMatrix(expr, dtype.gorgonia(), gorgonia.WithShape(rows, cols), gorgonia.WithName(name))
}

func (d DType) gorgonia() tensor.Dtype {
	if d == Float64 {
		return tensor.Float64
	}
	return tensor.Float32
}

// apply adds one use of op to the graph and returns its first output, of shape out.
func apply(op operation, outs []shape, inputs ...*Node) *Node {
	g := inputs[0].g
	exprs := make([]*gorgonia.Node, len(inputs))
	for i, n := range inputs {
		if n == nil {
			fail("%v: input %d is nil", op, i)
		}
		if n.g != g {
			fail("%v: inputs of two graphs", op)
		}
		exprs[i] = n.expr
	}
	u := g.use(op, outs, exprs)
	n := &Node{Cols: outs[0].cols, g: g, expr: u.node(0, g.forward, exprs), rows: outs[0].rows, scalar: outs[0].scalar}
	g.nodes = append(g.nodes, n)
	return n
}

// sameCols fails unless the two values have equal widths.
func sameCols(op string, a, b *Node) {
	if a.Cols != b.Cols {
		fail("%s: %d and %d columns", op, a.Cols, b.Cols)
	}
}

// rowOf fails unless row is a parameter-like [1, cols].
func rowOf(op, what string, row *Node, cols int) {
	if row.Cols != cols || row.rows != 1 {
		fail("%s: %s is [%d, %d], want [1, %d]", op, what, row.rows, row.Cols, cols)
	}
}

var errUnbound = errors.New("no tensor bound")
