package serving

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/models"
	"github.com/millrace/millrace/serving/store"
)

// host serves one model.
type host struct {
	name    string
	o       *Options
	schema  *features.Schema
	program *models.Program
	encoder *features.Encoder
	print   string // names the encoding, see store.SeedOptions
	wanted  store.Wanted
	reader  *store.Reader
	columns []columnUse

	current atomic.Pointer[served]
	workers chan *worker // idle ones; a nil is the right to make one

	swaps       atomic.Int64
	candidates  atomic.Int64
	badFeatures atomic.Int64
	lost        atomic.Bool // a request found rows missing from the store

	mu         sync.Mutex
	checkpoint *models.Checkpoint // until it is in the store
	trouble    error              // why there is no newer version
}

// served is a version in service.
type served struct {
	weights *models.Weights
	rows    *store.Version
}

// columnUse says that a column of the batch holds ids of a vocabulary that the model reads.
type columnUse struct {
	column, vocabulary int
}

var errStarting = errors.New("its rows are on their way to the store")

func newHost(name string, c *models.Checkpoint, o *Options) (*host, error) {
	encoder, err := c.NewEncoder()
	if err != nil {
		return nil, err
	}
	h := &host{
		name: name, o: o, schema: c.Schema, program: c.Program, encoder: encoder, checkpoint: c, trouble: errStarting,
		workers: make(chan *worker, o.Workers),
	}
	if h.print, err = encodingOf(c); err != nil {
		return nil, err
	}
	var tables []store.Table
	for _, t := range c.Program.Tables() {
		tables = append(tables, store.Table{Name: t.Name, Vocabulary: t.Vocabulary, Dim: t.Dim})
	}
	if h.reader, err = o.Store.NewReader(store.ReaderOptions{Model: name, Tables: tables, Features: h.print, CacheBytes: o.CacheBytes}); err != nil {
		return nil, err
	}
	for i := range c.Schema.Fields {
		f := &c.Schema.Fields[i]
		if k := h.reader.Vocabulary(f.Table()); k >= 0 && f.HasIDs() {
			h.columns = append(h.columns, columnUse{i, k})
		}
		switch f.From {
		case features.FromUser:
			h.wanted.User = h.wanted.User || f.Name != c.Schema.User
		case features.FromItem:
			h.wanted.Items = h.wanted.Items || f.Name != c.Schema.Item
		case features.FromHistory:
			h.wanted.History = true
		}
	}
	for range o.Workers {
		h.workers <- nil
	}
	return h, nil
}

// encodingOf names what turns raw values into batches: the schema and the training statistics.
func encodingOf(c *models.Checkpoint) (string, error) {
	text, err := json.Marshal(struct {
		Schema *features.Schema
		Stats  *features.Stats
	}{c.Schema, c.Stats})
	if err != nil {
		return "", fmt.Errorf("name the encoding: %w", err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8]), nil
}

// ready says why requests cannot be answered, or nil.
func (h *host) ready() error {
	h.mu.Lock()
	trouble := h.trouble
	h.mu.Unlock()
	if h.current.Load() == nil {
		if trouble == nil {
			trouble = errStarting
		}
		return trouble
	}
	if h.lost.Load() || errors.Is(trouble, store.ErrNoModel) || errors.Is(trouble, store.ErrLost) {
		return store.ErrLost
	}
	return nil
}

func (h *host) setTrouble(err error) {
	h.mu.Lock()
	before := h.trouble
	h.trouble = err
	h.mu.Unlock()
	if err != nil && (before == nil || before.Error() != err.Error()) {
		h.o.Notice(h.name, err.Error())
	}
}

// follow seeds the store and then swaps versions in as they come, until ctx ends.
func (h *host) follow(ctx context.Context) {
	const slowest = 2 * time.Second
	pause, seeded := h.o.Poll, false
	for {
		err := h.step(ctx, &seeded)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			h.setTrouble(err)
			pause = min(2*pause, slowest)
		default:
			h.setTrouble(nil)
			pause = h.o.Poll
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// step makes sure that the store has the model and takes the newest version.
func (h *host) step(ctx context.Context, seeded *bool) error {
	if h.lost.Load() {
		*seeded = false
	}
	if !*seeded {
		if err := h.seed(ctx); err != nil {
			return err
		}
		*seeded = true
		h.lost.Store(false)
	}
	v, err := h.reader.Poll(ctx)
	if errors.Is(err, store.ErrNoModel) || errors.Is(err, store.ErrLost) {
		*seeded = false
	}
	if err != nil || v == nil {
		return err
	}
	w, err := h.program.NewWeights(v.Head.Version, v.Dense)
	if err != nil {
		return err
	}
	h.current.Store(&served{w, v})
	if h.swaps.Add(1) == 1 {
		h.o.Notice(h.name, fmt.Sprintf("serves version %s", v.Head.Version))
	}
	return nil
}

// seed puts the checkpoint into the store where that has nothing at least as new.
func (h *host) seed(ctx context.Context) error {
	h.mu.Lock()
	c := h.checkpoint
	h.mu.Unlock()
	if c == nil {
		if h.o.Reload == nil {
			return nil // someone else publishes
		}
		var err error
		if c, err = h.o.Reload(h.name); err != nil {
			return fmt.Errorf("read the checkpoint again: %w", err)
		}
	}
	did, err := h.o.Store.Seed(ctx, c.Update(h.name), store.SeedOptions{
		Streamed: streamed(c),
		Features: h.print,
		Progress: h.progress(),
	})
	if err != nil {
		return err
	}
	switch did {
	case store.Seeded:
		h.o.Notice(h.name, fmt.Sprintf("put version %s into the store", c.Weights.Version))
	case store.Newer:
		h.o.Notice(h.name, fmt.Sprintf("the store holds a version trained on from %s; it is served", c.Weights.Version))
	}
	h.mu.Lock()
	h.checkpoint = nil
	h.mu.Unlock()
	return nil
}

// streamed tells a daemon's checkpoint.
func streamed(c *models.Checkpoint) bool {
	if c.Snapshot == nil {
		return false
	}
	state := c.Snapshot.Manifest.State
	_, offsets := state["stream"]
	_, incremental := state["incremental"]
	return offsets || incremental
}

// progress tells Notice of rows written, now and then.
func (h *host) progress() func(done, total int64) {
	next := h.o.Now().Add(2 * time.Second)
	return func(done, total int64) {
		if now := h.o.Now(); now.After(next) {
			next = now.Add(2 * time.Second)
			h.o.Notice(h.name, fmt.Sprintf("%d of %d rows in the store", done, total))
		}
	}
}

// acquire returns an idle worker, making one where the number allows.
func (h *host) acquire(ctx context.Context) (*worker, error) {
	select {
	case w := <-h.workers:
		if w != nil {
			return w, nil
		}
		w, err := newWorker(h)
		if err != nil {
			h.workers <- nil
		}
		return w, err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// release gives a worker back; nil gives the right to make one back.
func (h *host) release(w *worker) { h.workers <- w }

// fieldsOf are the fields that read a column.
func (h *host) fieldsOf(column string) []*features.Field {
	var out []*features.Field
	for i := range h.schema.Fields {
		if f := &h.schema.Fields[i]; f.Column == column || f.Name == column {
			out = append(out, f)
		}
	}
	return out
}

func (h *host) labels() []string {
	var out []string
	for _, l := range h.schema.Labels {
		out = append(out, l.Name)
	}
	return slices.Clip(out)
}
