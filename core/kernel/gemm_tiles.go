package kernel

import "unsafe"

// The product by matrix tiles: AMX multiplies bfloat16 into float32 sixteen times as fast as AVX-512 multiplies float32. Each float32 is
// split into three bfloat16 that add up to it, and six of the nine products of the parts are summed in float32; those left out are
// below 2⁻²⁵ of the product (Henry, Tang, Heinecke: Leveraging the bfloat16 Artificial Intelligence Datatype For Higher-Precision
// Computations, ARITH 2019, §III). That leaves more than twice the speed. Sums of 16 steps of k added up make it more
// exact than a sum in the order of k: 0.4 to 0.8 of its error, up to 1.4 of it where a few products outweigh the rest.
//
// An infinity, a NaN, or a number from 3.396e38 on in an operand makes the elements of C that depend on it NaN (where float32 arithmetic may
// have made them infinite). Parts and sums that are denormal count as zero: products below 2⁻¹²⁶ in size vanish, and elements
// below 2⁻¹⁰³ lose digits.
//
// C is cut into a grid of parts, one a thread. A thread splits the columns of B that its part needs, block by block, and for each
// block its rows of A, a panel of two row tiles at a time: splitting again what another thread has split is cheaper than fetching
// it from there. A block of B stays in the second-level cache, a panel of A with it.
const (
	tileRows   = 16                     // of A and of C; also the columns of B and of C
	tileSteps  = 32                     // steps of k in a tile
	tileRow    = 64                     // bytes of a row of a tile
	splitTile  = 3 * tileRows * tileRow // bytes of a split tile, its three parts
	panelTiles = 2                      // row tiles of a panel of A, and column tiles that are split and multiplied side by side
	tilePanel  = panelTiles * tileRows  // rows or columns of those
	wholeDepth = 512                    // up to so many steps of k are one block,
	splitDepth = 128                    // and more are blocks of so many: C is read again, but leaves room for the rows that A and B come from
	splitCols  = 416                    // columns of a block of B
	splitWorth = parallelWork / 8       // elements below which splitting stays on the caller's thread
)

// tiledDepth is the depth of the blocks that k is cut into.
func tiledDepth(k int) int {
	if k <= wholeDepth {
		return k
	}
	return splitDepth
}

// regionTiles is the part of op(B) being multiplied, split: steps p to p+depth of k, columns j to j+width, column tile after column tile.
type regionTiles struct {
	p, depth, j, width int
	from               unsafe.Pointer
}

// steps is the number of tiles along k.
func (r *regionTiles) steps() int { return (r.depth + tileSteps - 1) / tileSteps }

// tiles is the number of column tiles.
func (r *regionTiles) tiles() int { return (r.width + tileRows - 1) / tileRows }

func (r *regionTiles) size() int { return r.tiles() * r.steps() * splitTile }

func (r *regionTiles) at(tile int) unsafe.Pointer {
	return unsafe.Add(r.from, tile*r.steps()*splitTile)
}

// tiled is one product in work; it is kept for reuse, so that a product allocates nothing.
type tiled struct {
	m, n, k        int
	a, b           []float32
	lda, ldb       int
	transA, transB bool
	packed         *Packed // in place of b
	c              unsafe.Pointer
	rowC           int
	acc            bool
	grid           tileGrid
	whole          regionTiles // what packing splits

	parts, packing func(lo, hi int)
}

var idleTiled freeList[tiled]

func takeTiled() *tiled {
	g := idleTiled.take()
	if g == nil {
		g = new(tiled)
		g.parts, g.packing = g.multiplyParts, g.packTiles
	}
	return g
}

func (g *tiled) release() {
	g.a, g.b, g.c, g.packed, g.whole.from = nil, nil, nil, nil, nil
	idleTiled.give(g)
}

