package kernel

import "unsafe"

// The portable product packs a block of B into panels of four columns and runs a 2×4 register tile over it: eight sums, two
// values of A and four of B fit the sixteen registers that scalar code has.
const (
	portableRows  = 2
	portableCols  = 4
	portableDepth = 256 // rows of B in a block
	portableWidth = 64  // columns of B in a block
)

// portableGemm is one product in work, its rows shared among threads; it is kept for reuse.
type portableGemm[T Float] struct {
	transA, transB, acc bool
	m, n, k             int
	a, b, c             []T
	lda, ldb, ldc       int
	byRows              func(lo, hi int)
}

type portableWork[T Float] struct {
	a [portableRows * portableDepth]T  // [depth, 2]
	b [portableWidth * portableDepth]T // panels [depth, 4]
}

func gemmPortable[T Float](transA, transB bool, m, n, k int, a []T, lda int, b []T, ldb int, acc bool, c []T, ldc int) {
	idle := portableIdle[T]()
	g := idle.products.take()
	if g == nil {
		g = new(portableGemm[T])
		g.byRows = g.rows
	}
	by := g.byRows
	*g = portableGemm[T]{transA, transB, acc, m, n, k, a, b, c, lda, ldb, ldc, by}
	defer func() {
		g.a, g.b, g.c = nil, nil, nil
		idle.products.give(g)
	}()
	if m*n*k < parallelWork/8 {
		g.rows(0, m)
		return
	}
	Parallel(m, max(32, parallelWork/8/(n*k)), by)
}

// rows computes rows lo to hi of C.
func (g *portableGemm[T]) rows(lo, hi int) {
	idle := portableIdle[T]()
	w := idle.work.take()
	if w == nil {
		w = new(portableWork[T])
	}
	defer idle.work.give(w)
	for j0 := 0; j0 < g.n; j0 += portableWidth {
		cols := min(portableWidth, g.n-j0)
		for p0 := 0; p0 < g.k; p0 += portableDepth {
			depth := min(portableDepth, g.k-p0)
			w.packB(g.transB, g.b, g.ldb, p0, depth, j0, cols)
			for i := lo; i < hi; i += portableRows {
				rows := min(portableRows, hi-i)
				w.packA(g.transA, g.a, g.lda, i, rows, p0, depth)
				for j := 0; j < cols; j += portableCols {
					w.tile(j, depth, rows, min(portableCols, cols-j), g.acc || p0 > 0, g.c[i*g.ldc+j0+j:], g.ldc)
				}
			}
		}
	}
}

func (w *portableWork[T]) packB(transB bool, b []T, ldb, p0, depth, j0, cols int) {
	for j := 0; j < cols; j += portableCols {
		panel := w.b[j*depth:][:portableCols*depth]
		width := min(portableCols, cols-j)
		if width < portableCols {
			clear(panel)
		}
		if transB {
			for s := range width {
				for p, v := range b[(j0+j+s)*ldb+p0:][:depth] {
					panel[p*portableCols+s] = v
				}
			}
			continue
		}
		for p := range depth {
			copy(panel[p*portableCols:][:width], b[(p0+p)*ldb+j0+j:][:width])
		}
	}
}

func (w *portableWork[T]) packA(transA bool, a []T, lda, i, rows, p0, depth int) {
	panel := w.a[:portableRows*depth]
	if rows < portableRows {
		clear(panel)
	}
	for r := range rows {
		if transA {
			for p := range depth {
				panel[p*portableRows+r] = a[(p0+p)*lda+i+r]
			}
			continue
		}
		for p, v := range a[(i+r)*lda+p0:][:depth] {
			panel[p*portableRows+r] = v
		}
	}
}

// tile computes rows×cols of C, at most 2×4, from the packed panels; c starts at the tile's first element.
func (w *portableWork[T]) tile(j, depth, rows, cols int, acc bool, c []T, ldc int) {
	var s [portableRows][portableCols]T
	if acc {
		for r := range rows {
			copy(s[r][:cols], c[r*ldc:])
		}
	}
	s00, s01, s02, s03 := s[0][0], s[0][1], s[0][2], s[0][3]
	s10, s11, s12, s13 := s[1][0], s[1][1], s[1][2], s[1][3]
	pa, pb := w.a[:portableRows*depth], w.b[j*depth:][:portableCols*depth]
	for len(pa) >= portableRows && len(pb) >= portableCols {
		a0, a1 := pa[0], pa[1]
		b0, b1, b2, b3 := pb[0], pb[1], pb[2], pb[3]
		s00 += a0 * b0
		s01 += a0 * b1
		s02 += a0 * b2
		s03 += a0 * b3
		s10 += a1 * b0
		s11 += a1 * b1
		s12 += a1 * b2
		s13 += a1 * b3
		pa, pb = pa[portableRows:], pb[portableCols:]
	}
	s[0] = [portableCols]T{s00, s01, s02, s03}
	s[1] = [portableCols]T{s10, s11, s12, s13}
	for r := range rows {
		copy(c[r*ldc:][:cols], s[r][:cols])
	}
}

// portableIdle holds what portable products of one type reuse.
type idlePortable[T Float] struct {
	products freeList[portableGemm[T]]
	work     freeList[portableWork[T]]
}

var (
	idle32 idlePortable[float32]
	idle64 idlePortable[float64]
)

func portableIdle[T Float]() *idlePortable[T] {
	if single[T]() {
		return (*idlePortable[T])(unsafe.Pointer(&idle32))
	}
	return (*idlePortable[T])(unsafe.Pointer(&idle64))
}
