package kernel

// parallelWork is the number of multiply-adds below which a product stays on the caller's thread.
const parallelWork = 1 << 17

// Gemm computes C = op(A)·op(B), or C += op(A)·op(B) when acc is set, where op is the transpose when the flag is set.
// op(A) is [m, k], op(B) is [k, n], C is [m, n]; lda, ldb, ldc are the row strides of the matrices as stored. C must not
// overlap A or B. Each element is summed in the order of k whatever the shape, so a row of C does not depend on the
// other rows of the batch.
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
	if threads := Threads(); threads == 1 || m*n*k < parallelWork {
		gemmPortable(transA, transB, 0, m, n, k, a, lda, b, ldb, acc, c, ldc)
		return
	}
	Parallel(m, max(portableRows, parallelWork/(n*k)), func(lo, hi int) {
		gemmPortable(transA, transB, lo, hi, n, k, a, lda, b, ldb, acc, c, ldc)
	})
}
