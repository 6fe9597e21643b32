package finalmlp

import (
	"github.com/millrace/millrace/core/graph"
	"github.com/millrace/millrace/core/nn"
	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/models"
)

// Model is FinalMLP or DualMLP; equations and sizes are in README.md.
type Model struct{ Config }

// Build adds two streams over the same embeddings e [B, F·d] and their fusion, one fusion a label.
func (m *Model) Build(net *nn.Net, s *features.Schema) ([]*graph.Node, error) {
	in := models.NewInputs(net, s.Fields, models.InputsOptions{Prefix: "emb", Dim: m.EmbeddingDim, Lists: nn.PoolMean})
	x1, x2 := in.Node, in.Node
	if m.UseFS {
		x1 = m.gate(net, "fs1", m.FS1Context, in, s)
		x2 = m.gate(net, "fs2", m.FS2Context, in, s)
	}
	o1 := net.MLP("mlp1", x1, nn.MLPSpec{
		Hidden: m.MLP1HiddenUnits, Activation: string(m.MLP1HiddenActivations), Dropout: m.MLP1Dropout, BatchNorm: m.MLP1BatchNorm,
	})
	o2 := net.MLP("mlp2", x2, nn.MLPSpec{
		Hidden: m.MLP2HiddenUnits, Activation: string(m.MLP2HiddenActivations), Dropout: m.MLP2Dropout, BatchNorm: m.MLP2BatchNorm,
	})
	y1, y2 := models.Heads(net, "fusion/x", o1, s), models.Heads(net, "fusion/y", o2, s)
	var logits []*graph.Node
	for i, l := range s.Labels {
		z := graph.Add(y1[i], y2[i])
		if m.fusion {
			name := "fusion/bilinear"
			if len(s.Labels) > 1 {
				name += "/" + l.Name
			}
			w := net.Param(name, o1.Cols*o2.Cols/m.NumHeads, 1, nn.XavierNormal())
			z = graph.Add(z, graph.BilinearFusion(o1, o2, w, m.NumHeads))
		}
		logits = append(logits, z)
	}
	return logits, nil
}

// gate returns 2σ(MLP(x))∘e, x the context fields read from the gate's own tables, or one learned vector [1, d] where there are none. For explanation it leaves the factors 2σ(MLP(x)), name/gates.
func (m *Model) gate(net *nn.Net, name string, context models.NameList, in *models.Inputs, s *features.Schema) *graph.Node {
	var x *graph.Node
	e := in.Node
	if len(context) == 0 {
		x = graph.Repeat(net.Param(name+"/context", 1, m.EmbeddingDim, nn.Zeros()), e)
	} else {
		var fields []features.Field
		for _, c := range context {
			fields = append(fields, s.Fields[s.Field(c)])
		}
		x = models.NewInputs(net, fields, models.InputsOptions{Prefix: name, Dim: m.EmbeddingDim, Lists: nn.PoolMean}).Node
	}
	g := net.MLP(name+"/gate", x, nn.MLPSpec{Hidden: m.FSHiddenUnits, Activation: "relu", Out: e.Cols})
	net.ExplainAs(nn.FieldGates, name+"/gates", graph.Scale(graph.Apply(g, graph.SigmoidAct), 2), in.Fields)
	return graph.Gate(g, e)
}
