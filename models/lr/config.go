// Package lr is logistic regression: one weight an id, one a number, and a bias.
package lr

import (
	"fmt"

	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/models"
)

func init() { models.Register("lr", func() models.Config { return &Config{} }) }

// Config holds the keys of a model file beside the settings of training.
type Config struct {
	// Regularizer is λ for the weights and the bias alike; it stands for both embedding_regularizer and net_regularizer.
	Regularizer float64 `yaml:"regularizer"`
}

// Model checks the keys.
func (c *Config) Model(_ *features.Schema, set *models.Settings) (models.Model, error) {
	if !(c.Regularizer >= 0) {
		return nil, fmt.Errorf("regularizer is %g, want at least 0", c.Regularizer)
	}
	if c.Regularizer > 0 {
		set.EmbeddingRegularizer, set.NetRegularizer = c.Regularizer, c.Regularizer
	}
	return Model{}, nil
}
