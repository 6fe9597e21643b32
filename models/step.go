package models

import (
	"fmt"
	"slices"

	"github.com/millrace/millrace/core/graph"
	"github.com/millrace/millrace/core/nn"
	"github.com/millrace/millrace/core/optim"
	"github.com/millrace/millrace/core/snapshot"
	"github.com/millrace/millrace/core/table"
	"github.com/millrace/millrace/features"
)

// Step runs forward and backward over batches against tables held in memory. It belongs to one goroutine.
type Step struct {
	program *Program
	assembly
	plan    *graph.Plan
	feed    *feed
	scatter []*scatter // one a table
	admit   bool
	ys      []*graph.Tensor // one a label
	weight  *graph.Tensor
	dense   []optim.Dense
	rows    []optim.Rows
}

// NewStep returns a step. With admit, ids not in a table are added to it (streaming); else they read and train the unknown row.
func (p *Program) NewStep(tables map[string]*table.Table, admit bool) (*Step, error) {
	a, err := p.assemble(graph.Float32)
	if err != nil {
		return nil, err
	}
	s := &Step{program: p, assembly: *a, feed: newFeed(p, a.net), admit: admit}
	var wrt []*graph.Node
	for _, v := range a.net.Params {
		if !v.Buffer {
			wrt = append(wrt, v.Node)
		}
	}
	read := map[*graph.Node]bool{}
	for _, t := range s.feed.tables {
		tab := tables[t.spec.Name]
		if tab == nil {
			return nil, fmt.Errorf("make a training step: there is no table %s", t.spec.Name)
		}
		if tab.Dim() != t.spec.Dim {
			return nil, fmt.Errorf("make a training step: table %s has width %d, want %d", t.spec.Name, tab.Dim(), t.spec.Dim)
		}
		s.scatter = append(s.scatter, &scatter{table: tab, zero: t.spec.Zero})
		s.rows = append(s.rows, optim.Rows{Table: tab})
		for _, l := range t.lookups {
			if !read[l.Node] {
				read[l.Node] = true
				wrt = append(wrt, l.Node)
			}
		}
	}
	if s.plan, err = a.net.Graph.CompileTraining(a.loss, wrt, a.logits...); err != nil {
		return nil, fmt.Errorf("compile model %s for training: %w", p.spec.Name, err)
	}
	s.feed.bind(s.plan)
	for _, v := range a.net.Params {
		if !v.Buffer {
			s.plan.Bind(v.Node, v.Value)
		}
	}
	for _, y := range a.labels {
		t := graph.NewTensor(0, 1)
		s.ys = append(s.ys, t)
		s.plan.Bind(y, t)
	}
	if a.weights != nil {
		s.weight = graph.NewTensor(0, 1)
		s.plan.Bind(a.weights, s.weight)
	}
	return s, nil
}

// Run computes the loss of a batch and all gradients; number is the step's number, from which dropout masks are drawn.
func (s *Step) Run(b *features.Batch, number uint64) (loss float64, err error) {
	if b.Rows == 0 {
		return 0, fmt.Errorf("train step %d: the batch is empty", number)
	}
	if err := s.feed.prepare(b, s.plan, false); err != nil {
		return 0, fmt.Errorf("train step %d: %w", number, err)
	}
	if err := s.fillLabels(b); err != nil {
		return 0, fmt.Errorf("train step %d: %w", number, err)
	}
	for i, t := range s.feed.tables {
		tab := s.scatter[i].table
		for _, l := range t.lookups {
			s.resolve(tab, l, b.Columns[l.column].IDs)
		}
		for _, l := range t.lookups {
			s.feed.spread(l, b, tab)
		}
	}
	s.plan.SetStep(s.program.seed, number)
	if err := s.plan.Run(); err != nil {
		return 0, fmt.Errorf("train step %d: %w", number, err)
	}
	for i, t := range s.feed.tables {
		sc := s.scatter[i]
		sc.reset()
		for _, l := range t.lookups {
			sc.add(l, s.plan.Grad(l.Node), b.Columns[l.column].Offsets)
		}
	}
	return float64(s.plan.Value(s.loss).F32[0]), nil
}

func (s *Step) resolve(tab *table.Table, l *lookupFeed, ids []uint64) {
	l.rows = slices.Grow(l.rows[:0], len(ids))[:len(ids)]
	if !s.admit {
		tab.Resolve(l.rows, ids)
		return
	}
	for i, id := range ids {
		l.rows[i] = tab.Admit(id)
	}
}

