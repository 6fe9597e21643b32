// Package deepfm is DeepFM: a factorization machine and a tower over the same embeddings.
package deepfm

import (
	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/models"
)

func init() {
	models.Register("deepfm", func() models.Config { return &Config{models.DefaultDeep()} })
}

// Config holds the keys of a model file beside the settings of training.
type Config struct {
	models.Deep `yaml:",inline"`
}

// Model checks the keys.
func (c *Config) Model(*features.Schema, *models.Settings) (models.Model, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	return &Model{*c}, nil
}
