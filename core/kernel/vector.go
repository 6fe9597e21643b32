package kernel

// chunk is how many elements one call into assembly handles: a few microseconds, so that a thread in a long vector still comes
// by a place where the collector can stop it.
const chunk = 1 << 13

type unaryOp int

const (
	opExp unaryOp = iota
	opSigmoid
	opTanh
	opLog
	opSoftplus
	opRelu
	opErf
	opGelu
	opSilu
)

type binaryOp int

const (
	opAdd binaryOp = iota
	opSub
	opMul
	opMulAdd
	opReluGrad
	opSigmoidGrad
	opTanhGrad
	opGeluGrad
	opSiluGrad
	opPrelu
)

type totalOp int

const (
	opSum totalOp = iota
	opSumSquares
)

// vectored reports whether T has vector kernels here.
func vectored[T Float]() bool { return single[T]() && level != portable }

// The functions below cut their work into chunks. They are kept out of line for their frame's stack check.

//go:noinline
func vectorUnary(op unaryOp, dst, x []float32) {
	for len(x) > 0 {
		n := min(len(x), chunk)
		unaryKernel(op, &dst[0], &x[0], n)
		dst, x = dst[n:], x[n:]
	}
}

//go:noinline
func vectorBinary(op binaryOp, dst, x, y []float32) {
	for len(x) > 0 {
		n := min(len(x), chunk)
		binaryKernel(op, &dst[0], &x[0], &y[0], n)
		dst, x, y = dst[n:], x[n:], y[n:]
	}
}

//go:noinline
func vectorExpShift(dst, x []float32, shift float32) {
	for len(x) > 0 {
		n := min(len(x), chunk)
		expShiftKernel(&dst[0], &x[0], n, shift)
		dst, x = dst[n:], x[n:]
	}
}

//go:noinline
func vectorPreluGrad(dx, dalpha, dy, x, alpha []float32) {
	for len(x) > 0 {
		n := min(len(x), chunk)
		preluGradKernel(&dx[0], &dalpha[0], &dy[0], &x[0], &alpha[0], n)
		dx, dalpha, dy, x, alpha = dx[n:], dalpha[n:], dy[n:], x[n:], alpha[n:]
	}
}

//go:noinline
func vectorScale(alpha float32, x []float32) {
	for len(x) > 0 {
		n := min(len(x), chunk)
		scaleKernel(alpha, &x[0], n)
		x = x[n:]
	}
}

//go:noinline
func vectorAxpy(alpha float32, x, y []float32) {
	for len(x) > 0 {
		n := min(len(x), chunk)
		axpyKernel(alpha, &x[0], &y[0], n)
		x, y = x[n:], y[n:]
	}
}

//go:noinline
func vectorDot(x, y []float32) float32 {
	var s float32
	for len(x) > 0 {
		n := min(len(x), chunk)
		s += dotKernel(&x[0], &y[0], n)
		x, y = x[n:], y[n:]
	}
	return s
}

// vectorAddRows adds the rows of x, ld apart, to dst, one after the other.
//
//go:noinline
func vectorAddRows(dst, x []float32, rows, ld int) {
	cols := len(dst)
	for ; rows >= 4; rows -= 4 {
		_ = x[3*ld+cols-1]
		for j := 0; j < cols; j += chunk {
			addRowsKernel(&dst[j], &x[j], ld*float32Size, min(chunk, cols-j))
		}
		x = x[min(4*ld, len(x)):]
	}
	for ; rows > 0; rows-- {
		vectorBinary(opAdd, dst, dst, x[:cols])
		x = x[min(ld, len(x)):]
	}
}

//go:noinline
func vectorAdam(w, m, v, g []float32, b1, a1, b2, a2, step, root, eps float32) {
	for len(w) > 0 {
		n := min(len(w), chunk)
		adamKernel(&w[0], &m[0], &v[0], &g[0], n, b1, a1, b2, a2, step, root, eps)
		w, m, v, g = w[n:], m[n:], v[n:], g[n:]
	}
}

// vectorTotal reduces whole vectors of x in float64 and returns how many elements that was.
//
//go:noinline
func vectorTotal(op totalOp, x []float32) (total float64, done int) {
	lanes := level.doubles()
	for len(x) >= lanes {
		n := min(len(x), chunk) / lanes
		total += totalKernel(op, &x[0], n)
		done += n * lanes
		x = x[n*lanes:]
	}
	return total, done
}

// vectorAddDoubles adds rows rows of x, a multiple of four, to dst by whole vectors and returns how many columns that was.
//
//go:noinline
func vectorAddDoubles(dst []float64, x []float32, rows, ld int) int {
	vectors := min(len(dst), chunk) / level.doubles()
	if vectors == 0 {
		return 0
	}
	for i := 0; i < rows; i += 4 {
		addDoublesKernel(&dst[0], &x[i*ld], ld*float32Size, vectors)
	}
	return vectors * level.doubles()
}

// vectorAddDeviations adds the squared distances from mean the same way.
//
//go:noinline
func vectorAddDeviations(dst, mean []float64, x []float32, rows, ld int) {
	vectors := min(len(dst), chunk) / level.doubles()
	for i := 0; i < rows; i += 4 {
		addDeviationsKernel(&dst[0], &mean[0], &x[i*ld], ld*float32Size, vectors)
	}
}

// vectorMax returns the greatest of x, at least 16 elements; with a NaN among them it may be any of them.
//
//go:noinline
func vectorMax(x []float32) float32 {
	top := x[0]
	for len(x) > 0 {
		n := len(x)
		if n > 2*chunk {
			n = chunk
		}
		top = max(top, maxKernel(&x[0], n))
		x = x[n:]
	}
	return top
}
