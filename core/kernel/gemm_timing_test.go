package kernel

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// BenchmarkPeak is the speed of multiply-adds between registers: shares of peak are counted against it.
func BenchmarkPeak(b *testing.B) {
	var flops float64
	for b.Loop() {
		flops += MultiplyAdds(100000)
	}
	b.ReportMetric(flops/b.Elapsed().Seconds()/1e9, "GFLOP/s")
}

func BenchmarkGemm(b *testing.B) {
	type size struct {
		m, n, k        int
		transA, transB bool
	}
	sizes := []size{
		{4096, 400, 400, false, false}, {4096, 320, 400, false, false}, {512, 400, 400, false, false}, {100, 400, 400, false, false},
		{64, 400, 400, false, false}, {16, 400, 400, false, false}, {8, 400, 400, false, false}, {4, 400, 400, false, false},
		{2, 400, 400, false, false}, {1, 400, 400, false, false},
		{400, 400, 4096, true, false}, {4096, 400, 400, false, true}, {16, 400, 400, false, true},
		{4096, 1, 400, false, false}, {400, 1, 4096, true, false}, {4096, 401, 399, false, false}, {4096, 16, 64, false, false},
	}
	for _, threads := range []int{1, 2} {
		for _, s := range sizes {
			name := sizeName(s.m, s.n, s.k)
			if s.transA {
				name += "/AT"
			}
			if s.transB {
				name += "/BT"
			}
			b.Run(fmt.Sprintf("%s/threads=%d", name, threads), func(b *testing.B) {
				withThreads(b, threads)
				b.ReportAllocs()
				x, y, z := make([]float32, s.m*s.k), make([]float32, s.k*s.n), make([]float32, s.m*s.n)
				for i := range x {
					x[i] = float32(i%17) * 0.1
				}
				for i := range y {
					y[i] = float32(i%13) * 0.1
				}
				p := shaped(s.m, s.n, s.k, 0, 0)
				if s.transA {
					p.lda = s.m
				}
				if s.transB {
					p.ldb = s.k
				}
				for b.Loop() {
					Gemm(s.transA, s.transB, s.m, s.n, s.k, x, p.lda, y, p.ldb, false, z, p.ldc)
				}
				reportGFLOPs(b, s.m, s.n, s.k)
			})
		}
	}
}

func sizeName(m, n, k int) string { return fmt.Sprintf("%dx%dx%d", m, n, k) }

func reportGFLOPs(b *testing.B, m, n, k int) {
	b.ReportMetric(2*float64(m*n*k)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
}

func BenchmarkGemmPacked(b *testing.B) {
	withThreads(b, 1)
	const n, k = 400, 400
	rng := rand.New(rand.NewPCG(18, 19))
	w := Pack(k, n, random(rng, n*k), n) // not zeros: pages never written are all the same page
	for _, m := range []int{1, 2, 4, 8, 16, 100, 512} {
		b.Run(sizeName(m, n, k), func(b *testing.B) {
			b.ReportAllocs()
			a, c := random(rng, m*k), make([]float32, m*n)
			for b.Loop() {
				GemmPacked(m, a, k, w, false, c, n)
			}
			reportGFLOPs(b, m, n, k)
		})
	}
}
