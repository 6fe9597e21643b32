package features

import (
	"encoding/binary"
	"math"
)

// packing is how rows of a schema's batches are packed into bytes: what the loader's buffers hold. Optional columns are kept when keep says so.
type packing struct {
	ragged                 []bool // a field
	ids                    []bool
	weights, groups, times bool
}

func newPacking(s *Schema, b *Batch) *packing {
	p := &packing{weights: b.Weights != nil, groups: b.Groups != nil, times: b.Times != nil}
	for i := range s.Fields {
		p.ragged = append(p.ragged, s.Fields[i].Ragged())
		p.ids = append(p.ids, s.Fields[i].HasIDs())
	}
	return p
}

// pack appends row r of b.
func (p *packing) pack(dst []byte, b *Batch, r int) []byte {
	for i := range b.Columns {
		c := &b.Columns[i]
		switch {
		case p.ragged[i]:
			ids := c.IDs[c.Offsets[r]:c.Offsets[r+1]]
			dst = binary.AppendUvarint(dst, uint64(len(ids)))
			for _, id := range ids {
				dst = binary.LittleEndian.AppendUint64(dst, id)
			}
		case p.ids[i]:
			dst = binary.LittleEndian.AppendUint64(dst, c.IDs[r])
		default:
			v := math.Float32bits(c.Values[r])
			if c.Missing[r] != 0 {
				dst = append(dst, 1)
			} else {
				dst = append(dst, 0)
			}
			dst = binary.LittleEndian.AppendUint32(dst, v)
		}
	}
	for _, l := range b.Labels {
		dst = binary.LittleEndian.AppendUint32(dst, math.Float32bits(l[r]))
	}
	if p.weights {
		dst = binary.LittleEndian.AppendUint32(dst, math.Float32bits(weightOf(b, r)))
	}
	if p.groups {
		dst = binary.LittleEndian.AppendUint64(dst, at(b.Groups, r))
	}
	if p.times {
		dst = binary.LittleEndian.AppendUint64(dst, uint64(at(b.Times, r)))
	}
	return dst
}

// unpack appends a packed row to b.
func (p *packing) unpack(src []byte, b *Batch) {
	le := binary.LittleEndian
	for i := range p.ids {
		c := &b.Columns[i]
		switch {
		case p.ragged[i]:
			n, k := binary.Uvarint(src)
			src = src[k:]
			for range n {
				c.IDs = append(c.IDs, le.Uint64(src))
				src = src[8:]
			}
			c.Offsets = append(c.Offsets, int32(len(c.IDs)))
		case p.ids[i]:
			c.IDs = append(c.IDs, le.Uint64(src))
			src = src[8:]
		default:
			c.Missing = append(c.Missing, float32(src[0]))
			c.Values = append(c.Values, math.Float32frombits(le.Uint32(src[1:])))
			src = src[5:]
		}
	}
	for i := range b.Labels {
		b.Labels[i] = append(b.Labels[i], math.Float32frombits(le.Uint32(src)))
		src = src[4:]
	}
	if p.weights {
		b.Weights = append(b.Weights, math.Float32frombits(le.Uint32(src)))
		src = src[4:]
	}
	if p.groups {
		b.Groups = append(b.Groups, le.Uint64(src))
		src = src[8:]
	}
	if p.times {
		b.Times = append(b.Times, int64(le.Uint64(src)))
	}
	b.Rows++
}

// empty readies b for unpacking.
func (p *packing) empty(b *Batch, labels int) {
	b.shape(len(p.ids), labels)
	b.Reset()
	for i := range p.ids {
		if p.ragged[i] {
			b.Columns[i].Offsets = append(b.Columns[i].Offsets[:0], 0)
		}
	}
	if p.weights {
		b.Weights = resize(b.weights, 0)
	}
	if p.groups {
		b.Groups = resize(b.groups, 0)
	}
	if p.times {
		b.Times = resize(b.times, 0)
	}
}

// packedRows are packed rows kept in memory, in blocks so that growing copies nothing.
type packedRows struct {
	blocks [][]byte
	at     []uint64 // block<<32 | offset
}

const packedBlock = 1 << 20

func (s *packedRows) add(row []byte) {
	if n := len(s.blocks); n == 0 || len(s.blocks[n-1])+len(row) > cap(s.blocks[n-1]) {
		s.blocks = append(s.blocks, make([]byte, 0, max(packedBlock, len(row))))
	}
	last := len(s.blocks) - 1
	s.at = append(s.at, uint64(last)<<32|uint64(len(s.blocks[last])))
	s.blocks[last] = append(s.blocks[last], row...)
}

func (s *packedRows) row(i int) []byte {
	at := s.at[i]
	return s.blocks[at>>32][uint32(at):]
}
