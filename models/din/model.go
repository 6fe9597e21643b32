package din

import (
	"math"

	"github.com/millrace/millrace/core/graph"
	"github.com/millrace/millrace/core/nn"
	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/models"
)

// Model is DIN; equations and sizes are in README.md.
type Model struct {
	Config
	units []models.BehaviourGroup
}

// Build adds the fields' vectors, the interest of each group of sequences, and the tower over all of them.
func (m *Model) Build(net *nn.Net, s *features.Schema) ([]*graph.Node, error) {
	in := models.NewInputs(net, models.Ungrouped(s, m.units), models.InputsOptions{Prefix: "emb", Dim: m.EmbeddingDim, Lists: nn.PoolMean})
	x := []*graph.Node{in.Node}
	for i, u := range m.units {
		x = append(x, m.interest(net, models.Numbered("attention", i, len(m.units)), u, in, s)...)
	}
	h := net.MLP("dnn", graph.Concat(x...), nn.MLPSpec{
		Hidden: m.DNNHiddenUnits, Activation: string(m.DNNActivations), Dropout: m.NetDropout, BatchNorm: m.BatchNorm,
	})
	return models.Heads(net, "out", h, s), nil
}

// interest returns the interest v_U [B, H], H = d·(sequences of the unit), and beside it v_U ∘ q where that is wanted.
func (m *Model) interest(net *nn.Net, name string, u models.BehaviourGroup, in *models.Inputs, s *features.Schema) []*graph.Node {
	if m.Pooling != attentionPooling && !m.TargetProduct {
		return []*graph.Node{m.pool(u.Sequences(net, s, m.EmbeddingDim))}
	}
	k, r, q := u.Inputs(net, s, in, name, m.EmbeddingDim)
	var v *graph.Node
	if m.Pooling == attentionPooling {
		v = m.attend(net, name, u.Sequence, q, k, r)
	} else {
		v = m.pool(k, r)
	}
	if m.TargetProduct {
		return []*graph.Node{v, graph.Mul(v, q)}
	}
	return []*graph.Node{v}
}

// attend weighs each behaviour k_t by its score beside the candidate q. For explanation it leaves the weights, name/weights.
func (m *Model) attend(net *nn.Net, name string, sequence []string, q, k *graph.Node, r *graph.Ragged) *graph.Node {
	scale := 1.0
	if m.AttentionScale {
		scale = 1 / math.Sqrt(float64(k.Cols))
	}
	unit := nn.AttentionSpec{
		Hidden: m.AttentionHiddenUnits, Activation: string(m.AttentionHiddenActivations), Dropout: m.AttentionDropout,
		Softmax: m.UseSoftmax, Scale: scale,
	}
	if net.Scoring { // where there may be one operation for all of it
		return net.AttentionUnit(name, q, k, r, unit)
	}
	weights := net.AttentionScores(name, q, k, r, unit)
	net.ExplainAs(nn.BehaviourWeights, name+"/weights", weights, sequence)
	return graph.SegmentWeightedSum(weights, k, r)
}

// pool weighs all behaviours alike.
func (m *Model) pool(k *graph.Node, r *graph.Ragged) *graph.Node {
	if m.Pooling == sumPooling {
		return graph.SegmentPool(k, r, graph.PoolSum)
	}
	return graph.SegmentPool(k, r, graph.PoolMean)
}
