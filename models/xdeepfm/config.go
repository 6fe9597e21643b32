// Package xdeepfm is xDeepFM: the compressed interaction network (CIN) beside a tower and a linear part.
package xdeepfm

import (
	"fmt"

	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/models"
)

func init() {
	models.Register("xdeepfm", func() models.Config {
		return &Config{EmbeddingDim: 10, DNNHiddenUnits: models.Units{64, 64, 64}, CINHiddenUnits: models.Units{16, 16, 16}, DNNActivations: "relu"}
	})
}

// Config holds the keys of a model file beside the settings of training; the names and defaults are FuxiCTR's.
type Config struct {
	EmbeddingDim   int               `yaml:"embedding_dim"`
	DNNHiddenUnits models.Units      `yaml:"dnn_hidden_units"` // empty: no tower
	DNNActivations models.Activation `yaml:"dnn_activations"`
	CINHiddenUnits models.Units      `yaml:"cin_hidden_units"`
	CINLayerUnits  models.Units      `yaml:"cin_layer_units"` // FuxiCTR 1.x's name of cin_hidden_units
	NetDropout     models.Rates      `yaml:"net_dropout"`
	BatchNorm      bool              `yaml:"batch_norm"`
}

func (c *Config) tower() models.Tower {
	return models.Tower{Units: c.DNNHiddenUnits, Activation: c.DNNActivations, Dropout: c.NetDropout, BatchNorm: c.BatchNorm}
}

// Model checks the keys.
func (c *Config) Model(*features.Schema, *models.Settings) (models.Model, error) {
	if err := models.CheckDim(c.EmbeddingDim); err != nil {
		return nil, err
	}
	if len(c.CINLayerUnits) > 0 {
		c.CINHiddenUnits = c.CINLayerUnits
	}
	if len(c.CINHiddenUnits) == 0 {
		return nil, fmt.Errorf("cin_hidden_units is empty: the interaction network needs at least one layer")
	}
	if err := c.CINHiddenUnits.Check("cin_hidden_units"); err != nil {
		return nil, err
	}
	if err := c.tower().Check("dnn_hidden_units", "dnn_activations", "net_dropout"); err != nil {
		return nil, err
	}
	return &Model{*c}, nil
}
