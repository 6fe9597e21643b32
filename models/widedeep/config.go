// Package widedeep is Wide&Deep: a linear part beside a tower.
package widedeep

import (
	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/models"
)

func init() {
	models.Register("widedeep", func() models.Config {
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

func (c *Config) tower() models.Tower {
	return models.Tower{Units: c.HiddenUnits, Activation: c.HiddenActivations, Dropout: c.NetDropout, BatchNorm: c.BatchNorm}
}

// Model checks the keys.
func (c *Config) Model(*features.Schema, *models.Settings) (models.Model, error) {
	if err := models.CheckDim(c.EmbeddingDim); err != nil {
		return nil, err
	}
	if err := c.tower().Check("hidden_units", "hidden_activations", "net_dropout"); err != nil {
		return nil, err
	}
	return &Model{*c}, nil
}
