package lr

import (
	"github.com/millrace/millrace/core/graph"
	"github.com/millrace/millrace/core/nn"
	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/models"
)

// Model is z = b + Σ_f w_f[x_f] (docs of the model: README.md).
type Model struct{}

// Build adds one weight an id for each label: lists add up the weights of their ids, and every field has weights of its own.
func (Model) Build(net *nn.Net, s *features.Schema) ([]*graph.Node, error) {
	var logits []*graph.Node
	for _, l := range s.Labels {
		prefix := "lr"
		if len(s.Labels) > 1 {
			prefix += "/" + l.Name
		}
		w := models.NewInputs(net, s.Fields, models.InputsOptions{Prefix: prefix, Dim: 1, Lists: nn.PoolSum, Own: true})
		b := net.Param(prefix+"/bias", 1, 1, nn.Zeros())
		logits = append(logits, graph.AddRow(graph.RowSum(w.Node), b))
	}
	return logits, nil
}
