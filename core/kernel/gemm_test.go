package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// product is one Gemm call with its operands inside larger buffers, so that writes outside C's window show.
type product struct {
	transA, transB, acc bool
	m, n, k             int
	lda, ldb, ldc       int
}

const guard = 37 // elements kept before and after C, filled with canary

func check[T Float](t *testing.T, p product, rng *rand.Rand) {
	t.Helper()
	checkWith(t, p, rng, Gemm[T])
}

// checkWith compares the product that multiply computes with one in float64.
func checkWith[T Float](t *testing.T, p product, rng *rand.Rand, multiply func(transA, transB bool, m, n, k int, a []T, lda int, b []T, ldb int, acc bool, c []T, ldc int)) {
	t.Helper()
	fill := func(rows, ld int) []T {
		x := make([]T, rows*ld)
		for i := range x {
			x[i] = T(rng.Float64()*2 - 1)
		}
		return x
	}
	rowsA, rowsB := p.m, p.k
	if p.transA {
		rowsA = p.k
	}
	if p.transB {
		rowsB = p.n
	}
	a, b := fill(rowsA, p.lda), fill(rowsB, p.ldb)
	buf := fill(1, 2*guard+p.m*p.ldc)
	before := append([]T(nil), buf...)
	c := buf[guard:][:max(0, (p.m-1)*p.ldc+p.n)]
	multiply(p.transA, p.transB, p.m, p.n, p.k, a, p.lda, b, p.ldb, p.acc, c, p.ldc)
	eps := 6e-8
	if !single[T]() {
		eps = 1.2e-16
	}
	for at := range buf {
		i, j := (at-guard)/p.ldc, (at-guard)%p.ldc
		if at < guard || i >= p.m || j >= p.n {
			if buf[at] != before[at] {
				t.Fatalf("%s: wrote outside C at %d", p, at-guard)
			}
			continue
		}
		var want, size float64
		if p.acc {
			want = float64(before[at])
			size = math.Abs(want)
		}
		atA, stepA := i*p.lda, 1
		if p.transA {
			atA, stepA = i, p.lda
		}
		atB, stepB := j, p.ldb
		if p.transB {
			atB, stepB = j*p.ldb, 1
		}
		for q := range p.k {
			xy := float64(a[atA+q*stepA]) * float64(b[atB+q*stepB])
			want += xy
			size += math.Abs(xy)
		}
		if d := math.Abs(float64(buf[at]) - want); !(d <= eps*(size+1)*(4+math.Sqrt(float64(p.k)))) {
			t.Fatalf("%s: C[%d,%d] = %v, want %v", p, i, j, buf[at], want)
		}
	}
}

func (p product) String() string {
	return fmt.Sprintf("%dx%dx%d transA=%v transB=%v acc=%v ld %d %d %d", p.m, p.n, p.k, p.transA, p.transB, p.acc, p.lda, p.ldb, p.ldc)
}

// shaped fills in the strides: as tight as the flags allow, plus pad.
func shaped(m, n, k, flags, pad int) product {
	p := product{transA: flags&1 != 0, transB: flags&2 != 0, acc: flags&4 != 0, m: m, n: n, k: k, lda: k, ldb: n, ldc: n}
	if p.transA {
		p.lda = m
	}
	if p.transB {
		p.ldb = k
	}
	p.lda, p.ldb, p.ldc = max(1, p.lda+pad), max(1, p.ldb+pad), max(1, p.ldc+pad)
	return p
}

// eachLevel runs f with every instruction set this machine has, the portable one included.
func eachLevel(t *testing.T, f func(t *testing.T)) {
	vectors, matrices := level, tiles
	defer func() { level, tiles = vectors, matrices }()
	for s := portable; s <= detect(); s++ {
		level, tiles = chosen(s.String(), amx)
		t.Run(s.String(), f)
	}
}

func TestGemmTails(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(1, 2))
		for v := range 68 {
			for flags := v % 3; flags < 8; flags += 3 {
				check[float32](t, shaped(v, 1+rng.IntN(67), 1+rng.IntN(40), flags, v%5), rng)
				check[float32](t, shaped(1+rng.IntN(40), v, 1+rng.IntN(40), flags, v%5), rng)
				check[float32](t, shaped(1+rng.IntN(40), 1+rng.IntN(67), v, flags, v%5), rng)
			}
		}
	})
	rng := rand.New(rand.NewPCG(3, 4))
	for v := range 68 {
		check[float64](t, shaped(v, 1+rng.IntN(67), 1+rng.IntN(67), v%8, v%3), rng)
		check[float64](t, shaped(1+rng.IntN(67), v, 1+rng.IntN(67), v%8, v%3), rng)
		check[float64](t, shaped(1+rng.IntN(67), 1+rng.IntN(67), v, v%8, v%3), rng)
	}
}

