package models

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strconv"

	"gopkg.in/yaml.v3"

	"github.com/millrace/millrace/core/snapshot"
	"github.com/millrace/millrace/core/table"
	"github.com/millrace/millrace/features"
)

// Names inside a checkpoint's manifest.
const (
	SchemaFile    = "schema.yaml"
	ModelFile     = "model.yaml"
	StatsState    = "stats"
	SeedState     = "seed"
	ProgressState = "progress"
	DensePart     = "dense"
	OptimizerPart = "optimizer"
)

// Checkpoint is a model at rest: what training writes and evaluation, serving and the daemon read.
// In the snapshot: files schema.yaml and model.yaml; state "stats", "seed", "progress" (training) and "stream" (offsets); parts "dense", "optimizer" and "table/NAME".
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
// The tables have room for the optimizer's state, and hold it where the checkpoint does.
func Load(dir string) (*Checkpoint, error) { return load(dir, true) }

// LoadScoring is Load without the optimizer's state: for scoring, in a third of the memory.
func LoadScoring(dir string) (*Checkpoint, error) { return load(dir, false) }

func load(dir string, state bool) (*Checkpoint, error) {
	for try := 0; ; try++ {
		c, err := loadOnce(dir, state)
		if errors.Is(err, snapshot.ErrReplaced) && try < 3 {
			continue
		}
		return c, err
	}
}

func loadOnce(dir string, state bool) (*Checkpoint, error) {
	found, err := snapshot.Locate(dir)
	if err != nil {
		return nil, err
	}
	s, err := snapshot.Open(found)
	if err != nil {
		return nil, err
	}
	c := &Checkpoint{Snapshot: s, Tables: map[string]*table.Table{}}
	if err := c.read(state); err != nil {
		return nil, fmt.Errorf("load checkpoint %s: %w", found, err)
	}
	return c, nil
}

func (c *Checkpoint) read(state bool) (err error) {
	m := &c.Snapshot.Manifest
	if c.Schema, err = features.ParseSchema([]byte(m.Files[SchemaFile])); err != nil {
		return fmt.Errorf("%s: %w", SchemaFile, err)
	}
	if c.Spec, err = Parse([]byte(m.Files[ModelFile]), c.Schema); err != nil {
		return fmt.Errorf("%s: %w", ModelFile, err)
	}
	if b := c.Spec.Settings.Position; b != nil {
		c.Schema.MayLack(b.Field...) // scoring has no use for them
	}
	if text, ok := m.State[StatsState]; ok && string(text) != "null" {
		c.Stats = &features.Stats{}
		if err := json.Unmarshal(text, c.Stats); err != nil {
			return fmt.Errorf("state %s: %w", StatsState, err)
		}
	}
	seed := c.Spec.Settings.Seed
	if text, ok := m.State[SeedState]; ok {
		if err := json.Unmarshal(text, &seed); err != nil {
			return fmt.Errorf("state %s: %w", SeedState, err)
		}
	}
	if c.Program, err = NewProgram(c.Spec, c.Schema, seed); err != nil {
		return err
	}
	dense, err := c.Snapshot.Part(DensePart)
	if err != nil {
		return err
	}
	c.Dense = dense.Tensors
	if c.Weights, err = c.Program.NewWeights(m.Version, c.Dense); err != nil {
		return err
	}
	for _, t := range c.Program.Tables() {
		part, err := c.Snapshot.Part(table.PartPrefix + t.Name)
		if err != nil {
			return err
		}
		if c.Tables[t.Name], err = table.FromPart(part, c.Program.tableOptions(t, state)); err != nil {
			return err
		}
	}
	if state {
		if _, err := c.Snapshot.Part(OptimizerPart); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// Update returns the whole checkpoint as one full update for a store.
func (c *Checkpoint) Update(model string) *snapshot.Update {
	u := &snapshot.Update{Model: model, Version: c.Weights.Version, Full: true, Dense: c.Dense}
	for _, t := range c.Program.Tables() {
		u.Rows = append(u.Rows, AllRows(c.Tables[t.Name]))
	}
	return u
}

// AllRows returns every row of a table, the unknown one included.
func AllRows(t *table.Table) snapshot.Rows {
	slots := make([]uint32, t.Len())
	for i := range slots {
		slots[i] = uint32(i)
	}
	return t.AppendRows(snapshot.Rows{}, slots)
}

// NewEncoder returns the encoder that the checkpoint's schema and statistics give.
func (c *Checkpoint) NewEncoder() (*features.Encoder, error) {
	return features.NewEncoder(c.Schema, c.Stats)
}

// NewManifest begins a checkpoint's manifest: the schema, the model file, the statistics and the seed. The owner adds its state.
func (p *Program) NewManifest(model string, stats *features.Stats) (snapshot.Manifest, error) {
	m := snapshot.Manifest{Model: model, Files: map[string]string{}, State: map[string]json.RawMessage{}}
	schema, err := yaml.Marshal(p.schema)
	if err != nil {
		return m, fmt.Errorf("write the schema: %w", err)
	}
	m.Files[SchemaFile], m.Files[ModelFile] = string(schema), p.spec.Source
	text, err := json.Marshal(stats)
	if err != nil {
		return m, fmt.Errorf("write the statistics: %w", err)
	}
	m.State[StatsState] = text
	m.State[SeedState] = json.RawMessage(strconv.FormatUint(p.seed, 10))
	return m, nil
}
