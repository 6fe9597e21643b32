// Package multitask holds models of several labels over one bottom: shared-bottom, MMoE, PLE, ESMM and AITM, and the parts they and DTRN are made of.
// Every label of the schema is a task.
package multitask

import (
	"fmt"

	"github.com/millrace/millrace/core/graph"
	"github.com/millrace/millrace/core/nn"
	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/models"
)

// Parts are the keys that models of several tasks have in common; the names and defaults are FuxiCTR's.
type Parts struct {
	EmbeddingDim      int               `yaml:"embedding_dim"`
	TowerHiddenUnits  models.Units      `yaml:"tower_hidden_units"`
	HiddenActivations models.Activation `yaml:"hidden_activations"`
	NetDropout        models.Rates      `yaml:"net_dropout"`
	BatchNorm         bool              `yaml:"batch_norm"`
}

// Defaults are the parts' default keys.
func Defaults() Parts {
	return Parts{EmbeddingDim: 10, TowerHiddenUnits: models.Units{64}, HiddenActivations: "relu"}
}

// Check refuses impossible parts.
func (p *Parts) Check() error {
	if err := models.CheckDim(p.EmbeddingDim); err != nil {
		return err
	}
	if len(p.NetDropout) > 1 {
		return fmt.Errorf("net_dropout has %d rates, want one for all layers", len(p.NetDropout))
	}
	if err := p.HiddenActivations.Check("hidden_activations"); err != nil {
		return err
	}
	if err := p.NetDropout.Check("net_dropout", 1); err != nil {
		return err
	}
	return p.TowerHiddenUnits.Check("tower_hidden_units")
}

// Tower describes an MLP of the model.
func (p *Parts) Tower(units models.Units) models.Tower {
	return models.Tower{Units: units, Activation: p.HiddenActivations, Dropout: p.NetDropout, BatchNorm: p.BatchNorm}
}

// Towers adds each task's own tower over its representation, tower/<label>, and returns the logits.
func (p *Parts) Towers(net *nn.Net, s *features.Schema, xs []*graph.Node) []*graph.Node {
	var logits []*graph.Node
	for i, x := range xs {
		spec := p.Tower(p.TowerHiddenUnits).Spec()
		spec.Out = 1
		logits = append(logits, net.MLP(models.ForLabel(s, "tower", i), x, spec))
	}
	return logits
}

// each repeats one representation for every task.
func each(s *features.Schema, x *graph.Node) []*graph.Node {
	xs := make([]*graph.Node, len(s.Labels))
	for i := range xs {
		xs[i] = x
	}
	return xs
}

// expert adds one network, name, and applies it to the inputs of all tasks: [task][B, out]. Inputs that differ become rows of one batch, so that
// they share weights and statistics.
func expert(net *nn.Net, name string, t models.Tower, xs []*graph.Node) []*graph.Node {
	same := true
	for _, x := range xs {
		same = same && x == xs[0]
	}
	out := make([]*graph.Node, len(xs))
	if same {
		y := net.MLP(name, xs[0], t.Spec())
		for i := range out {
			out[i] = y
		}
		return out
	}
	y := net.MLP(name, graph.SplitRows(graph.Concat(xs...), len(xs)), t.Spec())
	width := y.Cols
	y = graph.JoinRows(y, len(xs))
	for i := range out {
		out[i] = graph.Slice(y, i*width, (i+1)*width)
	}
	return out
}

// experts adds so many networks, name/0, name/1, …: [expert][task].
func experts(net *nn.Net, name string, n int, t models.Tower, xs []*graph.Node) [][]*graph.Node {
	var out [][]*graph.Node
	for e := range n {
		out = append(out, expert(net, fmt.Sprintf("%s/%d", name, e), t, xs))
	}
	return out
}

// gated mixes experts by a gate over x: softmax(W·MLP(x)) (MMoE, KDD 2018, equation 6; FuxiCTR puts the MLP before it).
func gated(net *nn.Net, name string, x *graph.Node, gate models.Tower, experts []*graph.Node) *graph.Node {
	g := net.MLP(name, x, gate.Spec())
	w := net.Param(name+"/out/weight", g.Cols, len(experts), nn.XavierNormal())
	return graph.Mixture(graph.Concat(experts...), graph.Linear(g, w, nil, graph.Identity))
}

// Experts are the keys of networks that gates mix.
type Experts struct {
	ExpertHiddenUnits models.Units `yaml:"expert_hidden_units"`
	GateHiddenUnits   models.Units `yaml:"gate_hidden_units"`
}

// DefaultExperts is FuxiCTR's.
func DefaultExperts() Experts {
	return Experts{ExpertHiddenUnits: models.Units{512, 256, 128}, GateHiddenUnits: models.Units{128, 64}}
}

// Check refuses impossible keys.
func (x *Experts) Check() error {
	if err := x.ExpertHiddenUnits.Check("expert_hidden_units"); err != nil {
		return err
	}
	if len(x.ExpertHiddenUnits) == 0 {
		return fmt.Errorf("expert_hidden_units is empty: an expert needs at least one layer")
	}
	return x.GateHiddenUnits.Check("gate_hidden_units")
}

// column collects the experts' outputs for one task.
func column(experts [][]*graph.Node, task int) []*graph.Node {
	var out []*graph.Node
	for _, e := range experts {
		out = append(out, e[task])
	}
	return out
}

// checkCount refuses a number of experts or layers that cannot be.
func checkCount(key string, n, least int) error {
	if n < least || n > 1024 {
		return fmt.Errorf("%s is %d, want %d to 1024", key, n, least)
	}
	return nil
}
