package table

import (
	"fmt"
	"math"
	"slices"
	"sync/atomic"
	"unsafe"
)

// Limits of a table; zeros are none. Evicting costs each call of Maintain a bounded number of rows, so there is no pause.
type Limits struct {
	// MaxRows bounds the rows, the unknown one included. Room for as many rows as lately came in a step is made ahead; those go first that were not touched
	// for longest and were touched least often. Ids that find the table full all the same get the unknown row.
	MaxRows int
	// EvictAfter is for how many steps a row may go without being touched before it is evicted; it goes at the latest an eighth of that later.
	EvictAfter uint32
}

func (l Limits) check() error {
	switch {
	case l.MaxRows < 0 || l.MaxRows == 1 || uint64(l.MaxRows) > uint64(None):
		return fmt.Errorf("at most %d rows, want 2 to %d, or 0 for no bound", l.MaxRows, None)
	case l.EvictAfter > math.MaxInt32:
		return fmt.Errorf("eviction after %d steps, want at most %d", l.EvictAfter, math.MaxInt32)
	}
	return nil
}

const (
	// evictions and looks bound what one call of Maintain does. An eviction takes 1 to 2 µs where rows lie apart in memory (BenchmarkMaintain), so a step waits two
	// milliseconds at most. More new ids a step than that find a full table full.
	evictions = 1024
	looks     = 1 << 12
	// sample is of how many neighbouring rows the one that goes first is evicted.
	sample = 32
	// keptRemoved bounds the ids that Removed returns.
	keptRemoved = 1 << 18
)

// life is what a table knows of its rows' coming and going.
type life struct {
	ages   []unsafe.Pointer // of chunks: [ChunkRows, 2], the step at which a row was last touched and its count
	now    uint32           // step
	holes  int
	free   uint32 // the hole to be filled next, 0 for none; ages of holes say which one comes after
	old    uint32 // where Maintain goes on looking for old rows
	hand   uint32 // where it goes on looking for rows to make room
	came   uint32 // rows admitted since the last Maintain
	expect uint32 // rows that may come in a step
	unaged bool   // ages are not known: the table was read from a checkpoint without
	ledger ledger

	removed      []uint64
	lostRemoved  bool
	evicted      [reasons]uint64
	refused      uint64
	refusedNoted int // in the ledger since the last Maintain
}

// hole returns the slot that an evicted row left and that is to be filled next; fill takes it.
func (l *life) hole() (slot uint32, ok bool) { return l.free, l.free != 0 }

func (l *life) bytes() int64 { return int64(cap(l.removed))*8 + l.ledger.bytes() }

// seen returns a slot's age, as the step at which it was last touched, and count.
func (t *Table) seen(slot uint32) *[2]uint32 {
	return (*[2]uint32)(unsafe.Add(t.life.ages[slot>>chunkBits], 8*int(slot&(ChunkRows-1))))
}

func (l *life) addChunk(mem *arena) bool {
	p, err := mem.alloc(8*ChunkRows, written)
	if err != nil {
		return false
	}
	l.ages = append(l.ages, p)
	return true
}

// Track keeps from now on of every row when it was last touched and how often, and a ledger of rows that came and went. Rows that are there count as
// touched in the next step. It reports whether there was memory for that.
func (t *Table) Track() bool {
	for len(t.life.ages) < t.Chunks() {
		if !t.life.addChunk(t.mem) {
			return false
		}
		t.life.unaged = true
	}
	t.opt.Track = true
	return true
}

// Limit sets the table's limits from now on. Limits that are not zero turn tracking on.
func (t *Table) Limit(l Limits) error {
	if err := l.check(); err != nil {
		return err
	}
	if l != (Limits{}) && !t.Track() {
		return fmt.Errorf("limit table %s: out of memory for ages", t.name)
	}
	t.opt.Limits = l
	return nil
}

// Tracks tells whether the table keeps ages, counts and a ledger.
func (t *Table) Tracks() bool { return t.opt.Track }

// Seen returns the step of Maintain at which a slot was last touched and how often it was, as far as 32 bits go; zeros where the table does not track.
func (t *Table) Seen(slot uint32) (last, count uint32) {
	if !t.opt.Track {
		return 0, 0
	}
	s := t.seen(slot)
	return s[0], s[1]
}

// Touch marks a slot as changed and, where the table tracks, as touched in this step.
func (t *Table) Touch(slot uint32) {
	t.mark(slot)
	if t.opt.Track {
		s := t.seen(slot)
		s[0] = t.life.now
		if s[1] != math.MaxUint32 {
			s[1]++
		}
	}
}

// AdmitFor is Admit with what the ledger says of it: the reason, and how often the id has been seen.
func (t *Table) AdmitFor(id uint64, why Reason, count uint32) uint32 {
	if s := t.Find(id); s != None {
		return s
	}
	if m := t.opt.Limits.MaxRows; m > 0 && t.Rows() >= m {
		t.refuse(id, count)
		return 0
	}
	s := t.push(id, nil)
	if s == 0 {
		t.refuse(id, count)
		return 0
	}
	t.admitted(s, why, count)
	return s
}

