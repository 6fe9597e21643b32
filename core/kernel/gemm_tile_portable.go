//go:build !amd64 || noasm

package kernel

func runTile(s instructions, rows, cols, k int, a *float32, rowA, stepA int, b *float32, stepB int, c *float32, rowC int, acc bool) {
	panic("BUG: no register tile for " + s.String())
}

func fmaLoop(int) int { return 0 }

func (instructions) transposeLanes() int { return 0 }

func transposeBlocks(*float32, int, *float32, int, int) {}
