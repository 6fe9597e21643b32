package training

import (
	"fmt"
	"maps"
	"slices"

	"github.com/millrace/millrace/core/snapshot"
	"github.com/millrace/millrace/core/table"
	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/models"
)

// maxWaiting bounds the ids counted in one vocabulary; beyond it all counts are halved and the zeros dropped, so that ids seen once in a long while make room.
const maxWaiting = 4 << 20

// admission counts ids that have not reached their field's minimum count. Until they do, they are the unknown id.
type admission struct {
	vocabularies []*waiting
}

// waiting is one vocabulary with a minimum count.
type waiting struct {
	name    string
	table   *table.Table // one of the tables over this vocabulary: who is in it has been admitted
	columns []waitingColumn
	counts  map[uint64]uint32
}

type waitingColumn struct {
	column   int
	minCount uint32
}

// newAdmission returns nil when no field of the model has a minimum count.
func newAdmission(p *models.Program, tables map[string]*table.Table) *admission {
	s := p.Schema()
	a := &admission{}
	for _, t := range p.Tables() {
		if slices.ContainsFunc(a.vocabularies, func(w *waiting) bool { return w.name == t.Vocabulary }) {
			continue
		}
		w := &waiting{name: t.Vocabulary, table: tables[t.Name], counts: map[uint64]uint32{}}
		counted := false
		for i := range s.Fields {
			if f := &s.Fields[i]; !models.IsNumber(f) && f.Table() == t.Vocabulary {
				w.columns = append(w.columns, waitingColumn{i, uint32(max(f.MinCount, 1))})
				counted = counted || f.MinCount > 1
			}
		}
		if counted {
			a.vocabularies = append(a.vocabularies, w)
		}
	}
	if len(a.vocabularies) == 0 {
		return nil
	}
	return a
}

// filter counts the ids of a batch and replaces those that are still below their minimum count.
func (a *admission) filter(b *features.Batch) {
	for _, w := range a.vocabularies {
		for _, c := range w.columns {
			ids := b.Columns[c.column].IDs
			for i, id := range ids {
				if w.table.Find(id) != table.None {
					continue
				}
				n := w.counts[id] + 1
				if n < c.minCount {
					ids[i] = table.UnknownID
				}
				w.counts[id] = n
			}
		}
		w.settle(b)
	}
}

// settle forgets the counts of ids that the step will admit, and keeps the map bounded.
func (w *waiting) settle(b *features.Batch) {
	for _, c := range w.columns {
		for _, id := range b.Columns[c.column].IDs {
			delete(w.counts, id)
		}
	}
	if len(w.counts) <= maxWaiting {
		return
	}
	for id, n := range w.counts {
		if n /= 2; n == 0 {
			delete(w.counts, id)
		} else {
			w.counts[id] = n
		}
	}
}

// part is the counts as a part of a checkpoint, each vocabulary's ids ascending.
func (a *admission) part() snapshot.Part {
	p := snapshot.Part{Name: admissionPart}
	for _, w := range a.vocabularies {
		ids := slices.Sorted(maps.Keys(w.counts))
		counts := make([]uint32, len(ids))
		for i, id := range ids {
			counts[i] = w.counts[id]
		}
		p.Tensors = append(p.Tensors, snapshot.NewTensor("ids/"+w.name, ids), snapshot.NewTensor("counts/"+w.name, counts))
	}
	return p
}

func (a *admission) load(p *snapshot.Part) error {
	for _, w := range a.vocabularies {
		it, ok := p.Tensor("ids/" + w.name)
		if !ok {
			continue
		}
		ids, err := snapshot.Values[uint64](it)
		if err != nil {
			return err
		}
		ct, _ := p.Tensor("counts/" + w.name)
		counts, err := snapshot.Values[uint32](ct)
		if err != nil {
			return err
		}
		if len(ids) != len(counts) {
			return fmt.Errorf("part %s: vocabulary %s has %d ids and %d counts", p.Name, w.name, len(ids), len(counts))
		}
		for i, id := range ids {
			w.counts[id] = counts[i]
		}
	}
	return nil
}
