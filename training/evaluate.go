package training

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/millrace/millrace/core/metric"
	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/models"
)

// EvalOptions say what Evaluate measures beside the figures of all rows.
type EvalOptions struct {
	SkipBad   int64
	Cutoffs   []int    // NDCG, recall and MRR of each group's first rows
	Slices    []string // fields, or columns, by whose values the figures are told as well
	TopSlices int      // values of a field that are told on their own, those with the most rows; default 20
}

// EvalResult is the JSON of eval.
type EvalResult struct {
	Figures
	Rows    int64            `json:"rows"`
	BadRows int64            `json:"bad_rows"`
	Ranking []RankingFigures `json:"ranking,omitempty"`
	// Retrieval is what Retrieve found, where it was asked for.
	Retrieval *Retrieval        `json:"retrieval,omitempty"`
	Slices    map[string]Slices `json:"slices,omitempty"`
}

// RankingFigures are a label's rankings within groups at one cutoff.
type RankingFigures struct {
	Label  string `json:"label"`
	K      int    `json:"k"`
	NDCG   Figure `json:"ndcg"`
	Recall Figure `json:"recall"`
	MRR    Figure `json:"mrr"`
	Groups int    `json:"groups"` // those that hold a positive
}

// Slices are the figures by the values of one field.
type Slices []SliceFigures

// SliceFigures are those of the rows of one value, or range of values.
type SliceFigures struct {
	Value string `json:"value"`
	Rows  int    `json:"rows"`
	Rate  Figure `json:"rate"` // of positives; with several labels the mean
	Figures
}

// Evaluate measures a checkpoint on data files, in the batches that training evaluates in: the figures of train's test files come out to the last digit.
func Evaluate(ctx context.Context, c *models.Checkpoint, paths []string, o EvalOptions) (*EvalResult, error) {
	if err := checkCutoffs(o.Cutoffs); err != nil {
		return nil, err
	}
	slicers, err := newSlicers(c.Schema, o.Slices)
	if err != nil {
		return nil, err
	}
	files, err := features.Expand(paths)
	if err != nil {
		return nil, &RequestError{err}
	}
	r := &EvalResult{}
	var rows []*metric.Rows
	if len(slicers) == 0 {
		e := evaluator{program: c.Program, files: files, skipBad: o.SkipBad}
		if e.encoder, err = c.NewEncoder(); err != nil {
			return nil, err
		}
		if rows, err = e.run(ctx, c.Weights, c.Tables); err != nil {
			return nil, err
		}
		r.Rows, r.BadRows = e.rows, e.badRows
	} else {
		s, err := scan(ctx, c, files, o.SkipBad, slicers)
		if err != nil {
			return nil, err
		}
		rows = s.accumulate(nil)
		r.Rows, r.BadRows = int64(s.rows), int64(len(s.badAt))
		r.Slices = map[string]Slices{}
		for _, x := range slicers {
			r.Slices[x.name] = sliceFigures(c.Schema, s, x.slices(o.topSlices()))
		}
	}
	r.Figures = figuresOf(c.Schema, rows)
	for i, l := range c.Schema.Labels {
		for _, k := range rows[i].Ranking(o.Cutoffs...) {
			r.Ranking = append(r.Ranking, RankingFigures{l.Name, k.K, Figure(k.NDCG), Figure(k.Recall), Figure(k.MRR), k.Groups})
		}
	}
	return r, nil
}

func checkCutoffs(cutoffs []int) error {
	for _, k := range cutoffs {
		if k < 1 || k > 1<<20 {
			return refuse("cutoff %d: want 1 to %d", k, 1<<20)
		}
	}
	return nil
}

func (o *EvalOptions) topSlices() int {
	if o.TopSlices > 0 {
		return o.TopSlices
	}
	return 20
}

func sliceFigures(schema *features.Schema, s *scored, cuts []slice) Slices {
	var out Slices
	for _, cut := range cuts {
		rows := s.accumulate(cut.rows)
		f := SliceFigures{Value: cut.name, Rows: len(cut.rows), Figures: figuresOf(schema, rows)}
		for _, r := range rows {
			f.Rate += Figure(r.Rate()) / Figure(len(rows))
		}
		out = append(out, f)
	}
	return out
}

// evaluator scores all rows of some files, or of a part of them, with whatever weights it is given.
type evaluator struct {
	program *models.Program
	encoder *features.Encoder
	files   []string
	part    *features.Part
	skipBad int64
	// observed measures scores of rows as they were shown, with the position tower, instead of as they are served.
	observed bool
	watch    func(b *features.Batch, scores [][]float32) // nil: nobody looks at the batches

	loader  *features.Loader
	scorer  *models.Scorer
	scores  [][]float32
	rows    int64
	badRows int64
}

// run returns the rows' scores and labels, one accumulator a label.
func (e *evaluator) run(ctx context.Context, w *models.Weights, tables models.TableRows) (out []*metric.Rows, err error) {
	if err := e.open(); err != nil {
		return nil, err
	}
	out = make([]*metric.Rows, len(e.program.Schema().Labels))
	for i := range out {
		out[i] = &metric.Rows{}
	}
	epoch, err := e.loader.Epoch(0, 0)
	if err != nil {
		return nil, err
	}
	defer func() {
		if cerr := epoch.Close(); err == nil {
			err = cerr
		}
	}()
	e.rows = 0
	for {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		b, err := epoch.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if e.scores, err = e.scorer.Score(b, w, tables, e.scores); err != nil {
			return nil, err
		}
		for i := range out {
			out[i].Add(e.scores[i], b.Labels[i], b.Weights, b.Groups)
		}
		e.rows += int64(b.Rows)
		if e.watch != nil {
			e.watch(b, e.scores)
		}
	}
	e.badRows = e.loader.BadRows()
	return out, nil
}

func (e *evaluator) open() error {
	if e.loader != nil {
		return nil
	}
	loader, err := features.NewLoader(e.encoder, e.files, features.LoaderOptions{
		BatchSize: e.program.Spec().Settings.BatchSize,
		Part:      e.part,
		Read:      features.ReadOptions{SkipBad: e.skipBad, Labels: true},
	})
	if err != nil {
		return err
	}
	newScorer := e.program.NewScorer
	if e.observed {
		newScorer = e.program.NewObserver
	}
	scorer, err := newScorer()
	if err != nil {
		return fmt.Errorf("evaluate: %w", err)
	}
	e.loader, e.scorer = loader, scorer
	return nil
}
