package models

import (
	"errors"
	"fmt"

	"github.com/millrace/millrace/core/kernel"
	"github.com/millrace/millrace/core/optim"
	"github.com/millrace/millrace/core/table"
	"github.com/millrace/millrace/features"
)

// minibatchAware is DIN's regulariser (KDD 2018, section 5.1): in each step λ/n_j · w_j is added to the gradient of the rows that the batch has and of no others, n_j being how often
// the id j occurs in the training rows. So the work is the batch's, and rare ids are held back more at each touch.
type minibatchAware struct {
	lambda    float64
	strengths map[*table.Table][]float32 // λ/n_j of each slot
}

// NeedsOccurrences reports whether SetOccurrences must come before the first step.
func (t *Trainer) NeedsOccurrences() bool {
	return t.Program.spec.Settings.MinibatchAware && t.aware == nil
}

// SetOccurrences gives the mini-batch aware regulariser the number of times that each id occurs in the training rows. What is not in a table counts for its unknown row.
func (t *Trainer) SetOccurrences(counts features.Occurrences) error {
	a := &minibatchAware{lambda: t.Program.spec.Settings.EmbeddingRegularizer, strengths: map[*table.Table][]float32{}}
	for _, spec := range t.Program.tables {
		of, ok := counts[spec.Vocabulary]
		if !ok {
			return fmt.Errorf("mini-batch aware regulariser: the ids of %s are not counted", spec.Vocabulary)
		}
		tab := t.Tables[spec.Name]
		times := make([]uint64, tab.Len())
		for id, n := range of {
			slot := tab.Find(id)
			if slot == table.None {
				slot = 0
			}
			times[slot] += uint64(n)
		}
		strength := make([]float32, len(times))
		for slot, n := range times {
			if n > 0 {
				strength[slot] = float32(a.lambda / float64(n))
			}
		}
		a.strengths[tab] = strength
	}
	t.aware = a
	return nil
}

// add puts the regulariser's gradient into that of the batch's rows and returns its part of the loss, Σ λ/(2n_j)·‖w_j‖².
func (a *minibatchAware) add(rows []optim.Rows) (loss float64, err error) {
	for _, r := range rows {
		strength, dim := a.strengths[r.Table], r.Table.Dim()
		for i, slot := range r.Slots {
			if int(slot) >= len(strength) {
				return 0, errors.New("mini-batch aware regulariser: a row has come since ids were counted")
			}
			s, w := strength[slot], r.Table.Row(slot)
			kernel.Axpy(s, w, r.Grads[i*dim:][:dim])
			loss += float64(s) / 2 * kernel.SumSquares(w)
		}
	}
	return loss, nil
}
