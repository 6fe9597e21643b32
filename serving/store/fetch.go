package store

import (
	"context"
	"fmt"
	"math"

	"github.com/redis/go-redis/v9"
)

// fetch reads rows of several vocabularies from Redis in one pipeline.
type fetch struct {
	v     *Version
	parts []fetchPart

	waits []wait
}

// fetchPart asks for the ids at positions list: entry i goes to rows[i·width:] and its mask to masks[i].
type fetchPart struct {
	vocabulary int
	ids        []uint64
	list       []int32
	rows       []float32
	masks      []uint64
}

// wait is a command under way: the rows of one table in one bucket.
type wait struct {
	cmd    *redis.SliceCmd
	part   int
	place  tablePlace
	order  []int32 // positions, in the order of the command's fields after the marker
	bucket int
}

var markerField = marker

func (f *fetch) run(ctx context.Context) error {
	r, buckets := f.v.r, f.v.layout.Buckets
	p := r.s.c.Pipeline()
	f.waits = f.waits[:0]
	for k := range f.parts {
		part := &f.parts[k]
		ids := make([]uint64, len(part.list))
		text := make([]byte, 0, 8*len(ids))
		for i, at := range part.list {
			ids[i] = part.ids[at]
			text = appendField(text, ids[i])
			part.masks[at] = 0
		}
		all := string(text)
		fields := make([]string, len(ids))
		for i := range fields {
			fields[i] = all[8*i : 8*i+8]
		}
		order, starts := byBucket(ids, buckets)
		for _, t := range r.vocabs[part.vocabulary].tables {
			place := r.tables[r.o.Tables[t].Name]
			for b := range buckets {
				list := order[starts[b]:starts[b+1]]
				if len(list) == 0 {
					continue
				}
				args := make([]any, 0, len(list)+3)
				args = append(args, "hmget", rowKey(r.o.Model, f.v.Head.Gen, r.o.Tables[t].Name, b), &markerField)
				for _, i := range list {
					args = append(args, &fields[i])
				}
				cmd := redis.NewSliceCmd(ctx, args...)
				if err := p.Process(ctx, cmd); err != nil {
					return fmt.Errorf("ask for rows: %w", err)
				}
				f.waits = append(f.waits, wait{cmd, k, place, list, b})
			}
		}
	}
	if len(f.waits) == 0 {
		return nil
	}
	if _, err := p.Exec(ctx); err != nil {
		return fmt.Errorf("fetch rows of model %s: %w", r.o.Model, err)
	}
	for i := range f.waits {
		if err := f.take(&f.waits[i]); err != nil {
			return fmt.Errorf("fetch rows of model %s, table %s: %w", r.o.Model, r.o.Tables[f.waits[i].place.index].Name, err)
		}
	}
	return nil
}

// take reads a reply.
func (f *fetch) take(w *wait) error {
	part := &f.parts[w.part]
	width := f.v.r.vocabs[part.vocabulary].width
	values := w.cmd.Val()
	if len(values) != len(w.order)+1 {
		return fmt.Errorf("%d values in reply to %d fields", len(values), len(w.order)+1)
	}
	if values[0] == nil {
		return fmt.Errorf("bucket %d of generation %d: %w", w.bucket, f.v.Head.Gen, ErrLost)
	}
	for k, i := range w.order {
		if values[k+1] == nil {
			continue
		}
		at := part.list[i]
		row := part.rows[int(at)*width+w.place.offset:][:w.place.dim]
		text, ok := values[k+1].(string)
		if !ok || !decodeRow(row, text) {
			return fmt.Errorf("row of id %d has %d bytes, want %d", part.ids[at], len(text), 4*w.place.dim)
		}
		part.masks[at] |= 1 << w.place.bit
	}
	return nil
}

// decodeRow reads little-endian floats; it fails when there are more or fewer than dst holds.
func decodeRow(dst []float32, text string) bool {
	if len(text) != 4*len(dst) {
		return false
	}
	for k := range dst {
		b := text[4*k : 4*k+4]
		dst[k] = math.Float32frombits(uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24)
	}
	return true
}
