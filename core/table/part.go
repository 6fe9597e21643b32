package table

import (
	"fmt"
	"strings"

	"github.com/millrace/millrace/core/snapshot"
)

// PartPrefix is what a table's name follows in the name of its part.
const PartPrefix = "table/"

// StateTensor is the name of the optimizer state in a table's part: who only scores need not read it (snapshot.Snapshot.Part can leave it out).
const StateTensor = "state"

// The tensors of a table's part: ids U64 [N], rows F32 [N, Dim] and, where the table has any, state F32 [N, State].
const (
	idsTensor  = "ids"
	rowsTensor = "rows"
)

// Part is the table as a part of a checkpoint, in slot order: sums over the whole table run in that order, so a table read back
// gives the same bits. The tensors are views of the table: it must not change until they are written.
func (t *Table) Part() snapshot.Part {
	n := t.Len()
	ids := snapshot.Tensor{Name: idsTensor, DType: "U64", Shape: []int{n}, Pieces: make([][]byte, 0, t.Chunks())}
	rows := snapshot.Tensor{Name: rowsTensor, DType: "F32", Shape: []int{n, t.opt.Dim}, Pieces: make([][]byte, 0, t.Chunks())}
	state := snapshot.Tensor{Name: StateTensor, DType: "F32", Shape: []int{n, t.opt.State}, Pieces: make([][]byte, 0, t.Chunks())}
	for i := range t.Chunks() {
		r, s := t.Chunk(i)
		ids.Pieces = append(ids.Pieces, snapshot.Bytes(t.ids[i][:len(r)/t.opt.Dim]))
		rows.Pieces = append(rows.Pieces, snapshot.Bytes(r))
		state.Pieces = append(state.Pieces, snapshot.Bytes(s))
	}
	p := snapshot.Part{Name: PartPrefix + t.name, Tensors: []snapshot.Tensor{ids, rows}}
	if t.opt.State > 0 {
		p.Tensors = append(p.Tensors, state)
	}
	return p
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
	for i, id := range ids {
		if i > 0 && t.Find(id) != None {
			return nil, fmt.Errorf("id %d is there twice", id)
		}
		s := t.push(id)
		copy(t.Row(s), rows[i*o.Dim:])
		if state != nil {
			copy(t.State(s), state[i*o.State:])
		}
	}
	t.Changed(nil)
	return t, nil
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

// AppendRows appends the rows of slots to r, as they travel in an update; an empty r takes the table's name and width.
func (t *Table) AppendRows(r snapshot.Rows, slots []uint32) snapshot.Rows {
	r.Table, r.Dim = t.name, t.opt.Dim
	for _, s := range slots {
		r.IDs = append(r.IDs, t.ID(s))
		r.Values = append(r.Values, t.Row(s)...)
	}
	return r
}
