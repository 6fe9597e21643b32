// Package dnn is the plain deep network: embeddings side by side, then a tower.
package dnn

import (
	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/models"
)

func init() {
	models.Register("dnn", func() models.Config {
		return &Config{EmbeddingDim: 10, HiddenUnits: models.Units{64, 64, 64}, HiddenActivations: "relu"}
	})
}

// Config holds the keys of a model file beside the settings of training; the names and defaults are FuxiCTR's.
type Config struct {
	EmbeddingDim      int               `yaml:"embedding_dim"`
	HiddenUnits       models.Units      `yaml:"hidden_units"`
	HiddenActivations models.Activation `yaml:"hidden_activations"`
	NetDropout        models.Rates      `yaml:"net_dropout"`
	BatchNorm         bool              `yaml:"batch_norm"`
}

// Model checks the keys.
func (c *Config) Model(*features.Schema, *models.Settings) (models.Model, error) {
	if err := models.CheckDim(c.EmbeddingDim); err != nil {
		return nil, err
	}
	if err := c.HiddenUnits.Check("hidden_units"); err != nil {
		return nil, err
	}
	if err := c.HiddenActivations.Check("hidden_activations"); err != nil {
		return nil, err
	}
	if err := c.NetDropout.Check("net_dropout", len(c.HiddenUnits)); err != nil {
		return nil, err
	}
	return &Model{*c}, nil
}
