package nn

import "github.com/millrace/millrace/core/graph"

// ExplanationKind says how an explanation's rows and columns are to be read.
type ExplanationKind string

const (
	// FieldAttention has for each batch row a row a field, with its weights for all fields, head by head: [B·fields, heads·fields]; those for one field sum to 1 in a head.
	FieldAttention ExplanationKind = "field_attention"
	// FieldGates has for each batch row the factors of all fields' columns: [B, fields·d].
	FieldGates ExplanationKind = "field_gates"
	// BehaviourWeights has for each behaviour of each batch row its weight: [T, 1].
	BehaviourWeights ExplanationKind = "behaviour_weights"
)

// ExplainAs is Explain with a kind other than attention among fields.
func (n *Net) ExplainAs(kind ExplanationKind, name string, node *graph.Node, fields []string) {
	n.Explanations = append(n.Explanations, Explanation{Name: name, Kind: kind, Node: node, Fields: fields})
}
