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
	Gemm(p.transA, p.transB, p.m, p.n, p.k, a, p.lda, b, p.ldb, p.acc, c, p.ldc)
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
		for q := range p.k {
			x, y := a[i*p.lda*b2i(!p.transA)+q*b2i(!p.transA)+(q*p.lda+i)*b2i(p.transA)], b[(q*p.ldb+j)*b2i(!p.transB)+(j*p.ldb+q)*b2i(p.transB)]
			want += float64(x) * float64(y)
			size += math.Abs(float64(x) * float64(y))
		}
		if d := math.Abs(float64(buf[at]) - want); !(d <= eps*(size+1)*(4+math.Sqrt(float64(p.k)))) {
			t.Fatalf("%s: C[%d,%d] = %v, want %v", p, i, j, buf[at], want)
		}
	}
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
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

func TestGemmTails(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for v := range 68 {
		for flags := range 8 {
			check[float32](t, shaped(v, 1+rng.IntN(67), 1+rng.IntN(67), flags, v%3), rng)
			check[float32](t, shaped(1+rng.IntN(67), v, 1+rng.IntN(67), flags, v%3), rng)
			check[float32](t, shaped(1+rng.IntN(67), 1+rng.IntN(67), v, flags, v%3), rng)
			if v%8 == flags {
				check[float64](t, shaped(v, 1+rng.IntN(67), 1+rng.IntN(67), flags, v%3), rng)
				check[float64](t, shaped(1+rng.IntN(67), v, 1+rng.IntN(67), flags, v%3), rng)
				check[float64](t, shaped(1+rng.IntN(67), 1+rng.IntN(67), v, flags, v%3), rng)
			}
		}
	}
}
