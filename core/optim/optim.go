// Package optim holds the optimizers: dense ones for parameters and full-table or row-sparse ones for embedding tables,
// with FuxiCTR's L2 convention (finalmlp.md section 5), gradient clipping by global norm, and learning-rate schedules.
package optim

import (
	"github.com/millrace/millrace/core/graph"
	"github.com/millrace/millrace/core/table"
)

// Dense is one dense parameter with its gradient of this step.
type Dense struct {
	Name        string
	Value, Grad *graph.Tensor
}

// Rows is the gradient of one table in this step: Grads[i·Dim:][:Dim] belongs to Slots[i]; slots are distinct.
type Rows struct {
	Table *table.Table
	Slots []uint32
	Grads []float32
}

// Config names the optimizer and its constants. Zero values take FuxiCTR's: adam, betas 0.9 and 0.999, eps 1e-8.
type Config struct {
	Optimizer          string // adam | sgd | adagrad: dense parameters
	EmbeddingOptimizer string // adam: every row moves each step, with the L2 term over the full table; sparse_adam: only rows in the batch, L2 on those
	LearningRate       float64
	Beta1, Beta2, Eps  float64
	NetL2, EmbeddingL2 float64 // λ: (λ/2)·Σw² is added to the loss
	MaxNorm            float64 // global gradient norm over all parameters, the regularisers' gradients included; 0: no clipping
}

// Optimizer applies steps. State of rows lies in the tables (StateSize floats a row); state of dense parameters lies here.
type Optimizer struct{}

// New returns an optimizer; the set of parameters is fixed by the first step or by Load.
func New(c Config) (*Optimizer, error) { panic("contract") }

// StateSize is how many floats of state a row of dim needs.
func (c Config) StateSize(dim int) int { panic("contract") }

// Step applies one update with gradients as they come from the loss; it adds the L2 terms, clips, and moves the weights. It marks the rows it moved (table.Touch)
// unless the optimizer moves every row, and returns the loss's L2 part and the gradient norm before clipping.
func (o *Optimizer) Step(dense []Dense, rows []Rows) (l2, norm float64, err error) { panic("contract") }

// LearningRate and SetLearningRate read and change the rate (schedules, reduce on plateau).
func (o *Optimizer) LearningRate() float64     { panic("contract") }
func (o *Optimizer) SetLearningRate(x float64) { panic("contract") }

// Steps counts the steps taken.
func (o *Optimizer) Steps() uint64 { panic("contract") }

// State returns the dense state as named tensors (name+"/m", name+"/v") and the step count, for a checkpoint; Load restores it.
func (o *Optimizer) State() (map[string]*graph.Tensor, uint64)               { panic("contract") }
func (o *Optimizer) Load(state map[string]*graph.Tensor, steps uint64) error { panic("contract") }
