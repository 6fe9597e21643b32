// Package din is the Deep Interest Network (KDD 2018) in the form of the public benchmark, over ragged histories.
package din

import (
	"fmt"

	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/models"
)

func init() {
	models.Register("din", func() models.Config {
		return &Config{
			EmbeddingDim: 10, DNNHiddenUnits: models.Units{512, 128, 64}, DNNActivations: "relu",
			AttentionHiddenUnits: models.Units{64}, AttentionHiddenActivations: "dice",
			Pooling: attentionPooling,
		}
	})
}

// What din_pooling makes of a history: attention is DIN; sum and mean are its BaseModel, equal in all but the attention unit.
const (
	attentionPooling = "attention"
	sumPooling       = "sum"
	meanPooling      = "mean"
)

// Config holds the keys of a model file beside the settings of training; the names and defaults are FuxiCTR's.
type Config struct {
	EmbeddingDim               int               `yaml:"embedding_dim"`
	DNNHiddenUnits             models.Units      `yaml:"dnn_hidden_units"`
	DNNActivations             models.Activation `yaml:"dnn_activations"`
	AttentionHiddenUnits       models.Units      `yaml:"attention_hidden_units"`
	AttentionHiddenActivations models.Activation `yaml:"attention_hidden_activations"`
	AttentionOutputActivation  string            `yaml:"attention_output_activation"`
	AttentionDropout           float64           `yaml:"attention_dropout"`
	// AttentionScale divides the scores by the root of the behaviour's width before the softmax, as the authors' first code does.
	AttentionScale bool `yaml:"attention_scale"`
	UseSoftmax     bool `yaml:"din_use_softmax"`
	// Pooling is attention, or sum or mean, for which the attention unit's keys say nothing.
	Pooling string `yaml:"din_pooling"`
	// TargetProduct joins v_U ∘ q to the tower's input, as the authors' codes do with the pooled history (README.md).
	TargetProduct bool          `yaml:"din_target_product"`
	NetDropout    models.Rates  `yaml:"net_dropout"`
	BatchNorm     bool          `yaml:"batch_norm"`
	TargetField   models.Groups `yaml:"din_target_field"`
	SequenceField models.Groups `yaml:"din_sequence_field"`
}

// Model checks the keys and pairs the fields.
func (c *Config) Model(s *features.Schema, _ *models.Settings) (models.Model, error) {
	if err := models.CheckDim(c.EmbeddingDim); err != nil {
		return nil, err
	}
	if err := c.DNNHiddenUnits.Check("dnn_hidden_units"); err != nil {
		return nil, err
	}
	if err := c.AttentionHiddenUnits.Check("attention_hidden_units"); err != nil {
		return nil, err
	}
	if len(c.AttentionHiddenUnits) == 0 {
		return nil, fmt.Errorf("attention_hidden_units is empty: the attention unit needs at least one layer")
	}
	if err := c.DNNActivations.Check("dnn_activations"); err != nil {
		return nil, err
	}
	if err := c.AttentionHiddenActivations.Check("attention_hidden_activations"); err != nil {
		return nil, err
	}
	if a := models.Canonical(c.AttentionOutputActivation); a != "" && a != "none" && a != "identity" {
		return nil, fmt.Errorf("attention_output_activation is %q: only none is supported", c.AttentionOutputActivation)
	}
	if err := models.CheckRate("attention_dropout", c.AttentionDropout); err != nil {
		return nil, err
	}
	if err := c.NetDropout.Check("net_dropout", len(c.DNNHiddenUnits)); err != nil {
		return nil, err
	}
	switch c.Pooling {
	case attentionPooling, sumPooling, meanPooling:
	default:
		return nil, fmt.Errorf("din_pooling is %q, want %s, %s or %s", c.Pooling, attentionPooling, sumPooling, meanPooling)
	}
	units, err := models.Behaviours(s, "din", c.TargetField, c.SequenceField)
	if err != nil {
		return nil, err
	}
	return &Model{Config: *c, units: units}, nil
}
