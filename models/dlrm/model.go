package dlrm

import (
	"github.com/millrace/millrace/core/graph"
	"github.com/millrace/millrace/core/nn"
	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/models"
)

// Model is z = MLP_top([⟨v_f, v_g⟩ for f < g ; v_num]); labels share all but the output layer.
type Model struct{ Config }

// Build adds the embeddings, the bottom tower where there are numeric fields, their interaction and the top tower.
func (m *Model) Build(net *nn.Net, s *features.Schema) ([]*graph.Node, error) {
	categories, numbers := split(s)
	var vectors []*graph.Node
	if len(categories) > 0 {
		vectors = append(vectors, models.NewInputs(net, categories, models.InputsOptions{Prefix: "emb", Dim: m.EmbeddingDim, Lists: nn.PoolMean}).Node)
	}
	var dense *graph.Node // v_num [B, d]
	if len(numbers) > 0 {
		dense = net.MLP("bottom", net.Numbers("numbers", numbers), m.bottom().Spec())
		dense = net.Activate("bottom/out/act", net.Linear("bottom/out", dense, m.EmbeddingDim, graph.Identity), string(m.BottomMLPActivations))
		vectors = append(vectors, dense)
	}
	x := graph.Concat(vectors...)
	if m.InteractionOp == "dot" {
		x = graph.PairDots(x, x.Cols/m.EmbeddingDim)
		if dense != nil {
			x = graph.Concat(x, dense)
		}
	}
	return models.Heads(net, "out", net.MLP("top", x, m.top().Spec()), s), nil
}
