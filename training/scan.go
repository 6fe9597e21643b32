package training

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/millrace/millrace/core/metric"
	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/models"
)

// scored are rows of data files with a checkpoint's scores, in the order of the files.
type scored struct {
	scores  [][]float32 // one a label: [rows]
	labels  [][]float32 // one a label: [rows], NaN where missing
	weights []float32   // nil: 1 each
	groups  []uint64    // nil: none
	rows    int
	badAt   []int64 // places of the input rows passed over
}

// scan scores data files with a checkpoint row by row, and shows every record to the slicers.
func scan(ctx context.Context, c *models.Checkpoint, files []string, skipBad int64, slicers []*slicer) (out *scored, err error) {
	encoder, err := c.NewEncoder()
	if err != nil {
		return nil, err
	}
	scorer, err := c.Program.NewScorer()
	if err != nil {
		return nil, fmt.Errorf("evaluate: %w", err)
	}
	reader, err := features.Open(withColumns(c.Schema, slicers), files, features.ReadOptions{
		BatchRows: c.Spec.Settings.BatchSize, SkipBad: skipBad, Labels: true, Context: ctx,
	})
	if err != nil {
		return nil, err
	}
	defer func() {
		if cerr := reader.Close(); err == nil {
			err = cerr
		}
	}()
	labels := len(c.Schema.Labels)
	out = &scored{scores: make([][]float32, labels), labels: make([][]float32, labels)}
	var batch features.Batch
	var scores [][]float32
	for {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		rec, err := reader.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		for _, s := range slicers {
			if err = s.add(rec); err != nil {
				break
			}
		}
		if err == nil {
			err = encoder.EncodeInto(&batch, rec)
		}
		rec.Release()
		if err != nil {
			return nil, fmt.Errorf("rows from %d on: %w", out.rows, err)
		}
		if scores, err = scorer.Score(&batch, c.Weights, models.TableRows(c.Tables), scores); err != nil {
			return nil, err
		}
		for i := range labels {
			out.scores[i] = append(out.scores[i], scores[i]...)
			out.labels[i] = append(out.labels[i], batch.Labels[i]...)
		}
		out.weights, out.groups = append(out.weights, batch.Weights...), append(out.groups, batch.Groups...)
		out.rows += batch.Rows
	}
	out.badAt = slices.Clone(reader.BadAt())
	if out.rows == 0 {
		return nil, &features.DataError{File: files[0], Reason: "there are no rows"}
	}
	return out, nil
}

// accumulate returns one accumulator a label over some of the rows; nil: all.
func (s *scored) accumulate(rows []uint32) []*metric.Rows {
	out := make([]*metric.Rows, len(s.labels))
	for i := range out {
		out[i] = &metric.Rows{}
		if rows == nil {
			out[i].Add(s.scores[i], s.labels[i], s.weights, s.groups)
			continue
		}
		out[i].Add(pick(s.scores[i], rows), pick(s.labels[i], rows), pick(s.weights, rows), pick(s.groups, rows))
	}
	return out
}

// pick gathers some rows' values; nil stays nil.
func pick[T any](values []T, rows []uint32) []T {
	if values == nil {
		return nil
	}
	out := make([]T, len(rows))
	for i, r := range rows {
		out[i] = values[r]
	}
	return out
}
