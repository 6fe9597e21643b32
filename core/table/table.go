// Package table holds embedding tables: a growing map from 64-bit ids to rows of float32 with the optimizer's state beside them, outside the Go heap.
//
// Rows never move once admitted, and a row's initial value depends only on (seed, table name, id), never on the order of arrival.
//
// One goroutine writes: Admit, Put, Touch, Maintain, Changed, Removed and the optimizer's updates. Meanwhile any number may call Find, Resolve, ID and Read, without
// locks: an id is found at its own slot or not at all, never at another's. Read copies a row and makes sure that it was the id's own all the while; of a row that an
// optimizer is moving it may see some floats before and others after the step, but no float half written. Row, State and Gather go by slot and know nothing
// of ids: they are for the writer's goroutine, for the goroutines that it waits for, and for tables that nobody writes.
//
// The memory of a table is given back by Close, or some time after nothing refers to the Table any more. The slices that Row, State, Chunk and Part return do not
// count as referring to it: who keeps them keeps the Table.
package table

import (
	"fmt"
	"os"
	"runtime"
	"sync/atomic"
	"unsafe"

	"github.com/zeebo/xxh3"

	"github.com/millrace/millrace/core/kernel"
)

// None is the slot of an id that is not in the table.
const None = ^uint32(0)

// UnknownID is the id of the row that stands for every id not in the table (out of vocabulary). Each table has it from the start, at slot 0.
const UnknownID uint64 = 0

// ChunkRows is how many rows share one chunk: slot s lies in chunk s/ChunkRows at row s%ChunkRows.
const ChunkRows = 1 << chunkBits

const chunkBits = 10

// Options of a table. State is how many floats of optimizer state lie beside each row's Dim weights (Adam: 2·Dim).
type Options struct {
	Dim     int
	State   int
	Seed    uint64
	InitStd float64 // standard deviation of new rows; the unknown row too
	Rows    int     // expected rows, a hint
	Track   bool    // see Table.Track
	Limits  Limits  // see Table.Limit; limits that are not zero imply Track
}

// Table maps ids to rows.
type Table struct {
	name   string
	opt    Options
	key    uint64 // of the initial values
	n      uint32 // slots in use
	mem    *arena
	index  *index
	chunks atomic.Pointer[[]chunk]
	at     layout
	marked marks
	life   life
	drawn  []float32 // initial weights
	err    error
	clean  runtime.Cleanup
}

// chunk is ChunkRows rows: ids [ChunkRows] and weights [ChunkRows, Dim], which look-ups read, and apart from them marks [ChunkRows/64] and optimizer state [ChunkRows, State].
type chunk struct{ read, written unsafe.Pointer }

// layout says where in a chunk its later arrays begin, and how large its two parts are.
type layout struct{ rows, read, state, written int }

func layoutOf(o *Options) (l layout) {
	l.rows = 8 * ChunkRows
	l.read = l.rows + 4*ChunkRows*o.Dim
	l.state = ChunkRows / 8
	l.written = l.state + 4*ChunkRows*o.State
	return l
}

// New returns a table that holds only the unknown row.
func New(name string, o Options) (*Table, error) {
	t, err := empty(name, o)
	if err != nil {
		return nil, err
	}
	t.push(UnknownID, nil)
	if t.err != nil {
		t.Close()
		return nil, t.err
	}
	return t, nil
}

func empty(name string, o Options) (*Table, error) {
	switch {
	case name == "":
		return nil, fmt.Errorf("make a table: its name is empty")
	case o.Dim < 1:
		return nil, fmt.Errorf("make table %s: dimension %d, want at least 1", name, o.Dim)
	case o.State < 0:
		return nil, fmt.Errorf("make table %s: %d floats of state a row, want at least 0", name, o.State)
	case !(o.InitStd >= 0):
		return nil, fmt.Errorf("make table %s: standard deviation %g of new rows, want at least 0", name, o.InitStd)
	}
	mem := &arena{}
	x, err := newIndex(mem, o.Rows)
	if err != nil {
		mem.release()
		return nil, fmt.Errorf("make table %s: %w", name, err)
	}
	t := &Table{name: name, opt: o, key: xxh3.HashStringSeed(name, o.Seed), mem: mem, index: x, at: layoutOf(&o)}
	t.chunks.Store(new([]chunk))
	t.clean = runtime.AddCleanup(t, (*arena).retire, mem)
	if o.Track {
		t.Track()
	}
	if err := t.Limit(o.Limits); err != nil {
		t.Close()
		return nil, fmt.Errorf("make table %s: %w", name, err)
	}
	return t, nil
}

// Close gives the table's memory back at once. The table and all slices of it must not be used afterwards.
func (t *Table) Close() {
	t.clean.Stop()
	t.mem.release()
	t.chunks.Store(new([]chunk))
	t.n = 0
}

