package kernel

import "unsafe"

// column is a product with a single, contiguous column of B in work: an inner product for each row. It is kept for reuse.
type column[T Float] struct {
	k      int
	a      []T
	lda    int
	b      []T
	acc    bool
	c      []T
	ldc    int
	byRows func(lo, hi int)
}

var (
	idleColumns32 freeList[column[float32]]
	idleColumns64 freeList[column[float64]]
)

func idleColumns[T Float]() *freeList[column[T]] {
	if single[T]() {
		return (*freeList[column[T]])(unsafe.Pointer(&idleColumns32))
	}
	return (*freeList[column[T]])(unsafe.Pointer(&idleColumns64))
}

// gemmColumn computes C [m, 1] = A [m, k] · b, or adds it.
func gemmColumn[T Float](m, k int, a []T, lda int, b []T, acc bool, c []T, ldc int) {
	idle := idleColumns[T]()
	g := idle.take()
	if g == nil {
		g = new(column[T])
		g.byRows = g.rows
	}
	g.k, g.a, g.lda, g.b, g.acc, g.c, g.ldc = k, a, lda, b[:k], acc, c, ldc
	Parallel(m, parallelWork/k, g.byRows)
	g.a, g.b, g.c = nil, nil, nil
	idle.give(g)
}

func (g *column[T]) rows(lo, hi int) {
	for i := lo; i < hi; i++ {
		s := Dot(g.b, g.a[i*g.lda:])
		if g.acc {
			s += g.c[i*g.ldc]
		}
		g.c[i*g.ldc] = s
	}
}
