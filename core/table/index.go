package table

import "math/bits"

// index maps ids to slots by extendible hashing: a directory over the hash's top bits points to segments of open addressing
// (linear probing on the low bits). A full segment doubles while it is small and splits in two afterwards, so growth never
// rehashes more than one segment at a time. Slot 0, the unknown row's, is never in it and marks an empty entry.
type index struct {
	dir   [][]entry // 2^depth, neighbours may be the same segment
	meta  []*segment
	shift uint // 64 − depth
}

type entry struct {
	id   uint64
	slot uint32
}

type segment struct{ depth, used int }

const (
	minSegment = 1 << 6
	maxSegment = 1 << 14 // entries: 256 KB, about 60 µs to split
	maxDepth   = 20      // a bound on the directory whatever the ids; beyond it segments double instead
)

func newIndex(rows int) index {
	depth := 0
	for rows>>depth > maxSegment/2 && depth < maxDepth {
		depth++
	}
	size := minSegment
	for size < maxSegment && size/2 < rows {
		size *= 2
	}
	x := index{dir: make([][]entry, 1<<depth), meta: make([]*segment, 1<<depth), shift: uint(64 - depth)}
	for i := range x.dir {
		x.dir[i], x.meta[i] = make([]entry, size), &segment{depth: depth}
	}
	return x
}

// mix is the finalizer of MurmurHash3: ids may be small integers as well as hashes.
func mix(id uint64) uint64 {
	id ^= id >> 33
	id *= 0xff51afd7ed558ccd
	id ^= id >> 33
	id *= 0xc4ceb9fe1a85ec53
	return id ^ id>>33
}

func (x *index) find(id uint64) uint32 {
	h := mix(id)
	s := x.dir[h>>x.shift]
	mask := uint64(len(s) - 1)
	for i := h & mask; ; i = (i + 1) & mask {
		switch e := &s[i]; {
		case e.slot == 0:
			return None
		case e.id == id:
			return e.slot
		}
	}
}

// resolve is find over a batch with 0 for the absent. Ids go in groups whose first probes are loaded together, so that their cache misses overlap.
func (x *index) resolve(dst []uint32, ids []uint64) {
	const group = 16
	var hashes [group]uint64
	var first [group]entry
	for len(ids) > 0 {
		n := min(group, len(ids))
		for i, id := range ids[:n] {
			h := mix(id)
			hashes[i] = h
			s := x.dir[h>>x.shift]
			first[i] = s[h&uint64(len(s)-1)]
		}
		for i, id := range ids[:n] {
			e := first[i]
			if e.slot != 0 && e.id != id {
				h := hashes[i]
				s := x.dir[h>>x.shift]
				mask := uint64(len(s) - 1)
				for p := (h + 1) & mask; ; p = (p + 1) & mask {
					if e = s[p]; e.slot == 0 || e.id == id {
						break
					}
				}
			}
			dst[i] = e.slot
		}
		ids, dst = ids[n:], dst[n:]
	}
}

// insert adds an id that is absent.
func (x *index) insert(id uint64, slot uint32) {
	h := mix(id)
	for {
		i := h >> x.shift
		if m := x.meta[i]; m.used < len(x.dir[i])/4*3 {
			m.used++
			put(x.dir[i], h, entry{id, slot})
			return
		}
		x.grow(i)
	}
}

func put(s []entry, h uint64, e entry) {
	mask := uint64(len(s) - 1)
	i := h & mask
	for s[i].slot != 0 {
		i = (i + 1) & mask
	}
	s[i] = e
}

// grow makes room in segment i of the directory.
func (x *index) grow(i uint64) {
	old, m := x.dir[i], x.meta[i]
	depth := bits.Len(uint(len(x.dir))) - 1
	if len(old) < maxSegment || m.depth == maxDepth {
		s := make([]entry, 2*len(old))
		for _, e := range old {
			if e.slot != 0 {
				put(s, mix(e.id), e)
			}
		}
		x.assign(i, depth, s, m)
		return
	}
	if m.depth == depth {
		x.double()
		i, depth = 2*i, depth+1
	}
	low, high := make([]entry, len(old)), make([]entry, len(old))
	a, b := &segment{depth: m.depth + 1}, &segment{depth: m.depth + 1}
	for _, e := range old {
		if e.slot == 0 {
			continue
		}
		if h := mix(e.id); h>>(63-m.depth)&1 == 0 {
			put(low, h, e)
			a.used++
		} else {
			put(high, h, e)
			b.used++
		}
	}
	span := uint64(1) << (depth - m.depth)
	first := i &^ (span - 1)
	x.assign(first, depth, low, a)
	x.assign(first+span/2, depth, high, b)
}

// assign points every directory entry that shares i's prefix of m.depth bits to a segment.
func (x *index) assign(i uint64, depth int, s []entry, m *segment) {
	span := uint64(1) << (depth - m.depth)
	first := i &^ (span - 1)
	for j := first; j < first+span; j++ {
		x.dir[j], x.meta[j] = s, m
	}
}

func (x *index) double() {
	dir, meta := make([][]entry, 2*len(x.dir)), make([]*segment, 2*len(x.meta))
	for i := range x.dir {
		dir[2*i], dir[2*i+1] = x.dir[i], x.dir[i]
		meta[2*i], meta[2*i+1] = x.meta[i], x.meta[i]
	}
	x.dir, x.meta = dir, meta
	x.shift--
}

func (x *index) bytes() int64 {
	n := int64(len(x.dir)) * 32
	for i, m := range x.meta {
		if i == 0 || m != x.meta[i-1] {
			n += int64(len(x.dir[i])) * 16
		}
	}
	return n
}
