package fm

import (
	"github.com/millrace/millrace/core/graph"
	"github.com/millrace/millrace/core/nn"
	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/models"
)

// Model is z = b + Σ_f w_f[x_f] + Σ_{f<g} ⟨v_f, v_g⟩; each label has a machine of its own.
type Model struct{ Config }

// Build adds the bias, the weights and the vectors.
func (m *Model) Build(net *nn.Net, s *features.Schema) ([]*graph.Node, error) {
	var logits []*graph.Node
	for i := range s.Labels {
		v := models.Embedded(net, models.ForLabel(s, "emb", i), s, m.EmbeddingDim)
		z := graph.FMInteraction(v.Node, len(v.Fields))
		z = graph.Add(z, models.Wide(net, models.ForLabel(s, "linear", i), s))
		logits = append(logits, graph.AddRow(z, net.Param(models.ForLabel(s, "bias", i), 1, 1, nn.Zeros())))
	}
	return logits, nil
}
