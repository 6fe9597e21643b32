package table

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// BenchmarkResolve looks up batches of ids that are all present, in random order, beside a Go map of the same ids.
func BenchmarkResolve(b *testing.B) {
	for _, n := range []int{10_000, 1_000_000} {
		rng := rand.New(rand.NewPCG(1, 2))
		table := newTable(b, "x", Options{Dim: 1})
		plain := make(map[uint64]uint32, n)
		ids := make([]uint64, n)
		for i := range ids {
			ids[i] = rng.Uint64() | 1
			plain[ids[i]] = table.Admit(ids[i])
		}
		rng.Shuffle(n, func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
		const batch = 4096
		slots := make([]uint32, batch)
		run := func(name string, look func(ids []uint64)) {
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) {
				b.ReportAllocs()
				at := 0
				for b.Loop() {
					if at += batch; at+batch > n {
						at = 0
					}
					look(ids[at:][:batch])
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/batch, "ns/id")
			})
		}
		run("resolve", func(ids []uint64) { table.Resolve(slots, ids) })
		run("find", func(ids []uint64) {
			for i, id := range ids {
				slots[i] = table.Find(id)
			}
		})
		run("map", func(ids []uint64) {
			for i, id := range ids {
				slots[i] = plain[id]
			}
		})
	}
}

// BenchmarkGather copies 4096 random rows of a million.
func BenchmarkGather(b *testing.B) {
	for _, dim := range []int{10, 16, 64} {
		rng := rand.New(rand.NewPCG(1, 2))
		table := newTable(b, "x", Options{Dim: dim})
		for id := range uint64(200_000) {
			table.Admit(id + 1)
		}
		slots := make([]uint32, 4096)
		for i := range slots {
			slots[i] = rng.Uint32N(200_000)
		}
		dst := make([]float32, 4096*dim)
		b.Run(fmt.Sprint(dim), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				table.Gather(dst, dim, slots)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/4096, "ns/row")
		})
	}
}

// BenchmarkAdmit grows a table from nothing to a million rows and reports the slowest single call.
func BenchmarkAdmit(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		rng := rand.New(rand.NewPCG(1, 2))
		table := newTable(b, "x", Options{Dim: 16, State: 32, InitStd: 0.01})
		for range 1_000_000 {
			table.Admit(rng.Uint64() | 1)
		}
		b.ReportMetric(float64(table.Bytes())/float64(table.Len()), "B/row")
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1e6, "ns/id")
}

// BenchmarkMaintain keeps a table of a million rows at its bound while ids come that it has not got, and reports the slowest call of Maintain.
func BenchmarkMaintain(b *testing.B) {
	b.ReportAllocs()
	const rows = 1_000_000
	table := newTable(b, "x", Options{Dim: 16, State: 32, Limits: Limits{MaxRows: rows, EvictAfter: 20_000}})
	rng := rand.New(rand.NewPCG(1, 2))
	step := uint32(0)
	next := func() time.Duration {
		step++
		start := time.Now()
		table.Maintain(step)
		spent := time.Since(start)
		for range 200 {
			if s := table.Admit(rng.Uint64() | 1); s != 0 {
				table.Touch(s)
			}
		}
		return spent
	}
	for table.Rows() < rows*9/10 {
		next()
	}
	evicted := table.Evicted(EvictedBySize) + table.Evicted(EvictedByAge)
	var slowest, all time.Duration
	for b.Loop() {
		spent := next()
		slowest, all = max(slowest, spent), all+spent
	}
	evicted = table.Evicted(EvictedBySize) + table.Evicted(EvictedByAge) - evicted
	b.ReportMetric(float64(slowest.Microseconds()), "slowest-µs")
	b.ReportMetric(float64(all.Microseconds())/float64(b.N), "maintain-µs")
	b.ReportMetric(float64(evicted)/float64(b.N), "evicted/step")
}

// BenchmarkSketch counts ids of which most are new.
func BenchmarkSketch(b *testing.B) {
	b.ReportAllocs()
	s, rng := NewSketch(), rand.New(rand.NewPCG(1, 2))
	for b.Loop() {
		s.Add(rng.Uint64())
	}
}

// BenchmarkExport encodes rows of 16 floats.
func BenchmarkExport(b *testing.B) {
	row := make([]float32, 16)
	for i := range row {
		row[i] = float32(i) * 0.01
	}
	b.Run("half", func(b *testing.B) {
		b.ReportAllocs()
		var dst []uint16
		for b.Loop() {
			dst = AppendHalf(dst[:0], row)
		}
	})
	b.Run("int8", func(b *testing.B) {
		b.ReportAllocs()
		var dst []int8
		for b.Loop() {
			dst, _ = AppendInt8(dst[:0], row)
		}
	})
}
