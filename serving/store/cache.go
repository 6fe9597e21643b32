package store

import (
	"math/bits"
	"sync"
	"sync/atomic"
)

// nearCache keeps rows of one generation in this process. An entry is an id of a vocabulary with its rows of all tables of that vocabulary side by side, and a
// mask of the tables that have the id; an empty mask is a negative entry: no table has it.
//
// Two halves hold the working set: a hit in the old half is copied to the new one; when the new half holds half of the budget, the old one is dropped and the
// new one becomes old. No entry carries bookkeeping, and rows lie in arenas.
//
// What keeps entries right: refresh first advances the epoch, then replaces what it must, shard by shard under the shard's lock. A row that was fetched
// in an earlier epoch is not inserted any more, so a value read before a delta cannot come in after it.
type nearCache struct {
	spaces []space // one a vocabulary
	half   int64   // bytes that a half may hold
	used   atomic.Int64
	epoch  atomic.Uint64
	turn   sync.Mutex // held while the halves turn
}

// space is the entries of one vocabulary.
type space struct {
	width  int // floats of an entry
	shards [shardCount]shard
}

const (
	shardBits  = 4
	shardCount = 1 << shardBits
	arenaRows  = 32
	entryBytes = 48 // index and arena slack of an entry beside its floats
)

type shard struct {
	mu       sync.RWMutex
	now, old half
}

type half struct {
	index map[uint64]entry
	arena [][]float32 // [arenaRows, width] each
	free  []uint32
	rows  uint32
}

type entry struct {
	mask uint64
	slot uint32 // noSlot: the mask is empty
}

const noSlot = ^uint32(0)

func newNearCache(widths []int, budget int64) *nearCache {
	c := &nearCache{spaces: make([]space, len(widths)), half: budget / 2}
	for i, w := range widths {
		c.spaces[i].width = w
	}
	return c
}

func shardOf(id uint64) int {
	hi, _ := bits.Mul64(id*0xd6e8feb86659fd93, shardCount)
	return int(hi)
}

func (h *half) row(slot uint32, width int) []float32 {
	return h.arena[slot/arenaRows][int(slot%arenaRows)*width:][:width:width]
}

// put sets an entry and returns how many bytes it added.
func (h *half) put(id, mask uint64, row []float32, width int) int64 {
	if h.index == nil {
		h.index = map[uint64]entry{}
	}
	e, known := h.index[id]
	if !known {
		e.slot = noSlot
	}
	had := e.slot != noSlot
	switch {
	case mask == 0 && had:
		h.free = append(h.free, e.slot)
		e.slot = noSlot
	case mask != 0 && !had:
		if n := len(h.free); n > 0 {
			e.slot, h.free = h.free[n-1], h.free[:n-1]
		} else {
			if h.rows%arenaRows == 0 {
				h.arena = append(h.arena, make([]float32, arenaRows*width))
			}
			e.slot = h.rows
			h.rows++
		}
	}
	e.mask = mask
	if mask != 0 {
		copy(h.row(e.slot, width), row)
	}
	h.index[id] = e
	if known {
		return 0
	}
	return entryBytes + int64(4*width)
}

// read copies the entries of ids that are cached: entry i to dst[i·width:] and its mask to masks[i]. It appends the positions of the others to miss and
// returns them. byShard is scratch.
func (c *nearCache) read(vocabulary int, ids []uint64, dst []float32, masks []uint64, miss []int32, byShard *shardOrder) []int32 {
	sp := &c.spaces[vocabulary]
	w := sp.width
	byShard.sort(ids)
	for k := range sp.shards {
		list := byShard.of(k)
		if len(list) == 0 {
			continue
		}
		sh := &sp.shards[k]
		old := byShard.old[:0]
		sh.mu.RLock()
		for _, i := range list {
			h := &sh.now
			e, ok := h.index[ids[i]]
			if !ok {
				h = &sh.old
				if e, ok = h.index[ids[i]]; !ok {
					miss = append(miss, i)
					continue
				}
				old = append(old, i)
			}
			masks[i] = e.mask
			if e.mask != 0 {
				copy(dst[int(i)*w:][:w], h.row(e.slot, w))
			}
		}
		sh.mu.RUnlock()
		byShard.old = old
		if len(old) > 0 {
			c.renew(sh, w, ids, old)
		}
	}
	return miss
}

