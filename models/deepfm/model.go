package deepfm

import (
	"github.com/millrace/millrace/core/graph"
	"github.com/millrace/millrace/core/nn"
	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/models"
)

// Model is z = FM(x) + MLP(e) over the same vectors; labels share vectors and tower and have weights and an output layer each.
type Model struct{ Config }

// Build adds the vectors, the tower and the machine.
func (m *Model) Build(net *nn.Net, s *features.Schema) ([]*graph.Node, error) {
	e := models.Embedded(net, "emb", s, m.EmbeddingDim)
	logits := models.Heads(net, "out", net.MLP("mlp", e.Node, m.Tower().Spec()), s)
	pairs := graph.FMInteraction(e.Node, len(e.Fields))
	for i, z := range logits {
		logits[i] = graph.Add(z, pairs)
	}
	return models.AddWide(net, "linear", s, logits), nil
}
