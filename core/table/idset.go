package table

// IDSet numbers distinct ids in order of first appearance. Its hash table is kept from batch to batch; a stamp tells entries of this batch from older ones.
// The zero value is an empty set. It belongs to one goroutine.
type IDSet struct {
	ids     []uint64
	entries []idEntry
	stamp   uint32
}

type idEntry struct {
	id           uint64
	stamp, index uint32
}

// Reset empties the set and keeps its memory.
func (s *IDSet) Reset() {
	s.ids = s.ids[:0]
	if s.stamp++; s.stamp == 0 { // wrapped around: old stamps could be taken for new ones
		clear(s.entries)
		s.stamp = 1
	}
}

// IDs lists the ids by their numbers, until the next change.
func (s *IDSet) IDs() []uint64 { return s.ids }

// Append adds ids to the set and appends the number of each to dst.
func (s *IDSet) Append(dst []uint32, ids []uint64) []uint32 {
	s.Reserve(len(ids))
	for _, id := range ids {
		dst = append(dst, s.add(id))
	}
	return dst
}

// Add adds ids to the set, all but UnknownID.
func (s *IDSet) Add(ids []uint64) {
	s.Reserve(len(ids))
	for _, id := range ids {
		if id != UnknownID {
			s.add(id)
		}
	}
}

// add returns the number of id, which it gets where it has none; Reserve has made room.
func (s *IDSet) add(id uint64) uint32 {
	e := s.entry(id)
	if e.stamp != s.stamp {
		*e = idEntry{id, s.stamp, uint32(len(s.ids))}
		s.ids = append(s.ids, id)
	}
	return e.index
}

// Find returns the number of an id, or -1.
func (s *IDSet) Find(id uint64) int {
	if len(s.ids) == 0 {
		return -1
	}
	if e := s.entry(id); e.stamp == s.stamp {
		return int(e.index)
	}
	return -1
}

// entry is where id lies, or the free place where it would.
func (s *IDSet) entry(id uint64) *idEntry {
	mask := uint64(len(s.entries) - 1)
	for i := (id * 0x9e3779b97f4a7c15) >> 20 & mask; ; i = (i + 1) & mask {
		if e := &s.entries[i]; e.stamp != s.stamp || e.id == id {
			return e
		}
	}
}

// Reserve makes room for n ids more, at a load of one half.
func (s *IDSet) Reserve(n int) {
	if s.stamp == 0 {
		s.stamp = 1
	}
	size := max(len(s.entries), 256)
	for size < 2*(len(s.ids)+n) {
		size *= 2
	}
	if size == len(s.entries) {
		return
	}
	s.entries = make([]idEntry, size)
	for k, id := range s.ids {
		*s.entry(id) = idEntry{id, s.stamp, uint32(k)}
	}
}
