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
	t, read := m.newTransformer(net, s), &readouts{m: m, net: net, s: s, unit: map[string]unit{}}
	for k, group := range m.types {
		for i, x := range m.interests(net, s, t, read, in, k, group) {
			v[i] = append(v[i], x)
		}
	}
	n := len(in.Fields) + len(m.types)
	xs := make([]*graph.Node, len(s.Labels))
	for i := range xs {
		if i > 0 && !m.conditioned() {
			xs[i] = xs[0] // one bottom for all tasks
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
func (m *Model) interests(net *nn.Net, s *features.Schema, t *transformer, read *readouts, in *models.Inputs, k int, group models.BehaviourGroup) []*graph.Node {
	name := fmt.Sprintf("tim/%d", k)
	x, r, q := group.Inputs(net, s, in, name, m.EmbeddingDim)
	if fields := len(group.Sequence); fields > 1 { // behaviours of several fields become vectors of one width, and the candidate likewise
		x, q = m.join(net, name, fields, x, q)
	}
	inside, longer, places := r, r, group.Longest(s)
	var some *graph.Node
	if m.Readout == "append" {
		some = occupied(x, r)
		x, longer = graph.AppendRows(x, q, r)
		inside, places = longer, places+1
	}
	if m.Positions {
		x = graph.AddPositions(x, net.Param(name+"/positions", places, m.EmbeddingDim, nn.Normal(1e-2)), inside)
	}
	seen := t.encoder(k, x, inside)
	var out []*graph.Node
	for i := range s.Labels {
		if i > 0 && !m.conditioned() {
			out = append(out, out[0])
			continue
		}
		v := read.vector(i, k, q, seen(i), r, longer)
		if some != nil {
			v = graph.FieldScale(v, some)
		}
		out = append(out, v)
	}
	return out
}

// join makes one vector of each behaviour's several, and of the candidate's: a projection that both go through, or their sum.
func (m *Model) join(net *nn.Net, name string, fields int, x, q *graph.Node) (joinedX, joinedQ *graph.Node) {
	d := m.EmbeddingDim
	if m.Join == "sum" {
		sum := func(x *graph.Node) *graph.Node {
			y := graph.Slice(x, 0, d)
			for f := 1; f < fields; f++ {
				y = graph.Add(y, graph.Slice(x, f*d, (f+1)*d))
			}
			return y
		}
		return sum(x), sum(q)
	}
	w := net.Param(name+"/projection/weight", x.Cols, d, nn.XavierNormal())
	b := net.Param(name+"/projection/bias", 1, d, nn.Zeros())
	return graph.Linear(x, w, b, graph.Identity), graph.Linear(q, w, b, graph.Identity)
}
