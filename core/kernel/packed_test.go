package kernel

import (
	"math/rand/v2"
	"testing"
)

func TestGemmPackedIsGemm(t *testing.T) {
	withThreads(t, 2)
	eachLevel(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(14, 15))
		f := func(m, n, k int) {
			t.Helper()
			for _, trans := range []bool{false, true} {
				for _, acc := range []bool{false, true} {
					p := shaped(m, n, k, 2*b2i(trans), 3)
					rows := k
					if trans {
						rows = n
					}
					a, b := random(rng, m*p.lda), random(rng, rows*p.ldb)
					got := random(rng, m*p.ldc)
					want := append([]float32(nil), got...)
					Gemm(false, trans, m, n, k, a, p.lda, b, p.ldb, acc, want, p.ldc)
					var w *Packed
					if trans {
						w = PackTransposed(k, n, b, p.ldb)
					} else {
						w = Pack(k, n, b, p.ldb)
					}
					clear(b)
					GemmPacked(m, a, p.lda, w, acc, got, p.ldc)
					if n != 1 {
						sameBits(t, got, want)
						continue
					}
					for i := range want {
						near(t, "C", float64(got[i]), float64(want[i]), float64(k+1), 1e-7)
					}
				}
			}
		}
		for v := range 68 {
			f(v, 1+rng.IntN(100), 1+rng.IntN(20))
			f(1+rng.IntN(20), v, 1+rng.IntN(20))
			f(1+rng.IntN(20), 1+rng.IntN(100), v)
		}
		f(9, 100, 1100)
		f(1, 300, 600)
	})
}

// Blocks packed by all threads before any multiplies give the bits of panels packed beforehand.
func TestGemmPackedInBlocks(t *testing.T) {
	withThreads(t, 3)
	defer func(were bool) { tiles = were }(tiles)
	tiles = false // they have blocks of their own
	best := level
	f := func(m, n, k int, trans bool, pad int) {
		t.Helper()
		if best == portable {
			return // slow, and without blocks
		}
		rng := rand.New(rand.NewPCG(16, 17))
		p := shaped(m, n, k, 2*b2i(trans), pad)
		rows := k
		if trans {
			rows = n
		}
		a, b := random(rng, m*p.lda), random(rng, rows*p.ldb)
		got, want := make([]float32, m*n), make([]float32, m*n)
		Gemm(false, trans, m, n, k, a, p.lda, b, p.ldb, false, got, n)
		GemmPacked(m, a, p.lda, pack(trans, k, n, b, p.ldb), false, want, n)
		sameBits(t, got, want)
	}
	f(300, 1111, 520, true, 0)
	f(257, 100, 40, true, 5)
	f(200, 1111, 520, false, 0)
	f(130, 1024, 70, false, 0)
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

func TestGemmPackedAllocatesNothing(t *testing.T) {
	w := Pack(100, 90, make([]float32, 9000), 90)
	a, c := make([]float32, 1600), make([]float32, 1600)
	f := func() { GemmPacked(16, a, 100, w, false, c, 90) }
	f()
	if n := testing.AllocsPerRun(20, f); n != 0 {
		t.Fatalf("%v allocations a product", n)
	}
}
