package models

import (
	"github.com/millrace/millrace/core/optim"
	"github.com/millrace/millrace/core/snapshot"
	"github.com/millrace/millrace/core/table"
	"github.com/millrace/millrace/features"
)

// TableSpec is an embedding table a model reads: its name ("emb/item"), the vocabulary its ids come from ("item") and the width of a row.
type TableSpec struct {
	Name       string
	Vocabulary string
	Dim        int
}

// Program is a model's graph, built once for a schema. It is immutable after New and may be shared; Steps and Scorers made from it belong to one goroutine each.
type Program struct{}

// NewProgram builds the graph; seed fixes the initial values.
func NewProgram(spec *Spec, s *features.Schema, seed uint64) (*Program, error) { panic("contract") }

func (p *Program) Schema() *features.Schema { panic("contract") }
func (p *Program) Spec() *Spec              { panic("contract") }
func (p *Program) Tables() []TableSpec      { panic("contract") }

// Parameters counts trainable numbers: dense ones, and rows·dim of the tables when given. Padding is how many more FuxiCTR would count: one padding row a table.
func (p *Program) Parameters(tables map[string]*table.Table) (count, padding int) { panic("contract") }

// Weights are the dense values (parameters and buffers) of one version: immutable, shared by scorers.
type Weights struct {
	Version string
}

// NewWeights reads dense values from tensors by name; every parameter must be there with its shape.
func (p *Program) NewWeights(version string, dense []snapshot.Tensor) (*Weights, error) {
	panic("contract")
}

// Rows gives a scorer embedding rows: row i of ids goes to dst[i·stride:][:dim]; an id without a row gets the table's unknown row (zeros where the field's policy is zero).
// It is called once a table and batch, from the scorer's goroutine.
type Rows interface {
	Gather(tableName string, dst []float32, stride int, ids []uint64) error
}

// TableRows serves rows straight from tables.
type TableRows map[string]*table.Table

func (t TableRows) Gather(tableName string, dst []float32, stride int, ids []uint64) error {
	panic("contract")
}

// Scorer computes probabilities for batches.
type Scorer struct{}

// NewScorer returns a scorer with plans and buffers of its own.
func (p *Program) NewScorer() (*Scorer, error) { panic("contract") }

// Score writes probabilities for each label: out[label] is resized to b.Rows and returned. It reads rows and w only.
func (s *Scorer) Score(b *features.Batch, w *Weights, rows Rows, out [][]float32) ([][]float32, error) {
	panic("contract")
}

// Step runs forward and backward over batches against tables held in memory.
type Step struct{}

// NewStep returns a step. With admit, ids not in a table are added to it (streaming); else they read and train the unknown row.
func (p *Program) NewStep(tables map[string]*table.Table, admit bool) (*Step, error) {
	panic("contract")
}

// Run computes the loss of a batch and all gradients; number is the step's number, from which dropout masks are drawn.
func (s *Step) Run(b *features.Batch, number uint64) (loss float64, err error) { panic("contract") }

// Gradients returns what the optimizer needs, valid until the next Run.
func (s *Step) Gradients() ([]optim.Dense, []optim.Rows) { panic("contract") }

// Dense copies the current parameters and buffers as tensors; SetDense restores them.
func (s *Step) Dense() []snapshot.Tensor               { panic("contract") }
func (s *Step) SetDense(dense []snapshot.Tensor) error { panic("contract") }
