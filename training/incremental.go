package training

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/apache/arrow/go/v15/arrow"

	"github.com/millrace/millrace/core/optim"
	"github.com/millrace/millrace/core/snapshot"
	"github.com/millrace/millrace/core/table"
	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/models"
)

// Incremental trains on records as they come, one step a minibatch in arrival order: the daemon's learner. It is not safe for concurrent use.
//
// Ids join the tables as they arrive; one whose field has a minimum count does so when it has been seen that often, and trains the unknown row until then.
// The same records in the same order give the same bits, across a Snapshot and a ResumeIncremental as well.
type Incremental struct {
	options   IncrementalOptions
	trainer   *models.Trainer
	encoder   *features.Encoder
	stats     *features.Stats
	batchSize int
	admission *admission
	record    features.Batch // the encoding of one record
	pending   features.Batch // rows that wait for their minibatch
	rows      int64          // trained
	read      uint64         // trained or left out by negative_sampling
	seq       uint64         // of updates
	updated   int64          // rows trained when the last update was made, −1 before the first
	loss      float64
	slots     []uint32
}

// IncrementalOptions: BatchSize overrides the model's, Seed (when not 0) the model file's where nothing is resumed, Model names the updates.
// Limits bound tables, by a table's name or its vocabulary's (the field's); "*" is for those not named.
type IncrementalOptions struct {
	Model     string
	BatchSize int
	Seed      uint64
	Limits    map[string]table.Limits
}

// incrementalState is the state "incremental" of a checkpoint.
type incrementalState struct {
	Rows int64  `json:"rows"`
	Seq  uint64 `json:"seq"`
	Read uint64 `json:"read,omitempty"`
}

const (
	incrementalName = "incremental"
	admissionPart   = "admission"
)

// NewIncremental starts from nothing: tables grow as ids arrive, and numeric fields are not standardised.
func NewIncremental(spec *models.Spec, s *features.Schema, o IncrementalOptions) (*Incremental, error) {
	if o.Seed == 0 {
		o.Seed = spec.Settings.Seed
	}
	program, err := models.NewProgram(spec, s, o.Seed)
	if err != nil {
		return nil, err
	}
	trainer, err := program.NewTrainer(nil, true)
	if err != nil {
		return nil, err
	}
	return newIncremental(trainer, nil, o)
}

// ResumeIncremental goes on from a checkpoint: a train run's (--init) or the daemon's own. It takes over the checkpoint's tables.
func ResumeIncremental(c *models.Checkpoint, o IncrementalOptions) (*Incremental, error) {
	trainer, err := c.Trainer(true)
	if err != nil {
		return nil, err
	}
	l, err := newIncremental(trainer, c.Stats, o)
	if err != nil {
		return nil, err
	}
	if err := l.goOn(c); err != nil {
		return nil, fmt.Errorf("resume from %w", err)
	}
	if l.admission != nil && c.Snapshot != nil && hasPart(c.Snapshot, admissionPart) {
		part, err := c.Snapshot.Part(admissionPart)
		if err == nil {
			err = l.admission.load(part)
		}
		if err != nil {
			return nil, fmt.Errorf("resume from checkpoint %s: %w", c.Snapshot.Dir, err)
		}
	}
	return l, nil
}

// goOn counts on from where the learner of the checkpoint stood, so that no update is taken for an older one; a training run's has no learner.
func (l *Incremental) goOn(c *models.Checkpoint) error {
	if c.Snapshot == nil {
		return nil
	}
	var state incrementalState
	if text, ok := c.Snapshot.Manifest.State[incrementalName]; ok {
		if err := json.Unmarshal(text, &state); err != nil {
			return fmt.Errorf("checkpoint %s: state %s: %w", c.Snapshot.Dir, incrementalName, err)
		}
	}
	l.rows, l.seq, l.read = state.Rows, state.Seq, max(state.Read, uint64(state.Rows))
	return nil
}

func hasPart(s *snapshot.Snapshot, name string) bool {
	for _, p := range s.Manifest.Parts {
		if p.Name == name {
			return true
		}
	}
	return false
}

func newIncremental(t *models.Trainer, stats *features.Stats, o IncrementalOptions) (*Incremental, error) {
	if t.NeedsOccurrences() {
		return nil, refuse("minibatch_aware_regularizer needs the training rows' ids counted beforehand, which a stream cannot give")
	}
	encoder, err := features.NewEncoder(t.Program.Schema(), stats)
	if err != nil {
		return nil, err
	}
	if err := limitTables(t, o.Limits); err != nil {
		return nil, err
	}
	l := &Incremental{
		options: o, trainer: t, encoder: encoder, stats: stats, batchSize: o.BatchSize, updated: -1,
		admission: newAdmission(t.Program, t.Tables),
	}
	if l.batchSize <= 0 {
		l.batchSize = t.Program.Spec().Settings.BatchSize
	}
	return l, nil
}

