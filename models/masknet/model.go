package masknet

import (
	"fmt"

	"github.com/millrace/millrace/core/graph"
	"github.com/millrace/millrace/core/nn"
	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/models"
)

// Model is MaskNet, serial or parallel; equations and sizes are in README.md. Labels share all but the output layer.
type Model struct{ Config }

// Build adds the blocks over e [B, F·d] and h_0, which is e with its fields normalised where that is on.
func (m *Model) Build(net *nn.Net, s *features.Schema) ([]*graph.Node, error) {
	in := models.Embedded(net, "emb", s, m.EmbeddingDim)
	e, h := in.Node, in.Node
	if m.EmbLayerNorm {
		h = normalised(net, in)
	}
	if !m.parallel() {
		for i, units := range m.DNNHiddenUnits {
			h = m.block(net, fmt.Sprintf("block/%d", i), e, h, units)
		}
		return models.Heads(net, "out", h, s), nil
	}
	var blocks []*graph.Node
	for i := range m.ParallelNumBlocks {
		blocks = append(blocks, m.block(net, fmt.Sprintf("block/%d", i), e, h, m.ParallelBlockDim))
	}
	h = net.MLP("mlp", graph.Concat(blocks...), nn.MLPSpec{
		Hidden: m.DNNHiddenUnits, Activation: string(m.DNNHiddenActivations), Dropout: models.Rates{m.NetDropout},
	})
	return models.Heads(net, "out", h, s), nil
}

// normalised returns the fields, each with a layer norm of its own.
func normalised(net *nn.Net, in *models.Inputs) *graph.Node {
	var fields []*graph.Node
	for _, f := range in.Fields {
		fields = append(fields, net.LayerNorm("emb_norm/"+f, in.Field(f)))
	}
	return graph.Concat(fields...)
}

// block returns drop(act(LN(W·(M(e)∘h)))).
func (m *Model) block(net *nn.Net, name string, e, h *graph.Node, units int) *graph.Node {
	mask := net.MLP(name+"/mask", e, nn.MLPSpec{Hidden: []int{m.masked(h.Cols)}, Activation: "relu", Out: h.Cols})
	x := graph.Linear(graph.Mul(mask, h), net.Param(name+"/weight", h.Cols, units, nn.XavierNormal()), nil, graph.Identity)
	if m.NetLayerNorm {
		x = net.LayerNorm(name+"/norm", x)
	}
	return graph.Dropout(net.Activate(name+"/act", x, string(m.DNNHiddenActivations)), m.NetDropout)
}
