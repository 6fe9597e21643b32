// Package optim holds the optimizers: dense ones for parameters and full-table or row-sparse ones for embedding tables,
// with FuxiCTR's L2 convention (finalmlp.md section 5), gradient clipping by global norm, and learning-rate schedules.
package optim

import (
	"fmt"
	"slices"
	"strings"

	"github.com/millrace/millrace/core/graph"
	"github.com/millrace/millrace/core/table"
)

// Dense is one dense parameter with its gradient of this step. The step overwrites the gradient.
type Dense struct {
	Name        string
	Value, Grad *graph.Tensor
}

// Rows is the gradient of one table in this step: Grads[i·Dim:][:Dim] belongs to Slots[i]; slots are distinct. The step overwrites the gradient.
type Rows struct {
	Table *table.Table
	Slots []uint32
	Grads []float32
}

// Names of optimizers. All but the last are for both kinds of parameters; for rows, all but Adam move only rows in the batch.
const (
	AdamName       = "adam"
	SGDName        = "sgd"
	AdagradName    = "adagrad"
	FTRLName       = "ftrl"
	LAMBName       = "lamb"
	SparseAdamName = "sparse_adam"
)

// denseNames and rowNames list what Config takes.
var (
	denseNames = []string{AdamName, SGDName, AdagradName, FTRLName, LAMBName}
	rowNames   = []string{AdamName, SparseAdamName, SGDName, AdagradName, FTRLName, LAMBName}
)

// Config names the optimizer and its constants. Zero values take FuxiCTR's: adam, betas 0.9 and 0.999, eps 1e-8 (adagrad: PyTorch's 1e-10; lamb: its paper's 1e-6).
type Config struct {
	Optimizer string // adam | sgd | adagrad | ftrl | lamb: dense parameters
	// EmbeddingOptimizer is adam: every row moves each step, with the L2 term over the full table; or sparse_adam, sgd, adagrad, ftrl, lamb: only rows in the batch, L2 on those.
	// The default is the dense parameters' optimizer.
	EmbeddingOptimizer string
	LearningRate       float64
	Beta1, Beta2, Eps  float64
	NetL2, EmbeddingL2 float64 // λ: (λ/2)·Σw² is added to the loss
	FTRLBeta           float64 // FTRL-proximal's β, by default 1; see kernel.FTRL
	FTRLL1, FTRLL2     float64 // and its λ1 and λ2
	WeightDecay        float64 // LAMB's λ: each step's direction has λ·w in it, the loss has not
	MaxNorm            float64 // global gradient norm over all parameters, the regularisers' gradients included; 0: no clipping
}

// withDefaults fills zero values.
func (c Config) withDefaults() Config {
	def := func(x *float64, v float64) {
		if *x == 0 {
			*x = v
		}
	}
	if c.Optimizer == "" {
		c.Optimizer = AdamName
	}
	if c.EmbeddingOptimizer == "" {
		c.EmbeddingOptimizer = c.Optimizer
	}
	def(&c.LearningRate, 1e-3)
	def(&c.Beta1, 0.9)
	def(&c.Beta2, 0.999)
	def(&c.FTRLBeta, 1)
	return c
}

// eps is the constant under the root's side of one optimizer.
func (c Config) eps(optimizer string) float64 {
	switch {
	case c.Eps != 0:
		return c.Eps
	case optimizer == AdagradName:
		return 1e-10
	case optimizer == LAMBName:
		return 1e-6
	}
	return 1e-8
}

func (c Config) check() error {
	if !slices.Contains(denseNames, c.Optimizer) {
		return fmt.Errorf("optimizer %q, want one of %s", c.Optimizer, strings.Join(denseNames, ", "))
	}
	if !slices.Contains(rowNames, c.EmbeddingOptimizer) {
		return fmt.Errorf("embedding optimizer %q, want one of %s", c.EmbeddingOptimizer, strings.Join(rowNames, ", "))
	}
	for _, x := range []struct {
		name   string
		v, end float64
	}{
		{"learning rate", c.LearningRate, 1e30}, {"beta1", c.Beta1, 1}, {"beta2", c.Beta2, 1}, {"eps", c.Eps, 1e30},
		{"net regularizer", c.NetL2, 1e30}, {"embedding regularizer", c.EmbeddingL2, 1e30}, {"max norm", c.MaxNorm, 1e30},
		{"ftrl beta", c.FTRLBeta, 1e30}, {"ftrl l1", c.FTRLL1, 1e30}, {"ftrl l2", c.FTRLL2, 1e30}, {"weight decay", c.WeightDecay, 1e30},
	} {
		if !(x.v >= 0 && x.v < x.end) {
			return fmt.Errorf("%s %g, want at least 0 and below %g", x.name, x.v, x.end)
		}
	}
	return nil
}

// StateSize is how many floats of state a row of dim needs.
func (c Config) StateSize(dim int) int {
	return stateCount(c.withDefaults().EmbeddingOptimizer) * dim
}

// DenseState lists what follows a dense parameter's name in those of its state's tensors.
func (c Config) DenseState() []string { return stateNames(c.withDefaults().Optimizer) }

// stateCount is how many floats of state an optimizer keeps for each weight.
func stateCount(optimizer string) int {
	switch optimizer {
	case SGDName:
		return 0
	case AdagradName:
		return 1
	}
	return 2
}

// stateNames are the suffixes of the dense state's tensors.
func stateNames(optimizer string) []string {
	switch optimizer {
	case SGDName:
		return nil
	case AdagradName:
		return []string{"/sum"}
	case FTRLName:
		return []string{"/z", "/n"}
	}
	return []string{"/m", "/v"}
}
