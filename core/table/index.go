package table

import (
	"math/bits"
	"sync/atomic"
	"unsafe"
)

// index maps ids to slots by extendible hashing: a directory over the hash's top bits points to segments of buckets, one cache line each, with linear probing
// from bucket to bucket. A full segment doubles while it is small and moves half of its ids to a new one afterwards, so growth never rehashes more than one
// segment at a time. Slot 0, the unknown row's, is never in it and marks a free place.
//
// One goroutine inserts and removes; any number find at the same time, without locks. Every bucket has a version that is odd while it is written: who reads it
// reads it again when the version has moved. Segments, once in the directory, are never used for anything else, and ids leave one only when the directory
// already points elsewhere: who did not find an id looks again when the directory has changed.
type index struct {
	mem  *arena
	dir  atomic.Pointer[directory]
	meta []*segment // of the writer, by directory entry
	size int64      // bytes of segments that the directory points to
}

// directory is 2^depth pointers to segments; neighbours may be the same. Segments begin a cache line: the pointers' low bits are the logarithm of the number of buckets.
type directory struct {
	segments []unsafe.Pointer
	shift    uint // 32 − depth
}

type segment struct {
	first   *bucket
	buckets int
	depth   int
	used    int
}

// bucket is a cache line of ids with their slots. meta is its version, odd while it is written, over the number of ids that found it full and went on (8 bits,
// 255 for good when it gets there).
type bucket struct {
	ids   [bucketIDs]uint64
	slots [bucketIDs]uint32
	meta  uint32
}

const (
	bucketIDs    = 5
	passedMask   = 1<<8 - 1
	versionStep  = 1 << 8
	maxBuckets   = 1 << 10 // 64 KB a segment, 4352 ids
	maxDepth     = 20      // a bound on the directory whatever the ids; beyond it segments double instead
	bucketBytes  = int(unsafe.Sizeof(bucket{}))
	fullSegments = maxBuckets * bucketIDs
)

// most is how many ids a segment takes: 85 of 100 places.
func (m *segment) most() int { return m.buckets * bucketIDs * 85 / 100 }

func (m *segment) bucket(i uint64) *bucket {
	return (*bucket)(unsafe.Add(unsafe.Pointer(m.first), int(i&uint64(m.buckets-1))*bucketBytes))
}

func (m *segment) pointer() unsafe.Pointer {
	return unsafe.Add(unsafe.Pointer(m.first), bits.TrailingZeros(uint(m.buckets)))
}

func newIndex(mem *arena, rows int) (*index, error) {
	depth := 0
	for rows>>depth > fullSegments*115/100 && depth < maxDepth { // even the emptiest would split
		depth++
	}
	buckets := 1
	for buckets < maxBuckets && buckets*bucketIDs*85/100 < rows {
		buckets *= 2
	}
	x := &index{mem: mem, meta: make([]*segment, 1<<depth)}
	d := &directory{segments: make([]unsafe.Pointer, 1<<depth), shift: uint(32 - depth)}
	for i := range x.meta {
		m, err := x.segment(buckets, depth)
		if err != nil {
			return nil, err
		}
		x.meta[i], d.segments[i] = m, m.pointer()
	}
	x.dir.Store(d)
	return x, nil
}

func (x *index) segment(buckets, depth int) (*segment, error) {
	p, err := x.mem.alloc(buckets*bucketBytes, read)
	if err != nil {
		return nil, err
	}
	x.size += int64(buckets * bucketBytes)
	return &segment{first: (*bucket)(p), buckets: buckets, depth: depth}, nil
}

// mix is the finalizer of MurmurHash3: ids may be small integers as well as hashes.
func mix(id uint64) uint64 {
	id ^= id >> 33
	id *= 0xff51afd7ed558ccd
	id ^= id >> 33
	id *= 0xc4ceb9fe1a85ec53
	return id ^ id>>33
}

// place is where a hash lies in the directory, as a fraction of 2³². It is not uniform but about 2^x − 1 of a uniform x: segments would otherwise all fill
// at the same time, and all split, and the memory an id takes would swing by a factor of two with the number of ids. This way as many segments are nearly empty
// as a mean over that swing has, at any number of ids.
func place(h uint64) uint64 {
	const a = 2819651338 // 0.6565·2³²; 2^x − 1 ≈ x·(0.6565 + 0.3435·x)
	x := h >> 32
	return x * (a + (1<<32-a)*x>>32) >> 32
}

