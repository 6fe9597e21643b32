// Package dtrn is a network of task-specific bottom representations after DTRN's description (CIKM 2023, arXiv 2308.05996); README.md says which parts
// are the description's and which are derived.
package dtrn

import (
	"fmt"
	"slices"
	"strings"

	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/models"
	"github.com/millrace/millrace/models/multitask"
)

func init() {
	models.Register("dtrn", func() models.Config {
		return &Config{
			Parts: multitask.Defaults(), Experts: multitask.DefaultExperts(), Mixed: multitask.DefaultMixed(), Extracted: multitask.DefaultExtracted(),
			TaskDim: 16, BehaviourDim: 16, HyperDim: 16, Heads: 2, Layers: 1, FeedForward: 4, Dropout: 0.1, Positions: true,
			Condition: true, Readout: "target", Refinement: "task", Squeeze: "concat", Head: "plain",
		}
	})
}

// Config holds the keys of a model file beside the settings of training. Every choice that the description leaves open is a key.
type Config struct {
	multitask.Parts     `yaml:",inline"`
	multitask.Experts   `yaml:",inline"`
	multitask.Mixed     `yaml:",inline"`
	multitask.Extracted `yaml:",inline"`

	// SequenceField names the behaviour types: [[clicks, click_categories], purchases] are two. TargetField pairs them with the candidate's fields.
	SequenceField models.Groups `yaml:"dtrn_sequence_field"`
	TargetField   models.Groups `yaml:"dtrn_target_field"`

	TaskDim      int     `yaml:"task_dim"`
	BehaviourDim int     `yaml:"behaviour_dim"`
	HyperDim     int     `yaml:"hyper_dim"`
	Heads        int     `yaml:"transformer_heads"`
	Layers       int     `yaml:"transformer_layers"`
	FeedForward  int     `yaml:"transformer_feed_forward"` // width of the hidden layer in multiples of embedding_dim
	Dropout      float64 `yaml:"transformer_dropout"`
	Positions    bool    `yaml:"transformer_positions"` // vectors of places, the newest behaviour's first
	// Condition computes the layer norms' scale and shift from the task and the behaviour type; without it the tasks share plain ones.
	Condition  bool   `yaml:"tim_condition"`
	Readout    string `yaml:"tim_readout"` // target: attention by the candidate; mean
	Refinement string `yaml:"trm"`         // task: a network a task; shared: one for all; none
	Squeeze    string `yaml:"trm_squeeze"` // concat: all vectors; mean: each vector's mean
	Head       string `yaml:"head"`        // plain, mmoe, ple
}

// Model checks the keys and pairs the fields.
func (c *Config) Model(s *features.Schema, _ *models.Settings) (models.Model, error) {
	if err := c.Parts.Check(); err != nil {
		return nil, err
	}
	for _, k := range []struct {
		key             string
		n, least, limit int
	}{
		{"task_dim", c.TaskDim, 1, 1024}, {"behaviour_dim", c.BehaviourDim, 1, 1024}, {"hyper_dim", c.HyperDim, 1, 4096},
		{"transformer_heads", c.Heads, 1, 64}, {"transformer_layers", c.Layers, 1, 16}, {"transformer_feed_forward", c.FeedForward, 1, 16},
	} {
		if k.n < k.least || k.n > k.limit {
			return nil, fmt.Errorf("%s is %d, want %d to %d", k.key, k.n, k.least, k.limit)
		}
	}
	if c.EmbeddingDim%c.Heads != 0 {
		return nil, fmt.Errorf("embedding_dim is %d, which %d transformer_heads do not divide", c.EmbeddingDim, c.Heads)
	}
	if !(c.Dropout >= 0 && c.Dropout < 1) {
		return nil, fmt.Errorf("transformer_dropout is %g, want at least 0 and less than 1", c.Dropout)
	}
	for _, k := range []struct {
		key, value string
		known      []string
	}{
		{"tim_readout", c.Readout, []string{"target", "mean"}}, {"trm", c.Refinement, []string{"task", "shared", "none"}},
		{"trm_squeeze", c.Squeeze, []string{"concat", "mean"}}, {"head", c.Head, []string{"plain", "mmoe", "ple"}},
	} {
		if !slices.Contains(k.known, k.value) {
			return nil, fmt.Errorf("%s is %q, want %s", k.key, k.value, strings.Join(k.known, " or "))
		}
	}
	if c.Head != "plain" {
		if err := c.Experts.Check(); err != nil {
			return nil, err
		}
	}
	if c.Head == "mmoe" {
		if err := c.Mixed.Check(); err != nil {
			return nil, err
		}
	}
	if c.Head == "ple" {
		if err := c.Extracted.Check(); err != nil {
			return nil, err
		}
	}
	types, err := models.Behaviours(s, "dtrn", c.TargetField, c.SequenceField)
	if err != nil {
		return nil, err
	}
	return &Model{Config: *c, types: types}, nil
}
