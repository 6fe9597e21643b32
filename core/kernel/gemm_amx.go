package kernel

import (
	"sync"
	"unsafe"
)

// The product by matrix tiles: AMX multiplies bfloat16 into float32 sixteen times as fast as AVX-512 multiplies float32. Each float32 is
// split into three bfloat16 that add up to it, and six of the nine products of the parts are summed in float32; those left out are
// below 2⁻²⁵ of the product (Henry, Tang, Heinecke: Leveraging the bfloat16 Artificial Intelligence Datatype For Higher-Precision
// Computations, ARITH 2019, §III). That leaves more than twice the speed. Sums of 16 steps of k added up make it more
// exact than a sum in the order of k: 0.4 to 0.8 of its error, and 1.3 of it at worst where a few products outweigh the rest.
//
// An infinity, a NaN, or a number from 3.396e38 on in an operand makes the elements of C that depend on it NaN (where float32 arithmetic may
// have made them infinite). Parts and sums that are denormal count as zero: products below 2⁻¹²⁶ in size vanish, and elements
// below 2⁻¹⁰³ lose digits.
//
// B is split block by block, by all threads, before any multiplies; A by the thread that needs it, two row tiles at a time, or whole
// where there are too few rows to share out, so that threads share the columns. The blocks are as deep as an A panel of two tiles
// stays in the second-level cache beside a block of B.
const (
	tileRows    = 16                                // of A and of C; also the columns of B and of C
	tileSteps   = 32                                // steps of k in a tile
	tileRow     = 64                                // bytes of a row of a tile
	splitTile   = 3 * 1024                          // bytes of a tile, its three parts
	splitDepth  = 512                               // steps of k in a block
	splitCols   = 416                               // columns of a block of B
	sharedLeft  = 256                               // up to so many rows, threads share columns
	panelTiles  = 2                                 // row tiles of a panel of A
	splitPanel  = panelTiles * splitDepth * 6 * 16  // bytes of a split panel of A
	turnedTile  = turnedRow * panelTiles * tileRows // floats of a panel as it is turned before it is split
	packedTiles = 2                                 // column tiles of B that are split side by side
	splitWorth  = parallelWork / 8                  // elements below which splitting stays on the caller's thread
)

// tileConfig says how many rows and bytes of a row each tile register has, as LDTILECFG takes it.
type tileConfig [64]byte

// newTileConfig makes tiles for a panel of rows rows and a block of cols columns: C 0 to 3, A 4 and 5, B 6 and 7.
func newTileConfig(rows, cols int) *tileConfig {
	t := &tileConfig{0: 1}
	r := [2]int{min(rows, tileRows), rows - tileRows}
	c := [2]int{min(cols, tileRows), cols - tileRows}
	for i, size := range r {
		if size <= 0 {
			continue
		}
		t.tile(4+i, size, 2*tileSteps)
		for j, width := range c {
			if width > 0 {
				t.tile(2*i+j, size, float32Size*width)
				t.tile(6+j, tileRows, float32Size*width)
			}
		}
	}
	return t
}

func (t *tileConfig) tile(i, rows, bytes int) { t[16+2*i], t[48+i] = byte(bytes), byte(rows) }

// tileConfigs are the configurations for 1 to 32 rows and 1 to 32 columns. A configuration written just before it is loaded would make
// the processor wait.
var tileConfigs = sync.OnceValue(func() *[panelTiles * tileRows][2 * tileRows]*tileConfig {
	all := new([panelTiles * tileRows][2 * tileRows]*tileConfig)
	for r := range all {
		for c := range all[r] {
			all[r][c] = newTileConfig(r+1, c+1)
		}
	}
	return all
})

// regionTiles is the part of op(B) being multiplied, split: steps p to p+depth of k, columns j to j+width, column tile after column tile.
type regionTiles struct {
	p, depth, j, width int
	from               unsafe.Pointer
}

// steps is the number of tiles along k.
func (r *regionTiles) steps() int { return (r.depth + tileSteps - 1) / tileSteps }

// tiles is the number of column tiles.
func (r *regionTiles) tiles() int { return (r.width + tileRows - 1) / tileRows }

func (r *regionTiles) at(tile int) unsafe.Pointer {
	return unsafe.Add(r.from, tile*r.steps()*splitTile)
}

// tiled is one product in work; it is kept for reuse, so that a product allocates nothing.
type tiled struct {
	m, n, k        int
	a, b           []float32
	lda, ldb       int
	transA, transB bool
	c              unsafe.Pointer
	rowC           int
	acc            bool

	block       regionTiles
	pack, lefts []byte // a block of B, and all of A where threads share columns

	packing, splitting, byRows, byCols func(lo, hi int)
}

