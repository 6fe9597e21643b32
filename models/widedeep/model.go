package widedeep

import (
	"github.com/millrace/millrace/core/graph"
	"github.com/millrace/millrace/core/nn"
	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/models"
)

// Model is z = Σ_f w_f[x_f] + MLP(e); labels share the tower and have weights and an output layer each.
type Model struct{ Config }

// Build adds the wide part and the deep part.
func (m *Model) Build(net *nn.Net, s *features.Schema) ([]*graph.Node, error) {
	e := models.Embedded(net, "emb", s, m.EmbeddingDim)
	deep := models.Heads(net, "out", net.MLP("mlp", e.Node, m.Tower().Spec()), s)
	return models.AddWide(net, "wide", s, deep), nil
}
