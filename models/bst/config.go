// Package bst is the Behavior Sequence Transformer (DLP-KDD 2019) over ragged histories.
package bst

import (
	"fmt"

	"github.com/millrace/millrace/core/graph"
	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/models"
)

func init() {
	models.Register("bst", func() models.Config {
		return &Config{
			EmbeddingDim: 10, DNNHiddenUnits: models.Units{256, 128, 64}, DNNActivations: "relu", NumHeads: 2, Layers: 1,
			LayerNorm: true, UseResidual: true, UsePositionEmb: true, SeqPoolingType: "mean",
		}
	})
}

// Config holds the keys of a model file beside the settings of training; the names and defaults are FuxiCTR's.
type Config struct {
	EmbeddingDim     int               `yaml:"embedding_dim"`
	DNNHiddenUnits   models.Units      `yaml:"dnn_hidden_units"`
	DNNActivations   models.Activation `yaml:"dnn_activations"`
	NumHeads         int               `yaml:"num_heads"`
	Layers           int               `yaml:"stacked_transformer_layers"`
	AttentionDropout float64           `yaml:"attention_dropout"`
	LayerNorm        bool              `yaml:"layer_norm"`
	UseResidual      bool              `yaml:"use_residual"`
	UsePositionEmb   bool              `yaml:"use_position_emb"`
	UseCausalMask    bool              `yaml:"use_causal_mask"`
	SeqPoolingType   string            `yaml:"seq_pooling_type"` // target, mean, sum
	NetDropout       models.Rates      `yaml:"net_dropout"`
	BatchNorm        bool              `yaml:"batch_norm"`
	TargetField      models.Groups     `yaml:"bst_target_field"`
	SequenceField    models.Groups     `yaml:"bst_sequence_field"`
}

func (c *Config) tower() models.Tower {
	return models.Tower{Units: c.DNNHiddenUnits, Activation: c.DNNActivations, Dropout: c.NetDropout, BatchNorm: c.BatchNorm}
}

var poolings = map[string]graph.Pooling{"target": graph.PoolLast, "mean": graph.PoolMean, "sum": graph.PoolSum}

// Model checks the keys and pairs the fields.
func (c *Config) Model(s *features.Schema, _ *models.Settings) (models.Model, error) {
	if err := models.CheckDim(c.EmbeddingDim); err != nil {
		return nil, err
	}
	if err := c.tower().Check("dnn_hidden_units", "dnn_activations", "net_dropout"); err != nil {
		return nil, err
	}
	if c.Layers < 1 || c.Layers > 64 {
		return nil, fmt.Errorf("stacked_transformer_layers is %d, want 1 to 64", c.Layers)
	}
	if err := models.CheckRate("attention_dropout", c.AttentionDropout); err != nil {
		return nil, err
	}
	if _, ok := poolings[c.SeqPoolingType]; !ok {
		return nil, fmt.Errorf("seq_pooling_type is %q, want target, mean or sum", c.SeqPoolingType)
	}
	if c.UseCausalMask {
		return nil, fmt.Errorf("use_causal_mask: only false is supported; the candidate, which comes last, sees every behaviour either way")
	}
	groups, err := models.Behaviours(s, "bst", c.TargetField, c.SequenceField)
	if err != nil {
		return nil, err
	}
	for _, g := range groups {
		if width := c.width(len(g.Sequence)); c.NumHeads < 1 || width%c.NumHeads != 0 {
			return nil, fmt.Errorf("num_heads is %d: it must divide the width of a behaviour of %v, %d", c.NumHeads, g.Sequence, width)
		}
	}
	return &Model{Config: *c, groups: groups}, nil
}
