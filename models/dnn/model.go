package dnn

import (
	"github.com/millrace/millrace/core/graph"
	"github.com/millrace/millrace/core/nn"
	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/models"
)

// Model is z = MLP(e) with e the embeddings side by side; lists are averaged, and each label has an output layer of its own.
type Model struct{ Config }

// Build adds the embeddings and the tower.
func (m *Model) Build(net *nn.Net, s *features.Schema) ([]*graph.Node, error) {
	e := models.Embedded(net, "emb", s, m.EmbeddingDim)
	h := net.MLP("mlp", e.Node, m.Tower().Spec())
	return models.Heads(net, "out", h, s), nil
}
