package kernel

import "unsafe"

// Packed is a matrix B [k, n] of weights laid out once for many products: strips of columns as wide as the widest tile, each
// contiguous over k and aligned to a cache line, and split into tiles beside that where large products use them. It is immutable and
// may be used by many goroutines at once.
type Packed struct {
	k, n   int
	layout instructions
	data   []float32 // strips [k, width]; [k, n] for the portable product; nil when only split is laid out
	split  []byte    // nil or blocks of k, each column tile after column tile
}

// packedRows is a number of rows that is enough for tiles wherever they pay.
const packedRows = 64

// Pack lays B [k, n] with row stride ldb out for GemmPacked. B may be freed or changed afterwards.
func Pack(k, n int, b []float32, ldb int) *Packed { return pack(false, k, n, b, ldb) }

// PackTransposed lays the transpose of b [n, k] with row stride ldb out for GemmPacked.
func PackTransposed(k, n int, b []float32, ldb int) *Packed { return pack(true, k, n, b, ldb) }

func pack(trans bool, k, n int, b []float32, ldb int) *Packed {
	p := &Packed{k: max(k, 0), n: max(n, 0), layout: level}
	if p.k == 0 || p.n == 0 {
		return p
	}
	checkMatrix(b, trans, k, n, ldb)
	g := blocked{b: b, ldb: ldb, transB: trans}
	if p.layout == portable {
		p.data = make([]float32, k*n)
		g.packPanel(p.data, n, 0, n, 0, k)
		return p
	}
	_, g.cols = p.layout.tileShape()
	g.block = p.region()
	size := g.block.packedSize()
	p.data = aligned(make([]float32, size+lineFloats))[:size]
	g.block.from = unsafe.Pointer(&p.data[0])
	g.packPanels(0, (n+g.cols-1)/g.cols)
	if tilesPay(packedRows, n, k, false, true) {
		splitWhole(&p.split, trans, k, n, b, ldb)
	}
	return p
}

// Repack lays out B [k, n], or the transpose of b [n, k] when trans is set, for several products of m rows before B changes again. It
// uses the memory of p again, which must come from Repack or be zero and which no product may be using. It reports whether
// it did: where it is false, Gemm is as fast, and p is not to be used.
func (p *Packed) Repack(trans bool, m, k, n int, b []float32, ldb int) bool {
	if !tilesPay(m, n, k, false, true) {
		return false
	}
	checkMatrix(b, trans, k, n, ldb)
	p.k, p.n, p.layout = k, n, level
	splitWhole(&p.split, trans, k, n, b, ldb)
	return true
}

// region is the whole matrix as a region, without its place.
func (p *Packed) region() regionB { return regionB{depth: p.k, width: p.n, strip: p.layout.strip()} }

// Shape returns the rows and columns of the matrix that was packed.
func (p *Packed) Shape() (k, n int) { return p.k, p.n }

// GemmPacked computes C = A·B, or C += A·B when acc is set, for A [m, k] and the packed B [k, n]. lda and ldc are row strides.
// It gives the bits that Gemm gives, but for n of one and for numbers of rows, up to about 64, where matrix tiles pay for a B split
// beforehand only.
func GemmPacked(m int, a []float32, lda int, p *Packed, acc bool, c []float32, ldc int) {
	if m <= 0 || p.n == 0 || p.k == 0 || p.layout == portable {
		Gemm(false, false, m, p.n, p.k, a, lda, p.data, p.n, acc, c, ldc)
		return
	}
	checkMatrix(a, false, m, p.k, lda)
	checkMatrix(c, false, m, p.n, ldc)
	if p.data == nil || p.split != nil && tilesPay(m, p.n, p.k, false, true) {
		gemmTiledPacked(m, a, lda, p, acc, c, ldc)
		return
	}
	block := p.region()
	block.from = unsafe.Pointer(&p.data[0])
	if m*p.n*p.k < parallelWork {
		var g blocked
		g.set(p.layout, m, p.n, p.k, a, lda, acc, c, ldc)
		g.block = block
		g.rowTiles(0, g.tiles)
		return
	}
	g := takeBlocked()
	defer g.release()
	g.set(p.layout, m, p.n, p.k, a, lda, acc, c, ldc)
	g.block = block
	g.run()
}
