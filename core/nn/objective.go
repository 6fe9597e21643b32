package nn

import "github.com/millrace/millrace/core/graph"

// Head is a further logit [B, 1] of a label that only training has: its loss, of the kind that the model file asks for, counts Weight times.
type Head struct {
	Label  int
	Weight float64
	Logit  *graph.Node
}

// AuxiliaryHead adds a head. As with Auxiliary, a model adds it whether the net is for scoring or not.
func (n *Net) AuxiliaryHead(label int, weight float64, logit *graph.Node) {
	n.Heads = append(n.Heads, Head{label, weight, logit})
}

// Objective is a model's own loss of a label, in place of that of its logit: labels y and weights [B, 1] (nil: none), the result a scalar.
type Objective func(label int, y, weights *graph.Node) *graph.Node

// Vector is a value [B, cols] that may be asked for by name instead of scores, as one tower of two.
type Vector struct {
	Name string
	Node *graph.Node
}

// Code asks whoever runs the net to fill an input node with a field's ids as numbers: the remainder of each by Modulo, so that equal ids have equal numbers and few others do.
type Code struct {
	Field  string
	Modulo int           // at most MaxModulo
	Node   *graph.Node   // [B, 1], or [T, 1] of a sequence
	Ragged *graph.Ragged // of a sequence: that of the lookups beside it
}

// MaxModulo is how far float32 counts.
const MaxModulo = 1 << 24

// Code adds an input for the ids of a field, r being that of a sequence and nil for a category.
func (n *Net) Code(field string, modulo int, r *graph.Ragged) *graph.Node {
	if modulo < 1 || modulo > MaxModulo {
		panic(graph.Misuse("code of field %s: modulo %d, want 1 to %d", field, modulo, MaxModulo))
	}
	node := n.Graph.Input(n.inputName("code", []EmbedField{{Field: field}}), 1)
	n.Codes = append(n.Codes, &Code{Field: field, Modulo: modulo, Node: node, Ragged: r})
	return node
}

// Frequencies adds the state of graph.LogFrequency over codes below buckets as the buffer name, zeros.
func (n *Net) Frequencies(name string, buckets int) *graph.Tensor {
	rows := buckets + 1
	state := n.tensor(rows, graph.FrequencyColumns, make([]float32, rows*graph.FrequencyColumns))
	n.Params = append(n.Params, &Param{Name: name, Value: state, Buffer: true})
	return state
}
