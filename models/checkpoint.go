package models

import (
	"github.com/millrace/millrace/core/snapshot"
	"github.com/millrace/millrace/core/table"
	"github.com/millrace/millrace/features"
)

// Checkpoint is a model at rest: what training writes and evaluation, serving and the daemon read.
// In the snapshot: files schema.yaml and model.yaml; state "stats", "progress" (training) and "stream" (offsets); parts "dense", "optimizer" and "table/NAME".
type Checkpoint struct {
	Schema   *features.Schema
	Spec     *Spec
	Stats    *features.Stats
	Program  *Program
	Weights  *Weights
	Tables   map[string]*table.Table
	Dense    []snapshot.Tensor
	Snapshot *snapshot.Snapshot // where it came from; nil when made in memory
}

// Load reads the checkpoint at what a user named (a run's folder or a checkpoint folder), verifying every part.
func Load(dir string) (*Checkpoint, error) { panic("contract") }

// Update returns the whole checkpoint as one full update for a store.
func (c *Checkpoint) Update(model string) *snapshot.Update { panic("contract") }

// NewEncoder returns the encoder that the checkpoint's schema and statistics give.
func (c *Checkpoint) NewEncoder() (*features.Encoder, error) { panic("contract") }
