package training

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/millrace/millrace/core/kernel"
	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/models"
)

// RetrievalOptions say what Retrieve searches, and how far down.
type RetrievalOptions struct {
	SkipBad int64
	Items   []string // files whose items are the catalogue; empty: those of the data
	Cutoffs []int
}

// Retrieval is how well a model with two towers finds items among all of a catalogue.
type Retrieval struct {
	Items   int                `json:"items"`   // in the catalogue
	Queries int                `json:"queries"` // positives of the first label, each a search for its item
	Missing int                `json:"missing"` // of them, those whose item the catalogue has not: they count as not found
	MRR     Figure             `json:"mrr"`     // mean of 1 over the item's place
	At      []RetrievalFigures `json:"at"`
}

// RetrievalFigures are those at one cutoff.
type RetrievalFigures struct {
	K      int    `json:"k"`
	Recall Figure `json:"recall"` // share of the queries whose item is among the first K
}

// scoreBlock is how many scores of queries against items are held at a time.
const scoreBlock = 1 << 24

// Retrieve scores every positive row's user against every item of the catalogue, exactly, and tells how high its own item comes. Items of equal score stand in every order with the same probability.
func Retrieve(ctx context.Context, c *models.Checkpoint, paths []string, o RetrievalOptions) (*Retrieval, error) {
	if err := checkCutoffs(o.Cutoffs); err != nil {
		return nil, err
	}
	column := itemColumn(c.Schema)
	if column < 0 {
		return nil, refuse("retrieval: the schema's item column is no field, so items cannot be told apart")
	}
	if len(o.Items) == 0 {
		o.Items = paths
	}
	s := &finder{ctx: ctx, c: c, options: o, column: column, place: map[uint64]int{}, hits: make([]float64, len(o.Cutoffs))}
	var err error
	if s.encoder, err = c.NewEncoder(); err != nil {
		return nil, err
	}
	label := func(name string) string { return models.ForLabel(c.Schema, name, 0) }
	if s.item, err = c.Program.NewVectors(label("item")); err == nil {
		s.user, err = c.Program.NewVectors(label("user"))
	}
	if err != nil {
		return nil, &RequestError{fmt.Errorf("retrieval: %w", err)}
	}
	if err := s.rows(o.Items, s.isNew, s.addItems); err != nil {
		return nil, err
	}
	if err := s.rows(paths, s.asks, s.ask); err != nil {
		return nil, err
	}
	r := &s.found
	r.Items = len(s.place)
	r.MRR = Figure(s.reciprocal / float64(r.Queries)) // undefined without queries
	for i, k := range o.Cutoffs {
		r.At = append(r.At, RetrievalFigures{k, Figure(s.hits[i] / float64(r.Queries))})
	}
	return r, nil
}

// itemColumn is the field that holds the item's id, or −1.
func itemColumn(s *features.Schema) int {
	for i := range s.Fields {
		if f := &s.Fields[i]; f.Kind == features.Categorical && s.IsItem(f) {
			return i
		}
	}
	return -1
}

// finder is a retrieval under way.
type finder struct {
	ctx        context.Context
	c          *models.Checkpoint
	options    RetrievalOptions
	column     int
	encoder    *features.Encoder
	user, item *models.Vectors

	place  map[uint64]int // of each item in the catalogue
	items  []float32      // [items, dim]
	asking []float32      // [rows of a batch, dim]
	scores []float32

	found      Retrieval
	reciprocal float64
	hits       []float64 // of each cutoff
}

// rows passes over files and hands the rows that keep names on, in batches.
func (s *finder) rows(paths []string, keep func(b *features.Batch, r int) bool, take func(b *features.Batch) error) (err error) {
	files, err := features.Expand(paths)
	if err != nil {
		return &RequestError{err}
	}
	size := s.c.Spec.Settings.BatchSize
	loader, err := features.NewLoader(s.encoder, files, features.LoaderOptions{BatchSize: size, BufferRows: -1, Read: features.ReadOptions{SkipBad: s.options.SkipBad, Labels: true}})
	if err != nil {
		return err
	}
	epoch, err := loader.Epoch(0, 0)
	if err != nil {
		return err
	}
	defer func() {
		if cerr := epoch.Close(); err == nil {
			err = cerr
		}
	}()
	var kept features.Batch
	flush := func() error {
		defer kept.Reset()
		return take(&kept)
	}
	for {
		if s.ctx.Err() != nil {
			return context.Cause(s.ctx)
		}
		b, err := epoch.Next()
		if errors.Is(err, io.EOF) {
			return flush()
		}
		if err != nil {
			return err
		}
		for r := range b.Rows {
			if !keep(b, r) {
				continue
			}
			kept.Append(b, r)
			if kept.Rows == size {
				if err := flush(); err != nil {
					return err
				}
			}
		}
	}
}

// isNew gives the row's item its place in the catalogue, where it has none.
func (s *finder) isNew(b *features.Batch, r int) bool {
	id := b.Columns[s.column].IDs[r]
	if _, known := s.place[id]; known {
		return false
	}
	s.place[id] = len(s.place)
	return true
}

func (s *finder) addItems(b *features.Batch) (err error) {
	s.items, err = s.item.Append(s.items, b, s.c.Weights, models.TableRows(s.c.Tables))
	return err
}

func (s *finder) asks(b *features.Batch, r int) bool {
	return b.Labels[0][r] == 1 && (b.Weights == nil || b.Weights[r] != 0)
}

// ask searches for the items of the rows.
func (s *finder) ask(b *features.Batch) (err error) {
	if s.asking, err = s.user.Append(s.asking[:0], b, s.c.Weights, models.TableRows(s.c.Tables)); err != nil {
		return err
	}
	n, dim := len(s.place), s.user.Dim()
	each := max(1, min(64, scoreBlock/max(n, 1)))
	if len(s.scores) < each*n {
		s.scores = make([]float32, each*n)
	}
	for from := 0; from < b.Rows; from += each {
		if s.ctx.Err() != nil {
			return context.Cause(s.ctx)
		}
		rows := min(each, b.Rows-from)
		kernel.Gemm(false, true, rows, n, dim, s.asking[from*dim:], dim, s.items, dim, false, s.scores, n)
		for r := range rows {
			s.found.Queries++
			if at, known := s.place[b.Columns[s.column].IDs[from+r]]; known {
				s.count(s.scores[r*n:(r+1)*n], at)
			} else {
				s.found.Missing++
			}
		}
	}
	return nil
}

// count adds how high the item at a place comes among all scores.
func (s *finder) count(scores []float32, at int) {
	own, above, equal := scores[at], 0, 0
	for _, x := range scores {
		if x > own {
			above++
		} else if x == own {
			equal++
		}
	}
	if equal == 0 { // its score is no number
		above, equal = len(scores), 1
	}
	for i := range equal {
		s.reciprocal += 1 / float64(equal) / float64(above+i+1)
	}
	for i, k := range s.options.Cutoffs {
		s.hits[i] += float64(min(max(k-above, 0), equal)) / float64(equal)
	}
}
