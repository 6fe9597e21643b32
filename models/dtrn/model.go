package dtrn

import (
	"fmt"

	"github.com/millrace/millrace/core/graph"
	"github.com/millrace/millrace/core/nn"
	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/models"
)

// Model is the network; equations are in README.md.
type Model struct {
	Config
	types []models.BehaviourGroup
}

// Build adds the fields' vectors, the interest of each pair of a task and a behaviour type, each task's refinement, and the head.
func (m *Model) Build(net *nn.Net, s *features.Schema) ([]*graph.Node, error) {
	in := models.NewInputs(net, models.Ungrouped(s, m.types), models.InputsOptions{Prefix: "emb", Dim: m.EmbeddingDim, Lists: nn.PoolMean})

	v := make([][]*graph.Node, len(s.Labels)) // [task][behaviour type]
	t := m.newTransformer(net, s)
	for k, group := range m.types {
		for i, x := range m.interests(net, s, t, in, k, group) {
			v[i] = append(v[i], x)
		}
	}
	n := len(in.Fields) + len(m.types)
	xs := make([]*graph.Node, len(s.Labels))
	for i := range xs {
		if i > 0 && !m.Condition && m.Refinement != "task" {
			xs[i] = xs[0] // nothing of the bottom is the task's own
			continue
		}
		xs[i] = graph.Concat(append([]*graph.Node{in.Node}, v[i]...)...)
	}
	xs = m.refine(net, s, xs, n)

	switch m.Head {
	case "mmoe":
		xs = m.Mixed.Mix(net, s, &m.Parts, &m.Experts, xs)
	case "ple":
		xs = m.Extracted.Extract(net, s, &m.Parts, &m.Experts, xs)
	}
	return m.Towers(net, s, xs), nil
}

// interests returns v_ik of behaviour type k for each task i, [B, d]: TIM.
func (m *Model) interests(net *nn.Net, s *features.Schema, t *transformer, in *models.Inputs, k int, group models.BehaviourGroup) []*graph.Node {
	name := fmt.Sprintf("tim/%d", k)
	x, r, q := group.Inputs(net, s, in, name, m.EmbeddingDim)
	if len(group.Sequence) > 1 { // behaviours of several fields become vectors of one width, and the candidate likewise
		w := net.Param(name+"/projection/weight", x.Cols, m.EmbeddingDim, nn.XavierNormal())
		b := net.Param(name+"/projection/bias", 1, m.EmbeddingDim, nn.Zeros())
		x, q = graph.Linear(x, w, b, graph.Identity), graph.Linear(q, w, b, graph.Identity)
	}
	if m.Positions {
		x = graph.AddPositions(x, net.Param(name+"/positions", group.Longest(s), m.EmbeddingDim, nn.Normal(1e-2)), r)
	}
	read := m.newReadout(net, k)
	first := t.attend(0, x, r) // before any condition enters: once for all tasks
	var out []*graph.Node
	for i := range s.Labels {
		if i > 0 && !m.Condition {
			out = append(out, out[0])
			continue
		}
		out = append(out, read.vector(q, t.encode(i, k, first, r), r))
	}
	return out
}

// refine multiplies each task's vectors by weights of the task's own, [B, n·d]: TRM, w = 2σ(W₂·ReLU(W₁·squeeze(X) + b₁) + b₂).
func (m *Model) refine(net *nn.Net, s *features.Schema, xs []*graph.Node, n int) []*graph.Node {
	if m.Refinement == "none" {
		return xs
	}
	squeeze := func(x *graph.Node) *graph.Node {
		if m.Squeeze == "mean" {
			return graph.FieldSum(x, n, 1/float64(m.EmbeddingDim))
		}
		return x
	}
	hidden := max(4, n/2)
	out := make([]*graph.Node, len(xs))
	var shared *gate
	for i, x := range xs {
		g := shared
		if g == nil {
			name := models.ForLabel(s, "trm", i)
			if m.Refinement == "shared" {
				name = "trm"
			}
			g = newGate(net, name, squeeze(x).Cols, hidden, n)
		}
		if m.Refinement == "shared" {
			shared = g
			if i > 0 && x == xs[0] {
				out[i] = out[0]
				continue
			}
		}
		out[i] = graph.FieldScale(x, graph.Scale(g.weights(squeeze(x)), 2))
	}
	return out
}

// gate is the network of a TRM.
type gate struct{ w1, b1, w2, b2 *graph.Node }

func newGate(net *nn.Net, name string, in, hidden, out int) *gate {
	return &gate{
		net.Param(name+"/0/weight", in, hidden, nn.XavierNormal()), net.Param(name+"/0/bias", 1, hidden, nn.Zeros()),
		net.Param(name+"/1/weight", hidden, out, nn.XavierNormal()), net.Param(name+"/1/bias", 1, out, nn.Zeros()),
	}
}

func (g *gate) weights(s *graph.Node) *graph.Node {
	return graph.Linear(graph.Linear(s, g.w1, g.b1, graph.ReLU), g.w2, g.b2, graph.SigmoidAct)
}
