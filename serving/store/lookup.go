package store

import (
	"context"
	"fmt"

	"github.com/millrace/millrace/core/table"
)

// Lookup gathers the rows of one batch: Begin with a version, Need for every field, Fetch once, then Gather as a scorer asks. It belongs to one goroutine and is
// used again for the next batch.
type Lookup struct {
	r       *Reader
	v       *Version
	vocabs  []wanted
	byShard shardOrder
	fetch   fetch

	asked, missed int // distinct ids since Count was last called
}

// wanted are the distinct ids of one vocabulary with their entries.
type wanted struct {
	ids   table.IDSet
	rows  []float32
	masks []uint64
	miss  []int32
}

// NewLookup returns an empty lookup.
func (r *Reader) NewLookup() *Lookup { return &Lookup{r: r, vocabs: make([]wanted, len(r.vocabs))} }

// Begin starts a batch that reads from v.
func (l *Lookup) Begin(v *Version) {
	l.v = v
	for i := range l.vocabs {
		l.vocabs[i].ids.Reset()
	}
}

// Vocabulary returns the number by which Need knows a vocabulary, or -1 when no table uses it.
func (r *Reader) Vocabulary(name string) int {
	for i := range r.vocabs {
		if r.vocabs[i].name == name {
			return i
		}
	}
	return -1
}

// Need adds ids of a vocabulary to what Fetch reads.
func (l *Lookup) Need(vocabulary int, ids []uint64) { l.vocabs[vocabulary].ids.Add(ids) }

// Fetch reads the rows of all needed ids: from the near-cache, and what that has not in one round trip to Redis. An error leaves nothing to gather.
func (l *Lookup) Fetch(ctx context.Context) error {
	v := l.v
	l.fetch.v, l.fetch.parts = v, l.fetch.parts[:0]
	epoch := v.cache.epoch.Load()
	var asked, missed int
	for k := range l.vocabs {
		w := &l.vocabs[k]
		ids := w.ids.IDs()
		width := l.r.vocabs[k].width
		w.rows = sized(w.rows, len(ids)*width)
		w.masks = sized(w.masks, len(ids))
		if len(ids) == 0 {
			continue
		}
		w.miss = v.cache.read(k, ids, w.rows, w.masks, w.miss[:0], &l.byShard)
		asked += len(ids)
		if len(w.miss) > 0 {
			missed += len(w.miss)
			l.fetch.parts = append(l.fetch.parts, fetchPart{k, ids, w.miss, w.rows, w.masks})
		}
	}
	l.asked, l.missed = l.asked+asked, l.missed+missed
	l.r.hits.Add(int64(asked - missed))
	l.r.misses.Add(int64(missed))
	if missed > 0 {
		if err := l.fetch.run(ctx); err != nil {
			return err
		}
		for _, p := range l.fetch.parts {
			v.cache.insert(p.vocabulary, epoch, p.ids, p.list, p.rows, p.masks)
		}
	}
	for k := range l.vocabs {
		l.fillUnknown(k)
	}
	return nil
}

// Count returns how many distinct ids Fetch found in the near-cache and how many it read from Redis since Count was last called.
func (l *Lookup) Count() (hits, misses int) {
	hits, misses = l.asked-l.missed, l.missed
	l.asked, l.missed = 0, 0
	return hits, misses
}

// fillUnknown puts the unknown row where a table has not the id.
func (l *Lookup) fillUnknown(k int) {
	w, voc := &l.vocabs[k], &l.r.vocabs[k]
	full := ^uint64(0) >> (64 - len(voc.tables))
	for i, mask := range w.masks {
		if mask == full {
			continue
		}
		at := i * voc.width
		for bit, t := range voc.tables {
			dim := l.r.o.Tables[t].Dim
			if mask&(1<<bit) == 0 {
				copy(w.rows[at:][:dim], l.v.unknown[t])
			}
			at += dim
		}
	}
}

// Gather copies rows out: the row of ids[i] goes to dst[i·stride:][:dim]. Every id was needed before Fetch; UnknownID always has a row.
func (l *Lookup) Gather(tableName string, dst []float32, stride int, ids []uint64) error {
	place, ok := l.r.tables[tableName]
	if !ok {
		return fmt.Errorf("there is no table %s", tableName)
	}
	w, width := &l.vocabs[place.vocabulary], l.r.vocabs[place.vocabulary].width
	for i, id := range ids {
		var row []float32
		if id == table.UnknownID {
			row = l.v.unknown[place.index]
		} else if at := w.ids.Find(id); at >= 0 {
			row = w.rows[at*width+place.offset:]
		} else {
			return fmt.Errorf("BUG: id %d of table %s was not fetched", id, tableName)
		}
		copy(dst[i*stride:][:place.dim], row[:place.dim])
	}
	return nil
}

func sized[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n, n+n/4)
	}
	return s[:n]
}
