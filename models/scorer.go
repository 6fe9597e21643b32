package models

import (
	"fmt"
	"math"

	"github.com/millrace/millrace/core/graph"
	"github.com/millrace/millrace/core/nn"
	"github.com/millrace/millrace/core/table"
	"github.com/millrace/millrace/features"
)

// Rows gives a scorer embedding rows: row i of ids goes to dst[i·stride:][:dim]; an id without a row gets the table's unknown row (zeros where the field's policy is zero).
// It is called once a table and batch, from the scorer's goroutine, with each id once.
type Rows interface {
	Gather(tableName string, dst []float32, stride int, ids []uint64) error
}

// TableRows serves rows straight from tables.
type TableRows map[string]*table.Table

// Gather copies rows out of the named table.
func (t TableRows) Gather(tableName string, dst []float32, stride int, ids []uint64) error {
	from := t[tableName]
	if from == nil {
		return fmt.Errorf("there is no table %s", tableName)
	}
	for i, id := range ids {
		s := from.Find(id)
		if s == table.None {
			s = 0
		}
		copy(dst[i*stride:][:from.Dim()], from.Row(s))
	}
	return nil
}

// Scorer computes probabilities for batches. It belongs to one goroutine.
type Scorer struct {
	program *Program
	net     *nn.Net
	logits  []*graph.Node
	plan    *graph.Plan
	feed    *feed
	bound   *Weights
	unique  table.IDSet
	block   rowBlock
}

// NewScorer returns a scorer with plans and buffers of its own.
func (p *Program) NewScorer() (*Scorer, error) { return p.newScorer(forScoring) }

func (p *Program) newScorer(to purpose) (*Scorer, error) {
	net := nn.New(graph.Float32, p.seed)
	net.Scoring = true
	a, err := p.assembleAs(net, to)
	if err != nil {
		return nil, err
	}
	s := &Scorer{program: p, net: a.net, logits: a.logits, feed: newFeed(p, a.net)}
	if s.plan, err = a.net.Graph.Compile(a.logits...); err != nil {
		return nil, fmt.Errorf("compile model %s for scoring: %w", p.spec.Name, err)
	}
	s.feed.bind(s.plan)
	return s, nil
}

// Score writes probabilities for each label: out[label] is resized to b.Rows and returned. It reads rows and w only.
func (s *Scorer) Score(b *features.Batch, w *Weights, rows Rows, out [][]float32) ([][]float32, error) {
	for len(out) < len(s.logits) {
		out = append(out, nil)
	}
	out = out[:len(s.logits)]
	if b.Rows == 0 {
		for i := range out {
			out[i] = out[i][:0]
		}
		return out, nil
	}
	if err := s.run(b, w, rows); err != nil {
		return out, fmt.Errorf("score: %w", err)
	}
	for i, n := range s.logits {
		z := s.plan.Value(n).F32
		if cap(out[i]) < b.Rows {
			out[i] = make([]float32, b.Rows)
		}
		out[i] = out[i][:b.Rows]
		for r, x := range z[:b.Rows] {
			out[i][r] = float32(1 / (1 + math.Exp(-float64(x))))
		}
	}
	return out, nil
}

// run computes what the plan was compiled for.
func (s *Scorer) run(b *features.Batch, w *Weights, rows Rows) error {
	s.bind(w)
	if err := s.feed.prepare(b, s.plan, true); err != nil {
		return err
	}
	for _, t := range s.feed.tables {
		if err := s.gather(t, b, rows); err != nil {
			return fmt.Errorf("gather rows of table %s: %w", t.spec.Name, err)
		}
	}
	return s.plan.Run()
}

// bind makes the plan read the weights of a version; buffers are copied, for operations hold them.
func (s *Scorer) bind(w *Weights) {
	if s.bound == w {
		return
	}
	for i, v := range s.net.Params {
		if v.Buffer {
			copy(v.Value.F32, w.values[i].F32)
		} else {
			s.plan.Bind(v.Node, w.values[i])
		}
	}
	s.bound = w
}

// gather asks for each id of a table once and spreads the rows over the inputs.
func (s *Scorer) gather(t *tableFeed, b *features.Batch, rows Rows) error {
	s.unique.Reset()
	for _, l := range t.lookups {
		l.rows = s.unique.Append(l.rows[:0], l.ids(b))
	}
	n, dim := len(s.unique.IDs()), t.spec.Dim
	if cap(s.block.values) < n*dim {
		s.block.values = make([]float32, n*dim+n*dim/4)
	}
	s.block.values, s.block.dim = s.block.values[:n*dim], dim
	if n > 0 {
		if err := rows.Gather(t.spec.Name, s.block.values, dim, s.unique.IDs()); err != nil {
			return err
		}
	}
	s.feed.spread(t.lookups, b, &s.block)
	return nil
}

// rowBlock is a block of gathered rows.
type rowBlock struct {
	values []float32
	dim    int
}

// Row returns row i of the block.
func (r *rowBlock) Row(i uint32) []float32 { return r.values[int(i)*r.dim:][:r.dim] }
