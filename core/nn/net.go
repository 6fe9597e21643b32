// Package nn holds layers made of graph operations, with their parameters, buffers and initialisers.
//
// A Net only describes: whoever runs it compiles plans of its graph, binds the parameters, fills the inputs named by Lookups and
// Dense before each run and gives the gradients to optimizers. Layers panic on a programmer's mistake, as graph does; graph.Build recovers.
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

// Net collects what a model builds: the graph, its parameters and buffers, and the lookups that feed it.
type Net struct {
	Graph   *graph.Graph
	Params  []*Param
	Lookups []*Lookup
	Dense   []*Dense

	// Explanations are the values that the model's layers marked with Explain. Plans that do not ask for them do not compute them.
	Explanations []Explanation

	// Auxiliaries are the losses that the model added with Auxiliary. Plans for scoring do not compute them.
	Auxiliaries []Auxiliary

	// Heads are logits that only training has, and Objective, where it is not nil, the loss that the model has in place of its logits'.
	Heads     []Head
	Objective Objective

	// Vectors are values that may be asked for instead of scores, Codes inputs of ids as numbers.
	Vectors []Vector
	Codes   []*Code

	// Scoring tells layers that nobody will ask for gradients: they may add operations that have none, over the same parameters.
	Scoring bool

	// PReLUSlope is the initial slope of the PReLU layers built from now on.
	PReLUSlope float64

	// DiceMomentum is what a batch counts for in the running statistics of the Dice layers built from now on.
	DiceMomentum float64

	seed   uint64
	inputs map[string]int // how often an input name was asked for
}

const (
	// DefaultPReLUSlope is FuxiCTR's. DIN's authors start at 0, PyTorch at 0.25.
	DefaultPReLUSlope = 0.1
	// DefaultDiceMomentum is that of FuxiCTR and of DIN's authors' code: a memory of a hundred steps.
	DefaultDiceMomentum = 0.01
)

// New returns an empty net; seed fixes every initial value: a parameter's depends only on (seed, name, shape).
func New(dtype graph.DType, seed uint64) *Net {
	return &Net{Graph: graph.New(dtype), PReLUSlope: DefaultPReLUSlope, DiceMomentum: DefaultDiceMomentum, seed: seed, inputs: map[string]int{}}
}

// Param adds a trainable parameter. Names are paths such as "mlp1/0/weight".
func (n *Net) Param(name string, rows, cols int, init Init) *graph.Node {
	node := n.Graph.Param(name, rows, cols)
	value := make([]float32, rows*cols)
	init(normals(n.seed, name, rows, cols), rows, cols, value)
	n.Params = append(n.Params, &Param{Name: name, Node: node, Value: n.tensor(rows, cols, value)})
	return node
}

// tensor returns the values as a tensor of the graph's type.
func (n *Net) tensor(rows, cols int, values []float32) *graph.Tensor {
	t := graph.NewTensorOf(n.Graph.DType(), rows, cols)
	if t.F64 == nil {
		t.F32 = values
		return t
	}
	for i, v := range values {
		t.F64[i] = float64(v)
	}
	return t
}

// Stats adds running statistics as buffers name+"/mean" (zeros) and name+"/var" (ones).
func (n *Net) Stats(name string, cols int) *graph.Stats {
	ones := make([]float32, cols)
	for i := range ones {
		ones[i] = 1
	}
	s := &graph.Stats{Mean: n.tensor(1, cols, make([]float32, cols)), Var: n.tensor(1, cols, ones)}
	n.Params = append(n.Params,
		&Param{Name: name + "/mean", Value: s.Mean, Buffer: true},
		&Param{Name: name + "/var", Value: s.Var, Buffer: true})
	return s
}

// Bind gives a plan of the net's graph the tensors of all parameters.
func (n *Net) Bind(p *graph.Plan) {
	for _, param := range n.Params {
		if param.Node != nil {
			p.Bind(param.Node, param.Value)
		}
	}
}

// Trainable returns the nodes of all parameters, in the order they were added: what a training plan differentiates with respect to.
func (n *Net) Trainable() []*graph.Node {
	var nodes []*graph.Node
	for _, p := range n.Params {
		if p.Node != nil {
			nodes = append(nodes, p.Node)
		}
	}
	return nodes
}
