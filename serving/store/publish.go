package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/millrace/millrace/core/snapshot"
)

const (
	deltaLife = 10 * time.Minute // lists of changed ids: a reader further behind drops its near-cache
	grace     = 20 * time.Second // dense values and rows that were replaced, for readers that still hold them
	halfLife  = 10 * time.Minute // rows of a generation while it is being written: a writer that dies leaves nothing behind
)

// Publish writes rows first, then dense weights, then the version pointer: a reader that sees the version finds everything it needs.
//
// A full update makes a new generation of rows and replaces whatever the store held of the model, whoever wrote it: a daemon that went back to its checkpoint
// republishes from there, and what it publishes next builds on that. A delta needs the generation that this store wrote or found first; else the error is *NeedFullError.
// Publish may be repeated with the same update after an error.
func (s *Store) Publish(ctx context.Context, u *snapshot.Update) error {
	err := checkUpdate(u)
	if err == nil && u.Full {
		err = s.publishFull(ctx, u)
	} else if err == nil {
		err = s.publishDelta(ctx, u)
	}
	if err != nil {
		return fmt.Errorf("publish version %s of model %s: %w", u.Version, u.Model, err)
	}
	return nil
}

func checkUpdate(u *snapshot.Update) error {
	if err := checkName("model", u.Model); err != nil {
		return err
	}
	for i, r := range u.Rows {
		if err := checkName("table", r.Table); err != nil {
			return err
		}
		if r.Dim < 1 || len(r.Values) != len(r.IDs)*r.Dim {
			return fmt.Errorf("table %s has %d values for %d rows of %d", r.Table, len(r.Values), len(r.IDs), r.Dim)
		}
		if slices.ContainsFunc(u.Rows[:i], func(o snapshot.Rows) bool { return o.Table == r.Table }) {
			return fmt.Errorf("table %s comes twice", r.Table)
		}
	}
	return nil
}

// publishFull writes a new generation and makes it the head.
func (s *Store) publishFull(ctx context.Context, u *snapshot.Update) error {
	unlock, err := s.lock(ctx, u.Model)
	if err != nil {
		return err
	}
	defer unlock()
	return s.writeGeneration(ctx, u, generation{from: FromStream})
}

// generation says where a generation comes from and who wants to hear of its progress.
type generation struct {
	from, features string
	progress       func(done, total int64)
}

// writeGeneration writes a generation and makes it the head, under the writer's lock.
func (s *Store) writeGeneration(ctx context.Context, u *snapshot.Update, g generation) error {
	dense, err := snapshot.AppendTensors(nil, u.Dense, nil)
	if err != nil {
		return fmt.Errorf("encode dense weights: %w", err)
	}
	gen := newGeneration()
	l := &Layout{Buckets: Buckets}
	for _, r := range u.Rows {
		l.Tables = append(l.Tables, TableLayout{r.Table, r.Dim})
	}
	if err := s.openGeneration(ctx, u.Model, gen, l); err != nil {
		return err
	}
	if err := s.writeRows(ctx, u, gen, l, g.progress); err != nil {
		return err
	}
	keep := append(l.keys(u.Model, gen), unknownKey(u.Model, gen), layoutKey(u.Model, gen))
	n, err := s.each(ctx, keep, func(p redis.Pipeliner, key string) { p.Persist(ctx, key) })
	if err != nil {
		return fmt.Errorf("keep generation %d: %w", gen, err)
	}
	if n != int64(len(keep)) {
		return fmt.Errorf("keep generation %d: %w while they were written", gen, ErrLost)
	}
	for {
		old, was, err := s.head(ctx, s.c, u.Model)
		if err != nil && !errors.Is(err, ErrNoModel) {
			return err
		}
		h := &Head{Version: u.Version, Seq: 1, Gen: gen, From: g.from, Shape: shapeOf(u), Features: g.features}
		if old != nil {
			h.Seq = old.Seq + 1
			if g.from == FromStream && old.Shape == h.Shape {
				h.Roots = old.Roots
				if old.From == FromCheckpoint {
					h.root(old.Version)
				}
			}
		}
		h.root(u.Version)
		err = s.replaceHead(ctx, u.Model, was, old, h, dense, nil)
		if errors.Is(err, errMoved) {
			continue
		}
		if err != nil {
			return err
		}
		s.adopt(u.Model, gen)
		return s.retire(ctx, u.Model, gen)
	}
}

// openGeneration registers a generation, so that the next writer can remove it, and writes the markers of its buckets.
func (s *Store) openGeneration(ctx context.Context, model string, gen int64, l *Layout) error {
	text, err := json.Marshal(l)
	if err != nil {
		return err
	}
	if err := s.c.HSet(ctx, gensKey(model), strconv.FormatInt(gen, 10), text).Err(); err != nil {
		return fmt.Errorf("register generation %d: %w", gen, err)
	}
	p := s.c.Pipeline()
	p.Set(ctx, layoutKey(model, gen), text, halfLife)
	p.HSet(ctx, unknownKey(model, gen), marker, gen)
	p.Expire(ctx, unknownKey(model, gen), halfLife)
	if _, err := p.Exec(ctx); err != nil {
		return fmt.Errorf("begin generation %d: %w", gen, err)
	}
	_, err = s.each(ctx, l.keys(model, gen), func(p redis.Pipeliner, key string) {
		p.HSet(ctx, key, marker, gen)
		p.Expire(ctx, key, halfLife)
	})
	if err != nil {
		return fmt.Errorf("begin generation %d: %w", gen, err)
	}
	return nil
}

