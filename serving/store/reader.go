package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/millrace/millrace/core/snapshot"
)

// Table is an embedding table as a model reads it: its name, the vocabulary that its ids come from and the width of its rows.
type Table struct {
	Name       string
	Vocabulary string
	Dim        int
}

// ReaderOptions of NewReader.
type ReaderOptions struct {
	Model  string
	Tables []Table
	// Features names the encoding that the reader's batches come from, as SeedOptions.Features does; versions written with another one are refused. Empty fits all.
	Features string
	// CacheBytes bounds the near-cache; default 256 MiB.
	CacheBytes int64
}

// Reader follows the versions of one model and serves its rows through a near-cache. Poll is for one goroutine; Versions and Lookups may be used from many.
type Reader struct {
	s      *Store
	o      ReaderOptions
	vocabs []vocabulary
	tables map[string]tablePlace
	last   *Version

	hits, misses atomic.Int64
}

// vocabulary groups tables that share ids.
type vocabulary struct {
	name   string
	tables []int // into ReaderOptions.Tables
	width  int
}

// tablePlace is where a table's row lies in an entry of its vocabulary.
type tablePlace struct {
	index, vocabulary int
	bit               int
	offset, dim       int
}

// maxTables is how many tables a vocabulary may have: one bit of a mask each.
const maxTables = 64

// NewReader returns a reader; it does not touch the store.
func (s *Store) NewReader(o ReaderOptions) (*Reader, error) {
	if err := checkName("model", o.Model); err != nil {
		return nil, err
	}
	if o.CacheBytes == 0 {
		o.CacheBytes = 256 << 20
	}
	r := &Reader{s: s, o: o, tables: map[string]tablePlace{}}
	for i, t := range o.Tables {
		k := slices.IndexFunc(r.vocabs, func(v vocabulary) bool { return v.name == t.Vocabulary })
		if k < 0 {
			k = len(r.vocabs)
			r.vocabs = append(r.vocabs, vocabulary{name: t.Vocabulary})
		}
		v := &r.vocabs[k]
		if len(v.tables) == maxTables {
			return nil, fmt.Errorf("read model %s: more than %d tables share vocabulary %s", o.Model, maxTables, v.name)
		}
		r.tables[t.Name] = tablePlace{index: i, vocabulary: k, bit: len(v.tables), offset: v.width, dim: t.Dim}
		v.tables = append(v.tables, i)
		v.width += t.Dim
	}
	return r, nil
}

// Cache counts ids that the near-cache had and had not.
func (r *Reader) Cache() (hits, misses int64) { return r.hits.Load(), r.misses.Load() }

// Version is one version of a model, ready to be read: its dense weights, the rows that stand for unknown ids, and access to all others. It is immutable.
// Rows read through it are at least as new as the version.
type Version struct {
	Head   Head
	Dense  []snapshot.Tensor
	Loaded time.Time

	r       *Reader
	layout  *Layout
	unknown [][]float32 // by table
	cache   *nearCache
}

// Poll looks at the model's head. It returns the new version when there is one, nil when the last one is still current, and ErrNoModel when the store has none.
// What a new version changed is refreshed in the near-cache before Poll returns. Versions given out before stay usable.
func (r *Reader) Poll(ctx context.Context) (*Version, error) {
	for try := 0; ; try++ {
		h, err := r.s.Head(ctx, r.o.Model)
		if err != nil {
			return nil, err
		}
		if r.last != nil && h.Seq == r.last.Head.Seq && h.Gen == r.last.Head.Gen && h.Version == r.last.Head.Version {
			return nil, nil
		}
		v, err := r.load(ctx, h)
		if errors.Is(err, ErrLost) && try < 3 {
			continue // replaced while it was read: look at the head again
		}
		if err != nil {
			return nil, fmt.Errorf("read version %s of model %s: %w", h.Version, r.o.Model, err)
		}
		r.last = v
		return v, nil
	}
}

// load reads what a head points to.
func (r *Reader) load(ctx context.Context, h *Head) (*Version, error) {
	if r.o.Features != "" && h.Features != "" && h.Features != r.o.Features {
		return nil, errors.New("it was made with another schema or other statistics than this server's checkpoint")
	}
	v := &Version{Head: *h, r: r}
	same := r.last != nil && r.last.Head.Gen == h.Gen && r.last.Head.Seq < h.Seq
	if same {
		v.layout, v.cache = r.last.layout, r.last.cache
	} else {
		l, err := r.s.layout(ctx, r.o.Model, h.Gen)
		if err != nil {
			return nil, err
		}
		for _, t := range r.o.Tables {
			if dim, ok := l.dim(t.Name); !ok || dim != t.Dim {
				return nil, fmt.Errorf("the store has no table %s of width %d: it is another architecture", t.Name, t.Dim)
			}
		}
		v.layout = l
		widths := make([]int, len(r.vocabs))
		for i := range r.vocabs {
			widths[i] = r.vocabs[i].width
		}
		v.cache = newNearCache(widths, r.o.CacheBytes)
	}
	deltas, err := r.readSmall(ctx, v, same)
	if err != nil {
		return nil, err
	}
	if same {
		err = r.refresh(ctx, v, deltas)
	} else if r.last != nil {
		err = r.warm(ctx, v, r.last.cache)
	}
	if err != nil {
		return nil, err
	}
	v.Loaded = time.Now()
	return v, nil
}

