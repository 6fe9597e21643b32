package dcnv2

import (
	"fmt"
	"math"

	"github.com/millrace/millrace/core/graph"
	"github.com/millrace/millrace/core/nn"
	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/models"
)

// Model is DCN-v2 or DCN; equations and sizes are in README.md. Labels share all but the output layer.
type Model struct{ Config }

// Build adds the cross network over e [B, F·d] and the towers of the structure.
func (m *Model) Build(net *nn.Net, s *features.Schema) ([]*graph.Node, error) {
	e := models.Embedded(net, "emb", s, m.EmbeddingDim).Node
	h := m.crosses(net, e)
	if m.stacked() {
		h = net.MLP("stacked", h, m.tower(m.StackedDNNHiddenUnits).Spec())
	}
	if m.parallel() {
		h = graph.Concat(h, net.MLP("parallel", e, m.tower(m.ParallelDNNHiddenUnits).Spec()))
	}
	return models.Heads(net, "out", h, s), nil
}

// crosses returns x_L of the cross network whose x_0 is e.
func (m *Model) crosses(net *nn.Net, x0 *graph.Node) *graph.Node {
	x := x0
	for l := range m.NumCrossLayers {
		name := fmt.Sprintf("cross/%d", l)
		switch {
		case m.UseLowRankMixture:
			x = graph.Cross(x0, m.mixture(net, name, x), x)
		case m.CrossParameterization == "vector":
			w := net.Param(name+"/weight", x.Cols, 1, nn.XavierNormal())
			x = graph.CrossVector(x0, x, w, net.Param(name+"/bias", 1, x.Cols, nn.Zeros()))
		default:
			x = graph.Cross(x0, net.Linear(name, x, x.Cols, graph.Identity), x)
		}
	}
	return x
}

// mixture returns Σ_i G_i(x)·U_i·tanh(C_i·tanh(V_iᵀ·x)) + b. The experts' V, C and U lie side by side, and the gates, which sum to one, are multiplied in before U.
func (m *Model) mixture(net *nn.Net, name string, x *graph.Node) *graph.Node {
	n, r := m.NumExperts, m.LowRank
	outer, inner := nn.Normal(math.Sqrt(2/float64(x.Cols+r))), nn.Normal(math.Sqrt(1/float64(r))) // xavier-normal for each expert's own matrix
	gates := graph.RowSoftmax(graph.Linear(x, net.Param(name+"/gate", x.Cols, n, nn.Normal(math.Sqrt(2/float64(x.Cols+1)))), nil, graph.Identity))
	h := graph.Linear(x, net.Param(name+"/v", x.Cols, n*r, outer), nil, graph.TanhAct)
	h = graph.Apply(graph.FieldLinear(h, net.Param(name+"/c", n*r, r, inner), n), graph.TanhAct)
	return graph.Linear(graph.FieldScale(h, gates), net.Param(name+"/u", n*r, x.Cols, outer), net.Param(name+"/bias", 1, x.Cols, nn.Zeros()), graph.Identity)
}
