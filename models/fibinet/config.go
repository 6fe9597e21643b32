// Package fibinet is FiBiNET: fields re-weighted by SENET and bilinear products of all pairs, into a tower.
package fibinet

import (
	"fmt"

	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/models"
)

func init() {
	models.Register("fibinet", func() models.Config {
		return &Config{
			EmbeddingDim: 10, HiddenUnits: models.Units{64, 64, 64}, HiddenActivations: "relu",
			ExcitationActivation: "relu", ReductionRatio: 3, BilinearType: "field_interaction",
		}
	})
}

// Config holds the keys of a model file beside the settings of training; the names and defaults are FuxiCTR's, whose default tower is empty.
type Config struct {
	EmbeddingDim         int               `yaml:"embedding_dim"`
	HiddenUnits          models.Units      `yaml:"hidden_units"`
	HiddenActivations    models.Activation `yaml:"hidden_activations"`
	ExcitationActivation models.Activation `yaml:"excitation_activation"` // relu, sigmoid
	ReductionRatio       float64           `yaml:"reduction_ratio"`
	BilinearType         string            `yaml:"bilinear_type"` // field_all, field_each, field_interaction
	NetDropout           models.Rates      `yaml:"net_dropout"`
	BatchNorm            bool              `yaml:"batch_norm"`
}

func (c *Config) tower() models.Tower {
	return models.Tower{Units: c.HiddenUnits, Activation: c.HiddenActivations, Dropout: c.NetDropout, BatchNorm: c.BatchNorm}
}

// squeezed returns the units of SENET's hidden layer.
func (c *Config) squeezed(fields int) int { return max(1, int(float64(fields)/c.ReductionRatio)) }

// matrices returns how many matrices the bilinear products have, and 0 for an unknown type.
func (c *Config) matrices(fields int) int {
	return map[string]int{"field_all": 1, "field_each": fields - 1, "field_interaction": fields * (fields - 1) / 2}[c.BilinearType]
}

// Model checks the keys.
func (c *Config) Model(s *features.Schema, _ *models.Settings) (models.Model, error) {
	if err := models.CheckDim(c.EmbeddingDim); err != nil {
		return nil, err
	}
	if err := c.tower().Check("hidden_units", "hidden_activations", "net_dropout"); err != nil {
		return nil, err
	}
	fields := len(s.Fields)
	switch {
	case fields < 2:
		return nil, fmt.Errorf("the schema has one field: FiBiNET multiplies pairs of fields and needs at least two")
	case c.matrices(fields) == 0:
		return nil, fmt.Errorf("bilinear_type is %q, want field_all, field_each or field_interaction", c.BilinearType)
	case c.ExcitationActivation != "relu" && c.ExcitationActivation != "sigmoid":
		return nil, fmt.Errorf("excitation_activation is %q, want relu or sigmoid", c.ExcitationActivation)
	case !(float64(fields)/c.ReductionRatio <= 1<<16) || c.ReductionRatio <= 0:
		return nil, fmt.Errorf("reduction_ratio is %g, want more than 0 and at most %d hidden units", c.ReductionRatio, 1<<16)
	}
	return &Model{*c}, nil
}
