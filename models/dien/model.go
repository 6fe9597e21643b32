package dien

import (
	"github.com/millrace/millrace/core/graph"
	"github.com/millrace/millrace/core/nn"
	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/models"
)

// Model is DIEN; equations and sizes are in README.md. Labels share all but the output layer.
type Model struct {
	Config
	kind   graph.GRUKind
	groups []models.BehaviourGroup
}

// Build adds the fields' vectors, the extraction and the evolution of interests for each group of sequences, and the tower over all of them.
func (m *Model) Build(net *nn.Net, s *features.Schema) ([]*graph.Node, error) {
	in := models.NewInputs(net, models.Ungrouped(s, m.groups), models.InputsOptions{Prefix: "emb", Dim: m.EmbeddingDim, Lists: nn.PoolMean})
	x := []*graph.Node{in.Node}
	for i, g := range m.groups {
		name := models.Numbered("interest", i, len(m.groups))
		k, r, q := g.Inputs(net, s, in, name, m.EmbeddingDim)
		if m.EnableSumPooling {
			v := graph.SegmentWeightedSum(nil, k, r)
			x = append(x, v, graph.Mul(v, q))
		}
		h := net.GRU(name+"/extraction", k, r, k.Cols)
		if m.AuxLossAlpha > 0 {
			net.Auxiliary(name+"/next", m.AuxLossAlpha, m.next(net, name+"/next", h, k, r))
		}
		x = append(x, m.evolution(net, name, h, q, r, g.Sequence))
	}
	h := net.MLP("dnn", graph.Concat(x...), nn.MLPSpec{
		Hidden: m.DNNHiddenUnits, Activation: string(m.DNNActivations), Dropout: m.NetDropout, BatchNorm: m.BatchNorm,
	})
	return models.Heads(net, "out", h, s), nil
}

// next is the auxiliary loss: what the interest after a behaviour says of the one that followed it, and of another one of the batch (the paper's L_aux).
func (m *Model) next(net *nn.Net, name string, h, k *graph.Node, r *graph.Ragged) *graph.Node {
	before, after := graph.ButLast(h, r), graph.ButFirst(k, r)
	pairs := graph.SplitRows(graph.Concat(before, after, before, graph.Shuffle(after)), 2)
	z := graph.JoinRows(net.MLP(name, pairs, nn.MLPSpec{Hidden: m.AuxHiddenUnits, Activation: string(m.AuxActivation), Out: 1}), 2)
	real, drawn := graph.Slice(z, 0, 1), graph.Slice(z, 1, 2)
	return graph.SumScalars(graph.Mean(graph.Softplus(graph.Scale(real, -1))), graph.Mean(graph.Softplus(drawn)))
}

// evolution returns the last state of the interests' own recurrence, [B, H], in which those count that the candidate wakes.
func (m *Model) evolution(net *nn.Net, name string, h, q *graph.Node, r *graph.Ragged, sequence []string) *graph.Node {
	if m.kind == graph.PlainGRU {
		return graph.SegmentPool(net.GRU(name+"/evolution", h, r, h.Cols), r, graph.PoolLast)
	}
	weights := m.attention(net, name+"/attention", h, q, r)
	net.ExplainAs(nn.BehaviourWeights, name+"/attention/weights", weights, sequence)
	return net.AttentionGRU(name+"/evolution", h, weights, r, h.Cols, m.kind)
}

// attention returns a weight for each behaviour, [T, 1].
func (m *Model) attention(net *nn.Net, name string, h, q *graph.Node, r *graph.Ragged) *graph.Node {
	if m.AttentionType == Unit {
		return net.AttentionScores(name, q, h, r, nn.AttentionSpec{
			Hidden: m.AttentionHiddenUnits, Activation: string(m.AttentionActivation), Dropout: m.AttentionDropout, Softmax: m.UseAttentionSoftmax,
		})
	}
	if m.AttentionType == Bilinear {
		q = graph.Linear(q, net.Param(name+"/weight", q.Cols, h.Cols, nn.Eye()), nil, graph.Identity)
	}
	a := graph.SegmentDots(q, h, r)
	if m.UseAttentionSoftmax {
		a = graph.SegmentSoftmax(a, r, 1)
	}
	return a
}
