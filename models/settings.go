package models

import (
	"fmt"
	"strings"

	"github.com/millrace/millrace/core/nn"
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
	ReduceLROnPlateau    *bool   `yaml:"reduce_lr_on_plateau"` // default true where lr_schedule is constant, else false
	Seed                 uint64  `yaml:"seed"`                 // default 2021
	Shuffle              *bool   `yaml:"shuffle"`              // default true
	LRSchedule           string  `yaml:"lr_schedule"`          // default constant; cosine, linear (both over all epochs), step
	LRWarmupSteps        int     `yaml:"lr_warmup_steps"`      // the first steps rise to the rate
	LREndFactor          float64 `yaml:"lr_end_factor"`        // cosine, linear: what is left of the rate at the end; default 0
	LRStepEpochs         float64 `yaml:"lr_step_epochs"`       // step: how often; default 1
	LRStepFactor         float64 `yaml:"lr_step_factor"`       // step: by what; default 0.1
	FocalGamma           float64 `yaml:"focal_gamma"`          // loss focal_loss; default 2
	FocalAlpha           float64 `yaml:"focal_alpha"`          // the positives' weight, the negatives' being 1 less it; default 0.25
	Loss                 string  // of the key loss: binary_crossentropy (default), focal_loss, pairwise, listwise, in_batch_softmax
	PointwiseWeight      float64 `yaml:"pointwise_weight"` // pairwise, listwise: the cross-entropy is added so many times, for scores that are probabilities; default 0
	// NegativeSampling is by what probability training keeps a row whose label is negative; default all. Scores are those of the unsampled rows.
	NegativeSampling Sampling `yaml:"negative_sampling"`
	// MinibatchAware makes DIN's regulariser of embedding_regularizer: λ/n_j on the batch's rows, n_j being how often id j occurs in the training rows (KDD 2018, section 5.1).
	MinibatchAware bool `yaml:"minibatch_aware_regularizer"`
	// EmbeddingInitializerStd is the standard deviation of new embedding rows; default 1e-4.
	EmbeddingInitializerStd float64 `yaml:"embedding_initializer_std"`

	PReLUSlope   float64 `yaml:"prelu_slope"`   // where the slopes of PReLU start; default 0.1
	DiceMomentum float64 `yaml:"dice_momentum"` // what a batch counts for in Dice's running statistics; default 0.01, a memory of a hundred steps

	OptimizerConstants `yaml:",inline"`

	Position     *PositionBias      `yaml:"position_bias"` // nil: no tower of positions
	LabelWeights map[string]float64 `yaml:"label_weights"` // by how much each label's loss counts; default 1
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
		LRSchedule:              optim.ConstantSchedule,
		LRStepEpochs:            1,
		LRStepFactor:            0.1,
		FocalGamma:              2,
		FocalAlpha:              0.25,
		Loss:                    CrossEntropyLoss,
		Seed:                    2021,
		Shuffle:                 &yes,
		EmbeddingInitializerStd: 1e-4,
		PReLUSlope:              nn.DefaultPReLUSlope,
		DiceMomentum:            nn.DefaultDiceMomentum,
	}
}

// Optim returns the optimizer's configuration.
func (s *Settings) Optim() optim.Config {
	l2 := s.EmbeddingRegularizer
	if s.MinibatchAware {
		l2 = 0
	}
	c := optim.Config{
		Optimizer:          s.Optimizer,
		EmbeddingOptimizer: s.EmbeddingOptimizer,
		LearningRate:       s.LearningRate,
		NetL2:              s.NetRegularizer,
		EmbeddingL2:        l2,
		MaxNorm:            s.MaxGradientNorm,
	}
	s.OptimizerConstants.set(&c)
	return c
}

// Schedule is by what the learning rate is multiplied as a training goes on.
func (s *Settings) Schedule() optim.Schedule {
	return optim.Schedule{
		Kind: s.LRSchedule, WarmupSteps: s.LRWarmupSteps, Epochs: float64(s.Epochs), EndFactor: s.LREndFactor,
		StepEpochs: s.LRStepEpochs, StepFactor: s.LRStepFactor,
	}
}

// check fills what depends on other keys and refuses impossible values.
func (s *Settings) check() error {
	if s.EmbeddingOptimizer == "" {
		s.EmbeddingOptimizer = s.Optimizer
	}
	s.LRSchedule = strings.ToLower(s.LRSchedule)
	if s.ReduceLROnPlateau == nil {
		constant := s.LRSchedule == optim.ConstantSchedule
		s.ReduceLROnPlateau = &constant
	}
	if s.Shuffle == nil {
		s.Shuffle = defaultSettings().Shuffle
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
	case s.MinibatchAware && s.EmbeddingRegularizer == 0:
		return fmt.Errorf("minibatch_aware_regularizer has no strength: embedding_regularizer is 0")
	case !(s.NetRegularizer >= 0):
		return fmt.Errorf("net_regularizer is %g, want at least 0", s.NetRegularizer)
	case !(s.MaxGradientNorm >= 0):
		return fmt.Errorf("max_gradient_norm is %g, want at least 0 (0: no clipping)", s.MaxGradientNorm)
	case s.EarlyStopPatience < 1:
		return fmt.Errorf("early_stop_patience is %d, want at least 1", s.EarlyStopPatience)
	case !(s.EmbeddingInitializerStd >= 0):
		return fmt.Errorf("embedding_initializer_std is %g, want at least 0", s.EmbeddingInitializerStd)
	case !(s.PReLUSlope >= 0 && s.PReLUSlope <= 1):
		return fmt.Errorf("prelu_slope is %g, want 0 to 1", s.PReLUSlope)
	case !(s.DiceMomentum > 0 && s.DiceMomentum <= 1):
		return fmt.Errorf("dice_momentum is %g, want more than 0 and at most 1", s.DiceMomentum)
	}
	if !(s.FocalGamma >= 0 && s.FocalGamma <= 100) {
		return fmt.Errorf("focal_gamma is %g, want 0 to 100", s.FocalGamma)
	}
	if !(s.FocalAlpha > 0 && s.FocalAlpha < 1) {
		return fmt.Errorf("focal_alpha is %g, want more than 0 and less than 1", s.FocalAlpha)
	}
	if !(s.PointwiseWeight >= 0) || s.PointwiseWeight > 0 && !s.Grouped() {
		return fmt.Errorf("pointwise_weight is %g with loss %s, want at least 0, and 0 but for %s and %s", s.PointwiseWeight, s.Loss, PairwiseLoss, ListwiseLoss)
	}
	if err := s.Schedule().Check(); err != nil {
		return fmt.Errorf("lr_schedule %s: %w", s.LRSchedule, err)
	}
	if _, err := ParseMonitor(s.Monitor); err != nil {
		return err
	}
	if err := s.OptimizerConstants.check(s.Optimizer, s.EmbeddingOptimizer); err != nil {
		return err
	}
	if _, err := optim.New(s.Optim()); err != nil {
		return fmt.Errorf("optimizer %q with embedding_optimizer %q: %w", s.Optimizer, s.EmbeddingOptimizer, err)
	}
	return nil
}
