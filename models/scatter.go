package models

import (
	"math/bits"

	"github.com/millrace/millrace/core/graph"
	"github.com/millrace/millrace/core/kernel"
	"github.com/millrace/millrace/core/nn"
	"github.com/millrace/millrace/core/table"
	"github.com/millrace/millrace/features"
)

// rowSums adds up the gradients of the rows that a batch read: one sum for each distinct slot of each table, its terms in the batch's order
// whatever the threads.
type rowSums struct {
	tables []*tableSums
	parts  []sumPart
	one    func(lo, hi int)
	all    func(lo, hi int)
}

// tableSums are those of one table.
type tableSums struct {
	table   *table.Table
	lookups []*lookupFeed
	zero    bool // the unknown row does not train
	sources []gradSource
	set     slotSet
	slots   []uint32 // distinct ones, in order of first appearance
	counts  []uint32 // terms of each
	ends    []uint32 // where the terms of each end
	place   []uint32 // of each id of the batch: its place in slots
	terms   []term   // grouped by slot
	grads   []float32
}

// term is the gradient that one id got: row row of the gradient of an input, times 1 or a mean's share.
type term struct {
	lookup, row uint32
}

// gradSource is the gradient of a lookup's input.
type gradSource struct {
	values      []float32
	stride, col int
	offsets     []int32 // of a mean
}

// sumPart is a range of a table's distinct slots.
type sumPart struct {
	table  *tableSums
	lo, hi int
}

// sumGrain is about how many terms one thread adds up in one piece.
const sumGrain = 1024

func newRowSums(f *feed, source []*table.Table) *rowSums {
	s := &rowSums{}
	for i, t := range f.tables {
		s.tables = append(s.tables, &tableSums{table: source[i], lookups: t.lookups, zero: t.spec.Zero, sources: make([]gradSource, len(t.lookups))})
	}
	s.one = func(lo, hi int) {
		for _, t := range s.tables[lo:hi] {
			t.number()
		}
	}
	s.all = func(lo, hi int) {
		for _, p := range s.parts[lo:hi] {
			p.table.sum(p.lo, p.hi)
		}
	}
	return s
}

// number finds the distinct slots of the batch and groups its ids by them, each table on one thread.
func (s *rowSums) number(b *features.Batch) {
	for _, t := range s.tables {
		for i, l := range t.lookups {
			t.sources[i].offsets = b.Columns[l.column].Offsets
		}
	}
	kernel.Parallel(len(s.tables), 1, s.one)
}

// run adds up the gradients of a plan's run.
func (s *rowSums) run(plan *graph.Plan) {
	s.parts = s.parts[:0]
	for _, t := range s.tables {
		for i, l := range t.lookups {
			g := plan.Grad(l.Node)
			src := &t.sources[i]
			src.values, src.stride, src.col = g.F32, g.Cols, l.Col
		}
		s.split(t)
	}
	kernel.Parallel(len(s.parts), 1, s.all)
}

// split cuts a table's sums into parts.
func (s *rowSums) split(t *tableSums) {
	for lo, from := 0, 0; lo < len(t.slots); {
		hi := lo + 1
		for hi < len(t.slots) && int(t.ends[hi-1])-from < sumGrain {
			hi++
		}
		s.parts = append(s.parts, sumPart{t, lo, hi})
		lo, from = hi, int(t.ends[hi-1])
	}
}

const noPlace = ^uint32(0)

func (t *tableSums) number() {
	all := 0
	for _, l := range t.lookups {
		all += len(l.rows)
	}
	t.set.reset(all)
	t.place, t.terms = resized(t.place, all), resized(t.terms, all)
	t.slots, t.counts, t.ends = resized(t.slots, all)[:0], resized(t.counts, all)[:0], resized(t.ends, all)[:0]
	place := t.place
	for _, l := range t.lookups {
		for i, slot := range l.rows {
			if slot == 0 && t.zero {
				place[i] = noPlace
				continue
			}
			p := t.set.add(slot, uint32(len(t.slots)))
			if int(p) == len(t.slots) {
				t.slots, t.counts = append(t.slots, slot), append(t.counts, 0)
			}
			t.counts[p]++
			place[i] = p
		}
		place = place[len(l.rows):]
	}
	t.grads = resized(t.grads, all*t.table.Dim())[:len(t.slots)*t.table.Dim()]
	end := uint32(0)
	for _, n := range t.counts {
		t.ends = append(t.ends, end)
		end += n
	}
	place = t.place
	for k, l := range t.lookups {
		t.group(uint32(k), l, place[:len(l.rows)])
		place = place[len(l.rows):]
	}
}

