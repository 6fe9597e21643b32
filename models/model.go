// Package models holds the interface of CTR models, their registry and settings, and the program that runs one:
// a model is written once, as a function that builds a graph over a batch's inputs; training, scoring and serving derive from it.
package models

import (
	"github.com/millrace/millrace/core/graph"
	"github.com/millrace/millrace/core/nn"
	"github.com/millrace/millrace/features"
)

// Model is one architecture with its settings, as read from a model file.
type Model interface {
	// Build adds the model to the net and returns one logit node [B, 1] a label of the schema, in the schema's order.
	Build(net *nn.Net, s *features.Schema) ([]*graph.Node, error)
}

// Settings are the training keys every model file may hold, under their FuxiCTR names.
type Settings struct {
	BatchSize            int     `yaml:"batch_size"`            // default 4096
	Epochs               int     `yaml:"epochs"`                // default 100
	LearningRate         float64 `yaml:"learning_rate"`         // default 1e-3
	Optimizer            string  `yaml:"optimizer"`             // default adam
	EmbeddingOptimizer   string  `yaml:"embedding_optimizer"`   // default: adam (full table); sparse_adam
	EmbeddingRegularizer float64 `yaml:"embedding_regularizer"` // λ, L2
	NetRegularizer       float64 `yaml:"net_regularizer"`
	MaxGradientNorm      float64 `yaml:"max_gradient_norm"`    // default 10
	Monitor              string  `yaml:"monitor"`              // default AUC; also logloss, gAUC, AUC-logloss …
	EarlyStopPatience    int     `yaml:"early_stop_patience"`  // default 2
	ReduceLROnPlateau    *bool   `yaml:"reduce_lr_on_plateau"` // default true
	Seed                 uint64  `yaml:"seed"`                 // default 2021
	Shuffle              *bool   `yaml:"shuffle"`              // default true
}

// Spec is a parsed model file: the architecture, its settings, the notices about keys accepted but ignored, and the text itself.
type Spec struct {
	Name     string // canonical: lower case without punctuation
	Model    Model
	Settings Settings
	Notices  []string
	Source   string
}

// Parse reads a model file for a schema. Every error names the key, an unknown key the nearest known one.
func Parse(yaml []byte, s *features.Schema) (*Spec, error) { panic("contract") }

// Names lists the registered models.
func Names() []string { panic("contract") }