// readSmall reads dense weights and unknown rows, and the lists of ids changed since the last version where that is of the same generation.
func (r *Reader) readSmall(ctx context.Context, v *Version, same bool) ([]*redis.StringCmd, error) {
	model, h := r.o.Model, &v.Head
	p := r.s.c.Pipeline()
	dense := p.Get(ctx, denseKey(model, h.Seq))
	unknown := p.HGetAll(ctx, unknownKey(model, h.Gen))
	var deltas []*redis.StringCmd
	if same && h.Seq-r.last.Head.Seq <= maxDeltas {
		for seq := r.last.Head.Seq + 1; seq <= h.Seq; seq++ {
			deltas = append(deltas, p.Get(ctx, deltaKey(model, seq)))
		}
	}
	if _, err := p.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
		return nil, fmt.Errorf("read dense weights: %w", err)
	}
	text, err := dense.Bytes()
	if errors.Is(err, redis.Nil) {
		err = fmt.Errorf("dense weights: %w", ErrLost)
	}
	if err != nil {
		return nil, err
	}
	if v.Dense, _, err = snapshot.ParseTensors(text); err != nil {
		return nil, fmt.Errorf("decode dense weights: %w", err)
	}
	rows := unknown.Val()
	if len(rows) == 0 {
		return nil, fmt.Errorf("unknown rows: %w", ErrLost)
	}
	for _, t := range r.o.Tables {
		row := make([]float32, t.Dim)
		if text, ok := rows[t.Name]; !ok || !decodeRow(row, text) {
			return nil, fmt.Errorf("the row of table %s for unknown ids has %d bytes, want %d", t.Name, len(text), 4*t.Dim)
		}
		v.unknown = append(v.unknown, row)
	}
	return deltas, nil
}

// maxDeltas is how many missed versions are caught up with one by one.
const maxDeltas = 256

// refresh brings the near-cache up to a version of the same generation: it fetches what the deltas changed and the cache holds. If a delta is missing, the cache starts anew.
func (r *Reader) refresh(ctx context.Context, v *Version, deltas []*redis.StringCmd) error {
	if int64(len(deltas)) != v.Head.Seq-r.last.Head.Seq {
		v.cache.drop()
		return nil
	}
	changed := make([]map[uint64]struct{}, len(r.vocabs))
	for _, d := range deltas {
		text, err := d.Bytes()
		if errors.Is(err, redis.Nil) {
			v.cache.drop()
			return nil
		}
		if err != nil {
			return fmt.Errorf("read the changed ids: %w", err)
		}
		ids, err := decodeDelta(text)
		if err != nil {
			return err
		}
		for table, list := range ids {
			place, ok := r.tables[table]
			if !ok {
				continue
			}
			if changed[place.vocabulary] == nil {
				changed[place.vocabulary] = make(map[uint64]struct{}, len(list))
			}
			for _, id := range list {
				changed[place.vocabulary][id] = struct{}{}
			}
		}
	}
	v.cache.epoch.Add(1)
	var ids []uint64
	for k, set := range changed {
		ids = ids[:0]
		for id := range set {
			ids = append(ids, id)
		}
		if err := r.fetchInto(ctx, v, k, v.cache.cached(k, ids)); err != nil {
			v.cache.drop()
			return err
		}
	}
	return nil
}

const (
	refreshRows = 2048            // rows fetched at once: requests should not wait behind them
	warmRows    = 100_000         // entries of a vocabulary that a new generation starts with
	warmTime    = 2 * time.Second // after which it starts with what it has
)

// warm fills the near-cache of a new generation with what the one before held lately, so that the swap is not felt.
func (r *Reader) warm(ctx context.Context, v *Version, before *nearCache) error {
	until := time.Now().Add(warmTime)
	for k := range r.vocabs {
		for ids := range slices.Chunk(before.recent(k, warmRows), refreshRows) {
			if time.Now().After(until) {
				return nil
			}
			if err := r.fetchInto(ctx, v, k, ids); err != nil {
				return err
			}
		}
	}
	return nil
}

// fetchInto reads rows of a vocabulary from Redis into the near-cache.
func (r *Reader) fetchInto(ctx context.Context, v *Version, vocabulary int, ids []uint64) error {
	w := r.vocabs[vocabulary].width
	for part := range slices.Chunk(ids, refreshRows) {
		rows, masks := make([]float32, len(part)*w), make([]uint64, len(part))
		list := make([]int32, len(part))
		for i := range list {
			list[i] = int32(i)
		}
		f := fetch{v: v, parts: []fetchPart{{vocabulary, part, list, rows, masks}}}
		if err := f.run(ctx); err != nil {
			return err
		}
		v.cache.replace(vocabulary, part, rows, masks)
	}
	return nil
}