// admitted notes a new row.
func (t *Table) admitted(slot uint32, why Reason, count uint32) {
	l := &t.life
	l.came++
	if !t.opt.Track {
		return
	}
	*t.seen(slot) = [2]uint32{l.now, count}
	l.ledger.add(Event{ID: t.ID(slot), Step: l.now, Count: count, Reason: why})
}

// refusalsNoted bounds how many ids that found the table full the ledger takes a step: they must not drive out everything else.
const refusalsNoted = 16

func (t *Table) refuse(id uint64, count uint32) {
	l := &t.life
	l.came++
	l.refused++
	if t.opt.Track && l.refusedNoted < refusalsNoted {
		l.refusedNoted++
		l.ledger.add(Event{ID: id, Step: l.now, Count: count, Reason: TableFull})
	}
}

// Maintain begins a step: it sets the clock of Touch, which must not go back, and evicts rows as the limits demand, a bounded number at a time.
// No slot found before it may be used after it. It returns how many rows went. What it does depends on the calls before it alone.
func (t *Table) Maintain(step uint32) (evicted int) {
	l := &t.life
	l.now = step
	if !t.opt.Track {
		return 0
	}
	if l.unaged {
		l.unaged = false
		for s := range t.n {
			if s == 0 || t.ID(s) != UnknownID {
				t.seen(s)[0] = step
			}
		}
	}
	l.refusedNoted = 0
	l.expect = max(l.came, l.expect-l.expect/8)
	l.came = 0
	budget := evictions
	if after := t.opt.Limits.EvictAfter; after > 0 {
		budget -= t.evictOld(after, budget)
	}
	if m := t.opt.Limits.MaxRows; m > 0 {
		room := min(2*int(l.expect), m/4)
		budget -= t.makeRoom(min(t.Rows()+room-m, budget))
	}
	return evictions - budget
}

// evictOld looks at some slots, all of them eight times while a row grows old, and evicts at most budget rows.
func (t *Table) evictOld(after uint32, budget int) (evicted int) {
	l := &t.life
	look := min(int(uint64(t.n)*8/uint64(after))+1, looks)
	for ; look > 0 && evicted < budget; look-- {
		if l.old++; l.old >= t.n {
			l.old = 1
			if t.n == 1 {
				return evicted
			}
		}
		if s := l.old; t.ID(s) != UnknownID && l.now-t.seen(s)[0] > after {
			t.evict(s, EvictedByAge)
			evicted++
		}
	}
	return evicted
}

// makeRoom evicts rows: of every sample the one with the longest time since it was touched for each touch.
func (t *Table) makeRoom(rows int) (evicted int) {
	l := &t.life
	for evicted = 0; evicted < rows && t.Rows() > 1; evicted++ {
		victim, idle, count := uint32(0), uint64(0), uint64(1)
		for looked, met := 0, 0; met < sample && looked < 8*sample || victim == 0; looked++ {
			if l.hand++; l.hand >= t.n {
				l.hand = 1
			}
			if t.ID(l.hand) == UnknownID {
				continue
			}
			met++
			s := t.seen(l.hand)
			i, c := uint64(l.now-s[0])+1, max(uint64(s[1]), 1)
			if victim == 0 || float64(i)*float64(count) > float64(idle)*float64(c) {
				victim, idle, count = l.hand, i, c
			}
		}
		t.evict(victim, EvictedBySize)
	}
	return evicted
}

// evict takes a row out and leaves a hole of zeros.
func (t *Table) evict(slot uint32, why Reason) {
	l, id, s := &t.life, t.ID(slot), t.seen(slot)
	t.index.remove(id)
	atomic.StoreUint64(t.idAt(slot), UnknownID)
	row := t.Row(slot)
	for i := range row {
		storeFloats(row[i:i+1], []float32{0})
	}
	clear(t.State(slot))
	t.unmark(slot)
	l.ledger.add(Event{ID: id, Step: l.now, Count: s[1], Last: s[0], Reason: why})
	l.evicted[why]++
	if len(l.removed) < keptRemoved {
		l.removed = append(l.removed, id)
	} else {
		l.lostRemoved = true
	}
	*s = [2]uint32{l.free, 0}
	l.free = slot
	l.holes++
}

// Removed appends to dst[:0] the ids evicted since the last call to it that have not come back, ascending. all is false when there were too many to keep:
// then only a copy of the whole table tells what is gone.
func (t *Table) Removed(dst []uint64) (ids []uint64, all bool) {
	l := &t.life
	slices.Sort(l.removed)
	ids = dst[:0]
	for i, id := range l.removed {
		if (i == 0 || l.removed[i-1] != id) && t.Find(id) == None {
			ids = append(ids, id)
		}
	}
	all = !l.lostRemoved
	l.removed, l.lostRemoved = l.removed[:0], false
	return ids, all
}

// Evicted counts evictions for a reason and Refused the times an id found the table full, since the table was made or read.
func (t *Table) Evicted(why Reason) uint64 { return t.life.evicted[why] }
func (t *Table) Refused() uint64           { return t.life.refused }
