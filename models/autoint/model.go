package autoint

import (
	"fmt"
	"math"

	"github.com/millrace/millrace/core/graph"
	"github.com/millrace/millrace/core/nn"
	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/models"
)

// Model is AutoInt or AutoInt+; equations and sizes are in README.md.
type Model struct{ Config }

// Build adds the fields' vectors, the interacting layers over them, one weight vector a label over the last layer, and the tower and the linear part where asked for.
// For explanation each layer l leaves its attention "attention/l/weights": row k of a batch row's M rows holds, for each head, the weights of field k for all M fields.
func (m *Model) Build(net *nn.Net, s *features.Schema) ([]*graph.Node, error) {
	in := models.Embedded(net, "emb", s, m.EmbeddingDim)
	fields := len(in.Fields)
	e := graph.Dropout(in.Node, m.EmbeddingDropout)
	x := graph.SplitRows(e, fields)
	for l := range m.AttentionLayers {
		x = m.interact(net, fmt.Sprintf("attention/%d", l), x, in.Fields)
	}
	logits := models.Heads(net, "out", graph.JoinRows(x, fields), s)
	if len(m.DNNHiddenUnits) > 0 {
		deep := models.Heads(net, "dnn/out", net.MLP("dnn", e, m.tower().Spec()), s)
		for i := range logits {
			logits[i] = graph.Add(logits[i], deep[i])
		}
	}
	if m.UseWide {
		logits = models.AddWide(net, "wide", s, logits)
	}
	return logits, nil
}

// interact is one interacting layer over the fields of each batch row: x [B·M, d] → [B·M, attention_dim].
func (m *Model) interact(net *nn.Net, name string, x *graph.Node, fields []string) *graph.Node {
	width := m.AttentionDim
	l := graph.Interacting{Fields: len(fields), Heads: m.NumHeads, Width: width, Scale: 1, Rate: *m.AttentionDropout, NormLast: m.LayerNormPlace == "after_relu"}
	blocks := 3 // queries, keys, values
	if m.UseResidual {
		if l.Residual = m.ResidualProjection != "always" && x.Cols == width; !l.Residual {
			blocks = 4
		}
	}
	w := net.Param(name+"/weight", x.Cols, blocks*width, nn.XavierNormalBlocks(blocks))
	if m.AttentionActivation == "relu" { // the authors' code: dense layers with bias and ReLU, the residual's included
		l.Bias = net.Param(name+"/bias", 1, blocks*width, nn.Zeros())
	}
	if m.UseScale {
		l.Scale = 1 / math.Sqrt(float64(width/m.NumHeads))
	}
	var y, weights *graph.Node
	if m.LayerNorm {
		y, weights = net.InteractingLayer(name+"/norm", x, w, l)
	} else {
		y, weights = graph.InteractingLayer(x, w, l)
	}
	net.Explain(name+"/weights", weights, fields)
	return y
}
