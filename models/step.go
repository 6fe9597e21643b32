package models

import (
	"fmt"
	"slices"

	"github.com/millrace/millrace/core/graph"
	"github.com/millrace/millrace/core/optim"
	"github.com/millrace/millrace/core/snapshot"
	"github.com/millrace/millrace/core/table"
	"github.com/millrace/millrace/features"
)

// Step runs forward and backward over batches against tables held in memory. It belongs to one goroutine.
type Step struct {
	program *Program
	assembly
	plan   *graph.Plan
	feed   *feed
	look   *rowLookup
	sum    *rowSums
	ys     []*graph.Tensor // one a label
	weight *graph.Tensor
	group  *groupNumbers // nil where the loss compares no rows
	dense  []optim.Dense
	rows   []optim.Rows
}

// NewStep returns a step. With admit, ids not in a table are added to it (streaming); else they read and train the unknown row.
func (p *Program) NewStep(tables map[string]*table.Table, admit bool) (*Step, error) {
	a, err := p.assemble(graph.Float32)
	if err != nil {
		return nil, err
	}
	s := &Step{program: p, assembly: *a, feed: newFeed(p, a.net)}
	var source []*table.Table
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
		source = append(source, tab)
		s.rows = append(s.rows, optim.Rows{Table: tab})
		for _, l := range t.lookups {
			if !read[l.Node] {
				read[l.Node] = true
				wrt = append(wrt, l.Node)
			}
		}
	}
	outputs := slices.Clone(a.logits)
	for _, x := range a.net.Auxiliaries {
		outputs = append(outputs, x.Loss)
	}
	if s.plan, err = a.net.Graph.CompileTraining(a.loss, wrt, outputs...); err != nil {
		return nil, fmt.Errorf("compile model %s for training: %w", p.spec.Name, err)
	}
	s.feed.bind(s.plan)
	s.look, s.sum = newRowLookup(s.feed, source, admit), newRowSums(s.feed, source)
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
	if a.groups != nil {
		s.group = newGroupNumbers()
		s.plan.Bind(a.groups, s.group.tensor)
	}
	return s, nil
}

// Run computes the loss of a batch, what the model adds to it included, and all gradients; number is the step's number, from which dropout masks are drawn.
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
	s.look.run(b)
	s.sum.number(b)
	s.plan.SetStep(s.program.seed, number)
	if err := s.plan.Run(); err != nil {
		return 0, fmt.Errorf("train step %d: %w", number, err)
	}
	s.sum.run(s.plan)
	return float64(s.plan.Value(s.loss).F32[0]), nil
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
	if s.group != nil {
		return s.group.fill(b)
	}
	return nil
}

// AuxiliaryLoss is the value that a loss of the model's own had in the last step; it went into the step's loss times its weight.
type AuxiliaryLoss struct {
	Name          string
	Weight, Value float64
}

// Auxiliaries appends to dst the model's own parts of the last Run's loss: none for most models.
func (s *Step) Auxiliaries(dst []AuxiliaryLoss) []AuxiliaryLoss {
	for _, x := range s.net.Auxiliaries {
		dst = append(dst, AuxiliaryLoss{x.Name, x.Weight, float64(s.plan.Value(x.Loss).F32[0])})
	}
	return dst
}

// Gradients returns what the optimizer needs, valid until the next Run.
func (s *Step) Gradients() ([]optim.Dense, []optim.Rows) {
	s.dense = s.dense[:0]
	for _, v := range s.net.Params {
		if !v.Buffer {
			s.dense = append(s.dense, optim.Dense{Name: v.Name, Value: v.Value, Grad: s.plan.Grad(v.Node)})
		}
	}
	for i, t := range s.sum.tables {
		s.rows[i].Slots, s.rows[i].Grads = t.slots, t.grads
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
