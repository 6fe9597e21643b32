// Package dcnv2 holds DCN-v2 (WWW 2021), explicit crosses of the fields beside or below a tower, and its forerunner DCN, whose crosses are by vectors.
package dcnv2

import (
	"fmt"

	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/models"
)

func init() {
	models.Register("dcnv2", func() models.Config {
		return &Config{
			EmbeddingDim: 10, ModelStructure: "parallel", CrossParameterization: "matrix", LowRank: 32, NumExperts: 4, NumCrossLayers: 3,
			StackedDNNHiddenUnits: models.Units{64, 64, 64}, ParallelDNNHiddenUnits: models.Units{64, 64, 64}, DNNActivations: "relu",
		}
	})
	models.Register("dcn", func() models.Config {
		return &DCNConfig{EmbeddingDim: 10, NumCrossLayers: 3, DNNHiddenUnits: models.Units{64, 64, 64}, DNNActivations: "relu"}
	})
}

// Config holds DCN-v2's keys of a model file beside the settings of training; the names and defaults are FuxiCTR's, but for
// cross_parameterization, which it does not have, and the towers, which are empty there.
type Config struct {
	EmbeddingDim           int               `yaml:"embedding_dim"`
	ModelStructure         string            `yaml:"model_structure"`        // parallel, stacked, stacked_parallel, crossnet_only
	CrossParameterization  string            `yaml:"cross_parameterization"` // matrix, vector
	UseLowRankMixture      bool              `yaml:"use_low_rank_mixture"`
	LowRank                int               `yaml:"low_rank"`
	NumExperts             int               `yaml:"num_experts"`
	NumCrossLayers         int               `yaml:"num_cross_layers"`
	StackedDNNHiddenUnits  models.Units      `yaml:"stacked_dnn_hidden_units"`
	ParallelDNNHiddenUnits models.Units      `yaml:"parallel_dnn_hidden_units"`
	DNNActivations         models.Activation `yaml:"dnn_activations"`
	NetDropout             models.Rates      `yaml:"net_dropout"`
	BatchNorm              bool              `yaml:"batch_norm"`
}

func (c *Config) stacked() bool {
	return c.ModelStructure == "stacked" || c.ModelStructure == "stacked_parallel"
}

func (c *Config) parallel() bool {
	return c.ModelStructure == "parallel" || c.ModelStructure == "stacked_parallel"
}

func (c *Config) tower(units models.Units) models.Tower {
	return models.Tower{Units: units, Activation: c.DNNActivations, Dropout: c.NetDropout, BatchNorm: c.BatchNorm}
}

// Model checks the keys.
func (c *Config) Model(*features.Schema, *models.Settings) (models.Model, error) {
	if err := models.CheckDim(c.EmbeddingDim); err != nil {
		return nil, err
	}
	if !c.stacked() && !c.parallel() && c.ModelStructure != "crossnet_only" {
		return nil, fmt.Errorf("model_structure is %q, want parallel, stacked, stacked_parallel or crossnet_only", c.ModelStructure)
	}
	if c.CrossParameterization != "matrix" && c.CrossParameterization != "vector" {
		return nil, fmt.Errorf("cross_parameterization is %q, want matrix or vector", c.CrossParameterization)
	}
	if c.NumCrossLayers < 1 || c.NumCrossLayers > 64 {
		return nil, fmt.Errorf("num_cross_layers is %d, want 1 to 64", c.NumCrossLayers)
	}
	if c.UseLowRankMixture {
		switch {
		case c.CrossParameterization == "vector":
			return nil, fmt.Errorf("use_low_rank_mixture: crosses by vectors have rank one already; it goes with cross_parameterization matrix")
		case c.LowRank < 1 || c.LowRank > 1<<12:
			return nil, fmt.Errorf("low_rank is %d, want 1 to %d", c.LowRank, 1<<12)
		case c.NumExperts < 1 || c.NumExperts > 1<<8:
			return nil, fmt.Errorf("num_experts is %d, want 1 to %d", c.NumExperts, 1<<8)
		}
	}
	for _, part := range []struct {
		on    bool
		key   string
		units models.Units
	}{
		{c.stacked(), "stacked_dnn_hidden_units", c.StackedDNNHiddenUnits},
		{c.parallel(), "parallel_dnn_hidden_units", c.ParallelDNNHiddenUnits},
	} {
		if !part.on {
			continue
		}
		if len(part.units) == 0 {
			return nil, fmt.Errorf("%s is empty: model_structure %s needs at least one layer", part.key, c.ModelStructure)
		}
		if err := c.tower(part.units).Check(part.key, "dnn_activations", "net_dropout"); err != nil {
			return nil, err
		}
	}
	return &Model{*c}, nil
}

// DCNConfig holds DCN's keys; without hidden units it is the cross network alone.
type DCNConfig struct {
	EmbeddingDim   int               `yaml:"embedding_dim"`
	NumCrossLayers int               `yaml:"num_cross_layers"`
	CrossingLayers int               `yaml:"crossing_layers"` // FuxiCTR 1.x's name of num_cross_layers
	DNNHiddenUnits models.Units      `yaml:"dnn_hidden_units"`
	DNNActivations models.Activation `yaml:"dnn_activations"`
	NetDropout     models.Rates      `yaml:"net_dropout"`
	BatchNorm      bool              `yaml:"batch_norm"`
}

// Model checks the keys.
func (c *DCNConfig) Model(s *features.Schema, set *models.Settings) (models.Model, error) {
	if err := c.DNNHiddenUnits.Check("dnn_hidden_units"); err != nil {
		return nil, err
	}
	if c.CrossingLayers != 0 {
		c.NumCrossLayers = c.CrossingLayers
	}
	v2 := Config{
		EmbeddingDim: c.EmbeddingDim, ModelStructure: "parallel", CrossParameterization: "vector", NumCrossLayers: c.NumCrossLayers,
		ParallelDNNHiddenUnits: c.DNNHiddenUnits, DNNActivations: c.DNNActivations, NetDropout: c.NetDropout, BatchNorm: c.BatchNorm,
	}
	if len(c.DNNHiddenUnits) == 0 {
		v2.ModelStructure = "crossnet_only"
	}
	return v2.Model(s, set)
}
