// Package fm is the factorization machine: a weight and a vector an id, and the inner products of all pairs.
package fm

import (
	"fmt"

	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/models"
)

func init() { models.Register("fm", func() models.Config { return &Config{EmbeddingDim: 10} }) }

// Config holds the keys of a model file beside the settings of training; the names and defaults are FuxiCTR's.
type Config struct {
	EmbeddingDim int `yaml:"embedding_dim"`
	// Regularizer is λ for everything alike; it stands for both embedding_regularizer and net_regularizer.
	Regularizer float64 `yaml:"regularizer"`
}

// Model checks the keys.
func (c *Config) Model(_ *features.Schema, set *models.Settings) (models.Model, error) {
	if err := models.CheckDim(c.EmbeddingDim); err != nil {
		return nil, err
	}
	if !(c.Regularizer >= 0) {
		return nil, fmt.Errorf("regularizer is %g, want at least 0", c.Regularizer)
	}
	if c.Regularizer > 0 {
		set.EmbeddingRegularizer, set.NetRegularizer = c.Regularizer, c.Regularizer
	}
	return &Model{*c}, nil
}
