// Package finalmlp holds FinalMLP (AAAI 2023), two towers with gated inputs and a bilinear fusion, and DualMLP, the same without either.
package finalmlp

import (
	"fmt"

	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/models"
)

func init() {
	models.Register("finalmlp", func() models.Config {
		c := defaults()
		c.fusion, c.UseFS = true, true
		return c
	})
	models.Register("dualmlp", func() models.Config { return defaults() })
}

func defaults() *Config {
	return &Config{
		EmbeddingDim: 10, NumHeads: 1, FSHiddenUnits: models.Units{64},
		MLP1HiddenUnits: models.Units{64, 64, 64}, MLP2HiddenUnits: models.Units{64, 64, 64},
		MLP1HiddenActivations: "relu", MLP2HiddenActivations: "relu",
	}
}

// Config holds the keys of a model file beside the settings of training; the names and defaults are FuxiCTR's.
type Config struct {
	EmbeddingDim          int               `yaml:"embedding_dim"`
	MLP1HiddenUnits       models.Units      `yaml:"mlp1_hidden_units"`
	MLP2HiddenUnits       models.Units      `yaml:"mlp2_hidden_units"`
	MLP1HiddenActivations models.Activation `yaml:"mlp1_hidden_activations"`
	MLP2HiddenActivations models.Activation `yaml:"mlp2_hidden_activations"`
	MLP1Dropout           models.Rates      `yaml:"mlp1_dropout"`
	MLP2Dropout           models.Rates      `yaml:"mlp2_dropout"`
	MLP1BatchNorm         bool              `yaml:"mlp1_batch_norm"`
	MLP2BatchNorm         bool              `yaml:"mlp2_batch_norm"`
	UseFS                 bool              `yaml:"use_fs"`
	FSHiddenUnits         models.Units      `yaml:"fs_hidden_units"`
	FS1Context            models.NameList   `yaml:"fs1_context"`
	FS2Context            models.NameList   `yaml:"fs2_context"`
	NumHeads              int               `yaml:"num_heads"`

	fusion bool // FinalMLP; false is DualMLP
}

// Model checks the keys against the schema's fields.
func (c *Config) Model(s *features.Schema, _ *models.Settings) (models.Model, error) {
	if err := models.CheckDim(c.EmbeddingDim); err != nil {
		return nil, err
	}
	for _, m := range []struct {
		key   string
		units models.Units
		act   models.Activation
		rates models.Rates
	}{
		{"mlp1", c.MLP1HiddenUnits, c.MLP1HiddenActivations, c.MLP1Dropout},
		{"mlp2", c.MLP2HiddenUnits, c.MLP2HiddenActivations, c.MLP2Dropout},
	} {
		if len(m.units) == 0 {
			return nil, fmt.Errorf("%s_hidden_units is empty: the stream needs at least one layer", m.key)
		}
		if err := m.units.Check(m.key + "_hidden_units"); err != nil {
			return nil, err
		}
		if err := m.act.Check(m.key + "_hidden_activations"); err != nil {
			return nil, err
		}
		if err := m.rates.Check(m.key+"_dropout", len(m.units)); err != nil {
			return nil, err
		}
	}
	if !c.fusion {
		if c.UseFS {
			return nil, fmt.Errorf("use_fs: DualMLP has no feature selection; the model with it is finalmlp")
		}
		return &Model{Config: *c}, nil
	}
	p, q := c.MLP1HiddenUnits[len(c.MLP1HiddenUnits)-1], c.MLP2HiddenUnits[len(c.MLP2HiddenUnits)-1]
	if c.NumHeads < 1 || p%c.NumHeads != 0 || q%c.NumHeads != 0 {
		return nil, fmt.Errorf("num_heads is %d: it must divide the streams' last layers, %d and %d units", c.NumHeads, p, q)
	}
	if !c.UseFS {
		return &Model{Config: *c}, nil
	}
	if err := c.FSHiddenUnits.Check("fs_hidden_units"); err != nil {
		return nil, err
	}
	for key, names := range map[string]models.NameList{"fs1_context": c.FS1Context, "fs2_context": c.FS2Context} {
		if err := models.CheckFields(s, key, names); err != nil {
			return nil, err
		}
	}
	return &Model{Config: *c}, nil
}
