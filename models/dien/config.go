// Package dien is the Deep Interest Evolution Network (AAAI 2019) over ragged histories.
package dien

import (
	"fmt"
	"math"

	"github.com/millrace/millrace/core/graph"
	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/models"
)

func init() {
	models.Register("dien", func() models.Config {
		return &Config{
			EmbeddingDim: 16, DNNHiddenUnits: models.Units{200, 80}, DNNActivations: "dice", GRUType: "AUGRU",
			AttentionType: Bilinear, AttentionHiddenUnits: models.Units{80, 40}, AttentionActivation: "dice", UseAttentionSoftmax: true,
			AuxHiddenUnits: models.Units{100, 50}, AuxActivation: "relu",
		}
	})
}

// Config holds the keys of a model file beside the settings of training; the names are FuxiCTR's and the defaults, where README.md does not say otherwise, too.
type Config struct {
	EmbeddingDim         int               `yaml:"embedding_dim"`
	DNNHiddenUnits       models.Units      `yaml:"dnn_hidden_units"`
	DNNActivations       models.Activation `yaml:"dnn_activations"`
	NetDropout           models.Rates      `yaml:"net_dropout"`
	BatchNorm            bool              `yaml:"batch_norm"`
	GRUType              string            `yaml:"gru_type"` // GRU, AIGRU, AGRU, AUGRU
	AttentionType        string            `yaml:"attention_type"`
	AttentionHiddenUnits models.Units      `yaml:"attention_hidden_units"` // of din_attention
	AttentionActivation  models.Activation `yaml:"attention_activation"`
	AttentionDropout     float64           `yaml:"attention_dropout"`
	UseAttentionSoftmax  bool              `yaml:"use_attention_softmax"`
	// EnableSumPooling joins the sum of the history v and q∘v to the tower's input.
	EnableSumPooling bool              `yaml:"enable_sum_pooling"`
	AuxHiddenUnits   models.Units      `yaml:"aux_hidden_units"`
	AuxActivation    models.Activation `yaml:"aux_activation"`
	// AuxLossAlpha is α, the weight of the guess of the next behaviour; 0 leaves it out.
	AuxLossAlpha  float64       `yaml:"aux_loss_alpha"`
	TargetField   models.Groups `yaml:"dien_target_field"`
	SequenceField models.Groups `yaml:"dien_sequence_field"`
	// NegSeqField is FuxiCTR's key for drawn histories in the data; it must be empty, for they are drawn from the batch.
	NegSeqField models.Groups `yaml:"dien_neg_seq_field"`
}

// The values of attention_type.
const (
	Bilinear = "bilinear_attention" // hᵀ·W·q
	Dot      = "dot_attention"      // hᵀ·q
	Unit     = "din_attention"      // DIN's attention unit
)

var kinds = map[string]graph.GRUKind{"gru": graph.PlainGRU, "aigru": graph.AIGRU, "agru": graph.AGRU, "augru": graph.AUGRU}

// Model checks the keys and pairs the fields.
func (c *Config) Model(s *features.Schema, _ *models.Settings) (models.Model, error) {
	if err := models.CheckDim(c.EmbeddingDim); err != nil {
		return nil, err
	}
	tower := models.Tower{Units: c.DNNHiddenUnits, Activation: c.DNNActivations, Dropout: c.NetDropout}
	if err := tower.Check("dnn_hidden_units", "dnn_activations", "net_dropout"); err != nil {
		return nil, err
	}
	kind, ok := kinds[models.Canonical(c.GRUType)]
	if !ok {
		return nil, fmt.Errorf("gru_type is %q, want GRU, AIGRU, AGRU or AUGRU", c.GRUType)
	}
	if err := c.checkAttention(); err != nil {
		return nil, err
	}
	if err := c.AuxHiddenUnits.Check("aux_hidden_units"); err != nil {
		return nil, err
	}
	if err := c.AuxActivation.Check("aux_activation"); err != nil {
		return nil, err
	}
	if !(c.AuxLossAlpha >= 0) || math.IsInf(c.AuxLossAlpha, 0) {
		return nil, fmt.Errorf("aux_loss_alpha is %g, want at least 0", c.AuxLossAlpha)
	}
	if len(c.NegSeqField) > 0 {
		return nil, fmt.Errorf("dien_neg_seq_field is %v: negatives are drawn from the batch's own behaviours, leave the key empty", c.NegSeqField)
	}
	groups, err := models.Behaviours(s, "dien", c.TargetField, c.SequenceField)
	if err != nil {
		return nil, err
	}
	return &Model{Config: *c, kind: kind, groups: groups}, nil
}

func (c *Config) checkAttention() error {
	switch c.AttentionType {
	case Bilinear, Dot:
	case Unit:
		if len(c.AttentionHiddenUnits) == 0 {
			return fmt.Errorf("attention_hidden_units is empty: %s needs at least one layer", Unit)
		}
	default:
		return fmt.Errorf("attention_type is %q, want %s, %s or %s", c.AttentionType, Bilinear, Dot, Unit)
	}
	if err := c.AttentionHiddenUnits.Check("attention_hidden_units"); err != nil {
		return err
	}
	if err := c.AttentionActivation.Check("attention_activation"); err != nil {
		return err
	}
	return models.CheckRate("attention_dropout", c.AttentionDropout)
}
