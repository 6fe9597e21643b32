// Package din is the Deep Interest Network (KDD 2018) in the form of the public benchmark, over ragged histories.
package din

import (
	"fmt"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/models"
)

func init() {
	models.Register("din", func() models.Config {
		return &Config{
			EmbeddingDim: 10, DNNHiddenUnits: models.Units{512, 128, 64}, DNNActivations: "relu",
			AttentionHiddenUnits: models.Units{64}, AttentionHiddenActivations: "dice",
		}
	})
}

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
	// TargetProduct joins v_U ∘ q to the tower's input, as the authors' codes do with the pooled history (README.md).
	TargetProduct bool         `yaml:"din_target_product"`
	NetDropout    models.Rates `yaml:"net_dropout"`
	BatchNorm     bool         `yaml:"batch_norm"`
	TargetField   Groups       `yaml:"din_target_field"`
	SequenceField Groups       `yaml:"din_sequence_field"`
}

// Groups are lists of fields, each of which has one attention unit: [[item, category]] joins the two in one unit, [item, category] gives each a unit of its own.
type Groups [][]string

// UnmarshalYAML reads a name, a list of names, or a list of lists. An empty name stands for no field.
func (g *Groups) UnmarshalYAML(n *yaml.Node) error {
	*g = nil
	if n.Kind == yaml.ScalarNode {
		*g = Groups{{n.Value}}
		return nil
	}
	if n.Kind != yaml.SequenceNode {
		return fmt.Errorf("want field names")
	}
	for _, c := range n.Content {
		var names models.NameList
		if c.Kind == yaml.SequenceNode {
			for _, e := range c.Content {
				if e.Tag == "!!null" {
					e.Value = ""
				}
				names = append(names, e.Value)
			}
		} else {
			names = models.NameList{strings.Trim(c.Value, "()")}
			if strings.Contains(names[0], ",") { // (item, category), FuxiCTR's tuple pasted as it is
				names = strings.FieldsFunc(names[0], func(r rune) bool { return r == ',' || r == ' ' })
			}
		}
		*g = append(*g, names)
	}
	return nil
}

// unit is one attention unit: sequence[i] is compared with target[i], or with a learned vector where that is empty.
type unit struct{ target, sequence []string }

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
	if !(c.AttentionDropout >= 0 && c.AttentionDropout < 1) {
		return nil, fmt.Errorf("attention_dropout is %g, want at least 0 and less than 1", c.AttentionDropout)
	}
	if err := c.NetDropout.Check("net_dropout", len(c.DNNHiddenUnits)); err != nil {
		return nil, err
	}
	units, err := c.pair(s)
	if err != nil {
		return nil, err
	}
	return &Model{Config: *c, units: units}, nil
}

// pair returns the attention units. Without the keys all sequences form one unit, each paired with the field it shares ids with.
func (c *Config) pair(s *features.Schema) ([]unit, error) {
	if len(c.SequenceField) == 0 {
		if len(c.TargetField) > 0 {
			return nil, fmt.Errorf("din_target_field is given without din_sequence_field")
		}
		var u unit
		for i := range s.Fields {
			if f := &s.Fields[i]; f.Kind == features.Sequence {
				u.sequence = append(u.sequence, f.Name)
				u.target = append(u.target, counterpart(s, f))
			}
		}
		if len(u.sequence) == 0 {
			return nil, fmt.Errorf("the schema has no sequence field: DIN needs a history")
		}
		return []unit{u}, u.check(s)
	}
	if len(c.TargetField) > len(c.SequenceField) {
		return nil, fmt.Errorf("din_target_field has %d entries, din_sequence_field %d", len(c.TargetField), len(c.SequenceField))
	}
	var units []unit
	for i, names := range c.SequenceField {
		u := unit{sequence: names, target: make([]string, len(names))}
		if i < len(c.TargetField) {
			if len(c.TargetField[i]) > len(names) {
				return nil, fmt.Errorf("din_target_field %v has more fields than din_sequence_field %v", c.TargetField[i], names)
			}
			copy(u.target, c.TargetField[i])
		} else if err := models.CheckFields(s, "din_sequence_field", names); err == nil {
			for k, n := range names {
				u.target[k] = counterpart(s, &s.Fields[s.Field(n)])
			}
		}
		if err := u.check(s); err != nil {
			return nil, err
		}
		units = append(units, u)
	}
	return units, nil
}

// counterpart is the field of the candidate whose ids a sequence shares, or empty.
func counterpart(s *features.Schema, f *features.Field) string {
	if i := s.Field(f.Shares); f.Shares != "" && i >= 0 && s.Fields[i].Kind == features.Categorical {
		return f.Shares
	}
	return ""
}

func (u *unit) check(s *features.Schema) error {
	if err := models.CheckFields(s, "din_sequence_field", u.sequence); err != nil {
		return err
	}
	for i, name := range u.sequence {
		if f := &s.Fields[s.Field(name)]; f.Kind != features.Sequence {
			return fmt.Errorf("din_sequence_field: field %s is %s, want a sequence", name, f.Kind)
		}
		t := u.target[i]
		if t == "" {
			continue
		}
		if err := models.CheckFields(s, "din_target_field", []string{t}); err != nil {
			return err
		}
		if k := s.Fields[s.Field(t)].Kind; k == features.Sequence {
			return fmt.Errorf("din_target_field: field %s is a sequence, want a field of the candidate", t)
		}
	}
	for _, t := range u.target {
		if t != "" {
			return nil
		}
	}
	return fmt.Errorf("the sequences %s have no counterpart in the candidate: let one share a field's ids, or name din_target_field", strings.Join(u.sequence, ", "))
}
