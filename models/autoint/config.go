// Package autoint holds AutoInt (CIKM 2019), self-attention among the fields, and AutoInt+, the same beside a tower.
package autoint

import (
	"fmt"
	"slices"

	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/models"
)

func init() {
	models.Register("autoint", func() models.Config { return defaults() })
	models.Register("autointplus", func() models.Config {
		c := defaults()
		c.plus, c.DNNHiddenUnits = true, models.Units{64, 64, 64}
		return c
	})
}

func defaults() *Config {
	return &Config{
		EmbeddingDim: 10, AttentionLayers: 2, NumHeads: 1, AttentionDim: 8, UseResidual: true, ResidualProjection: "on_change",
		AttentionActivation: "identity", LayerNormPlace: "before_relu", DNNActivations: "relu",
	}
}

// Config holds the keys of a model file beside the settings of training; names and defaults are FuxiCTR's where it has the key.
type Config struct {
	EmbeddingDim    int               `yaml:"embedding_dim"`
	AttentionLayers int               `yaml:"attention_layers"`
	NumHeads        int               `yaml:"num_heads"`
	AttentionDim    int               `yaml:"attention_dim"` // of all heads together
	UseResidual     bool              `yaml:"use_residual"`
	UseScale        bool              `yaml:"use_scale"`
	LayerNorm       bool              `yaml:"layer_norm"`
	UseWide         bool              `yaml:"use_wide"`
	DNNHiddenUnits  models.Units      `yaml:"dnn_hidden_units"`
	DNNActivations  models.Activation `yaml:"dnn_activations"`
	NetDropout      models.Rates      `yaml:"net_dropout"` // of the tower, and of the attention weights where attention_dropout is not given
	BatchNorm       bool              `yaml:"batch_norm"`

	AttentionDropout    *float64          `yaml:"attention_dropout"`
	EmbeddingDropout    float64           `yaml:"embedding_dropout"`
	ResidualProjection  string            `yaml:"residual_projection"` // on_change, always
	AttentionActivation models.Activation `yaml:"attention_activation"`
	LayerNormPlace      string            `yaml:"layer_norm_place"` // before_relu, after_relu

	plus bool // AutoInt+: the tower is a must
}

func (c *Config) tower() models.Tower {
	return models.Tower{Units: c.DNNHiddenUnits, Activation: c.DNNActivations, Dropout: c.NetDropout, BatchNorm: c.BatchNorm}
}

// Model checks the keys.
func (c *Config) Model(s *features.Schema, _ *models.Settings) (models.Model, error) {
	if err := models.CheckDim(c.EmbeddingDim); err != nil {
		return nil, err
	}
	switch {
	case c.AttentionLayers < 0 || c.AttentionLayers > 64:
		return nil, fmt.Errorf("attention_layers is %d, want 0 to 64", c.AttentionLayers)
	case c.AttentionDim < 1 || c.AttentionDim > 1<<14:
		return nil, fmt.Errorf("attention_dim is %d, want 1 to %d", c.AttentionDim, 1<<14)
	case c.NumHeads < 1 || c.AttentionDim%c.NumHeads != 0:
		return nil, fmt.Errorf("num_heads is %d: it must divide attention_dim, which is %d for all heads together", c.NumHeads, c.AttentionDim)
	case c.plus && len(c.DNNHiddenUnits) == 0:
		return nil, fmt.Errorf("dnn_hidden_units is empty: AutoInt+ has a tower; the model without one is autoint")
	}
	if err := oneOf("residual_projection", c.ResidualProjection, "on_change", "always"); err != nil {
		return nil, err
	}
	if err := oneOf("layer_norm_place", c.LayerNormPlace, "before_relu", "after_relu"); err != nil {
		return nil, err
	}
	if err := oneOf("attention_activation", string(c.AttentionActivation), "identity", "relu"); err != nil {
		return nil, err
	}
	if err := c.tower().Check("dnn_hidden_units", "dnn_activations", "net_dropout"); err != nil {
		return nil, err
	}
	if c.AttentionDropout == nil {
		if len(c.NetDropout) > 1 {
			return nil, fmt.Errorf("net_dropout has a rate for each layer of the tower: give attention_dropout as well")
		}
		rate := 0.0
		if len(c.NetDropout) == 1 {
			rate = c.NetDropout[0]
		}
		c.AttentionDropout = &rate
	}
	if err := models.CheckRate("attention_dropout", *c.AttentionDropout); err != nil {
		return nil, err
	}
	if err := models.CheckRate("embedding_dropout", c.EmbeddingDropout); err != nil {
		return nil, err
	}
	return &Model{*c}, nil
}

func oneOf(key, value string, known ...string) error {
	if !slices.Contains(known, value) {
		return fmt.Errorf("%s is %q, want one of %v", key, value, known)
	}
	return nil
}
