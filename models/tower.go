package models

import (
	"github.com/millrace/millrace/core/graph"
	"github.com/millrace/millrace/core/nn"
	"github.com/millrace/millrace/features"
)

// Tower gathers the keys of a model file that describe an MLP.
type Tower struct {
	Units      Units
	Activation Activation
	Dropout    Rates
	BatchNorm  bool
}

// Check refuses an impossible tower; units, activation and dropout are the keys' names for errors.
func (t Tower) Check(units, activation, dropout string) error {
	if err := t.Units.Check(units); err != nil {
		return err
	}
	if err := t.Activation.Check(activation); err != nil {
		return err
	}
	return t.Dropout.Check(dropout, len(t.Units))
}

// Spec describes the tower to the net, without an output layer.
func (t Tower) Spec() nn.MLPSpec {
	return nn.MLPSpec{Hidden: t.Units, Activation: string(t.Activation), Dropout: t.Dropout, BatchNorm: t.BatchNorm}
}

// Deep holds the keys of a model that is embeddings and one tower, whatever stands beside it; the names and defaults are FuxiCTR's.
type Deep struct {
	EmbeddingDim      int        `yaml:"embedding_dim"`
	HiddenUnits       Units      `yaml:"hidden_units"`
	HiddenActivations Activation `yaml:"hidden_activations"`
	NetDropout        Rates      `yaml:"net_dropout"`
	BatchNorm         bool       `yaml:"batch_norm"`
}

// DefaultDeep is vectors of 10 and a tower 64-64-64 with ReLU.
func DefaultDeep() Deep {
	return Deep{EmbeddingDim: 10, HiddenUnits: Units{64, 64, 64}, HiddenActivations: "relu"}
}

// Tower is the tower that the keys describe.
func (d *Deep) Tower() Tower {
	return Tower{Units: d.HiddenUnits, Activation: d.HiddenActivations, Dropout: d.NetDropout, BatchNorm: d.BatchNorm}
}

// Check refuses impossible keys.
func (d *Deep) Check() error {
	if err := CheckDim(d.EmbeddingDim); err != nil {
		return err
	}
	return d.Tower().Check("hidden_units", "hidden_activations", "net_dropout")
}

// Embedded adds the vectors v_f of all fields, e = [v_1 … v_F] of width dim each, from the tables prefix/…; lists are averaged.
func Embedded(net *nn.Net, prefix string, s *features.Schema, dim int) *Inputs {
	return NewInputs(net, s.Fields, InputsOptions{Prefix: prefix, Dim: dim, Lists: nn.PoolMean})
}

// Wide adds Σ_f w_f[x_f], [B, 1], from the tables prefix/…: one weight an id, lists added up, every field with weights of its own.
func Wide(net *nn.Net, prefix string, s *features.Schema) *graph.Node {
	w := NewInputs(net, s.Fields, InputsOptions{Prefix: prefix, Dim: 1, Lists: nn.PoolSum, Own: true})
	return graph.RowSum(w.Node)
}

// ForLabel returns the name of a part of which each label has its own: prefix alone where there is one label, else prefix/label.
func ForLabel(s *features.Schema, prefix string, label int) string {
	if len(s.Labels) == 1 {
		return prefix
	}
	return prefix + "/" + s.Labels[label].Name
}

// AddWide adds to each label's logit the linear part of the label's own.
func AddWide(net *nn.Net, prefix string, s *features.Schema, logits []*graph.Node) []*graph.Node {
	for i, z := range logits {
		logits[i] = graph.Add(z, Wide(net, ForLabel(s, prefix, i), s))
	}
	return logits
}
