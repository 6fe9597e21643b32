package graph

import "github.com/millrace/millrace/core/kernel"

// elementGrain is the least number of elements worth handing to another thread.
const elementGrain = 1 << 14

// rowGrain and colGrain are elementGrain in rows of the given width, and in columns of the given height.
func rowGrain(cols int) int { return max(elementGrain/max(cols, 1), 1) }

// colGrain is a multiple of 16, a cache line of float32.
func colGrain(rows int) int { return (elementGrain/max(rows, 1) + 16) &^ 15 }

// dataOrNil returns the elements of t, none when it is nil: an output that nobody reads.
func dataOrNil[T kernel.Float](t *Tensor) []T {
	if t == nil {
		return nil
	}
	return data[T](t)
}

// colSums adds up columns in parallel.
type colSums[T kernel.Float] struct {
	dst, x     []T
	rows, cols int
	part       func(lo, hi int)
}

func newColSums[T kernel.Float]() *colSums[T] {
	s := &colSums[T]{}
	s.part = func(lo, hi int) { kernel.ColSums(s.dst[lo:hi], s.x[lo:], s.rows, hi-lo, s.cols, false) }
	return s
}

// run sets dst[c] to the sum of column c of x [rows, cols].
func (s *colSums[T]) run(dst, x []T, rows, cols int) {
	if rows == 0 {
		clear(dst)
		return
	}
	s.dst, s.x, s.rows, s.cols = dst, x, rows, cols
	kernel.Parallel(cols, colGrain(rows), s.part)
}