// at returns the entry of the directory for a hash.
func (x *index) at(h uint64) unsafe.Pointer {
	d := x.dir.Load()
	return atomic.LoadPointer(&d.segments[place(h)>>d.shift])
}

// home is the bucket of a segment where a hash's probing begins, and the segment's first bucket and mask.
func home(segment unsafe.Pointer, h uint64) (b *bucket, first unsafe.Pointer, mask uint64) {
	log := uint64(uintptr(segment)) & (lineBytes - 1)
	first, mask = unsafe.Add(segment, -int(log)), 1<<log-1
	return (*bucket)(unsafe.Add(first, int(h&mask)*bucketBytes)), first, mask
}

// find returns id's slot, or None.
func (x *index) find(id uint64) uint32 {
	h := mix(id)
	for {
		s := x.at(h)
		b, first, mask := home(s, h)
		for i := h; ; {
			slot, meta := b.find(id)
			if slot != 0 {
				return slot
			}
			if meta&passedMask == 0 || i-h > mask {
				break
			}
			i++
			b = (*bucket)(unsafe.Add(first, int(i&mask)*bucketBytes))
		}
		if x.at(h) == s {
			return None
		}
	}
}

// find returns id's slot in the bucket, or 0, and the bucket's meta at that time. It is written out for its five places: the compiler then chooses without a branch, and nothing but loads
// and comparisons is left.
func (b *bucket) find(id uint64) (slot, meta uint32) {
	for {
		meta = atomic.LoadUint32(&b.meta)
		slot = 0
		s0 := atomic.LoadUint32(&b.slots[0])
		s1 := atomic.LoadUint32(&b.slots[1])
		s2 := atomic.LoadUint32(&b.slots[2])
		s3 := atomic.LoadUint32(&b.slots[3])
		s4 := atomic.LoadUint32(&b.slots[4])
		if atomic.LoadUint64(&b.ids[0]) == id {
			slot = s0
		}
		if atomic.LoadUint64(&b.ids[1]) == id {
			slot = s1
		}
		if atomic.LoadUint64(&b.ids[2]) == id {
			slot = s2
		}
		if atomic.LoadUint64(&b.ids[3]) == id {
			slot = s3
		}
		if atomic.LoadUint64(&b.ids[4]) == id {
			slot = s4
		}
		if meta&versionStep == 0 && atomic.LoadUint32(&b.meta) == meta {
			return slot, meta
		}
	}
}

// resolveGroup is how many ids have their first probes loaded together, so that their cache misses overlap.
const resolveGroup = 256

// resolveRounds is how many buckets further on an id is looked for together with others; few ids are not found by then.
const resolveRounds = 3

// resolve is find over a batch with 0 for the absent. Each of its loops does one thing for the whole group: the fewer instructions lie between two loads that
// miss the caches, the more of them are under way at a time.
func (x *index) resolve(dst []uint32, ids []uint64) {
	var at [resolveGroup]*bucket
	var late [resolveGroup]uint16 // at its start ids that went on to the next bucket, at its end those that no bucket has
	for len(ids) > 0 {
		n := min(resolveGroup, len(ids))
		d := x.dir.Load()
		for i, id := range ids[:n] {
			h := mix(id)
			at[i], _, _ = home(atomic.LoadPointer(&d.segments[place(h)>>d.shift]), h)
		}
		behind, absent := 0, resolveGroup
		touch(at[:n])
		for i, id := range ids[:n] {
			slot, meta := at[i].find(id)
			if dst[i] = slot; slot == 0 {
				if meta&passedMask != 0 {
					late[behind] = uint16(i)
					behind++
				} else if id != UnknownID {
					absent--
					late[absent] = uint16(i)
				}
			}
		}
		for round := uint64(1); behind > 0 && round <= resolveRounds; round++ {
			for j, i := range late[:behind] {
				at[j] = x.further(ids[i], round)
			}
			touch(at[:behind])
			left := 0
			for j, i := range late[:behind] {
				if dst[i], _ = at[j].find(ids[i]); dst[i] == 0 {
					late[left] = i
					left++
				}
			}
			behind = left
		}
		for _, some := range [][]uint16{late[:behind], late[absent:]} {
			for _, i := range some {
				if slot := x.find(ids[i]); slot != None {
					dst[i] = slot
				}
			}
		}
		ids, dst = ids[n:], dst[n:]
	}
}

// touch loads the buckets' lines, all at once.
func touch(at []*bucket) {
	for _, b := range at {
		atomic.LoadUint32(&b.meta)
	}
}

