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

// chunkSums are sums over rows, taken chunk by chunk in parallel and then added up in the order of the chunks, whatever the threads.
type chunkSums[T kernel.Float] struct {
	n, all, width int
	sums          []T
}

// reset prepares zeroed sums of the given width over so many rows.
func (s *chunkSums[T]) reset(rows, width int) {
	s.n, s.all, s.width = chunks(rows), rows, width
	s.sums = resized(s.sums, s.n*width)
	clear(s.sums)
}

// rows returns the rows of chunk i.
func (s *chunkSums[T]) rows(i int) (lo, hi int) { return chunk(i, s.n, s.all) }

// of returns the sums of chunk i.
func (s *chunkSums[T]) of(i int) []T { return s.sums[i*s.width : (i+1)*s.width] }

// total returns the sums over all chunks.
func (s *chunkSums[T]) total() []T {
	for i := 1; i < s.n; i++ {
		kernel.Add(s.sums[:s.width], s.sums[:s.width], s.of(i))
	}
	return s.sums[:s.width]
}
