// Package masknet is MaskNet: layers whose inputs are multiplied by masks that are computed from the embeddings.
package masknet

import (
	"fmt"

	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/models"
)

func init() {
	models.Register("masknet", func() models.Config {
		return &Config{
			EmbeddingDim: 10, ModelType: "SerialMaskNet", DNNHiddenUnits: models.Units{64, 64, 64}, DNNHiddenActivations: "relu",
			ReductionRatio: 1, EmbLayerNorm: true, NetLayerNorm: true, ParallelNumBlocks: 1, ParallelBlockDim: 64,
		}
	})
}

// Config holds the keys of a model file beside the settings of training; the names and defaults are FuxiCTR's.
type Config struct {
	EmbeddingDim         int               `yaml:"embedding_dim"`
	ModelType            string            `yaml:"model_type"` // SerialMaskNet, ParallelMaskNet
	DNNHiddenUnits       models.Units      `yaml:"dnn_hidden_units"`
	DNNHiddenActivations models.Activation `yaml:"dnn_hidden_activations"`
	ReductionRatio       float64           `yaml:"reduction_ratio"`
	EmbLayerNorm         bool              `yaml:"emb_layernorm"`
	NetLayerNorm         bool              `yaml:"net_layernorm"`
	NetDropout           float64           `yaml:"net_dropout"`
	ParallelNumBlocks    int               `yaml:"parallel_num_blocks"`
	ParallelBlockDim     int               `yaml:"parallel_block_dim"`
}

func (c *Config) parallel() bool { return c.ModelType == "ParallelMaskNet" }

// masked returns the units of the hidden layer of a mask over so many columns.
func (c *Config) masked(cols int) int { return int(c.ReductionRatio * float64(cols)) }

// Model checks the keys.
func (c *Config) Model(s *features.Schema, _ *models.Settings) (models.Model, error) {
	if err := models.CheckDim(c.EmbeddingDim); err != nil {
		return nil, err
	}
	tower := models.Tower{Units: c.DNNHiddenUnits, Activation: c.DNNHiddenActivations, Dropout: models.Rates{c.NetDropout}}
	if err := tower.Check("dnn_hidden_units", "dnn_hidden_activations", "net_dropout"); err != nil {
		return nil, err
	}
	widths := []int{len(s.Fields) * c.EmbeddingDim} // of what is masked
	switch {
	case c.parallel():
		if c.ParallelNumBlocks < 1 || c.ParallelNumBlocks > 1<<10 {
			return nil, fmt.Errorf("parallel_num_blocks is %d, want 1 to %d", c.ParallelNumBlocks, 1<<10)
		}
		if err := (models.Units{c.ParallelBlockDim}).Check("parallel_block_dim"); err != nil {
			return nil, err
		}
	case c.ModelType == "SerialMaskNet":
		if len(c.DNNHiddenUnits) == 0 {
			return nil, fmt.Errorf("dnn_hidden_units is empty: SerialMaskNet has a block for each layer and needs at least one")
		}
		widths = append(widths, c.DNNHiddenUnits[:len(c.DNNHiddenUnits)-1]...)
	default:
		return nil, fmt.Errorf("model_type is %q, want SerialMaskNet or ParallelMaskNet", c.ModelType)
	}
	for _, w := range widths {
		if x := c.ReductionRatio * float64(w); !(x >= 1 && x <= 1<<16) {
			return nil, fmt.Errorf("reduction_ratio is %g: a mask over %d columns would have %g hidden units, want 1 to %d", c.ReductionRatio, w, x, 1<<16)
		}
	}
	return &Model{*c}, nil
}
