package kernel

import "unsafe"

// The blocked product runs the register tiles of one instruction set over C: rows are cut into balanced tiles, columns into
// panels as wide as the tile, k into blocks whose rows of A and B stay in the second-level cache. A is read in place through
// two strides, whether transposed or not; but a tile of a transposed A reads another cache line, and soon another page, at each
// step of k, so where many panels read it again, each thread turns its rows first. B is read in place unless it is transposed or
// its rows lie badly. Then it is packed:
// with few rows panel by panel, each used at once by the thread that packed it; with many block by block, by all threads,
// before any multiplies.
const (
	blockDepth   = 512     // steps of k in a block
	blockTiles   = 24      // row tiles that share a panel of B before the next panel is taken
	panelCols    = 48      // the widest tile
	packedFloats = 1 << 19 // size of a packed block of B: what the second-level cache holds
	panelRows    = 256     // up to so many rows, B is packed panel by panel
	copyFromRows = 128     // below so many rows, copying a B that lies badly costs more than it saves
	splitRows    = 16      // from so many rows up the threads split rows, below columns
	lineFloats   = 16      // a cache line
	float32Size  = 4
)

// tileShape returns the rows and columns of the register tile.
func (s instructions) tileShape() (rows, cols int) {
	if s == avx512 {
		return 8, panelCols
	}
	return 6, 16
}

// wideRows is up to how many rows there are tiles wider than a panel, and wideCols how wide they are.
func (s instructions) wideRows() int { return [...]int{portable: 0, avx2: 1, avx512: 2}[s] }

func (s instructions) wideCols(rows int) int {
	if s == avx512 {
		return (6 - rows) * 48
	}
	return 80
}

// strip is the width of the strips that B is packed in.
func (s instructions) strip() int { return s.wideCols(1) }

// blocked is one product in work; it is kept for reuse, so that a product allocates nothing.
type blocked struct {
	instructions
	rows, cols int // of the register tile

	m, n, k     int
	a           unsafe.Pointer
	rowA, stepA int // bytes from row to row of op(A), and from step to step of k
	b           []float32
	ldb         int
	transB      bool
	c           unsafe.Pointer
	rowC        int
	acc         bool
	turn        []float32 // A as stored, when its rows are turned first
	lda         int

	tiles int // row tiles of C
	block regionB
	pack  []float32

	byRows, byCols, packing, packed func(lo, hi int)
}

// regionB is the part of op(B) being multiplied: steps p to p+depth of k, columns j to j+width. It lies at from, in place with
// step bytes between rows, or packed when strip is set: strips of that many columns, each contiguous with rows as long as the
// strip is wide. A strip is as wide as the widest tile, which reads it straight through; the last may be narrower.
type regionB struct {
	p, depth, j, width int
	from               unsafe.Pointer
	step, strip        int
}

// at returns where the row p of the region has its column j, and the bytes to the next row.
func (r *regionB) at(p, j int) (unsafe.Pointer, int) {
	if r.strip == 0 {
		return unsafe.Add(r.from, p*r.step+j*float32Size), r.step
	}
	start := j / r.strip * r.strip
	wide := r.stripWidth(start)
	return unsafe.Add(r.from, (start*r.depth+p*wide+j-start)*float32Size), wide * float32Size
}

// stripWidth is the width of the strip that starts at column j, whole cache lines.
func (r *regionB) stripWidth(j int) int {
	return min(r.strip, (r.width-j+lineFloats-1)/lineFloats*lineFloats)
}

// packedSize is the number of floats that the region takes packed.
func (r *regionB) packedSize() int {
	return r.depth * ((r.width + lineFloats - 1) / lineFloats * lineFloats)
}

var idleBlocked freeList[blocked]

func takeBlocked() *blocked {
	g := idleBlocked.take()
	if g == nil {
		g = new(blocked)
		g.byRows, g.byCols, g.packing, g.packed = g.rowTiles, g.panels, g.packPanels, g.packedPanels
	}
	return g
}

func (g *blocked) release() {
	g.a, g.b, g.c, g.turn, g.block.from = nil, nil, nil, nil, nil
	idleBlocked.give(g)
}

func gemmBlocked(transA, transB bool, m, n, k int, a []float32, lda int, b []float32, ldb int, acc bool, c []float32, ldc int) {
	inPlace := regionB{depth: k, width: n, from: unsafe.Pointer(&b[0]), step: ldb * float32Size}
	if !transB && m*n*k < parallelWork {
		var g blocked
		g.set(level, m, n, k, a, lda, acc, c, ldc)
		g.block = inPlace
		g.turnA(transA)
		g.rowTiles(0, g.tiles)
		return
	}
	g := takeBlocked()
	defer g.release()
	g.set(level, m, n, k, a, lda, acc, c, ldc)
	g.turnA(transA)
	g.b, g.ldb, g.transB = b, ldb, transB
	if transA && m >= splitRows && n >= turnCols && k >= turnDepth {
		g.turn, g.lda = a, lda
	}
	badly := ldb%lineFloats != 0 || ldb%(64*lineFloats) == 0
	switch {
	case transB && m <= panelRows:
		g.block = regionB{depth: k, width: n}
		g.share(g.packed)
	case transB || badly && m >= copyFromRows:
		g.runPacked()
	default:
		g.block = inPlace
		g.run()
	}
}