// Name is the table's name; Dim the width of its rows.
func (t *Table) Name() string { return t.name }
func (t *Table) Dim() int     { return t.opt.Dim }

// StateSize is how many floats of optimizer state lie beside each row.
func (t *Table) StateSize() int { return t.opt.State }

// Len counts slots in use: rows, the unknown one included, and the holes that evicted rows left.
func (t *Table) Len() int { return int(t.n) }

// Rows counts rows, the unknown one included.
func (t *Table) Rows() int { return int(t.n) - t.life.holes }

// Bytes is the memory the table holds: rows, states, ids, ages, counts, index and marks. Of the last chunk only the pages in use count.
func (t *Table) Bytes() int64 {
	full, rest := int64(t.n>>chunkBits), int(t.n&(ChunkRows-1))
	n := full*int64(t.at.read+t.at.written) + 16*int64(len(*t.chunks.Load())) + t.index.bytes() + t.marked.bytes() + t.life.bytes()
	if rest > 0 {
		page := os.Getpagesize()
		n += int64(roundUp(8*rest, page) + roundUp(4*t.opt.Dim*rest, page) + roundUp(4*t.opt.State*rest, page))
	}
	if t.opt.Track {
		n += 8 * int64(t.n)
	}
	return n
}

// Err is why the table could not grow, once that happened: from then on ids that are not in it are answered with the unknown row.
func (t *Table) Err() error { return t.err }

// Find returns the slot of id, or None. UnknownID is found at slot 0.
func (t *Table) Find(id uint64) uint32 {
	if id == UnknownID {
		return 0
	}
	s := t.index.find(id)
	runtime.KeepAlive(t)
	return s
}

// Resolve writes the slot of each id to dst, the unknown row's where an id is absent.
func (t *Table) Resolve(dst []uint32, ids []uint64) {
	t.index.resolve(dst, ids)
	runtime.KeepAlive(t)
}

// Admit returns the slot of id, adding the row where it is absent. A new row is marked as changed.
// A table with 2³²−1 rows, with as many as its limits allow or without memory is full: it answers the unknown row.
func (t *Table) Admit(id uint64) uint32 { return t.AdmitFor(id, FirstSeen, 1) }

// Put sets the weights of id's row, adding it where it is absent, and returns its slot; a new row's state is zero. The row is marked as changed.
func (t *Table) Put(id uint64, row []float32) uint32 {
	s := t.Find(id)
	if s == None {
		if s = t.push(id, row); s != 0 {
			t.admitted(s, Entered, 0)
		}
		return s
	}
	storeFloats(t.Row(s), row)
	t.mark(s)
	return s
}

// push adds a row for an id that is absent and returns its slot, 0 when the table is full. The row has the given weights, or its initial ones for nil, and a state of zeros.
func (t *Table) push(id uint64, weights []float32) uint32 {
	s, hole := t.life.hole()
	if !hole {
		if s = t.n; s == None || t.err != nil {
			return 0
		}
		if s&(ChunkRows-1) == 0 && int(s>>chunkBits) == t.Chunks() && !t.addChunk() {
			return 0
		}
	}
	row := t.Row(s)
	if weights == nil {
		weights = t.initial(id)
	}
	if hole { // somebody who found the row that was here may still be reading it
		storeFloats(row, weights)
	} else {
		copy(row, weights)
	}
	atomic.StoreUint64(t.idAt(s), id)
	if id != UnknownID {
		if err := t.index.insert(id, s); err != nil {
			t.err = fmt.Errorf("grow table %s: %w", t.name, err)
			atomic.StoreUint64(t.idAt(s), UnknownID)
			clear(row)
			return 0
		}
	}
	if hole {
		t.life.free = t.seen(s)[0]
		t.life.holes--
	} else {
		t.n++
	}
	t.mark(s)
	return s
}

func (t *Table) addChunk() bool {
	var c chunk
	var err error
	if c.read, err = t.mem.alloc(t.at.read, read); err == nil {
		c.written, err = t.mem.alloc(t.at.written, written)
	}
	if err != nil {
		t.err = fmt.Errorf("grow table %s: %w", t.name, err)
		return false
	}
	if t.opt.Track && !t.life.addChunk(t.mem) {
		t.err = fmt.Errorf("grow table %s: out of memory for ages", t.name)
		return false
	}
	chunks := append(*t.chunks.Load(), c)
	t.chunks.Store(&chunks)
	t.marked.grow(len(chunks))
	return true
}

func (t *Table) chunk(slot uint32) *chunk { return &(*t.chunks.Load())[slot>>chunkBits] }

func (t *Table) idAt(slot uint32) *uint64 {
	return (*uint64)(unsafe.Add(t.chunk(slot).read, 8*int(slot&(ChunkRows-1))))
}

// ID returns the id in a slot, UnknownID for a hole.
func (t *Table) ID(slot uint32) uint64 { return atomic.LoadUint64(t.idAt(slot)) }

