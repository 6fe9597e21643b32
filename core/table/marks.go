package table

import "math/bits"

// marks is a set of slots: a bit each, and above them a bit for every word that is not zero, so that taking few of many is cheap.
type marks struct {
	words []uint64
	above []uint64
}

// grow makes room for n more slots.
func (m *marks) grow(n int) {
	m.words = append(m.words, make([]uint64, n/64)...)
	for len(m.above)*64 < len(m.words) {
		m.above = append(m.above, 0)
	}
}

func (m *marks) set(slot uint32) {
	m.words[slot>>6] |= 1 << (slot & 63)
	m.above[slot>>12] |= 1 << (slot >> 6 & 63)
}

func (m *marks) take(dst []uint32) []uint32 {
	for i, a := range m.above {
		for ; a != 0; a &= a - 1 {
			j := i*64 + bits.TrailingZeros64(a)
			for w := m.words[j]; w != 0; w &= w - 1 {
				dst = append(dst, uint32(j*64+bits.TrailingZeros64(w)))
			}
			m.words[j] = 0
		}
		m.above[i] = 0
	}
	return dst
}

func (m *marks) bytes() int64 { return int64(len(m.words)+len(m.above)) * 8 }
