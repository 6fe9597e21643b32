package xdeepfm

import (
	"fmt"

	"github.com/millrace/millrace/core/graph"
	"github.com/millrace/millrace/core/nn"
	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/models"
)

// Model is z = linear + CIN + MLP(e); labels share maps and tower and have weights and output layers each.
type Model struct{ Config }

// Build adds the interaction network, the tower where there is one, and the linear part.
func (m *Model) Build(net *nn.Net, s *features.Schema) ([]*graph.Node, error) {
	e := models.Embedded(net, "emb", s, m.EmbeddingDim)
	logits := models.Heads(net, "cin/out", m.maps(net, e), s)
	if len(m.DNNHiddenUnits) > 0 {
		for i, z := range models.Heads(net, "out", net.MLP("mlp", e.Node, m.tower().Spec()), s) {
			logits[i] = graph.Add(logits[i], z)
		}
	}
	return models.AddWide(net, "linear", s, logits), nil
}

// maps returns the sums over d of all maps of all layers, [B, H_1 + … + H_L].
func (m *Model) maps(net *nn.Net, e *models.Inputs) *graph.Node {
	var sums []*graph.Node
	x, fields := e.Node, len(e.Fields)
	for k, units := range m.CINHiddenUnits {
		name := fmt.Sprintf("cin/%d", k)
		w := net.Param(name+"/weight", units, x.Cols/e.Dim*fields, nn.XavierNormal())
		x = graph.CIN(x, e.Node, w, net.Param(name+"/bias", 1, units, nn.Zeros()), fields)
		sums = append(sums, graph.FieldSum(x, units, 1))
	}
	return graph.Concat(sums...)
}