// limitTables makes the tables keep ages, counts and a ledger, and sets their limits.
func limitTables(t *models.Trainer, limits map[string]table.Limits) error {
	used := map[string]bool{anyTable: true}
	var known []string
	for _, spec := range t.Program.Tables() {
		known = append(known, spec.Name)
		if !t.Tables[spec.Name].Track() {
			return fmt.Errorf("table %s: no memory to keep ages", spec.Name)
		}
		chosen := limits[anyTable]
		for _, name := range []string{spec.Vocabulary, spec.Name} {
			if l, ok := limits[name]; ok {
				chosen, used[name] = l, true
			}
		}
		if err := t.Tables[spec.Name].Limit(chosen); err != nil {
			return fmt.Errorf("limit table %s: %w", spec.Name, err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(limits)) {
		if !used[name] {
			return fmt.Errorf("limits are given for table %q, which the model has not got; it has %s", name, strings.Join(known, ", "))
		}
	}
	return nil
}

// anyTable names, among limits, those of the tables that are not named.
const anyTable = "*"

// Learn trains on a record of RecordSchema(true). Rows that do not fill a minibatch wait for the next call or Flush. It returns the number of rows trained so far.
// A record that cannot be encoded is an error that changes nothing.
func (l *Incremental) Learn(rec arrow.Record) (rows int64, err error) {
	if err := l.encoder.EncodeInto(&l.record, rec); err != nil {
		return l.rows, err
	}
	for r := range l.record.Rows {
		l.read++
		if l.leavesOut(r) {
			continue
		}
		l.pending.Append(&l.record, r)
		if l.pending.Rows >= l.batchSize {
			if err := l.train(); err != nil {
				return l.rows, err
			}
		}
	}
	return l.rows, nil
}

// leavesOut draws whether the model file's negative_sampling leaves row r of the record out.
func (l *Incremental) leavesOut(r int) bool {
	s := l.trainer.Program.Spec().Settings.NegativeSampling
	return s.Sampled() && l.record.Labels[0][r] == 0 && !features.KeepsRow(l.trainer.Program.Seed(), l.read, s.Rate)
}

// Flush trains on the rows that wait.
func (l *Incremental) Flush() (rows int64, err error) {
	if l.pending.Rows > 0 {
		err = l.train()
	}
	return l.rows, err
}

// train takes one step on the pending rows. Rows whose step fails are dropped: the weights are as they were before it.
func (l *Incremental) train() error {
	defer l.pending.Reset()
	for _, spec := range l.trainer.Program.Tables() {
		l.trainer.Tables[spec.Name].Maintain(uint32(l.trainer.Optimizer.Steps() + 1))
	}
	if l.admission != nil {
		l.admission.filter(&l.pending)
	}
	loss, _, err := l.trainer.Train(&l.pending)
	if err != nil {
		return fmt.Errorf("learn after %d rows: %w", l.rows, err)
	}
	l.loss = loss
	l.rows += int64(l.pending.Rows)
	return nil
}

// Loss is the mean loss of the last minibatch.
func (l *Incremental) Loss() float64 { return l.loss }

// Waiting is the number of rows that wait for their minibatch.
func (l *Incremental) Waiting() int { return l.pending.Rows }

// Update returns what changed since the last call (everything at first), or nil when nothing did.
func (l *Incremental) Update() (*snapshot.Update, error) {
	if l.updated == l.rows {
		return nil, nil
	}
	u := &snapshot.Update{Model: l.options.Model, Full: l.updated < 0 || l.movesAllRows(), Dense: l.trainer.Step.Dense()}
	removed := make([][]uint64, len(l.trainer.Program.Tables()))
	for i, spec := range l.trainer.Program.Tables() {
		var all bool
		if removed[i], all = l.trainer.Tables[spec.Name].Removed(nil); !all {
			u.Full = true
		}
	}
	for i, spec := range l.trainer.Program.Tables() {
		t := l.trainer.Tables[spec.Name]
		l.slots = t.Changed(l.slots)
		if u.Full {
			u.Rows = append(u.Rows, models.AllRows(t))
		} else if len(l.slots) > 0 || len(removed[i]) > 0 {
			rows := t.AppendRows(snapshot.Rows{}, l.slots)
			rows.Removed = removed[i]
			u.Rows = append(u.Rows, rows)
		}
	}
	l.seq++
	u.Seq, u.Version = l.seq, fmt.Sprintf("%d-%d", l.seq, l.rows)
	l.updated = l.rows
	return u, nil
}

// Full makes the next update a full one: for a store that lost what it held.
func (l *Incremental) Full() { l.updated = -1 }

// movesAllRows tells whether a step changes rows that its batch does not hold.
func (l *Incremental) movesAllRows() bool {
	return l.trainer.Program.Spec().Settings.EmbeddingOptimizer == optim.AdamName
}

// Snapshot returns the state for a checkpoint; the caller adds its own state and writes it. Nothing may wait: call Flush first.
// The parts are views of the tables: nothing may be learned until they are written.
func (l *Incremental) Snapshot() (snapshot.Manifest, []snapshot.Part, error) {
	if l.pending.Rows > 0 {
		return snapshot.Manifest{}, nil, errors.New("take a checkpoint of the learner: rows wait for their minibatch; flush it first")
	}
	m, err := l.trainer.Manifest(l.options.Model, l.stats, map[string]any{"rows": l.rows, "steps": l.trainer.Optimizer.Steps()})
	if err != nil {
		return m, nil, fmt.Errorf("take a checkpoint of the learner: %w", err)
	}
	text, err := json.Marshal(incrementalState{Rows: l.rows, Seq: l.seq, Read: l.read})
	if err != nil {
		return m, nil, fmt.Errorf("take a checkpoint of the learner: %w", err)
	}
	m.State[incrementalName] = text
	parts := l.trainer.Parts()
	if l.admission != nil {
		parts = append(parts, l.admission.part())
	}
	return m, parts, nil
}

// String tells how far the learner is, for people.
func (l *Incremental) String() string {
	var tables []string
	for _, t := range l.trainer.Program.Tables() {
		tables = append(tables, fmt.Sprintf("%s %d", t.Name, l.trainer.Tables[t.Name].Len()))
	}
	return fmt.Sprintf("%d rows trained, table rows: %s", l.rows, strings.Join(tables, ", "))
}
