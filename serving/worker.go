package serving

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/models"
	"github.com/millrace/millrace/serving/store"
)

// worker scores one request at a time with buffers that it keeps.
type worker struct {
	h       *host
	rows    *features.Assembler
	batch   features.Batch
	lookup  *store.Lookup
	scorer  *models.Scorer
	out     [][]float32
	row     features.Row
	chunked [][]float32 // scores of all chunks of a request, one list a label
}

// chunkRows is how many candidates are scored at once: it bounds a worker's memory.
const chunkRows = 1024

func newWorker(h *host) (*worker, error) {
	scorer, err := h.program.NewScorer()
	if err != nil {
		return nil, err
	}
	return &worker{
		h: h, rows: features.NewAssembler(h.schema, false), lookup: h.reader.NewLookup(), scorer: scorer,
		chunked: make([][]float32, len(h.schema.Labels)),
	}, nil
}

// wrongField says that the request's own value of a field cannot be used.
type wrongField struct {
	field, reason string
}

func (e *wrongField) Error() string { return fmt.Sprintf("context: %s: %s", e.field, e.reason) }

var errNotFinite = errors.New("the model gave a score that is no number")

// score returns the probabilities of a request's candidates, one list a label, valid until the next call.
func (w *worker) score(ctx context.Context, v *served, req *ScoreRequest) ([][]float32, error) {
	p, err := w.h.o.Store.Profile(ctx, req.UserID, req.Candidates, w.h.wanted)
	if err != nil {
		return nil, err
	}
	for i := range w.chunked {
		w.chunked[i] = w.chunked[i][:0]
	}
	now := w.h.o.Now().UnixMilli()
	for from := 0; from < len(req.Candidates); from += chunkRows {
		to := min(from+chunkRows, len(req.Candidates))
		if err := w.encode(req, p, from, to, now); err != nil {
			return nil, err
		}
		if err := w.scoreChunk(ctx, v); err != nil {
			return nil, err
		}
	}
	for _, list := range w.chunked {
		for _, x := range list {
			if math.IsNaN(float64(x)) || math.IsInf(float64(x), 0) {
				return nil, errNotFinite
			}
		}
	}
	return w.chunked, nil
}

// encode fills the batch with candidates from to to.
func (w *worker) encode(req *ScoreRequest, p *store.Profile, from, to int, now int64) error {
	for i := from; i < to; i++ {
		w.row = features.Row{
			User: req.UserID, Item: req.Candidates[i], UserFeatures: p.User, Context: req.Context, History: p.History, TimeMS: now,
		}
		if p.Items != nil {
			w.row.ItemFeatures = p.Items[i]
		}
		if err := w.append(); err != nil {
			w.discard()
			return err
		}
	}
	rec := w.rows.Record()
	defer rec.Release()
	err := w.h.encoder.EncodeInto(&w.batch, rec)
	var bad *features.RowError
	if errors.As(err, &bad) {
		return &wrongField{bad.Field, bad.Reason}
	}
	return err
}

// append adds the row at hand. A stored feature that does not fit the schema counts as missing; a value of the request that does not is the request's error.
func (w *worker) append() error {
	for try := 0; ; try++ {
		err := w.rows.Append(&w.row)
		var bad *features.RowError
		if !errors.As(err, &bad) || try > len(w.h.schema.Fields) {
			return err
		}
		dropped := false
		for _, f := range w.h.fieldsOf(bad.Field) {
			switch f.From {
			case features.FromUser:
				w.row.UserFeatures, dropped = without(w.row.UserFeatures, f), true
			case features.FromItem:
				w.row.ItemFeatures, dropped = without(w.row.ItemFeatures, f), true
			case features.FromHistory:
				w.row.History, dropped = nil, true
			}
		}
		if !dropped {
			return &wrongField{bad.Field, bad.Reason}
		}
		w.h.badFeatures.Add(1)
	}
}

// without returns values with a field's left out; the given ones are shared and stay.
func without(vs features.Values, f *features.Field) features.Values {
	out := make(features.Values, len(vs))
	for k, v := range vs {
		if k != f.Name && k != f.Column {
			out[k] = v
		}
	}
	return out
}

// discard forgets rows of a request that failed.
func (w *worker) discard() {
	if w.rows.Len() > 0 {
		w.rows.Record().Release()
	}
}

// scoreChunk gathers the batch's rows and scores it.
func (w *worker) scoreChunk(ctx context.Context, v *served) error {
	w.lookup.Begin(v.rows)
	for _, c := range w.h.columns {
		w.lookup.Need(c.vocabulary, w.batch.Columns[c.column].IDs)
	}
	if err := w.lookup.Fetch(ctx); err != nil {
		return err
	}
	var err error
	if w.out, err = w.scorer.Score(&w.batch, v.weights, w.lookup, w.out); err != nil {
		return err
	}
	for i := range w.chunked {
		w.chunked[i] = append(w.chunked[i], w.out[i]...)
	}
	return nil
}
