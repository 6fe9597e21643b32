//go:build !amd64 || noasm

package kernel

import "unsafe"

// Nothing is tiled here: tiles is false, so neither is ever reached.

func runTiles(config *tileConfig, twoRows, twoCols bool, steps, blocks int, a, b, c unsafe.Pointer, rowC int, acc bool) {
}

func splitTiles(dst unsafe.Pointer, dstOuter, dstInner int, src unsafe.Pointer, srcOuter, srcInner, second, outer, inner, lanes0, lanes1 int) {
}