// The shapes here cross every border of the blocking: depth, packed width, row blocks, the split by rows and by columns.
func TestGemmBlocks(t *testing.T) {
	withThreads(t, 3)
	eachLevel(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(5, 6))
		f := func(m, n, k, flags, pad int) {
			t.Helper()
			check[float32](t, shaped(m, n, k, flags, pad), rng)
		}
		f(5, 50, 1300, 0, 0)
		f(5, 50, 1300, 2, 1)
		f(2, 1111, 513, 2, 0)
		f(1, 1111, 513, 4, 0)
		f(130, 50, 40, 0, 1)
		f(260, 49, 33, 4, 0)
		f(24, 49, 1025, 1, 0)
		f(401, 131, 1100, 1, 0)
		f(17, 97, 65, 5, 1)
		f(200, 100, 520, 1, 3)
		f(270, 100, 520, 7, 0)
		f(24, 49, 1025, 7, 0)
		f(129, 1024, 3, 0, 0)
	})
}

func TestGemmRandom(t *testing.T) {
	withThreads(t, 2)
	eachLevel(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(7, 8))
		for range 40 {
			check[float32](t, shaped(rng.IntN(120), rng.IntN(150), rng.IntN(90), rng.IntN(8), rng.IntN(20)), rng)
		}
	})
}

// The same bits come out whatever the threads, the other rows of the batch, and, for one instruction set, the packing.
func TestGemmBitsDependOnOperandsAlone(t *testing.T) {
	const m, n, k = 40, 103, 600
	rng := rand.New(rand.NewPCG(9, 10))
	a, b := random(rng, m*k), random(rng, k*n)
	bt := make([]float32, n*k)
	transposeInto(bt, k, b, n, k, n)
	eachLevel(t, func(t *testing.T) {
		var want []float32
		for _, threads := range []int{1, 2, 5} {
			withThreads(t, threads)
			for _, rows := range []int{m, 1, 19} {
				for _, transB := range []bool{false, true} {
					c := make([]float32, m*n)
					for i := 0; i < m; i += rows {
						r := min(rows, m-i)
						if transB {
							Gemm(false, true, r, n, k, a[i*k:], k, bt, k, false, c[i*n:], n)
						} else {
							Gemm(false, false, r, n, k, a[i*k:], k, b, n, false, c[i*n:], n)
						}
					}
					if want == nil {
						want = c
					}
					sameBits(t, c, want)
				}
			}
		}
	})
}

func random(rng *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = rng.Float32()*2 - 1
	}
	return x
}

func sameBits(t *testing.T, got, want []float32) {
	t.Helper()
	for i := range want {
		if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
			t.Fatalf("element %d is %v, want the bits of %v", i, got[i], want[i])
		}
	}
}

func TestGemmAllocatesNothing(t *testing.T) {
	withThreads(t, 2)
	a, b, c := make([]float32, 80*80), make([]float32, 80*80), make([]float32, 80*80)
	eachLevel(t, func(t *testing.T) {
		for flags := range 4 {
			f := func() { Gemm(flags&1 != 0, flags&2 != 0, 80, 79, 80, a, 80, b, 80, false, c, 80) }
			f()
			if n := testing.AllocsPerRun(10, f); n != 0 {
				t.Errorf("flags %d: %v allocations a product", flags, n)
			}
		}
	})
}

func TestGemmShortSlicePanics(t *testing.T) {
	f := func(a, b, c int) {
		t.Helper()
		defer func() {
			if recover() == nil {
				t.Errorf("operands of %d, %d and %d elements did not panic", a, b, c)
			}
		}()
		Gemm(false, false, 4, 5, 6, make([]float32, a), 6, make([]float32, b), 5, false, make([]float32, c), 5)
	}
	f(23, 30, 20)
	f(24, 29, 20)
	f(24, 30, 19)
}

func FuzzGemm(f *testing.F) {
	f.Add(uint16(8), uint16(48), uint16(400), uint8(0), uint8(0))
	f.Add(uint16(129), uint16(65), uint16(520), uint8(3), uint8(1))
	f.Add(uint16(1), uint16(400), uint16(1), uint8(6), uint8(7))
	f.Add(uint16(0), uint16(3), uint16(3), uint8(4), uint8(0))
	f.Fuzz(func(t *testing.T, m, n, k uint16, flags, pad uint8) {
		p := shaped(int(m%300), int(n%300), int(k%600), int(flags), int(pad%70))
		eachLevel(t, func(t *testing.T) { check[float32](t, p, rand.New(rand.NewPCG(uint64(m), uint64(n)))) })
	})
}
