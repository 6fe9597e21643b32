//go:build !amd64 || noasm

package kernel

// Nothing is blocked here: level is portable, so neither tile is ever reached.

func runTile(s instructions, rows, cols, k int, a *float32, rowA, stepA int, b *float32, stepB int, c *float32, rowC int, acc bool) {
}

func runWide(s instructions, rows, cols, k int, a *float32, rowA, stepA int, b *float32, stepB int, c *float32, rowC int, acc bool) {
}

func fmaLoop(int) int { return 0 }

func transposeVectored([]float32, int, []float32, int, int, int) int { return 0 }
