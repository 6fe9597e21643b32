package fwfm

import (
	"github.com/millrace/millrace/core/graph"
	"github.com/millrace/millrace/core/nn"
	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/models"
)

// Model is z = b + linear + Σ_{f<g} r_fg·⟨v_f, v_g⟩; each label has a machine of its own.
type Model struct{ Config }

// Build adds the vectors, the weights of the pairs and the linear part.
func (m *Model) Build(net *nn.Net, s *features.Schema) ([]*graph.Node, error) {
	var logits []*graph.Node
	for i := range s.Labels {
		v := models.Embedded(net, models.ForLabel(s, "emb", i), s, m.EmbeddingDim)
		z := net.Linear(models.ForLabel(s, "pairs", i), graph.PairDots(v.Node, len(v.Fields)), 1, graph.Identity)
		logits = append(logits, graph.Add(z, m.linear(net, s, models.ForLabel(s, "linear", i), v.Node)))
	}
	return logits, nil
}

// linear is one of the three linear parts of the paper.
func (m *Model) linear(net *nn.Net, s *features.Schema, name string, v *graph.Node) *graph.Node {
	switch m.LinearType {
	case "LW":
		return models.Wide(net, name, s)
	case "FeLV":
		return graph.RowSum(graph.Mul(v, models.Embedded(net, name, s, m.EmbeddingDim).Node))
	default: // FiLV
		return graph.Linear(v, net.Param(name+"/weight", v.Cols, 1, nn.XavierNormal()), nil, graph.Identity)
	}
}