// tilesPay reports whether tiles are in use and faster than vectors at the shape.
func tilesPay(m, n, k int) bool {
	return tiles && level == avx512 && m >= tilesFrom && n >= tilesFrom && k >= tilesFrom
}

const tilesFrom = 64 // rows, columns and steps of k

var idleTiled freeList[tiled]

func takeTiled() *tiled {
	g := idleTiled.take()
	if g == nil {
		g = new(tiled)
		g.packing, g.splitting, g.byRows, g.byCols = g.packTiles, g.splitPanels, g.panels, g.columns
	}
	return g
}

func (g *tiled) release() {
	g.a, g.b, g.c, g.block.from = nil, nil, nil, nil
	idleTiled.give(g)
}

func gemmTiled(transA, transB bool, m, n, k int, a []float32, lda int, b []float32, ldb int, acc bool, c []float32, ldc int) {
	g := takeTiled()
	defer g.release()
	g.set(transA, m, n, k, a, lda, acc, c, ldc)
	g.b, g.ldb, g.transB = b, ldb, transB
	whole := regionTiles{depth: min(k, splitDepth), width: min(n, splitCols)}
	buf := grown(&g.pack, whole.tiles()*whole.steps()*splitTile)
	for j := 0; j < n; j += splitCols {
		for p := 0; p < k; p += splitDepth {
			g.block = regionTiles{p, min(splitDepth, k-p), j, min(splitCols, n-j), buf}
			g.packBlock()
			g.run()
		}
	}
}

// splitWhole splits all of op(B) to dst for gemmTiledPacked.
func splitWhole(dst *[]byte, trans bool, k, n int, b []float32, ldb int) {
	g := takeTiled()
	defer g.release()
	g.b, g.ldb, g.transB = b, ldb, trans
	whole := regionTiles{depth: k, width: n}
	from := grown(dst, whole.tiles()*whole.steps()*splitTile)
	for p := 0; p < k; p += splitDepth {
		g.block = regionTiles{p: p, depth: min(splitDepth, k-p), width: n, from: from}
		g.packBlock()
		from = g.block.at(g.block.tiles())
	}
}

// packBlock splits the block of op(B), on as many threads as it is worth.
func (g *tiled) packBlock() {
	Parallel(g.block.tiles(), splitWorth/(g.block.depth*tileRows), g.packing)
}

// gemmTiledPacked is gemmTiled for a B that was split beforehand.
func gemmTiledPacked(m int, a []float32, lda int, b *Packed, acc bool, c []float32, ldc int) {
	g := takeTiled()
	defer g.release()
	g.set(false, m, b.n, b.k, a, lda, acc, c, ldc)
	from := alignedBytes(b.split)
	for p := 0; p < b.k; p += splitDepth {
		whole := regionTiles{p: p, depth: min(splitDepth, b.k-p), width: b.n, from: from}
		for j := 0; j < b.n; j += splitCols {
			g.block = whole
			g.block.j, g.block.width, g.block.from = j, min(splitCols, b.n-j), whole.at(j/tileRows)
			g.run()
		}
		from = whole.at(whole.tiles())
	}
}

