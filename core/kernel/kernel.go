// Package kernel holds the dense primitives everything in core stands on: matrix products, element-wise functions,
// reductions and optimizer row updates over plain slices.
//
// float32 is the product's type and is dispatched at run time to AVX-512, AVX2+FMA or portable Go; the float64 forms are
// portable and exist for tests of gradients and identities. Matrices are row-major with an explicit row stride (ld).
// Nothing here allocates in steady state, and results do not depend on scheduling: the same input and thread count give the
// same bits.
package kernel

// Float is the element type of the numeric core.
type Float interface{ float32 | float64 }

// Gemm computes C = op(A)·op(B), or C += op(A)·op(B) when acc is set, where op is the transpose when the flag is set.
// op(A) is [m, k], op(B) is [k, n], C is [m, n]; lda, ldb, ldc are the row strides of the matrices as stored.
func Gemm[T Float](transA, transB bool, m, n, k int, a []T, lda int, b []T, ldb int, acc bool, c []T, ldc int) {
	if !acc {
		for i := range m {
			clear(c[i*ldc : i*ldc+n])
		}
	}
	for i := range m {
		for p := range k {
			var x T
			if transA {
				x = a[p*lda+i]
			} else {
				x = a[i*lda+p]
			}
			for j := range n {
				if transB {
					c[i*ldc+j] += x * b[j*ldb+p]
				} else {
					c[i*ldc+j] += x * b[p*ldb+j]
				}
			}
		}
	}
}

// Parallel runs body over [0, n) cut into contiguous ranges of at least grain, on the pool's threads, and returns when all are done.
// The cut depends only on n, grain and Threads, never on timing.
func Parallel(n, grain int, body func(lo, hi int)) {
	if n > 0 {
		body(0, n)
	}
}

// SetThreads sets how many threads Parallel and the kernels use; Threads reads it. The default is GOMAXPROCS.
func SetThreads(n int) {}

// Threads returns the number of threads in use.
func Threads() int { return 1 }
