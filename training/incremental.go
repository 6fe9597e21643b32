package training

import (
	"github.com/apache/arrow/go/v15/arrow"

	"github.com/millrace/millrace/core/snapshot"
	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/models"
)

// Incremental trains on records as they come, one step a minibatch in arrival order: the daemon's learner. It is not safe for concurrent use.
type Incremental struct{}

// IncrementalOptions: Threads for the kernels, BatchSize overrides the model's, Model names the updates.
type IncrementalOptions struct {
	Model     string
	BatchSize int
	Seed      uint64
}

// NewIncremental starts from nothing (tables grow as ids arrive) …
func NewIncremental(spec *models.Spec, s *features.Schema, o IncrementalOptions) (*Incremental, error) {
	panic("contract")
}

// ResumeIncremental … or from a checkpoint: a train run's (--init) or the daemon's own.
func ResumeIncremental(c *models.Checkpoint, o IncrementalOptions) (*Incremental, error) {
	panic("contract")
}

// Learn trains on a record of RecordSchema(true). Rows that do not fill a minibatch wait for the next call or Flush. It returns the number of rows trained so far.
func (l *Incremental) Learn(rec arrow.Record) (rows int64, err error) { panic("contract") }

// Flush trains on the rows that wait.
func (l *Incremental) Flush() (rows int64, err error) { panic("contract") }

// Update returns what changed since the last call (everything at first), or nil when nothing did.
func (l *Incremental) Update() (*snapshot.Update, error) { panic("contract") }

// Snapshot returns the state for a checkpoint; the caller adds its own state and writes it. Nothing may wait: call Flush first.
func (l *Incremental) Snapshot() (snapshot.Manifest, []snapshot.Part, error) { panic("contract") }
