package nn

import "github.com/millrace/millrace/core/graph"

// Numbers adds an input node for numeric fields as they are, [B, 2·len(fields)]: columns 2f and 2f+1 are field f's value and whether it is missing. A tower takes them without an embedding.
func (n *Net) Numbers(prefix string, fields []string) *graph.Node {
	names := make([]EmbedField, len(fields))
	for i, f := range fields {
		names[i].Field = f
	}
	x := n.Graph.Input(n.inputName(prefix, names), 2*len(fields))
	n.Dense = append(n.Dense, &Dense{Fields: fields, Node: x})
	return x
}

// Activate applies an activation that Activations knows, with its parameters name+"/alpha" where it has any.
func (n *Net) Activate(name string, x *graph.Node, activation string) *graph.Node {
	return n.activation(name, x, activation)
}
