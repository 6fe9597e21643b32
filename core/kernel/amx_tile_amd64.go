//go:build !noasm

package kernel

import "unsafe"

// runTiles multiplies one or two row tiles of A by blocks blocks of one or two column tiles of B.
func runTiles(config *tileConfig, twoRows, twoCols bool, steps, blocks int, a, b, c unsafe.Pointer, rowC int, acc bool) {
	switch {
	case twoRows && twoCols:
		gemmTiles2x2AMX(&config[0], steps, blocks, (*byte)(a), (*byte)(b), (*float32)(c), rowC, acc)
	case twoRows:
		gemmTiles2x1AMX(&config[0], steps, blocks, (*byte)(a), (*byte)(b), (*float32)(c), rowC, acc)
	case twoCols:
		gemmTiles1x2AMX(&config[0], steps, blocks, (*byte)(a), (*byte)(b), (*float32)(c), rowC, acc)
	default:
		gemmTiles1x1AMX(&config[0], steps, blocks, (*byte)(a), (*byte)(b), (*float32)(c), rowC, acc)
	}
}

// splitTiles writes rows of split tiles; splitRowsAMX says how.
func splitTiles(dst unsafe.Pointer, dstOuter, dstInner int, src unsafe.Pointer, srcOuter, srcInner, second, outer, inner, lanes0, lanes1 int) {
	if outer > 0 && inner > 0 {
		splitRowsAMX((*byte)(dst), dstOuter, dstInner, (*float32)(src), srcOuter, srcInner, second, outer, inner, lanes0, lanes1)
	}
}
