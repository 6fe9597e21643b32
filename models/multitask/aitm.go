package multitask

import (
	"fmt"
	"math"

	"github.com/millrace/millrace/core/graph"
	"github.com/millrace/millrace/core/nn"
	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/models"
)

func init() {
	models.Register("aitm", func() models.Config {
		return &AITM{Parts: Defaults(), CalibratorAlpha: 0.6}
	})
}

// AITM passes on what a task has learned to the next one of a funnel (Xi and others, KDD 2021): the labels in the schema's order are a chain, of which each step implies the one before, as
// click → application → approval. Equations are in README.md.
type AITM struct {
	Parts             `yaml:",inline"`
	BottomHiddenUnits models.Units `yaml:"bottom_hidden_units"`
	// CalibratorAlpha is α, the weight of the loss for a step that is held likelier than the one before it.
	CalibratorAlpha float64 `yaml:"calibrator_alpha"`
}

// Model checks the keys.
func (m *AITM) Model(s *features.Schema, _ *models.Settings) (models.Model, error) {
	if err := m.Check(); err != nil {
		return nil, err
	}
	if err := m.BottomHiddenUnits.Check("bottom_hidden_units"); err != nil {
		return nil, err
	}
	if len(m.TowerHiddenUnits) == 0 {
		return nil, fmt.Errorf("tower_hidden_units is empty: what one task passes to the next is its tower's last layer")
	}
	if len(s.Labels) < 2 {
		return nil, fmt.Errorf("the schema has one label: AITM is for two or more, in the order of a funnel")
	}
	if !(m.CalibratorAlpha >= 0) || math.IsInf(m.CalibratorAlpha, 0) {
		return nil, fmt.Errorf("calibrator_alpha is %g, want at least 0", m.CalibratorAlpha)
	}
	return m, nil
}

// Build adds the towers, the transfers from each task to the next, the output layers and the calibrator.
func (m *AITM) Build(net *nn.Net, s *features.Schema) ([]*graph.Node, error) {
	x := net.MLP("bottom", models.Embedded(net, "emb", s, m.EmbeddingDim).Node, m.Tower(m.BottomHiddenUnits).Spec())
	var logits, apart []*graph.Node
	var z *graph.Node
	for i := range s.Labels {
		p := net.MLP(models.ForLabel(s, "tower", i), x, m.Tower(m.TowerHiddenUnits).Spec())
		if z == nil {
			z = p
		} else {
			z = transfer(net, models.ForLabel(s, "transfer", i), p, z)
		}
		logits = append(logits, net.Linear(models.ForLabel(s, "out", i), z, 1, graph.Identity))
		if i > 0 {
			above := graph.Sub(graph.Apply(logits[i], graph.SigmoidAct), graph.Apply(logits[i-1], graph.SigmoidAct))
			apart = append(apart, graph.Mean(graph.Apply(above, graph.ReLU)))
		}
	}
	if m.CalibratorAlpha > 0 {
		net.Auxiliary("calibrator", m.CalibratorAlpha, graph.SumScalars(apart...))
	}
	return logits, nil
}

// transfer adds the AIT module, z_t = Σ_u softmax_u(⟨K u, Q u⟩/√d)·V u over u of the task's own p_t and what the task before passes on, q = G z_{t−1} + b.
func transfer(net *nn.Net, name string, p, before *graph.Node) *graph.Node {
	d := p.Cols
	q := net.Linear(name+"/info", before, d, graph.Identity)
	u := graph.SplitRows(graph.Concat(p, q), 2)
	project := func(part string) *graph.Node {
		return graph.Linear(u, net.Param(name+"/"+part+"/weight", d, d, nn.XavierNormal()), nil, graph.Identity)
	}
	scores := graph.Scale(graph.RowSum(graph.Mul(project("key"), project("query"))), 1/math.Sqrt(float64(d)))
	return graph.Mixture(graph.JoinRows(project("value"), 2), graph.JoinRows(scores, 2))
}
