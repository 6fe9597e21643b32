// Package nn holds layers made of graph operations, with their parameters, buffers and initialisers.
package nn

import (
	"github.com/millrace/millrace/core/graph"
)

// Param is a named trainable tensor (or, with Buffer set, state that training updates without gradient: running statistics).
type Param struct {
	Name   string
	Node   *graph.Node // nil for a buffer
	Value  *graph.Tensor
	Buffer bool
}

// Pool says how a field's embedding rows become columns.
type Pool int

const (
	PoolOne    Pool = iota // one id a row: [B, dim]
	PoolMean               // several ids a row: their mean, zeros when there are none
	PoolSum                // several ids a row: their sum
	PoolRagged             // a sequence kept ragged: [T, dim] at the rows of Ragged
)

// Lookup asks whoever runs the net to gather rows of a table into columns [Col, Col+Dim) of an input node before each run, and to
// scatter that node's gradient back. Embedding tables live outside the graph (core/table).
type Lookup struct {
	Table  string // table name, for example "emb/item"
	Dim    int    // row width
	Field  string // schema field whose ids are looked up
	Pool   Pool
	Node   *graph.Node   // the input node that receives the rows
	Col    int           // first column
	Ragged *graph.Ragged // for PoolRagged: offsets are set by the runner
}

// Dense asks the runner to fill an input node from numeric fields: for each field two columns, the value and the missing indicator.
type Dense struct {
	Fields []string
	Node   *graph.Node // [B, 2·len(Fields)]
}

// Net collects what a model builds: the graph, its parameters and buffers, and the lookups that feed it.
type Net struct {
	Graph   *graph.Graph
	Params  []*Param
	Lookups []*Lookup
	Dense   []*Dense
	seed    uint64
}

// New returns an empty net; seed fixes every initial value: a parameter's depends only on (seed, name, shape).
func New(dtype graph.DType, seed uint64) *Net { panic("contract") }

// Init draws the initial values of a [rows, cols] parameter.
type Init func(rng func() float64 /* standard normal */, rows, cols int, dst []float32)

// Zeros, Constant, Normal(std) and XavierNormal (std √(2/(in+out)) on the [rows, cols] shape) are the usual initialisers.
func Zeros() Init             { panic("contract") }
func Constant(x float64) Init { panic("contract") }
func Normal(std float64) Init { panic("contract") }
func XavierNormal() Init      { panic("contract") }

// Param adds a trainable parameter. Names are paths such as "mlp1/0/weight".
func (n *Net) Param(name string, rows, cols int, init Init) *graph.Node { panic("contract") }

// Stats adds running statistics as buffers name+"/mean" (zeros) and name+"/var" (ones).
func (n *Net) Stats(name string, cols int) *graph.Stats { panic("contract") }

// Linear adds weight (xavier-normal) and bias (zeros) name+"/weight", name+"/bias" and returns act(x·w+b).
func (n *Net) Linear(name string, x *graph.Node, out int, act graph.Activation) *graph.Node {
	panic("contract")
}

// MLPSpec describes a tower in FuxiCTR's terms: each hidden layer is Linear → BatchNorm (if on) → activation → dropout.
type MLPSpec struct {
	Hidden     []int
	Activation string    // relu, sigmoid, tanh, prelu, dice, identity (case ignored)
	Dropout    []float64 // one a hidden layer, or one for all, or none
	BatchNorm  bool
	Out        int // >0: a last Linear without activation
}

// MLP adds a tower and returns its last value.
func (n *Net) MLP(name string, x *graph.Node, s MLPSpec) *graph.Node { panic("contract") }

// Embed adds one input node that gathers a row of dim for each field, side by side: [B, len(fields)·dim], from tables prefix+"/"+table(field).
// table maps a field to the table name it shares; pool tells multi-valued fields apart. Numeric fields are not for Embed.
func (n *Net) Embed(prefix string, fields []EmbedField, dim int) *graph.Node { panic("contract") }

// EmbedField names one field of Embed.
type EmbedField struct {
	Field string // schema field
	Table string // table it reads (the field's own name, or the one it shares)
	Pool  Pool
}

// EmbedSequence adds one ragged input node [T, len(fields)·dim] for sequence fields of equal lengths (item, category, rating of the same behaviours) and their shared Ragged.
func (n *Net) EmbedSequence(prefix string, fields []EmbedField, dim int) (*graph.Node, *graph.Ragged) {
	panic("contract")
}

// Numeric adds an input node for numeric fields and a parameter that turns (value, missing) of each into a vector of dim: [B, len(fields)·dim]; e = value·v + missing·u (autoint.md section 1).
func (n *Net) Numeric(prefix string, fields []string, dim int) *graph.Node { panic("contract") }

// AttentionUnit adds DIN's attention pooling over behaviours: candidate q [B, H], behaviours k [T, H] → [B, H] (din.md section 2).
func (n *Net) AttentionUnit(name string, q, k *graph.Node, r *graph.Ragged, s AttentionSpec) *graph.Node {
	panic("contract")
}

// AttentionSpec: hidden sizes and activations of the unit; Softmax with Scale multiplies scores before it (1: none).
type AttentionSpec struct {
	Hidden     []int
	Activation string
	Dropout    float64
	Softmax    bool
	Scale      float64
}
