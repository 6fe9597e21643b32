package training

import (
	"context"
	"math/rand/v2"
	"slices"
	"sort"
	"strings"

	"github.com/millrace/millrace/core/metric"
	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/models"
)

// sampleRows bounds the rows that importance is measured on.
const sampleRows = 20_000

// sample keeps the first rows that an evaluation saw.
type sample struct{ rows features.Batch }

func (s *sample) add(b *features.Batch, _ [][]float32) {
	for r := 0; r < b.Rows && s.rows.Rows < sampleRows; r++ {
		s.rows.Append(b, r)
	}
}

// Importance is how much AUC falls when a field's values are dealt out anew among the rows: what the model's order of rows owes to the field.
type Importance struct {
	Fields string `json:"fields"` // several where they describe the same behaviours and can only move together
	Drop   Figure `json:"drop"`
}

// importance measures every field, the most important first.
func (s *sample) importance(ctx context.Context, c *models.Checkpoint) ([]Importance, error) {
	n := s.rows.Rows
	if n == 0 {
		return nil, nil
	}
	scorer, err := c.Program.NewScorer()
	if err != nil {
		return nil, err
	}
	m := &permuted{source: &s.rows, checkpoint: c, scorer: scorer}
	base, err := m.auc(nil, nil)
	if err != nil {
		return nil, err
	}
	perm := rand.New(rand.NewPCG(c.Program.Seed(), 1)).Perm(n)
	var out []Importance
	for _, columns := range importanceGroups(c) {
		if ctx.Err() != nil {
			return nil, ErrInterrupted
		}
		auc, err := m.auc(columns, perm)
		if err != nil {
			return nil, err
		}
		var names []string
		for _, i := range columns {
			names = append(names, c.Schema.Fields[i].Name)
		}
		out = append(out, Importance{strings.Join(names, ", "), Figure(base - auc)})
	}
	sort.SliceStable(out, func(i, j int) bool { return out[i].Drop > out[j].Drop })
	return out, nil
}

// importanceGroups returns the columns that are permuted together: each field alone, behaviours of one history as one.
func importanceGroups(c *models.Checkpoint) [][]int {
	var groups [][]int
	done := map[int]bool{}
	position := c.Spec.Settings.Position // what scoring does not see matters to no score
	for i, f := range c.Schema.Fields {
		if done[i] || position != nil && slices.Contains(position.Field, f.Name) {
			continue
		}
		group := []int{i}
		for _, names := range c.Program.SequenceGroups() {
			if slices.Contains(names, f.Name) {
				group = group[:0]
				for _, name := range names {
					group = append(group, c.Schema.Field(name))
				}
			}
		}
		for _, k := range group {
			done[k] = true
		}
		groups = append(groups, group)
	}
	return groups
}

// permuted scores a sample with some columns dealt out anew.
type permuted struct {
	source     *features.Batch
	checkpoint *models.Checkpoint
	scorer     *models.Scorer
	batch      features.Batch
	scores     [][]float32
}

// auc is the mean over the labels with row r of the columns taken from row perm[r].
func (m *permuted) auc(columns, perm []int) (float64, error) {
	labels := len(m.source.Labels)
	rows := make([]metric.Rows, labels)
	size := m.checkpoint.Spec.Settings.BatchSize
	for lo := 0; lo < m.source.Rows; lo += size {
		hi := min(lo+size, m.source.Rows)
		m.fill(lo, hi, columns, perm)
		var err error
		if m.scores, err = m.scorer.Score(&m.batch, m.checkpoint.Weights, models.TableRows(m.checkpoint.Tables), m.scores); err != nil {
			return 0, err
		}
		for i := range rows {
			var weights []float32
			if len(m.source.Weights) > 0 {
				weights = m.source.Weights[lo:hi]
			}
			rows[i].Add(m.scores[i], m.source.Labels[i][lo:hi], weights, nil)
		}
	}
	var sum float64
	for i := range rows {
		sum += rows[i].AUC()
	}
	return sum / float64(labels), nil
}

// fill makes the batch of rows lo to hi.
func (m *permuted) fill(lo, hi int, columns, perm []int) {
	b := &m.batch
	b.Rows = hi - lo
	if b.Columns == nil {
		b.Columns = make([]features.Column, len(m.source.Columns))
	}
	for i := range b.Columns {
		from, to := &m.source.Columns[i], &b.Columns[i]
		to.IDs, to.Offsets, to.Values, to.Missing = to.IDs[:0], to.Offsets[:0], to.Values[:0], to.Missing[:0]
		if len(from.Offsets) > 0 {
			to.Offsets = append(to.Offsets, 0)
		}
		moved := slices.Contains(columns, i)
		for r := lo; r < hi; r++ {
			k := r
			if moved {
				k = perm[r]
			}
			switch {
			case len(from.Offsets) > 0:
				to.IDs = append(to.IDs, from.IDs[from.Offsets[k]:from.Offsets[k+1]]...)
				to.Offsets = append(to.Offsets, int32(len(to.IDs)))
			case len(from.Values) > 0:
				to.Values, to.Missing = append(to.Values, from.Values[k]), append(to.Missing, from.Missing[k])
			default:
				to.IDs = append(to.IDs, from.IDs[k])
			}
		}
	}
}
