package models

import (
	"fmt"

	"github.com/millrace/millrace/core/optim"
)

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
	// EmbeddingInitializerStd is the standard deviation of new embedding rows; default 1e-4.
	EmbeddingInitializerStd float64 `yaml:"embedding_initializer_std"`
}

func defaultSettings() Settings {
	yes := true
	return Settings{
		BatchSize:               4096,
		Epochs:                  100,
		LearningRate:            1e-3,
		Optimizer:               "adam",
		MaxGradientNorm:         10,
		Monitor:                 "AUC",
		EarlyStopPatience:       2,
		ReduceLROnPlateau:       &yes,
		Seed:                    2021,
		Shuffle:                 &yes,
		EmbeddingInitializerStd: 1e-4,
	}
}

// Optim returns the optimizer's configuration.
func (s *Settings) Optim() optim.Config {
	return optim.Config{
		Optimizer:          s.Optimizer,
		EmbeddingOptimizer: s.EmbeddingOptimizer,
		LearningRate:       s.LearningRate,
		NetL2:              s.NetRegularizer,
		EmbeddingL2:        s.EmbeddingRegularizer,
		MaxNorm:            s.MaxGradientNorm,
	}
}

// check fills what depends on other keys and refuses impossible values.
func (s *Settings) check() error {
	if s.EmbeddingOptimizer == "" {
		s.EmbeddingOptimizer = s.Optimizer
	}
	if s.ReduceLROnPlateau == nil || s.Shuffle == nil {
		d := defaultSettings()
		if s.ReduceLROnPlateau == nil {
			s.ReduceLROnPlateau = d.ReduceLROnPlateau
		}
		if s.Shuffle == nil {
			s.Shuffle = d.Shuffle
		}
	}
	switch {
	case s.BatchSize < 1 || s.BatchSize > 1<<20:
		return fmt.Errorf("batch_size is %d, want 1 to %d", s.BatchSize, 1<<20)
	case s.Epochs < 1:
		return fmt.Errorf("epochs is %d, want at least 1", s.Epochs)
	case !(s.LearningRate > 0) || s.LearningRate > 1e6:
		return fmt.Errorf("learning_rate is %g, want more than 0", s.LearningRate)
	case !(s.EmbeddingRegularizer >= 0):
		return fmt.Errorf("embedding_regularizer is %g, want at least 0", s.EmbeddingRegularizer)
	case !(s.NetRegularizer >= 0):
		return fmt.Errorf("net_regularizer is %g, want at least 0", s.NetRegularizer)
	case !(s.MaxGradientNorm >= 0):
		return fmt.Errorf("max_gradient_norm is %g, want at least 0 (0: no clipping)", s.MaxGradientNorm)
	case s.EarlyStopPatience < 1:
		return fmt.Errorf("early_stop_patience is %d, want at least 1", s.EarlyStopPatience)
	case !(s.EmbeddingInitializerStd >= 0):
		return fmt.Errorf("embedding_initializer_std is %g, want at least 0", s.EmbeddingInitializerStd)
	}
	if _, err := ParseMonitor(s.Monitor); err != nil {
		return err
	}
	if _, err := optim.New(s.Optim()); err != nil {
		return fmt.Errorf("optimizer %q with embedding_optimizer %q: %w", s.Optimizer, s.EmbeddingOptimizer, err)
	}
	return nil
}