func (s *Step) fillLabels(b *features.Batch) error {
	if len(b.Labels) != len(s.ys) {
		return fmt.Errorf("the batch has %d labels, the schema %d", len(b.Labels), len(s.ys))
	}
	for i, y := range s.ys {
		y.Resize(b.Rows, 1)
		if n := copy(y.F32, b.Labels[i]); n != b.Rows {
			return fmt.Errorf("label %s has %d values for %d rows", s.program.schema.Labels[i].Name, n, b.Rows)
		}
	}
	if s.weight != nil {
		s.weight.Resize(b.Rows, 1)
		if n := copy(s.weight.F32, b.Weights); n < b.Rows {
			for i := n; i < b.Rows; i++ {
				s.weight.F32[i] = 1
			}
		}
	}
	return nil
}

// Gradients returns what the optimizer needs, valid until the next Run.
func (s *Step) Gradients() ([]optim.Dense, []optim.Rows) {
	s.dense = s.dense[:0]
	for _, v := range s.net.Params {
		if !v.Buffer {
			s.dense = append(s.dense, optim.Dense{Name: v.Name, Value: v.Value, Grad: s.plan.Grad(v.Node)})
		}
	}
	for i, sc := range s.scatter {
		s.rows[i].Slots, s.rows[i].Grads = sc.slots, sc.grads
	}
	return s.dense, s.rows
}

// Dense copies the current parameters and buffers as tensors.
func (s *Step) Dense() []snapshot.Tensor {
	var out []snapshot.Tensor
	for _, v := range s.net.Params {
		out = append(out, snapshot.NewTensor(v.Name, slices.Clone(v.Value.F32), v.Value.Rows, v.Value.Cols))
	}
	return out
}

// SetDense restores what Dense returned.
func (s *Step) SetDense(dense []snapshot.Tensor) error {
	err := s.program.readDense(dense, func(i int, values []float32) { copy(s.net.Params[i].Value.F32, values) })
	if err != nil {
		return fmt.Errorf("restore dense weights: %w", err)
	}
	return nil
}

// scatter adds up the gradients of one table's rows: one block row for each slot the batch read.
type scatter struct {
	table  *table.Table
	zero   bool // the unknown row does not train
	slots  []uint32
	grads  []float32
	place  []uint32 // slot → its index in slots, valid where stamps holds stamp
	stamps []uint32
	stamp  uint32
}

func (sc *scatter) reset() {
	sc.slots, sc.grads = sc.slots[:0], sc.grads[:0]
	sc.stamp++
	if sc.stamp == 0 {
		clear(sc.stamps)
		sc.stamp = 1
	}
	if n := sc.table.Len(); n > len(sc.stamps) {
		n += n / 4
		sc.place = append(sc.place, make([]uint32, n-len(sc.place))...)
		sc.stamps = append(sc.stamps, make([]uint32, n-len(sc.stamps))...)
	}
}

// row returns the block row of a slot.
func (sc *scatter) row(slot uint32) []float32 {
	dim := sc.table.Dim()
	if sc.stamps[slot] != sc.stamp {
		sc.stamps[slot], sc.place[slot] = sc.stamp, uint32(len(sc.slots))
		sc.slots = append(sc.slots, slot)
		at := len(sc.grads)
		sc.grads = slices.Grow(sc.grads, dim)[:at+dim]
		clear(sc.grads[at:])
		return sc.grads[at:]
	}
	return sc.grads[int(sc.place[slot])*dim:][:dim]
}

// add scatters the gradient of a lookup's input.
func (sc *scatter) add(l *lookupFeed, grad *graph.Tensor, offsets []int32) {
	stride := grad.Cols
	if l.Pool == nn.PoolOne || l.Pool == nn.PoolRagged {
		for i, slot := range l.rows {
			sc.accumulate(slot, grad.F32[i*stride+l.Col:][:l.Dim], 1)
		}
		return
	}
	for b := 0; b+1 < len(offsets); b++ {
		rows := l.rows[offsets[b]:offsets[b+1]]
		scale := float32(1)
		if l.Pool == nn.PoolMean && len(rows) > 1 {
			scale = 1 / float32(len(rows))
		}
		g := grad.F32[b*stride+l.Col:][:l.Dim]
		for _, slot := range rows {
			sc.accumulate(slot, g, scale)
		}
	}
}

func (sc *scatter) accumulate(slot uint32, g []float32, scale float32) {
	if slot == 0 && sc.zero {
		return
	}
	row := sc.row(slot)
	if scale == 1 {
		for k, x := range g {
			row[k] += x
		}
		return
	}
	for k, x := range g {
		row[k] += scale * x
	}
}
