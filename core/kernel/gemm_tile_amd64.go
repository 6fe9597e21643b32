//go:build !noasm

package kernel

// runTile computes one register tile of C with the kernel for its width.
func runTile(s instructions, rows, cols, k int, a *float32, rowA, stepA int, b *float32, stepB int, c *float32, rowC int, acc bool) {
	if s == avx512 {
		switch {
		case cols == 48:
			gemm48AVX512(rows, k, a, rowA, stepA, b, stepB, c, rowC, acc, 16)
		case cols > 32:
			gemm48MaskedAVX512(rows, k, a, rowA, stepA, b, stepB, c, rowC, acc, cols-32)
		case cols == 32:
			gemm32AVX512(rows, k, a, rowA, stepA, b, stepB, c, rowC, acc, 16)
		case cols > 16:
			gemm32MaskedAVX512(rows, k, a, rowA, stepA, b, stepB, c, rowC, acc, cols-16)
		case cols == 16:
			gemm16AVX512(rows, k, a, rowA, stepA, b, stepB, c, rowC, acc, 16)
		default:
			gemm16MaskedAVX512(rows, k, a, rowA, stepA, b, stepB, c, rowC, acc, cols)
		}
		return
	}
	switch {
	case cols == 16:
		gemm16AVX2(rows, k, a, rowA, stepA, b, stepB, c, rowC, acc, 8)
	case cols > 8:
		gemm16MaskedAVX2(rows, k, a, rowA, stepA, b, stepB, c, rowC, acc, cols-8)
	default:
		gemm8MaskedAVX2(rows, k, a, rowA, stepA, b, stepB, c, rowC, acc, cols)
	}
}

// fmaLoop runs the peak loop and returns the lanes of its vectors.
func fmaLoop(rounds int) int {
	switch level {
	case avx512:
		fmaLoopAVX512(rounds)
		return 16
	case avx2:
		fmaLoopAVX2(rounds)
		return 8
	}
	return 0
}

// transposeLanes is the side of the blocks transposeBlocks takes.
func (s instructions) transposeLanes() int { return [...]int{portable: 0, avx2: 8, avx512: 16}[s] }

func transposeBlocks(dst *float32, dstRow int, src *float32, srcRow int, blocks int) {
	if level == avx512 {
		transpose16AVX512(dst, dstRow, src, srcRow, blocks)
		return
	}
	transpose8AVX2(dst, dstRow, src, srcRow, blocks)
}
