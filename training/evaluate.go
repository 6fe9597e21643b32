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

// Evaluate measures a checkpoint on data files, in the batches that training evaluates in: the figures of train's test files come out to the last digit.
func Evaluate(ctx context.Context, c *models.Checkpoint, paths []string, skipBad int64) (*EvalResult, error) {
	files, err := features.Expand(paths)
	if err != nil {
		return nil, &RequestError{err}
	}
	e := evaluator{program: c.Program, files: files, skipBad: skipBad}
	if e.encoder, err = c.NewEncoder(); err != nil {
		return nil, err
	}
	rows, err := e.run(ctx, c.Weights, c.Tables)
	if err != nil {
		return nil, err
	}
	r := &EvalResult{Figures: figuresOf(c.Schema, rows), BadRows: e.badRows, Rows: e.rows}
	return r, nil
}

// evaluator scores all rows of some files, or of a part of them, with whatever weights it is given.
type evaluator struct {
	program *models.Program
	encoder *features.Encoder
	files   []string
	part    *features.Part
	skipBad int64
	watch   func(b *features.Batch, scores [][]float32) // nil: nobody looks at the batches

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
	scorer, err := e.program.NewScorer()
	if err != nil {
		return fmt.Errorf("evaluate: %w", err)
	}
	e.loader, e.scorer = loader, scorer
	return nil
}
