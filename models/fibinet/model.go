package fibinet

import (
	"math"

	"github.com/millrace/millrace/core/graph"
	"github.com/millrace/millrace/core/nn"
	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/models"
)

// Model is z = linear + MLP([p(E) ; p(E′)]); labels share all but the weights and the output layer.
type Model struct{ Config }

// Build adds SENET, the bilinear products of the fields as they are and re-weighted, and the tower.
func (m *Model) Build(net *nn.Net, s *features.Schema) ([]*graph.Node, error) {
	e := models.Embedded(net, "emb", s, m.EmbeddingDim)
	fields := len(e.Fields)
	w := net.Param("bilinear/weight", m.matrices(fields)*e.Dim, e.Dim, nn.Normal(math.Sqrt(1/float64(e.Dim)))) // xavier-normal for each matrix
	p := graph.BilinearPairs(e.Node, w, fields)
	again := graph.BilinearPairs(graph.FieldScale(e.Node, m.weights(net, e.Node, fields)), w, fields)
	h := net.MLP("mlp", graph.Concat(p, again), m.tower().Spec())
	return models.AddWide(net, "linear", s, models.Heads(net, "out", h, s)), nil
}

// weights returns SENET's factors a [B, fields].
func (m *Model) weights(net *nn.Net, e *graph.Node, fields int) *graph.Node {
	last := graph.ReLU
	if m.ExcitationActivation == "sigmoid" {
		last = graph.SigmoidAct
	}
	hidden := m.squeezed(fields)
	w1 := net.Param("senet/0/weight", fields, hidden, nn.XavierNormal())
	w2 := net.Param("senet/1/weight", hidden, fields, nn.XavierNormal())
	mean := graph.FieldSum(e, fields, 1/float64(m.EmbeddingDim))
	return graph.Linear(graph.Linear(mean, w1, nil, graph.ReLU), w2, nil, last)
}
