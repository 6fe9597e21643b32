package training

import (
	"fmt"
	"slices"

	"github.com/millrace/millrace/core/snapshot"
	"github.com/millrace/millrace/core/table"
	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/models"
)

// admission counts ids that have not reached their field's minimum count. Until they do, they are the unknown id.
type admission struct {
	vocabularies []*waiting
}

// waiting is one vocabulary with a minimum count.
type waiting struct {
	name    string
	tables  []*table.Table // over this vocabulary: who is in the first has been admitted
	columns []waitingColumn
	counts  *table.Sketch
	slots   []uint32
}

type waitingColumn struct {
	column   int
	minCount uint32
}

// newAdmission returns nil when no field of the model has a minimum count.
func newAdmission(p *models.Program, tables map[string]*table.Table) *admission {
	s := p.Schema()
	a := &admission{}
	of := map[string]*waiting{}
	for _, t := range p.Tables() {
		if w := of[t.Vocabulary]; w != nil {
			w.tables = append(w.tables, tables[t.Name])
			continue
		}
		w := &waiting{name: t.Vocabulary, tables: []*table.Table{tables[t.Name]}}
		of[t.Vocabulary] = w
		counted := false
		for i := range s.Fields {
			if f := &s.Fields[i]; !models.IsNumber(f) && f.Table() == t.Vocabulary {
				w.columns = append(w.columns, waitingColumn{i, uint32(min(max(f.MinCount, 1), table.MaxSketchCount))})
				counted = counted || f.MinCount > 1
			}
		}
		if counted {
			w.counts = table.NewSketch()
			a.vocabularies = append(a.vocabularies, w)
		}
	}
	if len(a.vocabularies) == 0 {
		return nil
	}
	return a
}

// filter counts the ids of a batch, admits those that reach their minimum count, and replaces those still below it.
func (a *admission) filter(b *features.Batch) {
	for _, w := range a.vocabularies {
		for _, c := range w.columns {
			w.filter(b.Columns[c.column].IDs, c.minCount)
		}
	}
}

func (w *waiting) filter(ids []uint64, minCount uint32) {
	first := w.tables[0]
	w.slots = slices.Grow(w.slots[:0], len(ids))[:len(ids)]
	first.Resolve(w.slots, ids)
	for i, id := range ids {
		if w.slots[i] != 0 || id == table.UnknownID || first.Find(id) != table.None { // the last: admitted by this very batch
			continue
		}
		n := w.counts.Add(id)
		if n < minCount {
			ids[i] = table.UnknownID
			continue
		}
		w.counts.Forget(id)
		why := table.ReachedMinCount
		if minCount == 1 {
			why = table.FirstSeen
		}
		for _, t := range w.tables {
			t.AdmitFor(id, why, n)
		}
	}
}

// part is the counts as a part of a checkpoint.
func (a *admission) part() snapshot.Part {
	p := snapshot.Part{Name: admissionPart}
	for _, w := range a.vocabularies {
		p.Tensors = append(p.Tensors, w.counts.Tensors(w.name)...)
	}
	return p
}

// load reads what part wrote, or the ids and counts that were written before there were sketches.
func (a *admission) load(p *snapshot.Part) error {
	for _, w := range a.vocabularies {
		counts, err := table.SketchFrom(p, w.name)
		if err != nil {
			return err
		}
		if counts != nil {
			w.counts = counts
			continue
		}
		it, ok := p.Tensor("ids/" + w.name)
		if !ok {
			continue
		}
		ids, err := snapshot.Values[uint64](it)
		if err != nil {
			return err
		}
		ct, _ := p.Tensor("counts/" + w.name)
		times, err := snapshot.Values[uint32](ct)
		if err != nil {
			return err
		}
		if len(ids) != len(times) {
			return fmt.Errorf("part %s: vocabulary %s has %d ids and %d counts", p.Name, w.name, len(ids), len(times))
		}
		for i, id := range ids {
			for range min(times[i], table.MaxSketchCount) {
				w.counts.Add(id)
			}
		}
	}
	return nil
}
