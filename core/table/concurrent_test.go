package table

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
)

// rowOf is what every float of an id's row is in these tests.
func rowOf(id uint64) float32 { return float32(mix(id) >> 40) }

// TestReadersBesideTheWriter looks ids up and reads rows while the writer admits, overwrites and evicts them: a slot found holds the id or has just lost it,
// and a row read is the id's own.
func TestReadersBesideTheWriter(t *testing.T) {
	const dim, ids = 4, 8000
	for _, limits := range []Limits{{}, {MaxRows: 2000}, {EvictAfter: 20}} {
		table := newTable(t, "x", Options{Dim: dim, Limits: limits})
		var stop atomic.Bool
		var admitted atomic.Uint64 // ids up to it are there, where none is evicted
		var wg sync.WaitGroup
		for g := range uint64(2) {
			wg.Go(func() {
				rng := rand.New(rand.NewPCG(g, 3))
				batch, dst, slots := make([]uint64, 100), make([]float32, 100*dim), make([]uint32, 100)
				for !stop.Load() {
					there := admitted.Load()
					for i := range batch {
						batch[i] = 1 + rng.Uint64N(ids)
					}
					table.Read(dst, dim, batch)
					for i, id := range batch {
						got := [dim]float32(dst[i*dim:])
						if want := rowOf(id); got != [dim]float32{want, want, want, want} && (got != [dim]float32{} || limits == Limits{} && id <= there) {
							t.Errorf("row of id %d is %v, want %g", id, got, want)
							return
						}
					}
					there = admitted.Load()
					table.Resolve(slots, batch)
					for i, id := range batch {
						if limits == (Limits{}) && (slots[i] == 0 && id <= there || slots[i] != 0 && table.ID(slots[i]) != id) {
							t.Errorf("id %d at slot %d", id, slots[i])
							return
						}
						if s := table.Find(id); limits == (Limits{}) && s == None && id <= there {
							t.Errorf("id %d is not found", id)
							return
						}
					}
				}
			})
		}
		const rounds = 2
		row := make([]float32, dim)
		for id := range uint64(rounds * ids) {
			id = id%ids + 1
			for i := range row {
				row[i] = rowOf(id)
			}
			if id%64 == 0 {
				table.Maintain(uint32(id / 64))
			}
			table.Put(id, row)
			admitted.Store(max(admitted.Load(), id))
		}
		stop.Store(true)
		wg.Wait()
		if limits != (Limits{}) && table.life.ledger.total < ids {
			t.Errorf("%+v: only %d events", limits, table.life.ledger.total)
		}
	}
}