// set fills in everything but B, for an A that is not transposed.
func (g *blocked) set(s instructions, m, n, k int, a []float32, lda int, acc bool, c []float32, ldc int) {
	g.instructions = s
	g.rows, g.cols = s.tileShape()
	g.m, g.n, g.k, g.acc = m, n, k, acc
	g.a, g.rowA, g.stepA = unsafe.Pointer(&a[0]), lda*float32Size, float32Size
	g.c, g.rowC = unsafe.Pointer(&c[0]), ldc*float32Size
	g.tiles = (m + g.rows - 1) / g.rows
}

func (g *blocked) turnA(trans bool) {
	if trans {
		g.rowA, g.stepA = g.stepA, g.rowA
	}
}

// share gives the panels of the block to the threads.
func (g *blocked) share(panels func(lo, hi int)) {
	r := &g.block
	n := (r.width + g.cols - 1) / g.cols
	if g.m*r.width*r.depth < parallelWork {
		panels(0, n)
		return
	}
	Parallel(n, parallelWork/(g.m*r.depth*g.cols), panels)
}

// runPacked multiplies block by block of B, each packed first.
func (g *blocked) runPacked() {
	depth := min(g.k, blockDepth)
	strip := g.strip()
	width := min(g.n, max(1, packedFloats/depth/strip)*strip)
	whole := regionB{depth: depth, width: width, strip: strip}
	if need := whole.packedSize() + lineFloats; cap(g.pack) < need {
		g.pack = make([]float32, need)
	}
	buf := aligned(g.pack[:cap(g.pack)])
	for j := 0; j < g.n; j += width {
		for p := 0; p < g.k; p += depth {
			r := &g.block
			*r = regionB{p: p, depth: min(depth, g.k-p), j: j, width: min(width, g.n-j), from: unsafe.Pointer(&buf[0]), strip: strip}
			if panels := (r.width + g.cols - 1) / g.cols; r.width*r.depth >= parallelWork/8 {
				Parallel(panels, 1, g.packing)
			} else {
				g.packPanels(0, panels)
			}
			g.run()
		}
	}
}

// aligned returns x from its first element at the start of a cache line.
func aligned(x []float32) []float32 {
	at := uintptr(unsafe.Pointer(&x[0])) / float32Size
	return x[(lineFloats-at%lineFloats)%lineFloats:]
}

// packPanels copies panels lo to hi of the block of op(B).
func (g *blocked) packPanels(lo, hi int) {
	r := &g.block
	for j := lo * g.cols; j < min(hi*g.cols, r.width); j += g.cols {
		cols := min(g.cols, r.width-j)
		to, step := r.at(0, j)
		ld := step / float32Size
		g.packPanel(unsafe.Slice((*float32)(to), (r.depth-1)*ld+cols), ld, r.j+j, cols, r.p, r.depth)
	}
}

// packPanel writes columns j to j+cols of rows p to p+depth of op(B) to dst with row stride ld.
func (g *blocked) packPanel(dst []float32, ld, j, cols, p, depth int) {
	if g.transB {
		transposeInto(dst, ld, g.b[j*g.ldb+p:], g.ldb, cols, depth)
		return
	}
	for i := range depth {
		copy(dst[i*ld:], g.b[(p+i)*g.ldb+j:][:cols])
	}
}

// panelBuffer holds one packed panel.
type panelBuffer [panelCols*blockDepth + lineFloats]float32

var idlePanels freeList[panelBuffer]

// packedPanels packs panels lo to hi one by one and computes them over all rows.
func (g *blocked) packedPanels(lo, hi int) {
	buf := idlePanels.take()
	if buf == nil {
		buf = new(panelBuffer)
	}
	defer idlePanels.give(buf)
	dst := aligned(buf[:])
	for i := lo; i < hi; i++ {
		j := i * g.cols
		cols := min(g.cols, g.n-j)
		for p := 0; p < g.k; p += blockDepth {
			depth := min(blockDepth, g.k-p)
			g.packPanel(dst, g.cols, j, cols, p, depth)
			g.panel(0, g.tiles, j, cols, p, depth, g.left(p), unsafe.Pointer(&dst[0]), g.cols*float32Size)
		}
	}
}

// transposeInto writes the transpose of src [rows, cols] to dst [cols, rows].
func transposeInto(dst []float32, ldd int, src []float32, lds int, rows, cols int) {
	for i := transposeVectored(dst, ldd, src, lds, rows, cols); i < rows; i++ {
		for c, v := range src[i*lds:][:cols] {
			dst[c*ldd+i] = v
		}
	}
}

