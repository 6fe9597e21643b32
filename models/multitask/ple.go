package multitask

import (
	"fmt"

	"github.com/millrace/millrace/core/graph"
	"github.com/millrace/millrace/core/nn"
	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/models"
)

func init() {
	models.Register("ple", func() models.Config {
		return &PLE{Parts: Defaults(), Experts: DefaultExperts(), Extracted: DefaultExtracted()}
	})
}

// Extracted are the keys of PLE beside those of its experts.
type Extracted struct {
	NumLayers          int `yaml:"num_layers"`
	NumSharedExperts   int `yaml:"num_shared_experts"`
	NumSpecificExperts int `yaml:"num_specific_experts"`
	// SharedGate says what the shared gate mixes: all experts, as in the paper, or the shared ones alone, as in FuxiCTR.
	SharedGate string `yaml:"shared_gate"`
}

// DefaultExtracted is one layer with two shared experts and two a task.
func DefaultExtracted() Extracted {
	return Extracted{NumLayers: 1, NumSharedExperts: 2, NumSpecificExperts: 2, SharedGate: "all"}
}

// Check refuses impossible keys.
func (m *Extracted) Check() error {
	if err := checkCount("num_layers", m.NumLayers, 1); err != nil {
		return err
	}
	if err := checkCount("num_shared_experts", m.NumSharedExperts, 1); err != nil {
		return err
	}
	if err := checkCount("num_specific_experts", m.NumSpecificExperts, 1); err != nil {
		return err
	}
	if m.SharedGate != "all" && m.SharedGate != "shared" {
		return fmt.Errorf("shared_gate is %q, want all or shared", m.SharedGate)
	}
	return nil
}

// Extract returns each task's representation after the layers (Tang and others, RecSys 2020, section 4.2): in each, task i's gate mixes its own experts and the
// shared ones, which read each task's input in turn where these differ; between layers the shared gate gives the shared experts an input of their own. Where
// the tasks' inputs differ that gate reads their mean, and the mean of what each shared expert makes of them.
func (m *Extracted) Extract(net *nn.Net, s *features.Schema, p *Parts, e *Experts, xs []*graph.Node) []*graph.Node {
	var shared *graph.Node // input of the shared experts; nil: the tasks' own
	if differ := len(xs) > 1 && xs[0] != xs[1]; !differ {
		shared = xs[0]
	}
	gate, expert := p.Tower(e.GateHiddenUnits), p.Tower(e.ExpertHiddenUnits)
	for layer := range m.NumLayers {
		name := fmt.Sprintf("layer%d", layer)
		from := xs
		if shared != nil {
			from = each(s, shared)
		}
		common := experts(net, name+"/shared", m.NumSharedExperts, expert, from)
		next, all := make([]*graph.Node, len(xs)), [][]*graph.Node{}
		for i, x := range xs {
			own := experts(net, models.ForLabel(s, name+"/expert", i), m.NumSpecificExperts, expert, xs[i:i+1])
			next[i] = gated(net, models.ForLabel(s, name+"/gate", i), x, gate, append(column(own, 0), column(common, i)...))
			all = append(all, own...)
		}
		if layer == m.NumLayers-1 {
			return next
		}
		mixed, input := averaged(common), shared
		if m.SharedGate == "all" {
			mixed = append(column(all, 0), mixed...)
		}
		if input == nil {
			input = average(xs)
		}
		shared, xs = gated(net, name+"/gate/shared", input, gate, mixed), next
	}
	return xs
}

// average is the mean of values, which for one that stands several times is itself.
func average(xs []*graph.Node) *graph.Node {
	sum, same := xs[0], true
	for _, x := range xs[1:] {
		same = same && x == xs[0]
	}
	if same {
		return xs[0]
	}
	for _, x := range xs[1:] {
		sum = graph.Add(sum, x)
	}
	return graph.Scale(sum, 1/float64(len(xs)))
}

// averaged is each expert's mean over what it makes of the tasks' inputs, so that the tasks' order does not matter.
func averaged(experts [][]*graph.Node) []*graph.Node {
	var out []*graph.Node
	for _, e := range experts {
		out = append(out, average(e))
	}
	return out
}

// PLE is progressive layered extraction; with one layer it is CGC.
type PLE struct {
	Parts     `yaml:",inline"`
	Experts   `yaml:",inline"`
	Extracted `yaml:",inline"`
}

// Model checks the keys.
func (m *PLE) Model(s *features.Schema, _ *models.Settings) (models.Model, error) {
	for _, check := range []func() error{m.Parts.Check, m.Experts.Check, m.Extracted.Check} {
		if err := check(); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// Build adds the layers and the towers.
func (m *PLE) Build(net *nn.Net, s *features.Schema) ([]*graph.Node, error) {
	e := models.Embedded(net, "emb", s, m.EmbeddingDim)
	return m.Towers(net, s, m.Extract(net, s, &m.Parts, &m.Experts, each(s, e.Node))), nil
}
