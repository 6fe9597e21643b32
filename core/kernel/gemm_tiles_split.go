package kernel

import "unsafe"

// splitWhole splits all of op(B) to dst, as tile finds it there.
func splitWhole(dst *[]byte, trans bool, k, n int, b []float32, ldb int) {
	g := takeTiled()
	defer g.release()
	g.b, g.ldb, g.transB = b, ldb, trans
	depth := tiledDepth(k)
	r := &g.whole
	*r = regionTiles{depth: k, width: n}
	from := grown(dst, r.size())
	for p := 0; p < k; p += depth {
		*r = regionTiles{p: p, depth: min(depth, k-p), width: n, from: from}
		Parallel((r.tiles()+panelTiles-1)/panelTiles, splitWorth/(r.depth*tilePanel), g.packing)
		from = r.at(r.tiles())
	}
}

// packTiles splits pairs lo to hi of column tiles of the whole.
func (g *tiled) packTiles(lo, hi int) {
	work := takeWork()
	defer idleWork.give(work)
	g.splitBlock(&g.whole, lo*panelTiles, min(hi*panelTiles, g.whole.tiles()), work)
}

// tile is where the split steps from p and columns from j on are, each the first of a block.
func (b *Packed) tile(p, j int) unsafe.Pointer {
	depth := tiledDepth(b.k)
	before := regionTiles{depth: depth, width: b.n}
	r := regionTiles{depth: min(depth, b.k-p), from: unsafe.Add(alignedBytes(b.split), p/depth*before.size())}
	return r.at(j / tileRows)
}

// grown returns the start of a buffer of at least size bytes at the start of a cache line.
func grown(x *[]byte, size int) unsafe.Pointer {
	if cap(*x) < size+64 {
		*x = make([]byte, size+64)
	}
	return alignedBytes((*x)[:cap(*x)])
}

func alignedBytes(x []byte) unsafe.Pointer {
	at := unsafe.Pointer(&x[0])
	return unsafe.Add(at, -uintptr(at)&63)
}

// splitBlock splits column tiles lo to hi of the block of op(B), in the order in which it lies in memory: step after step of k, or two column tiles
// after two of a transposed B.
func (g *tiled) splitBlock(r *regionTiles, lo, hi int, work *tileWork) {
	if !g.transB {
		splitColumns(r, lo, hi, g.b[r.p*g.ldb+r.j+lo*tileRows:], g.ldb)
		return
	}
	turned := aligned(work.turned[:])
	for t := lo; t < hi; t += panelTiles {
		end := min(t+panelTiles, hi)
		transposeInto(turned, tilePanel, g.b[(r.j+t*tileRows)*g.ldb+r.p:], g.ldb, min(end*tileRows, r.width)-t*tileRows, r.depth)
		splitColumns(r, t, end, turned, tilePanel)
	}
}

// splitColumns splits column tiles lo to hi of the block, whose columns lie from b on.
func splitColumns(r *regionTiles, lo, hi int, b []float32, ldb int) {
	cols := min(hi*tileRows, r.width) - lo*tileRows
	for p := 0; p < r.depth; p += tileSteps {
		splitRight(unsafe.Add(r.at(lo), p/tileSteps*splitTile), r.steps()*splitTile, b[p*ldb:], ldb, cols, min(tileSteps, r.depth-p))
	}
}

// splitPanel splits panel t of op(A), the steps of the block, to dst.
func (g *tiled) splitPanel(dst unsafe.Pointer, t int, r *regionTiles, work *tileWork) {
	first := t * tilePanel
	rows := min(tilePanel, g.m-first)
	a, lda := g.a, g.lda
	if g.transA {
		a, lda = aligned(work.turned[:]), turnedRow
		transposeInto(a, lda, g.a[r.p*g.lda+first:], g.lda, r.depth, rows)
	} else {
		a = a[first*lda+r.p:]
	}
	for i := 0; i < rows; i += tileRows {
		splitLeft(unsafe.Add(dst, i/tileRows*r.steps()*splitTile), a[i*lda:], lda, min(tileRows, rows-i), r.depth)
	}
}

// splitLeft splits a tile of rows of A, depth steps of k.
func splitLeft(dst unsafe.Pointer, a []float32, lda, rows, depth int) {
	const step = tileSteps * float32Size
	row, whole, rest := lda*float32Size, depth/tileSteps, depth%tileSteps
	from := unsafe.Pointer(&a[0])
	splitTiles(dst, splitTile, tileRow, from, step, row, step/2, whole, rows, tileRows, tileRows)
	if rest > 0 {
		splitTiles(unsafe.Add(dst, whole*splitTile), 0, tileRow, unsafe.Add(from, whole*step), 0, row, step/2, 1, rows, min(rest, tileRows), max(0, rest-tileRows))
	}
}

// splitRight splits cols columns of B from b on, a step of rows rows of k. A tile of dst follows the one before after tile bytes.
func splitRight(dst unsafe.Pointer, tile int, b []float32, ldb, cols, rows int) {
	row, whole, rest := ldb*float32Size, cols/tileRows, cols%tileRows
	from := unsafe.Pointer(&b[0])
	// Rows of the tile that have both halves, then those that have the first, then those beyond the end of k.
	both, first := max(0, rows-tileRows), min(rows, tileRows)
	for _, part := range [...]struct{ lo, hi, lanes0, lanes1 int }{{0, both, 1, 1}, {both, first, 1, 0}, {first, tileRows, 0, 0}} {
		n := part.hi - part.lo
		if n == 0 {
			continue
		}
		dst, from := unsafe.Add(dst, part.lo*tileRow), from
		if part.lanes0 > 0 { // else no such row exists
			from = unsafe.Add(from, part.lo*row)
		}
		splitTiles(dst, tileRow, tile, from, row, tileRow, tileRows*row, n, whole, part.lanes0*tileRows, part.lanes1*tileRows)
		if rest > 0 {
			splitTiles(unsafe.Add(dst, whole*tile), tileRow, tile, unsafe.Add(from, whole*tileRow), row, tileRow, tileRows*row, n, 1, part.lanes0*rest, part.lanes1*rest)
		}
	}
}