// renew copies entries from the old half to the new one.
func (c *nearCache) renew(sh *shard, w int, ids []uint64, list []int32) {
	var added int64
	sh.mu.Lock()
	for _, i := range list {
		e, ok := sh.old.index[ids[i]]
		if _, newer := sh.now.index[ids[i]]; !ok || newer {
			continue
		}
		var row []float32
		if e.mask != 0 {
			row = sh.old.row(e.slot, w)
		}
		added += sh.now.put(ids[i], e.mask, row, w)
	}
	sh.mu.Unlock()
	c.grow(added)
}

// insert adds entries fetched in an epoch; where that has passed, it adds nothing.
func (c *nearCache) insert(vocabulary int, epoch uint64, ids []uint64, list []int32, rows []float32, masks []uint64) {
	sp := &c.spaces[vocabulary]
	w := sp.width
	var added int64
	for _, i := range list {
		sh := &sp.shards[shardOf(ids[i])]
		sh.mu.Lock()
		if c.epoch.Load() != epoch {
			sh.mu.Unlock()
			break
		}
		added += sh.now.put(ids[i], masks[i], rows[int(i)*w:][:w], w)
		sh.mu.Unlock()
	}
	c.grow(added)
}

// grow counts what was added and turns the halves when the new one is full.
func (c *nearCache) grow(added int64) {
	if added == 0 || c.used.Add(added) <= c.half || !c.turn.TryLock() {
		return
	}
	defer c.turn.Unlock()
	if c.used.Load() <= c.half {
		return
	}
	c.used.Store(0)
	c.each(func(sh *shard) { sh.old, sh.now = sh.now, half{} })
}

// each calls f for every shard under its lock.
func (c *nearCache) each(f func(sh *shard)) {
	for v := range c.spaces {
		for k := range c.spaces[v].shards {
			sh := &c.spaces[v].shards[k]
			sh.mu.Lock()
			f(sh)
			sh.mu.Unlock()
		}
	}
}

// drop empties the cache.
func (c *nearCache) drop() {
	c.epoch.Add(1)
	c.each(func(sh *shard) { sh.old, sh.now = half{}, half{} })
	c.used.Store(0)
}

// cached returns those of ids that the cache holds, negative entries included.
func (c *nearCache) cached(vocabulary int, ids []uint64) []uint64 {
	var out []uint64
	sp := &c.spaces[vocabulary]
	for _, id := range ids {
		sh := &sp.shards[shardOf(id)]
		sh.mu.RLock()
		_, ok := sh.now.index[id]
		if !ok {
			_, ok = sh.old.index[id]
		}
		sh.mu.RUnlock()
		if ok {
			out = append(out, id)
		}
	}
	return out
}

// replace sets entries to newer values.
func (c *nearCache) replace(vocabulary int, ids []uint64, rows []float32, masks []uint64) {
	sp := &c.spaces[vocabulary]
	w := sp.width
	var added int64
	for i, id := range ids {
		sh := &sp.shards[shardOf(id)]
		sh.mu.Lock()
		delete(sh.old.index, id)
		added += sh.now.put(id, masks[i], rows[i*w:][:w], w)
		sh.mu.Unlock()
	}
	c.grow(added)
}

// recent returns up to limit ids of a vocabulary from the new half.
func (c *nearCache) recent(vocabulary, limit int) []uint64 {
	var ids []uint64
	sp := &c.spaces[vocabulary]
	for k := range sp.shards {
		sh := &sp.shards[k]
		sh.mu.RLock()
		for id := range sh.now.index {
			if len(ids) == limit {
				break
			}
			ids = append(ids, id)
		}
		sh.mu.RUnlock()
	}
	return ids
}

// shardOrder is the positions of ids grouped by shard, with scratch that is kept from call to call.
type shardOrder struct {
	starts [shardCount + 1]int32
	order  []int32
	old    []int32
}

func (o *shardOrder) sort(ids []uint64) {
	o.starts = [shardCount + 1]int32{}
	for _, id := range ids {
		o.starts[shardOf(id)+1]++
	}
	for k := range shardCount {
		o.starts[k+1] += o.starts[k]
	}
	if cap(o.order) < len(ids) {
		o.order = make([]int32, 2*len(ids))
	}
	o.order = o.order[:len(ids)]
	next := o.starts
	for i, id := range ids {
		k := shardOf(id)
		o.order[next[k]] = int32(i)
		next[k]++
	}
}

func (o *shardOrder) of(k int) []int32 { return o.order[o.starts[k]:o.starts[k+1]] }
