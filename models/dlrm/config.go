// Package dlrm is DLRM: the inner products of all pairs of field vectors, beside what a bottom tower makes of the numeric fields, into a top tower.
package dlrm

import (
	"fmt"

	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/models"
)

func init() {
	models.Register("dlrm", func() models.Config {
		return &Config{
			EmbeddingDim: 10, InteractionOp: "dot", TopMLPUnits: models.Units{64, 64, 64}, BottomMLPUnits: models.Units{64, 64, 64},
			TopMLPActivations: "relu", BottomMLPActivations: "relu",
		}
	})
}

// Config holds the keys of a model file beside the settings of training; the names and defaults are FuxiCTR's.
type Config struct {
	EmbeddingDim         int               `yaml:"embedding_dim"`
	InteractionOp        string            `yaml:"interaction_op"` // dot, cat
	TopMLPUnits          models.Units      `yaml:"top_mlp_units"`
	TopMLPActivations    models.Activation `yaml:"top_mlp_activations"`
	TopMLPDropout        models.Rates      `yaml:"top_mlp_dropout"`
	BottomMLPUnits       models.Units      `yaml:"bottom_mlp_units"`
	BottomMLPActivations models.Activation `yaml:"bottom_mlp_activations"`
	BottomMLPDropout     models.Rates      `yaml:"bottom_mlp_dropout"`
	BatchNorm            bool              `yaml:"batch_norm"`
}

func (c *Config) top() models.Tower {
	return models.Tower{Units: c.TopMLPUnits, Activation: c.TopMLPActivations, Dropout: c.TopMLPDropout, BatchNorm: c.BatchNorm}
}

func (c *Config) bottom() models.Tower {
	return models.Tower{Units: c.BottomMLPUnits, Activation: c.BottomMLPActivations, Dropout: c.BottomMLPDropout, BatchNorm: c.BatchNorm}
}

// Model checks the keys.
func (c *Config) Model(s *features.Schema, _ *models.Settings) (models.Model, error) {
	if err := models.CheckDim(c.EmbeddingDim); err != nil {
		return nil, err
	}
	if err := c.top().Check("top_mlp_units", "top_mlp_activations", "top_mlp_dropout"); err != nil {
		return nil, err
	}
	if err := c.bottom().Check("bottom_mlp_units", "bottom_mlp_activations", "bottom_mlp_dropout"); err != nil {
		return nil, err
	}
	categories, numbers := split(s)
	vectors := len(categories)
	if len(numbers) > 0 {
		vectors++
	}
	switch {
	case c.InteractionOp != "dot" && c.InteractionOp != "cat":
		return nil, fmt.Errorf("interaction_op is %q, want dot or cat", c.InteractionOp)
	case c.InteractionOp == "dot" && vectors < 2:
		return nil, fmt.Errorf("interaction_op dot: the schema's fields make one vector (numeric fields make one together), and pairs need two")
	}
	return &Model{*c}, nil
}

// split returns the fields that have embeddings, and the names of the numeric ones.
func split(s *features.Schema) (categories []features.Field, numbers []string) {
	for i := range s.Fields {
		if f := &s.Fields[i]; models.IsNumber(f) {
			numbers = append(numbers, f.Name)
		} else {
			categories = append(categories, *f)
		}
	}
	return categories, numbers
}
