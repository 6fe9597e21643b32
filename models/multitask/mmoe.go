package multitask

import (
	"github.com/millrace/millrace/core/graph"
	"github.com/millrace/millrace/core/nn"
	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/models"
)

func init() {
	models.Register("mmoe", func() models.Config {
		return &MMoE{Parts: Defaults(), Experts: DefaultExperts(), Mixed: DefaultMixed()}
	})
}

// Mixed is the key of MMoE beside those of its experts.
type Mixed struct {
	NumExperts int `yaml:"num_experts"`
}

// DefaultMixed is FuxiCTR's.
func DefaultMixed() Mixed { return Mixed{NumExperts: 4} }

// Check refuses impossible keys.
func (m *Mixed) Check() error {
	return checkCount("num_experts", m.NumExperts, 1)
}

// Mix returns each task's mixture of shared experts over its input: out_i = Σ_j softmax(W_i g_i(x_i))_j · E_j(x_i).
func (m *Mixed) Mix(net *nn.Net, s *features.Schema, p *Parts, x *Experts, xs []*graph.Node) []*graph.Node {
	all := experts(net, "expert", m.NumExperts, p.Tower(x.ExpertHiddenUnits), xs)
	var out []*graph.Node
	for i, in := range xs {
		out = append(out, gated(net, models.ForLabel(s, "gate", i), in, p.Tower(x.GateHiddenUnits), column(all, i)))
	}
	return out
}

// MMoE is a mixture of experts with a gate a task (Ma and others, KDD 2018): ŷ_i = σ(Tower_i(Σ_j g_ij E_j(e))).
type MMoE struct {
	Parts   `yaml:",inline"`
	Experts `yaml:",inline"`
	Mixed   `yaml:",inline"`
}

// Model checks the keys.
func (m *MMoE) Model(s *features.Schema, _ *models.Settings) (models.Model, error) {
	for _, check := range []func() error{m.Parts.Check, m.Experts.Check, m.Mixed.Check} {
		if err := check(); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// Build adds the experts, gates and towers.
func (m *MMoE) Build(net *nn.Net, s *features.Schema) ([]*graph.Node, error) {
	e := models.Embedded(net, "emb", s, m.EmbeddingDim)
	return m.Towers(net, s, m.Mix(net, s, &m.Parts, &m.Experts, each(s, e.Node))), nil
}