// further is the bucket so many after the first that id is looked for in.
func (x *index) further(id, buckets uint64) *bucket {
	h := mix(id)
	_, first, mask := home(x.at(h), h)
	return (*bucket)(unsafe.Add(first, int((h+buckets)&mask)*bucketBytes))
}

// insert adds an id that is absent.
func (x *index) insert(id uint64, slot uint32) error {
	h := mix(id)
	for {
		i := place(h) >> x.dir.Load().shift
		if m := x.meta[i]; m.used < m.most() {
			m.put(h, id, slot)
			return nil
		}
		if err := x.grow(i); err != nil {
			return err
		}
	}
}

// put adds an id to a segment that has room.
func (m *segment) put(h, id uint64, slot uint32) {
	m.used++
	for i := h; ; i++ {
		b := m.bucket(i)
		for j, s := range b.slots {
			if s == 0 {
				b.write(j, id, slot)
				return
			}
		}
		b.pass(1)
	}
}

// write sets one place of a bucket, for readers all at once.
func (b *bucket) write(i int, id uint64, slot uint32) {
	v := b.meta
	atomic.StoreUint32(&b.meta, v+versionStep)
	atomic.StoreUint64(&b.ids[i], id)
	atomic.StoreUint32(&b.slots[i], slot)
	atomic.StoreUint32(&b.meta, v+2*versionStep)
}

// pass counts an id that went on to the next bucket, or one fewer.
func (b *bucket) pass(by int32) {
	if b.meta&passedMask != passedMask {
		atomic.StoreUint32(&b.meta, b.meta+uint32(by))
	}
}

// remove takes an id out. It is there.
func (x *index) remove(id uint64) {
	h := mix(id)
	x.meta[place(h)>>x.dir.Load().shift].remove(h, id)
}

func (m *segment) remove(h, id uint64) {
	for i := h; ; i++ {
		b := m.bucket(i)
		for j, s := range b.slots {
			if s != 0 && b.ids[j] == id {
				b.write(j, 0, 0)
				m.used--
				for k := h; k != i; k++ {
					m.bucket(k).pass(-1)
				}
				return
			}
		}
	}
}

// each calls do for every id of a segment.
func (m *segment) each(do func(h, id uint64, slot uint32)) {
	for i := range m.buckets {
		b := m.bucket(uint64(i))
		for j, s := range b.slots {
			if s != 0 {
				do(mix(b.ids[j]), b.ids[j], s)
			}
		}
	}
}

// grow makes room in the segment at entry i of the directory.
func (x *index) grow(i uint64) error {
	m := x.meta[i]
	if m.buckets < maxBuckets || m.depth == maxDepth {
		wide, err := x.segment(2*m.buckets, m.depth)
		if err != nil {
			return err
		}
		m.each(wide.put)
		x.size -= int64(m.buckets * bucketBytes)
		x.assign(i, wide)
		return nil
	}
	half, err := x.segment(m.buckets, m.depth+1)
	if err != nil {
		return err
	}
	if 1<<m.depth == len(x.meta) {
		x.double()
		i *= 2
	}
	bit := uint(31 - m.depth) // of the place, that tells the halves apart
	m.each(func(h, id uint64, slot uint32) {
		if place(h)>>bit&1 == 1 {
			half.put(h, id, slot)
		}
	})
	span := uint64(len(x.meta) >> m.depth)
	first := i &^ (span - 1)
	m.depth++
	x.assign(first+span/2, half)
	half.each(func(h, id uint64, _ uint32) { m.remove(h, id) })
	return nil
}

// assign points every directory entry that shares i's prefix of m.depth bits to a segment.
func (x *index) assign(i uint64, m *segment) {
	d := x.dir.Load()
	span := uint64(len(x.meta) >> m.depth)
	first := i &^ (span - 1)
	for j := first; j < first+span; j++ {
		x.meta[j] = m
		atomic.StorePointer(&d.segments[j], m.pointer())
	}
}

func (x *index) double() {
	old := x.dir.Load()
	d := &directory{segments: make([]unsafe.Pointer, 2*len(old.segments)), shift: old.shift - 1}
	meta := make([]*segment, 2*len(x.meta))
	for i, s := range old.segments {
		d.segments[2*i], d.segments[2*i+1] = s, s
		meta[2*i], meta[2*i+1] = x.meta[i], x.meta[i]
	}
	x.meta = meta
	x.dir.Store(d)
}

// bytes is the memory of the segments and of the directory, the writer's notes included.
func (x *index) bytes() int64 {
	return x.size + int64(len(x.meta))*(16+int64(unsafe.Sizeof(segment{})))
}
