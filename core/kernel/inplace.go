package kernel

import "slices"

// GemmInPlace computes C = A·B, or C += A·B when acc is set, on the caller's thread and without packing: for the many small products of an attention, whose operands are
// in the nearest cache. A is [m, k] with its element (i, p) at a[i·rowA + p·stepA], so that a transpose is another pair of strides; B [k, n] and C [m, n] are row-major
// with row strides ldb and ldc. C must not overlap A or B. A row of C depends on nothing but its row of A and on B.
func GemmInPlace[T Float](m, n, k int, a []T, rowA, stepA int, b []T, ldb int, acc bool, c []T, ldc int) {
	if m <= 0 || n <= 0 || k <= 0 {
		return
	}
	_, _, _ = a[(m-1)*rowA+(k-1)*stepA], b[(k-1)*ldb+n-1], c[(m-1)*ldc+n-1]
	if !single[T]() || level == portable {
		inPlacePortable(m, n, k, a, rowA, stepA, b, ldb, acc, c, ldc)
		return
	}
	inPlaceTiles(m, n, k, f32(a), rowA, stepA, f32(b), ldb, acc, f32(c), ldc)
}

// inPlaceTiles is kept out of line for its frame's stack check.
//
//go:noinline
func inPlaceTiles(m, n, k int, a []float32, rowA, stepA int, b []float32, ldb int, acc bool, c []float32, ldc int) {
	rows, cols := 6, 16
	switch {
	case level == avx512 && n <= 32:
		rows, cols = 12, 32
	case level == avx512:
		rows, cols = 8, 48
	}
	for j := 0; j < n; j += cols {
		for i := 0; i < m; i += rows {
			runTile(level, min(rows, m-i), min(cols, n-j), k, &a[i*rowA], rowA*float32Size, stepA*float32Size, &b[j], ldb*float32Size, &c[i*ldc+j], ldc*float32Size, acc)
		}
	}
}

func inPlacePortable[T Float](m, n, k int, a []T, rowA, stepA int, b []T, ldb int, acc bool, c []T, ldc int) {
	for i := range m {
		y := c[i*ldc : i*ldc+n]
		if !acc {
			clear(y)
		}
		for p := range k {
			x := a[i*rowA+p*stepA]
			for j, v := range b[p*ldb : p*ldb+n] {
				y[j] += x * v
			}
		}
	}
}

// Transpose writes the transpose of src [rows, cols] with row stride lds to dst [cols, rows] with row stride ldd; they must not overlap. Rows in sixteens are the fastest.
func Transpose[T Float](dst []T, ldd int, src []T, lds int, rows, cols int) {
	if rows <= 0 || cols <= 0 {
		return
	}
	_, _ = dst[(cols-1)*ldd+rows-1], src[(rows-1)*lds+cols-1]
	dst, src = slices.Clip(dst), slices.Clip(src)
	if single[T]() {
		transposeInto(f32(dst), ldd, f32(src), lds, rows, cols)
		return
	}
	for i := range rows {
		for c, v := range src[i*lds : i*lds+cols] {
			dst[c*ldd+i] = v
		}
	}
}