// run multiplies by the block of B, on as many threads as it is worth.
func (g *blocked) run() {
	r := &g.block
	switch {
	case g.m*r.width*r.depth < parallelWork:
		g.rowTiles(0, g.tiles)
	case g.m >= splitRows:
		grain := parallelWork / (r.width * r.depth * g.rows)
		if r.depth > blockDepth {
			// Every range streams all of B: no more ranges than threads.
			grain = max(grain, g.tiles/Threads())
		}
		Parallel(g.tiles, grain, g.byRows)
	default:
		g.share(g.byCols)
	}
}

// rowTiles computes the row tiles lo to hi of C over all columns of the block.
func (g *blocked) rowTiles(lo, hi int) {
	r := &g.block
	if g.m <= g.wideRows() {
		g.wide(0, (r.width+g.cols-1)/g.cols)
		return
	}
	if g.turn != nil {
		g.turnedTiles(lo, hi)
		return
	}
	for p := 0; p < r.depth; p += blockDepth {
		left := g.left(p)
		for t := lo; t < hi; t += blockTiles {
			for i := 0; i*g.cols < r.width; i++ {
				g.inBlock(t, min(t+blockTiles, hi), i, p, left)
			}
		}
	}
}

// leftRows are the rows of op(A) that a panel reads, from one step of k on: row first+i lies at from + i·row, its steps step bytes apart.
type leftRows struct {
	first     int
	from      unsafe.Pointer
	row, step int
}

// left is all of op(A) in place, from the block's step p on.
func (g *blocked) left(p int) leftRows {
	return leftRows{0, unsafe.Add(g.a, (g.block.p+p)*g.stepA), g.rowA, g.stepA}
}

// tileRow is the first row of row tile t.
func (g *blocked) tileRow(t int) int { return t * g.m / g.tiles }

// panels computes the column panels lo to hi of the block over all rows.
func (g *blocked) panels(lo, hi int) {
	if g.m <= g.wideRows() {
		g.wide(lo, hi)
		return
	}
	for p := 0; p < g.block.depth; p += blockDepth {
		for i := lo; i < hi; i++ {
			g.inBlock(0, g.tiles, i, p, g.left(p))
		}
	}
}

// wide computes the column panels lo to hi of the block for the one or two rows that have tiles wider than a panel.
func (g *blocked) wide(lo, hi int) {
	r := &g.block
	end := min(hi*g.cols, r.width)
	for j := lo * g.cols; j < end; {
		n := end - j
		if r.strip > 0 {
			n = min(n, r.strip-j%r.strip)
		}
		// As many tiles as it takes, about as wide as each other.
		tiles := (n + g.wideCols(g.m) - 1) / g.wideCols(g.m)
		n = min(n, ((n+tiles-1)/tiles+lineFloats-1)/lineFloats*lineFloats)
		for p := 0; p < r.depth; p += blockDepth {
			g.wideTile(j, n, p)
		}
		j += n
	}
}

// wideTile computes columns j to j+cols of the block from its step p on. It is kept out of line as panel is.
//
//go:noinline
func (g *blocked) wideTile(j, cols, p int) {
	r := &g.block
	b, stepB := r.at(p, j)
	a := (*float32)(unsafe.Add(g.a, (r.p+p)*g.stepA))
	c := (*float32)(unsafe.Add(g.c, (r.j+j)*float32Size))
	runWide(g.instructions, g.m, cols, min(blockDepth, r.depth-p), a, g.rowA, g.stepA, (*float32)(b), stepB, c, g.rowC, g.acc || r.p+p > 0)
}

// inBlock computes row tiles lo to hi of panel i of the block, from its step p for at most blockDepth steps.
func (g *blocked) inBlock(lo, hi, i, p int, left leftRows) {
	r := &g.block
	j := i * g.cols
	b, stepB := r.at(p, j)
	g.panel(lo, hi, r.j+j, min(g.cols, r.width-j), r.p+p, min(blockDepth, r.depth-p), left, b, stepB)
}

// panel computes row tiles lo to hi of columns j to j+cols, steps p to p+depth of k, with the panel of B at b. It is kept out of
// line: its frame's stack check is where the collector can stop a thread that otherwise runs nothing but assembly.
//
//go:noinline
func (g *blocked) panel(lo, hi, j, cols, p, depth int, left leftRows, b unsafe.Pointer, stepB int) {
	acc := g.acc || p > 0
	c := unsafe.Add(g.c, j*float32Size)
	for t := lo; t < hi; t++ {
		i := g.tileRow(t)
		runTile(g.instructions, g.tileRow(t+1)-i, cols, depth, (*float32)(unsafe.Add(left.from, (i-left.first)*left.row)), left.row, left.step, (*float32)(b), stepB,
			(*float32)(unsafe.Add(c, i*g.rowC)), g.rowC, acc)
	}
}
