package table

import "math/bits"

// marks is the set of chunks that have a marked slot, so that taking few of many is cheap; the slots' own bits lie in the chunks.
type marks struct{ words []uint64 }

// grow makes room for n chunks.
func (m *marks) grow(n int) {
	for len(m.words)*64 < n {
		m.words = append(m.words, 0)
	}
}

func (m *marks) set(chunk uint32) { m.words[chunk>>6] |= 1 << (chunk & 63) }

// take appends the slots marked in the chunks' bits, ascending, and clears them.
func (m *marks) take(dst []uint32, chunk func(int) *[ChunkRows / 64]uint64) []uint32 {
	for i, w := range m.words {
		for ; w != 0; w &= w - 1 {
			c := i*64 + bits.TrailingZeros64(w)
			slots := chunk(c)
			for j, s := range slots {
				for ; s != 0; s &= s - 1 {
					dst = append(dst, uint32(c*ChunkRows+j*64+bits.TrailingZeros64(s)))
				}
			}
			*slots = [ChunkRows / 64]uint64{}
		}
		m.words[i] = 0
	}
	return dst
}

func (m *marks) bytes() int64 { return int64(cap(m.words)) * 8 }
