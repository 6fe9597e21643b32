//go:build !amd64 || noasm

package kernel

import "unsafe"

// Nothing is tiled here: tiles is false, so neither is ever reached.

func runTiles(config *tileConfig, twoRows, twoCols bool, steps, blocks int, a, b, c unsafe.Pointer, rowC int, acc bool) {
}

func splitTiles(dst unsafe.Pointer, dstStep int, src *float32, row, second, step, steps, both, first, zero, lanes0, lanes1 int) {
}
