package din

import (
	"math"
	"strconv"

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

// Build adds the fields' vectors, one attention unit for each group of sequences, and the tower over all of them.
func (m *Model) Build(net *nn.Net, s *features.Schema) ([]*graph.Node, error) {
	in := models.NewInputs(net, models.Ungrouped(s, m.units), models.InputsOptions{Prefix: "emb", Dim: m.EmbeddingDim, Lists: nn.PoolMean})
	x := []*graph.Node{in.Node}
	for i, u := range m.units {
		name := "attention"
		if len(m.units) > 1 {
			name += strconv.Itoa(i + 1)
		}
		v, q := m.attention(net, name, u, in, s)
		x = append(x, v)
		if m.TargetProduct {
			x = append(x, graph.Mul(v, q))
		}
	}
	h := net.MLP("dnn", graph.Concat(x...), nn.MLPSpec{
		Hidden: m.DNNHiddenUnits, Activation: string(m.DNNActivations), Dropout: m.NetDropout, BatchNorm: m.BatchNorm,
	})
	return models.Heads(net, "out", h, s), nil
}

// attention returns the interest v_U [B, H], H = d·(sequences of the unit), and the candidate's q [B, H] it is for.
func (m *Model) attention(net *nn.Net, name string, u models.BehaviourGroup, in *models.Inputs, s *features.Schema) (v, candidate *graph.Node) {
	k, r, candidate := u.Inputs(net, s, in, name, m.EmbeddingDim)
	scale := 1.0
	if m.AttentionScale {
		scale = 1 / math.Sqrt(float64(k.Cols))
	}
	return net.AttentionUnit(name, candidate, k, r, nn.AttentionSpec{
		Hidden: m.AttentionHiddenUnits, Activation: string(m.AttentionHiddenActivations), Dropout: m.AttentionDropout,
		Softmax: m.UseSoftmax, Scale: scale,
	}), candidate
}
