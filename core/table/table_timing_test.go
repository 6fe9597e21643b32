package table

import (
	"fmt"
	"math/rand/v2"
	"testing"
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