// retire gives the rows of all other generations the time to live of readers that still hold them. A generation leaves the list once that is done, so a writer that
// died between moving the head and this leaves nothing behind either.
func (s *Store) retire(ctx context.Context, model string, gen int64) error {
	gens, err := s.c.HGetAll(ctx, gensKey(model)).Result()
	if err != nil {
		return fmt.Errorf("list generations: %w", err)
	}
	for name, text := range gens {
		g, err := strconv.ParseInt(name, 10, 64)
		if err != nil || g == gen {
			continue
		}
		var l Layout
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			return fmt.Errorf("decode the layout of generation %d: %w", g, err)
		}
		keys := append(l.keys(model, g), unknownKey(model, g), layoutKey(model, g))
		if _, err = s.each(ctx, keys, func(p redis.Pipeliner, key string) { p.Expire(ctx, key, grace) }); err != nil {
			return fmt.Errorf("retire generation %d: %w", g, err)
		}
		if err := s.c.HDel(ctx, gensKey(model), name).Err(); err != nil {
			return fmt.Errorf("retire generation %d: %w", g, err)
		}
	}
	return nil
}

// each runs commands on many keys in pipelines and returns how many integer replies were not zero.
func (s *Store) each(ctx context.Context, keys []string, queue func(p redis.Pipeliner, key string)) (int64, error) {
	var n int64
	for part := range slices.Chunk(keys, 1000) {
		p := s.c.Pipeline()
		for _, key := range part {
			queue(p, key)
		}
		cmds, err := p.Exec(ctx)
		if err != nil {
			return n, err
		}
		for _, c := range cmds {
			switch c := c.(type) {
			case *redis.IntCmd:
				if c.Val() != 0 {
					n++
				}
			case *redis.BoolCmd:
				if c.Val() {
					n++
				}
			}
		}
	}
	return n, nil
}

// publishDelta overwrites rows of the current generation in place, then moves the head.
func (s *Store) publishDelta(ctx context.Context, u *snapshot.Update) error {
	old, was, err := s.head(ctx, s.c, u.Model)
	if errors.Is(err, ErrNoModel) {
		return &NeedFullError{u.Model, "the store holds nothing of it"}
	}
	if err != nil {
		return err
	}
	if own, known := s.owned(u.Model); known && own != old.Gen {
		return &NeedFullError{u.Model, fmt.Sprintf("version %s from a %s replaced what the delta builds on", old.Version, old.From)}
	}
	l, err := s.layout(ctx, u.Model, old.Gen)
	if errors.Is(err, ErrLost) {
		return &NeedFullError{u.Model, err.Error()}
	}
	if err != nil {
		return err
	}
	for _, r := range u.Rows {
		if dim, ok := l.dim(r.Table); !ok || dim != r.Dim {
			return &NeedFullError{u.Model, fmt.Sprintf("table %s of width %d is not in the store's generation", r.Table, r.Dim)}
		}
	}
	dense, err := snapshot.AppendTensors(nil, u.Dense, nil)
	if err != nil {
		return fmt.Errorf("encode dense weights: %w", err)
	}
	changed, err := encodeDelta(u.Rows)
	if err != nil {
		return err
	}
	if err := s.writeRows(ctx, u, old.Gen, l, nil); err != nil {
		return err
	}
	h := *old
	h.Version, h.Seq, h.From = u.Version, old.Seq+1, FromStream
	if old.From == FromCheckpoint {
		h.root(old.Version)
	}
	err = s.replaceHead(ctx, u.Model, was, old, &h, dense, func(p redis.Pipeliner) {
		p.Set(ctx, deltaKey(u.Model, h.Seq), changed, deltaLife)
	})
	if errors.Is(err, errMoved) {
		now, _, headErr := s.head(ctx, s.c, u.Model)
		if headErr != nil || now.Gen != old.Gen {
			return &NeedFullError{u.Model, "another writer replaced it during the delta"}
		}
	}
	if err == nil {
		s.adopt(u.Model, old.Gen)
	}
	return err
}

func (s *Store) adopt(model string, gen int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.own[model] = gen
}

func (s *Store) owned(model string) (int64, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	gen, ok := s.own[model]
	return gen, ok
}

// Keys counts the embedding ids held for a model (all tables), whatever the layout. A model that the store has not holds none.
func (s *Store) Keys(ctx context.Context, model string) (int64, error) {
	h, err := s.Head(ctx, model)
	if errors.Is(err, ErrNoModel) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	l, err := s.layout(ctx, model, h.Gen)
	if err != nil {
		return 0, err
	}
	var n int64
	for part := range slices.Chunk(l.keys(model, h.Gen), 1000) {
		p := s.c.Pipeline()
		for _, key := range part {
			p.HLen(ctx, key)
		}
		cmds, err := p.Exec(ctx)
		if err != nil {
			return 0, fmt.Errorf("count the rows of model %s: %w", model, err)
		}
		for _, c := range cmds {
			n += max(c.(*redis.IntCmd).Val()-1, 0) // without the marker
		}
	}
	return n, nil
}

// countKeys counts how many keys exist.
func (s *Store) countKeys(ctx context.Context, keys []string) (int64, error) {
	n, err := s.each(ctx, keys, func(p redis.Pipeliner, key string) { p.Exists(ctx, key) })
	if err != nil {
		return 0, fmt.Errorf("look for %d keys: %w", len(keys), err)
	}
	return n, nil
}
