// Package table holds embedding tables: a growing map from 64-bit ids to rows of float32 with the optimizer's state beside them.
//
// One goroutine writes (Admit, optimizer updates); Find, Row and Gather may run concurrently with each other but not with the writer,
// except where said. Rows never move once admitted within a chunk, memory holds no pointers per row, and a row's initial value
// depends only on (seed, table name, id), never on the order of arrival.
package table

// None is the slot of an id that is not in the table.
const None = ^uint32(0)

// UnknownID is the id of the row that stands for every id not in the table (out of vocabulary). Each table has it from the start, at slot 0.
const UnknownID uint64 = 0

// Options of a table. State is how many floats of optimizer state lie beside each row's Dim weights (Adam: 2·Dim).
type Options struct {
	Dim     int
	State   int
	Seed    uint64
	InitStd float64 // standard deviation of new rows; the unknown row too
	Rows    int     // expected rows, a hint
}

// Table maps ids to rows.
type Table struct{ name string }

// New returns a table that holds only the unknown row.
func New(name string, o Options) (*Table, error) { panic("contract") }

func (t *Table) Name() string { panic("contract") }
func (t *Table) Dim() int     { panic("contract") }

// Len counts rows, the unknown one included.
func (t *Table) Len() int { panic("contract") }

// Find returns the slot of id, or None.
func (t *Table) Find(id uint64) uint32 { panic("contract") }

// Resolve writes the slot of each id to dst, the unknown row's where an id is absent.
func (t *Table) Resolve(dst []uint32, ids []uint64) { panic("contract") }

// Admit returns the slot of id, adding the row where it is absent.
func (t *Table) Admit(id uint64) uint32 { panic("contract") }

// ID returns the id in a slot; Row its weights [Dim] and State its optimizer state, both in place.
func (t *Table) ID(slot uint32) uint64       { panic("contract") }
func (t *Table) Row(slot uint32) []float32   { panic("contract") }
func (t *Table) State(slot uint32) []float32 { panic("contract") }

// Gather copies the rows of slots into dst at dst[i·stride:][:Dim].
func (t *Table) Gather(dst []float32, stride int, slots []uint32) { panic("contract") }

// Touch marks a slot as changed; Changed returns the slots marked since the last call to it, ascending, and clears the marks.
func (t *Table) Touch(slot uint32)             { panic("contract") }
func (t *Table) Changed(dst []uint32) []uint32 { panic("contract") }