// Row returns the weights [Dim] of a slot, in place.
func (t *Table) Row(slot uint32) []float32 {
	d := t.opt.Dim
	return unsafe.Slice((*float32)(unsafe.Add(t.chunk(slot).read, t.at.rows+4*d*int(slot&(ChunkRows-1)))), d)
}

// State returns the optimizer state of a slot, in place.
func (t *Table) State(slot uint32) []float32 {
	d := t.opt.State
	if d == 0 {
		return nil
	}
	return unsafe.Slice((*float32)(unsafe.Add(t.chunk(slot).written, t.at.state+4*d*int(slot&(ChunkRows-1)))), d)
}

// Chunks counts chunks; Chunk returns the weights [rows, Dim] and states [rows, State] of chunk i in slot order, in place, only slots in use. Holes are zeros.
func (t *Table) Chunks() int { return len(*t.chunks.Load()) }
func (t *Table) Chunk(i int) (rows, state []float32) {
	n := min(t.Len()-i*ChunkRows, ChunkRows)
	c := (*t.chunks.Load())[i]
	rows = unsafe.Slice((*float32)(unsafe.Add(c.read, t.at.rows)), n*t.opt.Dim)
	if t.opt.State > 0 {
		state = unsafe.Slice((*float32)(unsafe.Add(c.written, t.at.state)), n*t.opt.State)
	}
	return rows, state
}

// chunkIDs returns the ids of chunk i, only slots in use.
func (t *Table) chunkIDs(i int) []uint64 {
	return unsafe.Slice((*uint64)((*t.chunks.Load())[i].read), min(t.Len()-i*ChunkRows, ChunkRows))
}

// gatherGroup is how many rows are listed for one call of a kernel.
const gatherGroup = 256

// Gather copies the rows of slots into dst at dst[i·stride:][:Dim].
func (t *Table) Gather(dst []float32, stride int, slots []uint32) {
	var rows [gatherGroup][]float32
	for len(slots) > 0 {
		n := min(gatherGroup, len(slots))
		for i, s := range slots[:n] {
			rows[i] = t.Row(s)
		}
		kernel.CopyRows(dst, stride, t.opt.Dim, rows[:n])
		if slots = slots[n:]; len(slots) > 0 {
			dst = dst[n*stride:]
		}
	}
	runtime.KeepAlive(t)
}

// Read copies the rows of ids into dst at dst[i·stride:][:Dim], the unknown row where an id is absent, while the writer goes on. It returns how many were there.
func (t *Table) Read(dst []float32, stride int, ids []uint64) (found int) {
	var slots [gatherGroup]uint32
	for len(ids) > 0 {
		n := min(gatherGroup, len(ids))
		t.index.resolve(slots[:], ids[:n])
		for i, s := range slots[:n] {
			d := dst[i*stride:][:t.opt.Dim]
			loadFloats(d, t.Row(s))
			for s != 0 && t.ID(s) != ids[i] { // evicted meanwhile, and the slot perhaps given to another id
				if s = t.Find(ids[i]); s == None {
					s = 0
				}
				loadFloats(d, t.Row(s))
			}
			if s != 0 {
				found++
			}
		}
		if ids = ids[n:]; len(ids) > 0 {
			dst = dst[n*stride:]
		}
	}
	runtime.KeepAlive(t)
	return found
}

// loadFloats and storeFloats copy float by float as one reader and one writer at the same time may.
func loadFloats(dst, src []float32) {
	for i := range dst {
		bits := atomic.LoadUint32((*uint32)(unsafe.Pointer(&src[i])))
		dst[i] = *(*float32)(unsafe.Pointer(&bits))
	}
}

func storeFloats(dst, src []float32) {
	for i, x := range src[:min(len(src), len(dst))] {
		atomic.StoreUint32((*uint32)(unsafe.Pointer(&dst[i])), *(*uint32)(unsafe.Pointer(&x)))
	}
}

// Changed appends to dst[:0] the slots marked since the last call to it, ascending, and clears the marks. Rows evicted meanwhile are not among them.
func (t *Table) Changed(dst []uint32) []uint32 {
	return t.marked.take(dst[:0], t.marks)
}

// marks returns the bits of a chunk.
func (t *Table) marks(chunk int) *[ChunkRows / 64]uint64 {
	return (*[ChunkRows / 64]uint64)((*t.chunks.Load())[chunk].written)
}

func (t *Table) mark(slot uint32) {
	t.marks(int(slot >> chunkBits))[slot>>6&(ChunkRows/64-1)] |= 1 << (slot & 63)
	t.marked.set(slot >> chunkBits)
}

func (t *Table) unmark(slot uint32) {
	t.marks(int(slot >> chunkBits))[slot>>6&(ChunkRows/64-1)] &^= 1 << (slot & 63)
}
