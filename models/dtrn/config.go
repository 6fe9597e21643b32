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
			Join: "project", TaskDim: 16, BehaviourDim: 16, HyperDim: 16, Heads: 2, Layers: 1, FeedForward: 4, Dropout: 0.1, Positions: true,
			Norm: "post", NormEpsilon: 1e-6, Condition: "pair", Readout: "target", ReadoutWeights: "behaviour",
			Refinement: "task", Squeeze: "concat", RefinementActivation: "relu", RefinementGate: "sigmoid", Head: "plain",
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
	Join          string        `yaml:"tim_join"` // of a behaviour's several fields into one vector: project, sum

	TaskDim       int     `yaml:"task_dim"`
	BehaviourDim  int     `yaml:"behaviour_dim"`
	HyperDim      int     `yaml:"hyper_dim"`
	HyperInitStd  float64 `yaml:"hyper_initializer_std"` // of W_γ and W_β; 0: training starts from the plain Transformer
	Heads         int     `yaml:"transformer_heads"`
	Layers        int     `yaml:"transformer_layers"`
	FeedForward   int     `yaml:"transformer_feed_forward"` // width of the hidden layer in multiples of embedding_dim
	Dropout       float64 `yaml:"transformer_dropout"`
	Positions     bool    `yaml:"transformer_positions"` // vectors of places, the newest behaviour's first
	Norm          string  `yaml:"transformer_norm"`      // post: after each residual sum; pre: before each part
	NormEpsilon   float64 `yaml:"transformer_norm_epsilon"`
	ReadoutHidden int     `yaml:"tim_readout_hidden_units"` // of the unit of readout target; 0: embedding_dim

	// Condition says what the layer norms' scale and shift are: pair, computed for each pair of a task and a behaviour type; shared, learned ones for all; none, 1 and 0.
	Condition      string `yaml:"tim_condition"`
	Readout        string `yaml:"tim_readout"`         // target: attention by the candidate; mean; append: the candidate is the newest behaviour and its row is read
	ReadoutWeights string `yaml:"tim_readout_weights"` // of readout target: behaviour, of each type; pair, of each task and type; shared

	Refinement           string            `yaml:"trm"`              // task: a network a task; shared: one for all; none
	Squeeze              string            `yaml:"trm_squeeze"`      // concat: all vectors; mean: each vector's mean
	RefinementHidden     int               `yaml:"trm_hidden_units"` // 0: half as many as vectors, at least 4
	RefinementActivation models.Activation `yaml:"trm_activation"`   // of the hidden layer: relu, sigmoid, tanh, identity
	RefinementGate       string            `yaml:"trm_gate"`         // sigmoid: w = 2σ(z); relu: w = ReLU(1 + z)
	Head                 string            `yaml:"head"`             // plain, mmoe, ple
}

// Model checks the keys and pairs the fields.
func (c *Config) Model(s *features.Schema, _ *models.Settings) (models.Model, error) {
	if err := c.Parts.Check(); err != nil {
		return nil, err
	}
	if err := c.checkNumbers(); err != nil {
		return nil, err
	}
	if err := c.checkChoices(); err != nil {
		return nil, err
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

func (c *Config) checkNumbers() error {
	for _, k := range []struct {
		key             string
		n, least, limit int
	}{
		{"task_dim", c.TaskDim, 1, 1024}, {"behaviour_dim", c.BehaviourDim, 1, 1024}, {"hyper_dim", c.HyperDim, 1, 4096},
		{"transformer_heads", c.Heads, 1, 64}, {"transformer_layers", c.Layers, 1, 16}, {"transformer_feed_forward", c.FeedForward, 1, 16},
		{"tim_readout_hidden_units", c.ReadoutHidden, 0, 4096}, {"trm_hidden_units", c.RefinementHidden, 0, 4096},
	} {
		if k.n < k.least || k.n > k.limit {
			return fmt.Errorf("%s is %d, want %d to %d", k.key, k.n, k.least, k.limit)
		}
	}
	if c.EmbeddingDim%c.Heads != 0 {
		return fmt.Errorf("embedding_dim is %d, which %d transformer_heads do not divide", c.EmbeddingDim, c.Heads)
	}
	if !(c.Dropout >= 0 && c.Dropout < 1) {
		return fmt.Errorf("transformer_dropout is %g, want at least 0 and less than 1", c.Dropout)
	}
	if !(c.NormEpsilon > 0 && c.NormEpsilon < 1) {
		return fmt.Errorf("transformer_norm_epsilon is %g, want more than 0 and less than 1", c.NormEpsilon)
	}
	if !(c.HyperInitStd >= 0 && c.HyperInitStd <= 10) {
		return fmt.Errorf("hyper_initializer_std is %g, want 0 to 10", c.HyperInitStd)
	}
	return nil
}

func (c *Config) checkChoices() error {
	for _, k := range []struct {
		key, value string
		known      []string
	}{
		{"tim_join", c.Join, []string{"project", "sum"}}, {"transformer_norm", c.Norm, []string{"post", "pre"}},
		{"tim_condition", c.Condition, []string{"pair", "shared", "none"}}, {"tim_readout", c.Readout, []string{"target", "mean", "append"}},
		{"tim_readout_weights", c.ReadoutWeights, []string{"behaviour", "pair", "shared"}},
		{"trm", c.Refinement, []string{"task", "shared", "none"}}, {"trm_squeeze", c.Squeeze, []string{"concat", "mean"}},
		{"trm_activation", string(c.RefinementActivation), []string{"relu", "sigmoid", "tanh", "identity"}},
		{"trm_gate", c.RefinementGate, []string{"sigmoid", "relu"}}, {"head", c.Head, []string{"plain", "mmoe", "ple"}},
	} {
		if !slices.Contains(k.known, k.value) {
			return fmt.Errorf("%s is %q, want %s", k.key, k.value, strings.Join(k.known, " or "))
		}
	}
	return nil
}

// conditioned says whether tasks have interests of their own.
func (c *Config) conditioned() bool {
	return c.Condition == "pair" || c.Readout == "target" && c.ReadoutWeights == "pair"
}
