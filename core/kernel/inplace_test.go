package kernel

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestGemmInPlace compares with sums in float64 for all small shapes, both orders of A and strides wider than the matrices; what lies between rows stays.
func TestGemmInPlace(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	random := func(n int) []float32 {
		x := make([]float32, n)
		for i := range x {
			x[i] = float32(rng.NormFloat64())
		}
		return x
	}
	f := func(m, n, k int, transposed, acc bool) {
		t.Helper()
		rowA, stepA := k+2, 1
		if transposed {
			rowA, stepA = 1, m+3
		}
		ldb, ldc := n+1, n+5
		a, b, c := random((m-1)*rowA+(k-1)*stepA+1), random((k-1)*ldb+n), random((m-1)*ldc+n)
		before := append([]float32{}, c...)
		GemmInPlace(m, n, k, a, rowA, stepA, b, ldb, acc, c, ldc)
		for i := range c {
			r, j := i/ldc, i%ldc
			want, size := float64(before[i]), 0.0
			if j < n {
				if !acc {
					want = 0
				}
				for p := range k {
					x := float64(a[r*rowA+p*stepA]) * float64(b[p*ldb+j])
					want += x
					size += math.Abs(x)
				}
			}
			if math.Abs(float64(c[i])-want) > 1e-6*(size+math.Abs(want)) {
				t.Fatalf("%d×%d×%d transposed %v acc %v: element %d,%d is %g, want %g", m, n, k, transposed, acc, r, j, c[i], want)
			}
		}
	}
	for i := range 120 {
		f(1+rng.IntN(20), 1+rng.IntN(70), 1+rng.IntN(40), i%2 == 0, i%3 == 0)
	}
	for n := 1; n <= 67; n++ {
		f(9, n, 10, n%2 == 0, false)
	}
	GemmInPlace(0, 1, 1, nil, 1, 1, nil, 1, false, []float32{}, 1)
}

func TestTranspose(t *testing.T) {
	f := func(rows, cols int) {
		t.Helper()
		src := make([]float32, rows*(cols+1))
		wide := make([]float64, len(src))
		for i := range src {
			src[i], wide[i] = float32(i), float64(i)
		}
		dst, other := make([]float32, cols*(rows+2)), make([]float64, cols*(rows+2))
		Transpose(dst, rows+2, src, cols+1, rows, cols)
		Transpose(other, rows+2, wide, cols+1, rows, cols)
		for r := range rows {
			for c := range cols {
				if want := src[r*(cols+1)+c]; dst[c*(rows+2)+r] != want || other[c*(rows+2)+r] != float64(want) {
					t.Fatalf("[%d, %d]: element %d,%d is %g and %g, want %g", rows, cols, c, r, dst[c*(rows+2)+r], other[c*(rows+2)+r], want)
				}
			}
		}
	}
	for _, rows := range []int{1, 7, 16, 17, 32, 40} {
		for _, cols := range []int{1, 8, 15, 16, 33} {
			f(rows, cols)
		}
	}
}
