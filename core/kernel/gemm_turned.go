package kernel

import "unsafe"

const (
	turnDepth = 64                      // from so many steps of k up,
	turnCols  = 2 * panelCols           // and so many columns, turning a transposed A pays
	turnedRow = blockDepth + lineFloats // row stride of the turned rows: not a power of two, which would crowd a few sets of the cache
)

// turnedBuffer holds the turned rows of blockTiles row tiles.
type turnedBuffer [blockTiles*8*turnedRow + lineFloats]float32

var idleTurned freeList[turnedBuffer]

// turnedTiles computes the row tiles lo to hi of C, blockTiles of them at a time from rows of op(A) turned just before.
func (g *blocked) turnedTiles(lo, hi int) {
	r := &g.block
	buf := idleTurned.take()
	if buf == nil {
		buf = new(turnedBuffer)
	}
	defer idleTurned.give(buf)
	dst := aligned(buf[:])
	left := leftRows{from: unsafe.Pointer(&dst[0]), row: turnedRow * float32Size, step: float32Size}
	for p := 0; p < r.depth; p += blockDepth {
		depth := min(blockDepth, r.depth-p)
		for t := lo; t < hi; t += blockTiles {
			end := min(t+blockTiles, hi)
			left.first = g.tileRow(t)
			transposeInto(dst, turnedRow, g.turn[(r.p+p)*g.lda+left.first:], g.lda, depth, g.tileRow(end)-left.first)
			for i := 0; i*g.cols < r.width; i++ {
				g.inBlock(t, end, i, p, left)
			}
		}
	}
}
