package sim

import (
	"math"

	"github.com/millrace/millrace/core/graph"
	"github.com/millrace/millrace/core/nn"
	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/models"
)

// Model is SIM; equations and sizes are in README.md. Labels share all but the output layers.
type Model struct {
	Config
	groups   []models.BehaviourGroup
	category string // the candidate's field that a hard search looks for
}

// Build adds the fields' vectors, for each group of sequences what its search finds and what is newest, and the tower over all of them.
func (m *Model) Build(net *nn.Net, s *features.Schema) ([]*graph.Node, error) {
	in := models.NewInputs(net, models.Ungrouped(s, m.groups), models.InputsOptions{Prefix: "emb", Dim: m.EmbeddingDim, Lists: nn.PoolMean})
	x := []*graph.Node{in.Node}
	for i := range m.groups {
		x = append(x, m.interests(net, models.Numbered("", i, len(m.groups)), &m.groups[i], in, s)...)
	}
	return models.Heads(net, "out", net.MLP("dnn", graph.Concat(x...), m.tower().Spec()), s), nil
}

// interests returns what the exact search makes of the behaviours found, [B, H], and the short-term interest where there is one, [B, H].
func (m *Model) interests(net *nn.Net, suffix string, g *models.BehaviourGroup, in *models.Inputs, s *features.Schema) []*graph.Node {
	k, r, q := g.Inputs(net, s, in, "gsu"+suffix, m.EmbeddingDim)
	var scores *graph.Node
	if m.hard() {
		scores = graph.SameCode(net.Code(m.category, nn.MaxModulo, nil), net.Code(m.GSUField, nn.MaxModulo, r), r)
	} else {
		scores = m.softSearch(net, suffix, k, q, r, s)
	}
	all := k
	if m.UsePositionEmb { // the place in the whole history, which those found keep
		places := net.Param("esu"+suffix+"/position", g.Longest(s), m.EmbeddingDim, nn.Normal(1e-2))
		all = graph.Concat(k, graph.AddPositions(graph.Scale(graph.Slice(k, 0, m.EmbeddingDim), 0), places, r))
	}
	found, rf := graph.Choose(all, scores, r, m.TopK)
	x := []*graph.Node{m.exactSearch(net, "esu"+suffix, q, found, rf)}
	if m.ShortSeqLen > 0 {
		newest, rn := graph.Choose(k, nil, r, m.ShortSeqLen)
		x = append(x, net.AttentionUnit("short"+suffix, q, newest, rn, nn.AttentionSpec{Hidden: m.AttentionHiddenUnits, Activation: string(m.AttentionHiddenActivations), Dropout: m.AttentionDropout}))
	}
	return x
}

// softSearch returns r_t = ⟨q·W_a, k_t·W_b⟩, [T, 1], and adds the head that they are trained by: a tower over Σ_t r_t·k_t and the candidate (equations 2 and 3).
func (m *Model) softSearch(net *nn.Net, suffix string, k, q *graph.Node, r *graph.Ragged, s *features.Schema) *graph.Node {
	project := func(name string, x *graph.Node) *graph.Node {
		return graph.Linear(x, net.Param(name, x.Cols, m.AttentionDim, nn.XavierNormal()), nil, graph.Identity)
	}
	scores := graph.SegmentDots(project("gsu"+suffix+"/a", q), project("gsu"+suffix+"/b", k), r)
	h := net.MLP("gsu"+suffix+"/dnn", graph.Concat(graph.SegmentWeightedSum(scores, k, r), q), m.tower().Spec())
	for i, z := range models.Heads(net, "gsu"+suffix+"/out", h, s) {
		net.AuxiliaryHead(i, m.Alpha, z)
	}
	return scores
}

// exactSearch is attention of the candidate over the behaviours found, in heads: softmax of ⟨q·W_q, k_t·W_k⟩/√d weighs k_t·W_v, and heads side by side go through one layer (equations 5 and 6).
func (m *Model) exactSearch(net *nn.Net, name string, q, k *graph.Node, r *graph.Ragged) *graph.Node {
	project := func(part string, x *graph.Node) *graph.Node {
		return graph.Linear(x, net.Param(name+"/"+part, x.Cols, m.AttentionDim, nn.XavierNormal()), nil, graph.Identity)
	}
	queries, keys, values := project("q", q), project("k", k), project("v", k)
	d := m.AttentionDim / m.NumHeads
	var heads []*graph.Node
	for h := range m.NumHeads {
		of := func(x *graph.Node) *graph.Node { return graph.Slice(x, h*d, (h+1)*d) }
		a := graph.SegmentSoftmax(graph.SegmentDots(of(queries), of(keys), r), r, 1/math.Sqrt(float64(d)))
		heads = append(heads, graph.SegmentWeightedSum(graph.Dropout(a, m.AttentionDropout), of(values), r))
	}
	return net.Linear(name+"/o", graph.Concat(heads...), q.Cols, graph.Identity)
}