// group puts the terms of a lookup behind those their slots have; ends moves along.
func (t *tableSums) group(k uint32, l *lookupFeed, place []uint32) {
	if l.Pool == nn.PoolOne || l.Pool == nn.PoolRagged {
		for i, p := range place {
			if p != noPlace {
				t.terms[t.ends[p]] = term{k, uint32(i)}
				t.ends[p]++
			}
		}
		return
	}
	offsets := t.sources[k].offsets
	for b := range len(offsets) - 1 {
		for _, p := range place[offsets[b]:offsets[b+1]] {
			if p != noPlace {
				t.terms[t.ends[p]] = term{k, uint32(b)}
				t.ends[p]++
			}
		}
	}
}

// sum forms the sums of slots [lo, hi).
func (t *tableSums) sum(lo, hi int) {
	var list [rowsListed][]float32
	var scales [rowsListed]float32
	dim := t.table.Dim()
	for lo < hi {
		from := int(t.ends[lo]) - int(t.counts[lo])
		next := lo
		for next < hi && int(t.ends[next])-from <= rowsListed {
			next++
		}
		if next > lo {
			n := int(t.ends[next-1]) - from
			t.locate(list[:n], scales[:n], t.terms[from:from+n])
			kernel.SumRows(t.grads[lo*dim:], dim, dim, t.counts[lo:next], list[:n], scales[:n], false)
			lo = next
			continue
		}
		counts := [1]uint32{}
		terms := t.terms[from:t.ends[lo]]
		for acc := false; len(terms) > 0; acc = true {
			n := min(len(terms), rowsListed)
			t.locate(list[:n], scales[:n], terms[:n])
			counts[0] = uint32(n)
			kernel.SumRows(t.grads[lo*dim:], dim, dim, counts[:], list[:n], scales[:n], acc)
			terms = terms[n:]
		}
		lo++
	}
}

// locate lists the gradients of terms.
func (t *tableSums) locate(rows [][]float32, scales []float32, terms []term) {
	dim := t.table.Dim()
	for i, x := range terms {
		s := &t.sources[x.lookup]
		rows[i] = s.values[int(x.row)*s.stride+s.col:][:dim]
		scales[i] = 1
		if l := t.lookups[x.lookup]; l.Pool == nn.PoolMean {
			scales[i] = l.scale(int(s.offsets[x.row+1] - s.offsets[x.row]))
		}
	}
}

// resized returns s with n elements of undefined contents.
func resized[T any](s []T, n int) []T {
	if n > cap(s) {
		return make([]T, n, n+n/4)
	}
	return s[:n]
}

// slotSet numbers the distinct slots of one batch, by open addressing at a load of a half at most: small enough for the cache whatever the table's size.
type slotSet struct {
	entries []uint64 // slot+1, then its number; 0 is free
	shift   uint
}

// reset empties the set and makes room for n slots.
func (s *slotSet) reset(n int) {
	size := max(64, 1<<bits.Len(uint(max(2*n-1, 0))))
	s.entries = resized(s.entries, size)
	clear(s.entries)
	s.shift = uint(64 - bits.TrailingZeros(uint(size)))
}

// add returns the number of slot, which is next where it has none yet.
func (s *slotSet) add(slot, next uint32) uint32 {
	key := uint64(slot) + 1
	mask := len(s.entries) - 1
	for i := int(key * 0x9e3779b97f4a7c15 >> s.shift); ; i = (i + 1) & mask {
		switch e := s.entries[i]; {
		case e == 0:
			s.entries[i] = key<<32 | uint64(next)
			return next
		case e>>32 == key:
			return uint32(e)
		}
	}
}
