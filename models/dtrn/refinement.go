package dtrn

import (
	"github.com/millrace/millrace/core/graph"
	"github.com/millrace/millrace/core/nn"
	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/models"
)

// refine multiplies each task's n vectors by weights of the task's own, [B, n·d]: TRM, w = 2σ(W₂·ReLU(W₁·squeeze(X) + b₁) + b₂).
func (m *Model) refine(net *nn.Net, s *features.Schema, xs []*graph.Node, n int) []*graph.Node {
	if m.Refinement == "none" {
		return xs
	}
	out := make([]*graph.Node, len(xs))
	var shared *gate
	for i, x := range xs {
		squeezed := x
		if m.Squeeze == "mean" {
			squeezed = graph.FieldSum(x, n, 1/float64(m.EmbeddingDim))
		}
		g := shared
		if g == nil {
			name := models.ForLabel(s, "trm", i)
			if m.Refinement == "shared" {
				name = "trm"
			}
			g = m.newGate(net, name, squeezed.Cols, n)
		}
		if m.Refinement == "shared" {
			shared = g
			if i > 0 && x == xs[0] {
				out[i] = out[0]
				continue
			}
		}
		out[i] = graph.FieldScale(x, g.weights(squeezed))
	}
	return out
}

// gate is the network of a TRM. Its last layer starts at zero, so that every weight starts at 1.
type gate struct {
	w1, b1, w2, b2 *graph.Node
	activation     graph.Activation
	relu           bool
}

var gateActivations = map[models.Activation]graph.Activation{"relu": graph.ReLU, "sigmoid": graph.SigmoidAct, "tanh": graph.TanhAct, "identity": graph.Identity}

func (m *Model) newGate(net *nn.Net, name string, in, out int) *gate {
	hidden := m.RefinementHidden
	if hidden == 0 {
		hidden = max(4, out/2)
	}
	g := &gate{activation: gateActivations[m.RefinementActivation], relu: m.RefinementGate == "relu"}
	start := 0.0
	if g.relu {
		start = 1
	}
	g.w1, g.b1 = net.Param(name+"/0/weight", in, hidden, nn.XavierNormal()), net.Param(name+"/0/bias", 1, hidden, nn.Zeros())
	g.w2, g.b2 = net.Param(name+"/1/weight", hidden, out, nn.Zeros()), net.Param(name+"/1/bias", 1, out, nn.Constant(start))
	return g
}

// weights returns w [B, n] of the squeezed vectors.
func (g *gate) weights(s *graph.Node) *graph.Node {
	h := graph.Linear(s, g.w1, g.b1, g.activation)
	if g.relu {
		return graph.Linear(h, g.w2, g.b2, graph.ReLU)
	}
	return graph.Scale(graph.Linear(h, g.w2, g.b2, graph.SigmoidAct), 2)
}