// gemmTiled is Gemm by tiles, for any shape.
func gemmTiled(transA, transB bool, m, n, k int, a []float32, lda int, b []float32, ldb int, acc bool, c []float32, ldc int) {
	g := takeTiled()
	defer g.release()
	g.b, g.ldb, g.transB = b, ldb, transB
	g.run(transA, m, n, k, a, lda, acc, c, ldc)
}

// gemmTiledPacked is gemmTiled for a B that was split beforehand.
func gemmTiledPacked(m int, a []float32, lda int, b *Packed, acc bool, c []float32, ldc int) {
	g := takeTiled()
	defer g.release()
	g.packed = b
	g.run(false, m, b.n, b.k, a, lda, acc, c, ldc)
}

func (g *tiled) run(transA bool, m, n, k int, a []float32, lda int, acc bool, c []float32, ldc int) {
	g.m, g.n, g.k, g.acc = m, n, k, acc
	g.a, g.lda, g.transA = a, lda, transA
	g.c, g.rowC = unsafe.Pointer(&c[0]), ldc*float32Size
	threads := 1
	if m*n*k >= parallelWork && !workers.busy.Load() {
		threads = Threads()
	}
	g.grid = shareTiles(threads, m, n, transA, g.packed != nil)
	Parallel(g.grid.rows*g.grid.cols, 1, g.parts)
}

// tileWork is what a thread needs: a split panel of A, a split block of B, and rows turned before they are split.
type tileWork struct {
	panel  [tilePanel*6*wholeDepth + 64]byte
	turned [tilePanel*turnedRow + lineFloats]float32
	block  []byte
}

var idleWork freeList[tileWork]

func takeWork() *tileWork {
	w := idleWork.take()
	if w == nil {
		w = new(tileWork)
	}
	return w
}

func (g *tiled) multiplyParts(lo, hi int) {
	work := takeWork()
	defer idleWork.give(work)
	for i := lo; i < hi; i++ {
		g.multiplyPart(i, work)
	}
}

// multiplyPart computes part i of the grid.
func (g *tiled) multiplyPart(i int, work *tileWork) {
	row, col := i/g.grid.cols, i%g.grid.cols
	panels, pairs := (g.m+tilePanel-1)/tilePanel, (g.n+tilePanel-1)/tilePanel
	first, last := row*panels/g.grid.rows, (row+1)*panels/g.grid.rows
	end := min((col+1)*pairs/g.grid.cols*tilePanel, g.n)
	left := alignedBytes(work.panel[:])
	depth := tiledDepth(g.k)
	for j := col * pairs / g.grid.cols * tilePanel; j < end; j += splitCols {
		for p := 0; p < g.k; p += depth {
			r := regionTiles{p: p, depth: min(depth, g.k-p), j: j, width: min(splitCols, end-j)}
			if g.packed != nil {
				r.from = g.packed.tile(p, j)
			} else {
				r.from = grown(&work.block, r.size())
				g.splitBlock(&r, 0, r.tiles(), work)
			}
			for t := first; t < last; t++ {
				g.splitPanel(left, t, &r, work)
				g.multiply(left, t, &r)
			}
		}
	}
}

// multiply computes the block's columns of panel t of C from panel t of A, split at left. It is kept out of line as blocked.panel is.
//
//go:noinline
func (g *tiled) multiply(left unsafe.Pointer, t int, r *regionTiles) {
	rows := min(tilePanel, g.m-t*tilePanel)
	c := unsafe.Add(g.c, t*tilePanel*g.rowC+r.j*float32Size)
	acc := g.acc || r.p > 0
	pairs, rest := r.width/tilePanel, r.width%tilePanel
	if pairs > 0 {
		runTiles(tileConfigs()[rows-1][tilePanel-1], rows > tileRows, true, r.steps(), pairs, left, r.from, c, g.rowC, acc)
	}
	if rest > 0 {
		runTiles(tileConfigs()[rows-1][rest-1], rows > tileRows, rest > tileRows, r.steps(), 1, left, r.at(pairs*panelTiles), unsafe.Add(c, pairs*tilePanel*float32Size), g.rowC, acc)
	}
}
