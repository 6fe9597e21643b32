package kernel

import "fmt"

// parallelWork is the number of multiply-adds below which a product stays on the caller's thread.
const parallelWork = 1 << 17

// Gemm computes C = op(A)·op(B), or C += op(A)·op(B) when acc is set, where op is the transpose when the flag is set.
// op(A) is [m, k], op(B) is [k, n], C is [m, n]; lda, ldb, ldc are the row strides of the matrices as stored. C must not
// overlap A or B. A row of C depends on nothing but its row of op(A) and on B, not on the other rows of the batch; but products large
// enough for matrix tiles (gemm_tiles.go) round otherwise than smaller ones, by about as much as float32 does.
func Gemm[T Float](transA, transB bool, m, n, k int, a []T, lda int, b []T, ldb int, acc bool, c []T, ldc int) {
	if m <= 0 || n <= 0 {
		return
	}
	if k <= 0 {
		if !acc {
			for i := range m {
				clear(c[i*ldc:][:n])
			}
		}
		return
	}
	checkMatrix(a, transA, m, k, lda)
	checkMatrix(b, transB, k, n, ldb)
	checkMatrix(c, false, m, n, ldc)
	switch {
	case n == 1 && ldc == 1 && transA && m > 1:
		// One column of Aᵀ·B is one row of Bᵀ·A, which reads A along its rows.
		Gemm(!transB, false, 1, m, k, b, ldb, a, lda, acc, c, m)
		return
	case n == 1 && !transA && (transB || ldb == 1):
		gemmColumn(m, k, a, lda, b, acc, c, ldc)
		return
	}
	if single[T]() && tilesPay(m, n, k, transA, false) {
		gemmTiled(transA, transB, m, n, k, f32(a), lda, f32(b), ldb, acc, f32(c), ldc)
		return
	}
	if single[T]() && level != portable {
		gemmBlocked(transA, transB, m, n, k, f32(a), lda, f32(b), ldb, acc, f32(c), ldc)
		return
	}
	gemmPortable(transA, transB, m, n, k, a, lda, b, ldb, acc, c, ldc)
}

// checkMatrix panics, as an index out of range does, when x does not hold op(X) [rows, cols] with row stride ld.
func checkMatrix[T Float](x []T, trans bool, rows, cols, ld int) {
	if trans {
		rows, cols = cols, rows
	}
	if rows > 1 && ld < cols {
		panic(fmt.Sprintf("kernel: row stride %d of a matrix of %d columns", ld, cols))
	}
	_ = x[(rows-1)*ld+cols-1]
}
