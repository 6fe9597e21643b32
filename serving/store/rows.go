package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/millrace/millrace/core/snapshot"
	"github.com/millrace/millrace/core/table"
)

const (
	pairsPerCommand  = 128  // rows in one HSET
	rowsPerPipeline  = 4096 // rows in one round trip: some milliseconds of Redis' time, so that readers do not wait
	heartbeat        = 2 * time.Second
	writerLife       = 30 * time.Second
	progressInterval = 200 * time.Millisecond
)

// writeRows writes the rows of an update into a generation, the unknown rows into their own hash.
func (s *Store) writeRows(ctx context.Context, u *snapshot.Update, gen int64, l *Layout, progress func(done, total int64)) error {
	now := time.Now()
	w := rowWriter{s: s, ctx: ctx, u: u, gen: gen, layout: l, progress: progress, beat: now, kept: now}
	for _, r := range u.Rows {
		w.total += int64(len(r.IDs) + len(r.Removed))
	}
	for _, r := range u.Rows {
		if err := w.table(&r, l.Buckets); err != nil {
			return fmt.Errorf("write rows of table %s: %w", r.Table, err)
		}
	}
	if progress != nil {
		progress(w.total, w.total)
	}
	return nil
}

type rowWriter struct {
	s           *Store
	ctx         context.Context
	u           *snapshot.Update
	gen         int64
	layout      *Layout
	progress    func(done, total int64)
	done, total int64
	beat, kept  time.Time // the lock renewed, the generation's life extended
	told        time.Time // progress
	pipe        redis.Pipeliner
	queued      int
}

func (w *rowWriter) table(r *snapshot.Rows, buckets int) error {
	values, width := snapshot.Bytes(r.Values), 4*r.Dim
	order, starts := byBucket(r.IDs, buckets)
	fields := make([]byte, 0, 8*len(r.IDs))
	for b := range buckets {
		key := rowKey(w.u.Model, w.gen, r.Table, b)
		list := order[starts[b]:starts[b+1]]
		for len(list) > 0 {
			n := min(len(list), pairsPerCommand)
			args := make([]any, 0, 2*n)
			for _, i := range list[:n] {
				if r.IDs[i] == table.UnknownID {
					continue
				}
				at := len(fields)
				fields = appendField(fields, r.IDs[i])
				args = append(args, fields[at:at+8:at+8], values[int(i)*width:][:width:width])
			}
			list = list[n:]
			if err := w.queue(key, args, n); err != nil {
				return err
			}
		}
	}
	for i, id := range r.IDs {
		if id == table.UnknownID {
			if err := w.queue(unknownKey(w.u.Model, w.gen), []any{r.Table, values[i*width:][:width]}, 1); err != nil {
				return err
			}
		}
	}
	if err := w.remove(r, buckets); err != nil {
		return err
	}
	return w.flush()
}

// remove deletes the rows of ids that are gone.
func (w *rowWriter) remove(r *snapshot.Rows, buckets int) error {
	order, starts := byBucket(r.Removed, buckets)
	for b := range buckets {
		for list := range slices.Chunk(order[starts[b]:starts[b+1]], pairsPerCommand) {
			fields := make([]string, len(list))
			for i, at := range list {
				fields[i] = string(appendField(nil, r.Removed[at]))
			}
			if w.pipe == nil {
				w.pipe = w.s.c.Pipeline()
			}
			w.pipe.HDel(w.ctx, rowKey(w.u.Model, w.gen, r.Table, b), fields...)
			if w.queued += len(list); w.queued >= rowsPerPipeline {
				if err := w.flush(); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (w *rowWriter) queue(key string, args []any, rows int) error {
	if len(args) == 0 {
		return nil
	}
	if w.pipe == nil {
		w.pipe = w.s.c.Pipeline()
	}
	w.pipe.HSet(w.ctx, key, args...)
	w.queued += rows
	if w.queued < rowsPerPipeline {
		return nil
	}
	return w.flush()
}

func (w *rowWriter) flush() error {
	if w.queued == 0 {
		return nil
	}
	if _, err := w.pipe.Exec(w.ctx); err != nil {
		return err
	}
	w.done += int64(w.queued)
	w.queued = 0
	if w.progress != nil && time.Since(w.told) > progressInterval {
		w.told = time.Now()
		w.progress(w.done, w.total)
	}
	if w.u.Full && time.Since(w.beat) > heartbeat {
		w.beat = time.Now()
		return w.live()
	}
	return nil
}

// live keeps the writer's lock, and now and then the generation under way from expiring.
func (w *rowWriter) live() error {
	if err := w.s.renew(w.ctx, w.u.Model); err != nil {
		return err
	}
	if time.Since(w.kept) < halfLife/3 {
		return nil
	}
	w.kept = time.Now()
	keys := append(w.layout.keys(w.u.Model, w.gen), unknownKey(w.u.Model, w.gen), layoutKey(w.u.Model, w.gen))
	if _, err := w.s.each(w.ctx, keys, func(p redis.Pipeliner, key string) { p.Expire(w.ctx, key, halfLife) }); err != nil {
		return fmt.Errorf("keep generation %d: %w", w.gen, err)
	}
	return nil
}

// byBucket orders positions of ids by their bucket: bucket b has order[starts[b]:starts[b+1]].
func byBucket(ids []uint64, buckets int) (order, starts []int32) {
	starts = make([]int32, buckets+1)
	for _, id := range ids {
		starts[bucketOf(id, buckets)+1]++
	}
	for b := range buckets {
		starts[b+1] += starts[b]
	}
	next := make([]int32, buckets)
	copy(next, starts)
	order = make([]int32, len(ids))
	for i, id := range ids {
		b := bucketOf(id, buckets)
		order[next[b]] = int32(i)
		next[b]++
	}
	return order, starts
}
