package table

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unsafe"

	"github.com/millrace/millrace/core/snapshot"
)

// PartPrefix is what a table's name follows in the name of its part.
const PartPrefix = "table/"

// StateTensor is the name of the optimizer state in a table's part: who only scores need not read it (snapshot.Snapshot.Part can leave it out).
const StateTensor = "state"

// The tensors of a table's part: ids U64 [N], rows F32 [N, Dim] and, where the table has any, state F32 [N, State]. A table that tracks has for each slot
// the step at which it was last touched and its count, seen U32 [N, 2]; its ledger's events, oldest first, ledger U64 [K, 3]; and life U64 [7]: step, the
// hole to be filled next, where evicting by age and by size go on, how many rows came in this step and are expected in one, and how many events the ledger has had. Where there is life, slots
// after the first may have id 0: holes that evicted rows left, of which the first number of seen is the hole to be filled after it.
const (
	idsTensor    = "ids"
	rowsTensor   = "rows"
	seenTensor   = "seen"
	ledgerTensor = "ledger"
	lifeTensor   = "life"

	lifeWords = 7
)

// Part is the table as a part of a checkpoint, in slot order: sums over the whole table run in that order, so a table read back
// gives the same bits. The tensors are views of the table: it must not change until they are written.
func (t *Table) Part() snapshot.Part {
	n := t.Len()
	ids := snapshot.Tensor{Name: idsTensor, DType: "U64", Shape: []int{n}, Pieces: make([][]byte, 0, t.Chunks()), Keep: t}
	rows := snapshot.Tensor{Name: rowsTensor, DType: "F32", Shape: []int{n, t.opt.Dim}, Pieces: make([][]byte, 0, t.Chunks()), Keep: t}
	state := snapshot.Tensor{Name: StateTensor, DType: "F32", Shape: []int{n, t.opt.State}, Pieces: make([][]byte, 0, t.Chunks()), Keep: t}
	for i := range t.Chunks() {
		r, s := t.Chunk(i)
		ids.Pieces = append(ids.Pieces, snapshot.Bytes(t.chunkIDs(i)))
		rows.Pieces = append(rows.Pieces, snapshot.Bytes(r))
		state.Pieces = append(state.Pieces, snapshot.Bytes(s))
	}
	p := snapshot.Part{Name: PartPrefix + t.name, Tensors: []snapshot.Tensor{ids, rows}}
	if t.opt.State > 0 {
		p.Tensors = append(p.Tensors, state)
	}
	if t.opt.Track || t.life.holes > 0 { // unaged rows get their age at the next Maintain, on resuming as well
		p.Tensors = append(p.Tensors, t.lifeTensors()...)
	}
	return p
}

// lifeTensors are what the table knows of its rows' coming and going.
func (t *Table) lifeTensors() []snapshot.Tensor {
	l := &t.life
	life := snapshot.NewTensor(lifeTensor, []uint64{
		uint64(l.now), uint64(l.free), uint64(l.old), uint64(l.hand), uint64(l.came), uint64(l.expect), l.ledger.total,
	})
	if !t.opt.Track || l.unaged {
		return []snapshot.Tensor{life}
	}
	seen := snapshot.Tensor{Name: seenTensor, DType: "U32", Shape: []int{t.Len(), 2}, Pieces: make([][]byte, 0, t.Chunks()), Keep: t}
	for i := range t.Chunks() {
		first := unsafe.Pointer(t.seen(uint32(i * ChunkRows)))
		seen.Pieces = append(seen.Pieces, snapshot.Bytes(unsafe.Slice((*uint32)(first), 2*len(t.chunkIDs(i)))))
	}
	events := l.ledger.ordered()
	return []snapshot.Tensor{seen, life, snapshot.NewTensor(ledgerTensor, events, len(events)/eventWords, eventWords)}
}

// FromPart makes a table from its part, with the part's slots and no marks. A zero Dim takes the part's. With a State of 0 the part's optimizer state is left out;
// where the part has none it starts at zero; of another width it is an error.
func FromPart(p *snapshot.Part, o Options) (*Table, error) {
	t, err := fromPart(p, o)
	if err != nil {
		return nil, fmt.Errorf("make a table from part %s: %w", p.Name, err)
	}
	return t, nil
}

