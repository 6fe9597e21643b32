package twotower

import (
	"github.com/millrace/millrace/core/graph"
	"github.com/millrace/millrace/core/nn"
	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/models"
)

// The names of a program's vectors; those of a label beside others have it behind a stroke, item/click.
const (
	UserVector = "user"
	ItemVector = "item"
)

// Model is two towers; equations and sizes are in README.md. Labels share the fields' vectors and have towers of their own.
type Model struct {
	Config
	user, item []string
	id         string // the field of the item's id, or empty
	inBatch    bool
}

// Build adds both towers, their inner product and, where it is asked for, the loss over the batch's items.
func (m *Model) Build(net *nn.Net, s *features.Schema) ([]*graph.Node, error) {
	in := models.Embedded(net, "emb", s, m.EmbeddingDim)
	user, item := side(in, m.user), side(in, m.item)
	var logits []*graph.Node
	for i := range s.Labels {
		u := m.vector(net, models.ForLabel(s, UserVector, i), user, m.UserTowerUnits, m.UserTowerActivations, m.UserTowerDropout)
		v := m.vector(net, models.ForLabel(s, ItemVector, i), item, m.ItemTowerUnits, m.ItemTowerActivations, m.ItemTowerDropout)
		z := graph.Scale(graph.RowSum(graph.Mul(u, v)), 1/m.Temperature)
		if m.inBatch {
			m.overBatch(net, u, v)
		} else { // which the softmax would not see
			z = graph.AddRow(z, net.Param(models.ForLabel(s, "out", i)+"/bias", 1, 1, nn.Zeros()))
		}
		logits = append(logits, z)
	}
	return logits, nil
}

// vector is a tower's last layer, of length one where it is to be, known by the tower's name.
func (m *Model) vector(net *nn.Net, name string, x *graph.Node, units models.Units, activation models.Activation, dropout models.Rates) *graph.Node {
	v := net.MLP(name, x, tower(units, activation, dropout, m.BatchNorm).Spec())
	v = net.Linear(name+"/out", v, units[len(units)-1], graph.Identity)
	if m.Normalise {
		v = graph.UnitRows(v)
	}
	net.Vectors = append(net.Vectors, nn.Vector{Name: name, Node: v})
	return v
}

// overBatch makes the loss that of finding a positive's item among the batch's.
func (m *Model) overBatch(net *nn.Net, u, v *graph.Node) {
	logq := graph.LogFrequency(net.Code(m.id, m.FrequencyBuckets, nil), net.Frequencies("frequencies", m.FrequencyBuckets), m.FrequencyRate)
	net.Objective = func(_ int, y, weights *graph.Node) *graph.Node {
		return graph.InBatchSoftmax(u, v, y, weights, logq, 1/m.Temperature)
	}
}

// side is the fields of one tower, side by side.
func side(in *models.Inputs, fields []string) *graph.Node {
	var x []*graph.Node
	for _, f := range fields {
		x = append(x, in.Field(f))
	}
	return graph.Concat(x...)
}
