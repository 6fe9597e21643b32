// Package fwfm is the field-weighted factorization machine: FM with one learned weight a pair of fields.
package fwfm

import (
	"fmt"

	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/models"
)

func init() {
	models.Register("fwfm", func() models.Config { return &Config{EmbeddingDim: 10, LinearType: "FiLV"} })
}

// Config holds the keys of a model file beside the settings of training; the names and defaults are FuxiCTR's.
type Config struct {
	EmbeddingDim int    `yaml:"embedding_dim"`
	LinearType   string `yaml:"linear_type"` // LW, FeLV, FiLV
	// Regularizer is λ for everything alike; it stands for both embedding_regularizer and net_regularizer.
	Regularizer float64 `yaml:"regularizer"`
}

// Model checks the keys.
func (c *Config) Model(s *features.Schema, set *models.Settings) (models.Model, error) {
	if err := models.CheckDim(c.EmbeddingDim); err != nil {
		return nil, err
	}
	switch c.LinearType {
	case "LW", "FeLV", "FiLV":
	default:
		return nil, fmt.Errorf("linear_type is %q, want LW, FeLV or FiLV", c.LinearType)
	}
	if len(s.Fields) < 2 {
		return nil, fmt.Errorf("the schema has one field: FwFM weighs pairs of fields and needs at least two")
	}
	if !(c.Regularizer >= 0) {
		return nil, fmt.Errorf("regularizer is %g, want at least 0", c.Regularizer)
	}
	if c.Regularizer > 0 {
		set.EmbeddingRegularizer, set.NetRegularizer = c.Regularizer, c.Regularizer
	}
	return &Model{*c}, nil
}
