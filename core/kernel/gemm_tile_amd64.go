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

// runWide computes a tile of one or two rows that spans several panels.
func runWide(s instructions, rows, cols, k int, a *float32, rowA, stepA int, b *float32, stepB int, c *float32, rowC int, acc bool) {
	if s == avx2 {
		vectors := (cols + 7) / 8
		gemmWide1AVX2(vectors, k, a, rowA, stepA, b, stepB, c, rowC, acc, cols-8*(vectors-1))
		return
	}
	vectors := (cols + 15) / 16
	lanes := cols - 16*(vectors-1)
	if rows == 1 {
		gemmWide1AVX512(vectors, k, a, rowA, stepA, b, stepB, c, rowC, acc, lanes)
		return
	}
	gemmWide2AVX512(vectors, k, a, rowA, stepA, b, stepB, c, rowC, acc, lanes)
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

// transposeVectored transposes as many rows of src as fill whole blocks of registers and returns their number.
func transposeVectored(dst []float32, ldd int, src []float32, lds int, rows, cols int) int {
	lanes, kernel := 8, transpose8AVX2
	switch level {
	case portable:
		return 0
	case avx512:
		lanes, kernel = 16, transpose16AVX512
	}
	blocks := cols / lanes
	if blocks == 0 {
		return 0
	}
	i := 0
	for ; i+lanes <= rows; i += lanes {
		kernel(&dst[i], ldd*float32Size, &src[i*lds], lds*float32Size, blocks)
		for r := i; r < i+lanes; r++ {
			for c := blocks * lanes; c < cols; c++ {
				dst[c*ldd+r] = src[r*lds+c]
			}
		}
	}
	return i
}