func fromPart(p *snapshot.Part, o Options) (*Table, error) {
	name, ok := strings.CutPrefix(p.Name, PartPrefix)
	if !ok {
		return nil, fmt.Errorf("its name does not begin with %s", PartPrefix)
	}
	it, _ := p.Tensor(idsTensor)
	ids, err := snapshot.Values[uint64](it)
	if err != nil {
		return nil, err
	}
	n := len(ids)
	rt, _ := p.Tensor(rowsTensor)
	if o.Dim == 0 && len(rt.Shape) == 2 {
		o.Dim = rt.Shape[1]
	}
	rows, err := matrix(rt, n, o.Dim)
	if err != nil {
		return nil, err
	}
	var state []float32
	if st, ok := p.Tensor(StateTensor); ok && o.State > 0 {
		if state, err = matrix(st, n, o.State); err != nil {
			return nil, err
		}
	}
	if n == 0 || uint64(n) > uint64(None) {
		return nil, fmt.Errorf("%d ids, want 1 to %d", n, None)
	}
	if ids[0] != UnknownID {
		return nil, fmt.Errorf("the first id is %d, want the unknown row's, %d", ids[0], UnknownID)
	}
	o.Rows = max(o.Rows, n)
	t, err := empty(name, o)
	if err != nil {
		return nil, err
	}
	if err := t.fill(p, ids, rows, state); err != nil {
		t.Close()
		return nil, err
	}
	return t, nil
}

func (t *Table) fill(p *snapshot.Part, ids []uint64, rows, state []float32) error {
	_, holes := p.Tensor(lifeTensor)
	for i, id := range ids {
		hole := holes && i > 0 && id == UnknownID
		if i > 0 && !hole && t.Find(id) != None {
			return fmt.Errorf("id %d is there twice", id)
		}
		s := t.push(id, rows[i*t.opt.Dim:][:t.opt.Dim])
		if t.err != nil {
			return t.err
		}
		if state != nil {
			copy(t.State(s), state[i*t.opt.State:])
		}
		if hole {
			t.life.holes++
		}
	}
	if err := t.fillLife(p); err != nil {
		return err
	}
	t.Changed(nil)
	return nil
}

// lifeValues are the numbers of the tensors that lifeTensors wrote.
func lifeValues(p *snapshot.Part, lt, st snapshot.Tensor) (life []uint64, seen []uint32, events []uint64, err error) {
	if life, err = snapshot.Values[uint64](lt); err != nil {
		return nil, nil, nil, err
	}
	if seen, err = snapshot.Values[uint32](st); err != nil {
		return nil, nil, nil, err
	}
	et, _ := p.Tensor(ledgerTensor)
	events, err = snapshot.Values[uint64](et)
	return life, seen, events, err
}

// fillLife reads what lifeTensors wrote. A table whose part has ages tracks.
func (t *Table) fillLife(p *snapshot.Part) error {
	lt, ok := p.Tensor(lifeTensor)
	st, seen := p.Tensor(seenTensor)
	if t.life.unaged = !ok || !seen; t.life.unaged {
		return nil
	}
	if !t.Track() {
		return errors.New("out of memory for ages")
	}
	t.life.unaged = false
	life, values, events, err := lifeValues(p, lt, st)
	if err != nil {
		return err
	}
	switch {
	case len(life) != lifeWords:
		return fmt.Errorf("tensor %s has %d numbers, want %d", lifeTensor, len(life), lifeWords)
	case len(values) != 2*t.Len():
		return fmt.Errorf("tensor %s has %d numbers, want %d", seenTensor, len(values), 2*t.Len())
	case len(events)%eventWords != 0 || len(events) > LedgerEvents*eventWords:
		return fmt.Errorf("tensor %s has %d numbers, want a multiple of %d and at most %d", ledgerTensor, len(events), eventWords, LedgerEvents*eventWords)
	}
	for i := range t.n {
		*t.seen(i) = [2]uint32(values[2*i:])
	}
	l := &t.life
	l.now, l.free, l.old, l.hand = uint32(life[0]), uint32(life[1]), uint32(life[2]), uint32(life[3])
	l.came, l.expect = uint32(life[4]), uint32(life[5])
	l.ledger = ledger{words: slices.Clone(events), total: life[6]}
	holes := 0
	for s := l.free; s != 0; s = t.seen(s)[0] {
		if holes++; s >= t.n || t.ID(s) != UnknownID || holes > t.life.holes {
			return fmt.Errorf("the list of holes is wrong at slot %d", s)
		}
	}
	if holes != t.life.holes {
		return fmt.Errorf("%d slots have id %d, the list of holes has %d", t.life.holes, UnknownID, holes)
	}
	return nil
}

func matrix(t snapshot.Tensor, rows, cols int) ([]float32, error) {
	v, err := snapshot.Values[float32](t)
	if err != nil {
		return nil, err
	}
	if len(t.Shape) != 2 || t.Shape[0] != rows || t.Shape[1] != cols || len(v) != rows*cols {
		return nil, fmt.Errorf("tensor %s has shape %v, want [%d %d]", t.Name, t.Shape, rows, cols)
	}
	return v, nil
}

// AppendRows appends the rows of slots to r, as they travel in an update, and leaves holes out; an empty r takes the table's name and width.
func (t *Table) AppendRows(r snapshot.Rows, slots []uint32) snapshot.Rows {
	r.Table, r.Dim = t.name, t.opt.Dim
	for _, s := range slots {
		id := t.ID(s)
		if id == UnknownID && s != 0 {
			continue
		}
		r.IDs = append(r.IDs, id)
		r.Values = append(r.Values, t.Row(s)...)
	}
	return r
}