// set fills in everything but B.
func (g *tiled) set(transA bool, m, n, k int, a []float32, lda int, acc bool, c []float32, ldc int) {
	g.m, g.n, g.k, g.acc = m, n, k, acc
	g.a, g.lda, g.transA = a, lda, transA
	g.c, g.rowC = unsafe.Pointer(&c[0]), ldc*float32Size
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

// packTiles splits column tiles lo to hi of the block of op(B), two by two: a cache line and the one that comes with it.
func (g *tiled) packTiles(lo, hi int) {
	r := &g.block
	work := takePanel()
	defer idleSplit.give(work)
	for t := lo; t < hi; t += packedTiles {
		j := t * tileRows
		cols := min(min(hi, t+packedTiles)*tileRows, r.width) - j
		var b []float32
		ldb := g.ldb
		if g.transB {
			b, ldb = aligned(work.turned[:]), packedTiles*tileRows
			transposeInto(b, ldb, g.b[(r.j+j)*g.ldb+r.p:], g.ldb, cols, r.depth)
		} else {
			b = g.b[r.p*ldb+r.j+j:]
		}
		for p := 0; p < r.depth; p += tileSteps {
			splitRight(unsafe.Add(r.at(t), p/tileSteps*splitTile), r.steps()*splitTile, b[p*ldb:], ldb, cols, min(tileSteps, r.depth-p))
		}
	}
}

// run multiplies by the block of B.
func (g *tiled) run() {
	panels := (g.m + panelTiles*tileRows - 1) / (panelTiles * tileRows)
	r := &g.block
	if g.m > sharedLeft || Threads() == 1 {
		Parallel(panels, parallelWork/(r.width*r.depth*panelTiles*tileRows), g.byRows)
		return
	}
	grown(&g.lefts, panels*panelTiles*r.steps()*splitTile)
	Parallel(panels, splitWorth/(r.depth*panelTiles*tileRows), g.splitting)
	Parallel((r.tiles()+1)/2, parallelWork/(g.m*r.depth*2*tileRows), g.byCols)
}

// splitWork is what a thread needs to split: a panel of A, and rows turned beforehand.
type splitWork struct {
	panel  [splitPanel + 64]byte
	turned [turnedTile + lineFloats]float32
}

var idleSplit freeList[splitWork]

func takePanel() *splitWork {
	w := idleSplit.take()
	if w == nil {
		w = new(splitWork)
	}
	return w
}

// panels computes row panels lo to hi over all columns of the block.
func (g *tiled) panels(lo, hi int) {
	work := takePanel()
	defer idleSplit.give(work)
	left := alignedBytes(work.panel[:])
	for i := lo; i < hi; i++ {
		rows := g.splitPanel(left, i, work)
		g.multiply(left, i, rows, 0, g.block.tiles())
	}
}

// splitPanels splits row panels lo to hi of op(A) for all threads.
func (g *tiled) splitPanels(lo, hi int) {
	work := takePanel()
	defer idleSplit.give(work)
	for i := lo; i < hi; i++ {
		g.splitPanel(g.left(i), i, work)
	}
}

// left is where panel i of A is kept for all threads.
func (g *tiled) left(i int) unsafe.Pointer {
	return unsafe.Add(alignedBytes(g.lefts[:cap(g.lefts)]), i*panelTiles*g.block.steps()*splitTile)
}

// columns computes pairs lo to hi of column tiles of the block over all rows.
func (g *tiled) columns(lo, hi int) {
	for i := 0; i*panelTiles*tileRows < g.m; i++ {
		rows := min(panelTiles*tileRows, g.m-i*panelTiles*tileRows)
		g.multiply(g.left(i), i, rows, 2*lo, min(2*hi, g.block.tiles()))
	}
}

// splitPanel splits panel i of op(A) to dst and returns its rows.
func (g *tiled) splitPanel(dst unsafe.Pointer, i int, work *splitWork) int {
	r := &g.block
	first := i * panelTiles * tileRows
	rows := min(panelTiles*tileRows, g.m-first)
	a, lda := g.a, g.lda
	at := first*lda + r.p
	if g.transA {
		at = r.p*lda + first
	}
	from := a[at:]
	if g.transA {
		turned := aligned(work.turned[:])
		transposeInto(turned, turnedRow, from, lda, r.depth, rows)
		from, lda = turned, turnedRow
	}
	for t := 0; t < rows; t += tileRows {
		splitLeft(unsafe.Add(dst, t/tileRows*r.steps()*splitTile), from[t*lda:], lda, min(tileRows, rows-t), r.depth)
	}
	return rows
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
		dst, from := unsafe.Add(dst, part.lo*tileRow), unsafe.Add(from, part.lo*row)
		splitTiles(dst, tileRow, tile, from, row, tileRow, tileRows*row, n, whole, part.lanes0*tileRows, part.lanes1*tileRows)
		if rest > 0 {
			splitTiles(unsafe.Add(dst, whole*tile), tileRow, tile, unsafe.Add(from, whole*tileRow), row, tileRow, tileRows*row, n, 1, part.lanes0*rest, part.lanes1*rest)
		}
	}
}

// multiply computes column tiles lo to hi of the block for panel i of A, of rows rows, split at left. It is kept out of line as
// blocked.panel is.
//
//go:noinline
func (g *tiled) multiply(left unsafe.Pointer, i, rows, lo, hi int) {
	r := &g.block
	const pair = 2 * tileRows
	cols := min(hi*tileRows, r.width) - lo*tileRows
	c := unsafe.Add(g.c, i*panelTiles*tileRows*g.rowC+(r.j+lo*tileRows)*float32Size)
	acc := g.acc || r.p > 0
	if pairs := cols / pair; pairs > 0 {
		runTiles(tileConfigs()[rows-1][pair-1], rows > tileRows, true, r.steps(), pairs, left, r.at(lo), c, g.rowC, acc)
	}
	if done, rest := cols/pair*pair, cols%pair; rest > 0 {
		runTiles(tileConfigs()[rows-1][rest-1], rows > tileRows, rest > tileRows, r.steps(), 1, left, r.at(lo+done/tileRows), unsafe.Add(c, done*float32Size), g.rowC, acc)
	}
}
