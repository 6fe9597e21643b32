package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"

	"github.com/redis/go-redis/v9"

	"github.com/millrace/millrace/core/snapshot"
)

// Where the head of a model came from.
const (
	FromCheckpoint = "checkpoint" // a server wrote its checkpoint
	FromStream     = "stream"     // a daemon publishes
)

// Head is the pointer of a model: which version the store holds. Seq grows by one with each update and never goes back while the store keeps the model; Gen is the
// generation of the rows. Roots are versions of checkpoints that this one descends from, newest first.
type Head struct {
	Version string `json:"version"`
	Seq     int64  `json:"seq"`
	Gen     int64  `json:"gen"`
	From    string `json:"from"`
	Shape   string `json:"shape"`
	// Features names the encoding of a checkpoint that a server wrote and of what was streamed on from it; empty is unknown.
	Features string   `json:"features,omitempty"`
	Roots    []string `json:"roots,omitempty"`
}

// Descends reports whether h is the version, or was trained on from it.
func (h *Head) Descends(version string) bool {
	return h.Version == version || slices.Contains(h.Roots, version)
}

// maxRoots bounds what a head remembers.
const maxRoots = 16

func (h *Head) root(version string) {
	if version != "" && !slices.Contains(h.Roots, version) {
		h.Roots = slices.Insert(h.Roots, 0, version)
		h.Roots = h.Roots[:min(len(h.Roots), maxRoots)]
	}
}

// Layout says how the rows of a generation lie.
type Layout struct {
	Buckets int           `json:"buckets"`
	Tables  []TableLayout `json:"tables"`
}

// TableLayout is a table's name and the width of its rows.
type TableLayout struct {
	Name string `json:"name"`
	Dim  int    `json:"dim"`
}

func (l *Layout) dim(table string) (int, bool) {
	for _, t := range l.Tables {
		if t.Name == table {
			return t.Dim, true
		}
	}
	return 0, false
}

// keys lists every hash of rows of a generation.
func (l *Layout) keys(model string, gen int64) []string {
	keys := make([]string, 0, len(l.Tables)*l.Buckets)
	for _, t := range l.Tables {
		for b := range l.Buckets {
			keys = append(keys, rowKey(model, gen, t.Name, b))
		}
	}
	return keys
}

// shapeOf names the architecture an update is of: the names and shapes of dense tensors and tables, in any order.
func shapeOf(u *snapshot.Update) string {
	var parts []string
	for _, t := range u.Dense {
		parts = append(parts, fmt.Sprint("d", t.Name, t.Shape))
	}
	for _, r := range u.Rows {
		parts = append(parts, fmt.Sprint("t", r.Table, r.Dim))
	}
	slices.Sort(parts)
	h := fnv.New64a()
	for _, p := range parts {
		h.Write([]byte(p))
		h.Write([]byte{0})
	}
	return fmt.Sprintf("%016x", h.Sum64())
}

// Head reads the pointer of a model; ErrNoModel when there is none.
func (s *Store) Head(ctx context.Context, model string) (*Head, error) {
	h, _, err := s.head(ctx, s.c, model)
	return h, err
}

// head also returns the pointer's text, by which a writer notices that it changed.
func (s *Store) head(ctx context.Context, c redis.Cmdable, model string) (*Head, string, error) {
	text, err := c.Get(ctx, headKey(model)).Result()
	if errors.Is(err, redis.Nil) {
		return nil, "", fmt.Errorf("read the head of model %s: %w", model, ErrNoModel)
	}
	if err != nil {
		return nil, "", fmt.Errorf("read the head of model %s: %w", model, err)
	}
	h := &Head{}
	if err := json.Unmarshal([]byte(text), h); err != nil {
		return nil, "", fmt.Errorf("decode the head of model %s: %w", model, err)
	}
	return h, text, nil
}

// layout reads how a generation lies.
func (s *Store) layout(ctx context.Context, model string, gen int64) (*Layout, error) {
	text, err := s.c.Get(ctx, layoutKey(model, gen)).Result()
	if errors.Is(err, redis.Nil) {
		err = ErrLost
	}
	if err != nil {
		return nil, fmt.Errorf("read the layout of model %s, generation %d: %w", model, gen, err)
	}
	l := &Layout{}
	if err := json.Unmarshal([]byte(text), l); err != nil {
		return nil, fmt.Errorf("decode the layout of model %s, generation %d: %w", model, gen, err)
	}
	if l.Buckets < 1 {
		return nil, fmt.Errorf("layout of model %s, generation %d: %d buckets", model, gen, l.Buckets)
	}
	return l, nil
}

// errMoved says that the head changed between reading it and replacing it.
var errMoved = errors.New("another writer changed the head")

// replaceHead sets the head to h in one transaction with what queue adds, if its text is still was ("" for none). Dense values go with it; the version before
// keeps its dense values for a while.
func (s *Store) replaceHead(ctx context.Context, model, was string, old *Head, h *Head, dense []byte, queue func(redis.Pipeliner)) error {
	text, err := json.Marshal(h)
	if err != nil {
		return err
	}
	err = s.c.Watch(ctx, func(tx *redis.Tx) error {
		now, err := tx.Get(ctx, headKey(model)).Result()
		if err != nil && !errors.Is(err, redis.Nil) {
			return err
		}
		if now != was {
			return errMoved
		}
		_, err = tx.TxPipelined(ctx, func(p redis.Pipeliner) error {
			p.Set(ctx, denseKey(model, h.Seq), dense, 0)
			if old != nil {
				p.Expire(ctx, denseKey(model, old.Seq), grace)
			}
			if queue != nil {
				queue(p)
			}
			p.Set(ctx, headKey(model), text, 0)
			return nil
		})
		return err
	}, headKey(model))
	if errors.Is(err, redis.TxFailedErr) {
		err = errMoved
	}
	if err != nil {
		return fmt.Errorf("move the head of model %s to version %s: %w", model, h.Version, err)
	}
	return nil
}
