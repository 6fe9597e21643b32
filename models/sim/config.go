// Package sim is search-based interest modelling (CIKM 2020): of a long history those behaviours that matter to the candidate are searched for, and only they are attended to.
package sim

import (
	"fmt"
	"math"
	"strings"

	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/models"
)

func init() {
	models.Register("sim", func() models.Config {
		return &Config{
			EmbeddingDim: 10, DNNHiddenUnits: models.Units{512, 128, 64}, DNNActivations: "relu", GSUType: "soft", TopK: 50, ShortSeqLen: 10, Alpha: 1,
			AttentionDim: 64, NumHeads: 2, UsePositionEmb: true, AttentionHiddenUnits: models.Units{64}, AttentionHiddenActivations: "relu",
		}
	})
}

// Config holds the keys of a model file beside the settings of training; names and defaults are FuxiCTR's where it has them.
type Config struct {
	EmbeddingDim   int               `yaml:"embedding_dim"`
	DNNHiddenUnits models.Units      `yaml:"dnn_hidden_units"`
	DNNActivations models.Activation `yaml:"dnn_activations"`
	NetDropout     models.Rates      `yaml:"net_dropout"`
	BatchNorm      bool              `yaml:"batch_norm"`
	// GSUType is the general search unit: soft, by inner products, or hard, by the candidate's value of GSUField.
	GSUType string `yaml:"gsu_type"`
	// GSUField is the sequence, of a field of the candidate, in which a hard search looks: the behaviours' categories.
	GSUField string `yaml:"gsu_field"`
	TopK     int    `yaml:"topk"` // behaviours that a search finds at most
	// Alpha is the weight of the soft search's own loss.
	Alpha float64 `yaml:"alpha"`
	// The exact search unit: AttentionDim columns in NumHeads heads.
	AttentionDim     int     `yaml:"attention_dim"`
	NumHeads         int     `yaml:"num_heads"`
	AttentionDropout float64 `yaml:"attention_dropout"`
	UsePositionEmb   bool    `yaml:"use_position_emb"`
	// ShortSeqLen is how many of the newest behaviours DIN's unit attends to; 0 leaves it out.
	ShortSeqLen                int               `yaml:"short_seq_len"`
	AttentionHiddenUnits       models.Units      `yaml:"attention_hidden_units"`
	AttentionHiddenActivations models.Activation `yaml:"attention_hidden_activations"`
	TargetField                models.Groups     `yaml:"sim_target_field"`
	SequenceField              models.Groups     `yaml:"sim_sequence_field"`
}

func (c *Config) tower() models.Tower {
	return models.Tower{Units: c.DNNHiddenUnits, Activation: c.DNNActivations, Dropout: c.NetDropout, BatchNorm: c.BatchNorm}
}

func (c *Config) hard() bool { return c.GSUType == "hard" }

// Model checks the keys and pairs the fields.
func (c *Config) Model(s *features.Schema, _ *models.Settings) (models.Model, error) {
	if err := models.CheckDim(c.EmbeddingDim); err != nil {
		return nil, err
	}
	if err := c.tower().Check("dnn_hidden_units", "dnn_activations", "net_dropout"); err != nil {
		return nil, err
	}
	if err := c.AttentionHiddenUnits.Check("attention_hidden_units"); err != nil {
		return nil, err
	}
	if err := c.AttentionHiddenActivations.Check("attention_hidden_activations"); err != nil {
		return nil, err
	}
	c.GSUType = strings.ToLower(c.GSUType)
	switch {
	case c.GSUType != "soft" && c.GSUType != "hard":
		return nil, fmt.Errorf("gsu_type is %q, want soft or hard", c.GSUType)
	case c.hard() && c.GSUField == "":
		return nil, fmt.Errorf("gsu_type hard looks for the candidate's category: gsu_field must name the sequence that holds the behaviours'")
	case !c.hard() && c.GSUField != "":
		return nil, fmt.Errorf("gsu_field %s is for gsu_type hard", c.GSUField)
	case !c.hard() && !(c.Alpha > 0 && !math.IsInf(c.Alpha, 0)):
		return nil, fmt.Errorf("alpha is %g, want more than 0: a soft search learns from nothing else", c.Alpha)
	case c.TopK < 1 || c.TopK > 1<<20:
		return nil, fmt.Errorf("topk is %d, want 1 to %d", c.TopK, 1<<20)
	case c.ShortSeqLen < 0 || c.ShortSeqLen > 1<<20:
		return nil, fmt.Errorf("short_seq_len is %d, want 0 to %d", c.ShortSeqLen, 1<<20)
	case c.ShortSeqLen > 0 && len(c.AttentionHiddenUnits) == 0:
		return nil, fmt.Errorf("attention_hidden_units is empty: the attention unit needs at least one layer")
	case c.AttentionDim < 1 || c.AttentionDim > 1<<16:
		return nil, fmt.Errorf("attention_dim is %d, want 1 to %d", c.AttentionDim, 1<<16)
	case c.NumHeads < 1 || c.AttentionDim%c.NumHeads != 0:
		return nil, fmt.Errorf("num_heads is %d: it must divide attention_dim, %d", c.NumHeads, c.AttentionDim)
	}
	if err := models.CheckRate("attention_dropout", c.AttentionDropout); err != nil {
		return nil, err
	}
	groups, err := models.Behaviours(s, "sim", c.TargetField, c.SequenceField)
	if err != nil {
		return nil, err
	}
	m := &Model{Config: *c, groups: groups}
	if c.hard() {
		return m, m.findCategories(s)
	}
	return m, nil
}

// findCategories finds, in each group, the candidate's field that a hard search looks for; every group must have the sequence.
func (m *Model) findCategories(s *features.Schema) error {
	if err := models.CheckFields(s, "gsu_field", []string{m.GSUField}); err != nil {
		return err
	}
	if len(m.groups) > 1 {
		return fmt.Errorf("gsu_type hard is for one group of sequences, there are %d", len(m.groups))
	}
	for i, f := range m.groups[0].Sequence {
		if f != m.GSUField {
			continue
		}
		target := m.groups[0].Target[i]
		if target == "" {
			return fmt.Errorf("gsu_field %s has no counterpart in the candidate", f)
		}
		t := &s.Fields[s.Field(target)]
		if t.Kind != features.Categorical || t.Table() != s.Fields[s.Field(f)].Table() {
			return fmt.Errorf("gsu_field %s and its counterpart %s must be of one vocabulary: let one share the other's", f, target)
		}
		m.category = target
		return nil
	}
	return fmt.Errorf("gsu_field %s is not among the sequences %s", m.GSUField, strings.Join(m.groups[0].Sequence, ", "))
}
