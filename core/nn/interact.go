package nn

import (
	"math"

	"github.com/millrace/millrace/core/graph"
)

// XavierNormalBlocks draws each of so many blocks of columns, matrices side by side that one product multiplies, from the law of a matrix of its own.
func XavierNormalBlocks(blocks int) Init {
	return func(rng func() float64, rows, cols int, dst []float32) {
		Normal(math.Sqrt(2/float64(rows+cols/blocks)))(rng, rows, cols, dst)
	}
}

// InteractingLayer adds a layer of AutoInt with a norm, name+"/gamma" and name+"/beta" as LayerNorm has them.
func (n *Net) InteractingLayer(name string, x, w *graph.Node, l graph.Interacting) (y, alpha *graph.Node) {
	l.Gamma, l.Beta, l.Eps = n.Param(name+"/gamma", 1, l.Width, Constant(1)), n.Param(name+"/beta", 1, l.Width, Zeros()), 1e-5
	return graph.InteractingLayer(x, w, l)
}

// Explanation is a value inside a model that says why a score is what it is.
type Explanation struct {
	Name   string
	Kind   ExplanationKind
	Node   *graph.Node
	Fields []string // what it is about, in the order of its rows or columns
}

// Explain marks attention among fields as worth showing; who asks for explanations finds it among Explanations.
func (n *Net) Explain(name string, node *graph.Node, fields []string) {
	n.ExplainAs(FieldAttention, name, node, fields)
}
