// Package table holds embedding tables: a growing map from 64-bit ids to rows of float32 with the optimizer's state beside them.
//
// One goroutine writes (Admit, Put, optimizer updates); Find, Resolve, Row and Gather may run concurrently with each other but not with the writer,
// except where said. Rows never move once admitted, memory holds no pointers per row, and a row's initial value
// depends only on (seed, table name, id), never on the order of arrival.
package table

import (
	"fmt"

	"github.com/zeebo/xxh3"
)

// None is the slot of an id that is not in the table.
const None = ^uint32(0)

// UnknownID is the id of the row that stands for every id not in the table (out of vocabulary). Each table has it from the start, at slot 0.
const UnknownID uint64 = 0

// ChunkRows is how many rows share one allocation: slot s lies in chunk s/ChunkRows at row s%ChunkRows.
const ChunkRows = 1 << chunkBits

const chunkBits = 10

// Options of a table. State is how many floats of optimizer state lie beside each row's Dim weights (Adam: 2·Dim).
type Options struct {
	Dim     int
	State   int
	Seed    uint64
	InitStd float64 // standard deviation of new rows; the unknown row too
	Rows    int     // expected rows, a hint
}

// Table maps ids to rows.
type Table struct {
	name  string
	opt   Options
	key   uint64 // of the initial values
	n     uint32
	index index
	marks marks
	// One element a chunk: ids [ChunkRows], weights [ChunkRows, Dim], optimizer state [ChunkRows, State].
	ids   [][]uint64
	rows  [][]float32
	state [][]float32
}

// New returns a table that holds only the unknown row.
func New(name string, o Options) (*Table, error) {
	t, err := empty(name, o)
	if err != nil {
		return nil, err
	}
	t.push(UnknownID)
	t.init(0)
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
	return &Table{name: name, opt: o, key: xxh3.HashStringSeed(name, o.Seed), index: newIndex(o.Rows)}, nil
}

// Name is the table's name; Dim the width of its rows.
func (t *Table) Name() string { return t.name }
func (t *Table) Dim() int     { return t.opt.Dim }

// StateSize is how many floats of optimizer state lie beside each row.
func (t *Table) StateSize() int { return t.opt.State }

// Len counts rows, the unknown one included.
func (t *Table) Len() int { return int(t.n) }

// Bytes is the memory the table holds: rows, states, ids, index and marks.
func (t *Table) Bytes() int64 {
	perRow := int64(8 + 4*(t.opt.Dim+t.opt.State))
	return int64(len(t.ids))*ChunkRows*perRow + t.index.bytes() + t.marks.bytes()
}

// Find returns the slot of id, or None. UnknownID is found at slot 0.
func (t *Table) Find(id uint64) uint32 {
	if id == UnknownID {
		return 0
	}
	return t.index.find(id)
}

// Resolve writes the slot of each id to dst, the unknown row's where an id is absent.
func (t *Table) Resolve(dst []uint32, ids []uint64) { t.index.resolve(dst, ids) }

// Admit returns the slot of id, adding the row where it is absent. A new row is marked as changed.
// A table with 2³²−1 rows is full: it answers the unknown row.
func (t *Table) Admit(id uint64) uint32 {
	if s := t.Find(id); s != None {
		return s
	}
	s := t.push(id)
	if s != 0 {
		t.init(s)
	}
	return s
}

// Put sets the weights of id's row, adding it where it is absent, and returns its slot; a new row's state is zero. The row is marked as changed.
func (t *Table) Put(id uint64, row []float32) uint32 {
	s := t.Find(id)
	if s == None {
		if s = t.push(id); s == 0 {
			return 0
		}
	}
	copy(t.Row(s), row)
	t.Touch(s)
	return s
}

// push adds a zero row for an id that is absent and returns its slot, 0 when the table is full.
func (t *Table) push(id uint64) uint32 {
	s := t.n
	if s == None {
		return 0
	}
	if s&(ChunkRows-1) == 0 {
		t.ids = append(t.ids, make([]uint64, ChunkRows))
		t.rows = append(t.rows, make([]float32, ChunkRows*t.opt.Dim))
		t.state = append(t.state, make([]float32, ChunkRows*t.opt.State))
		t.marks.grow(ChunkRows)
	}
	t.n++
	t.ids[s>>chunkBits][s&(ChunkRows-1)] = id
	if id != UnknownID {
		t.index.insert(id, s)
	}
	t.Touch(s)
	return s
}

// ID returns the id in a slot.
func (t *Table) ID(slot uint32) uint64 { return t.ids[slot>>chunkBits][slot&(ChunkRows-1)] }

// Row returns the weights [Dim] of a slot, in place.
func (t *Table) Row(slot uint32) []float32 {
	d := uint32(t.opt.Dim)
	i := (slot & (ChunkRows - 1)) * d
	return t.rows[slot>>chunkBits][i : i+d : i+d]
}

// State returns the optimizer state of a slot, in place.
func (t *Table) State(slot uint32) []float32 {
	d := uint32(t.opt.State)
	i := (slot & (ChunkRows - 1)) * d
	return t.state[slot>>chunkBits][i : i+d : i+d]
}

// Chunks counts chunks; Chunk returns the weights [rows, Dim] and states [rows, State] of chunk i in slot order, in place, only rows that exist.
func (t *Table) Chunks() int { return len(t.rows) }
func (t *Table) Chunk(i int) (rows, state []float32) {
	n := min(t.Len()-i*ChunkRows, ChunkRows)
	return t.rows[i][:n*t.opt.Dim], t.state[i][:n*t.opt.State]
}

// Gather copies the rows of slots into dst at dst[i·stride:][:Dim].
func (t *Table) Gather(dst []float32, stride int, slots []uint32) {
	d := t.opt.Dim
	for i, s := range slots {
		copy(dst[i*stride:i*stride+d], t.Row(s))
	}
}

// Touch marks a slot as changed.
func (t *Table) Touch(slot uint32) { t.marks.set(slot) }

// Changed appends to dst[:0] the slots marked since the last call to it, ascending, and clears the marks.
func (t *Table) Changed(dst []uint32) []uint32 { return t.marks.take(dst[:0]) }
