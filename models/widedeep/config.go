// Package widedeep is Wide&Deep: a linear part beside a tower.
package widedeep

import (
	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/models"
)

func init() {
	models.Register("widedeep", func() models.Config { return &Config{models.DefaultDeep()} })
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
