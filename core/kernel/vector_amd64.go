//go:build !noasm

package kernel

func unaryKernel(op unaryOp, dst, x *float32, n int) {
	wide := level == avx512
	switch {
	case op == opExp && wide:
		expAVX512(dst, x, n)
	case op == opExp:
		expAVX2(dst, x, n)
	case op == opSigmoid && wide:
		sigmoidAVX512(dst, x, n)
	case op == opSigmoid:
		sigmoidAVX2(dst, x, n)
	case op == opTanh && wide:
		tanhAVX512(dst, x, n)
	case op == opTanh:
		tanhAVX2(dst, x, n)
	case op == opLog && wide:
		logAVX512(dst, x, n)
	case op == opLog:
		logAVX2(dst, x, n)
	case op == opSoftplus && wide:
		softplusAVX512(dst, x, n)
	case op == opSoftplus:
		softplusAVX2(dst, x, n)
	case op == opRelu && wide:
		reluAVX512(dst, x, n)
	case op == opRelu:
		reluAVX2(dst, x, n)
	case op == opErf && wide:
		erfAVX512(dst, x, n)
	case op == opErf:
		erfAVX2(dst, x, n)
	case op == opGelu && wide:
		geluAVX512(dst, x, n)
	case op == opGelu:
		geluAVX2(dst, x, n)
	case op == opSilu && wide:
		siluAVX512(dst, x, n)
	case op == opSilu:
		siluAVX2(dst, x, n)
	}
}

func binaryKernel(op binaryOp, dst, x, y *float32, n int) {
	wide := level == avx512
	switch {
	case op == opAdd && wide:
		addAVX512(dst, x, y, n)
	case op == opAdd:
		addAVX2(dst, x, y, n)
	case op == opSub && wide:
		subAVX512(dst, x, y, n)
	case op == opSub:
		subAVX2(dst, x, y, n)
	case op == opMul && wide:
		mulAVX512(dst, x, y, n)
	case op == opMul:
		mulAVX2(dst, x, y, n)
	case op == opMulAdd && wide:
		mulAddAVX512(dst, x, y, n)
	case op == opMulAdd:
		mulAddAVX2(dst, x, y, n)
	case op == opReluGrad && wide:
		reluGradAVX512(dst, x, y, n)
	case op == opReluGrad:
		reluGradAVX2(dst, x, y, n)
	case op == opSigmoidGrad && wide:
		sigmoidGradAVX512(dst, x, y, n)
	case op == opSigmoidGrad:
		sigmoidGradAVX2(dst, x, y, n)
	case op == opTanhGrad && wide:
		tanhGradAVX512(dst, x, y, n)
	case op == opTanhGrad:
		tanhGradAVX2(dst, x, y, n)
	case op == opGeluGrad && wide:
		geluGradAVX512(dst, x, y, n)
	case op == opGeluGrad:
		geluGradAVX2(dst, x, y, n)
	case op == opSiluGrad && wide:
		siluGradAVX512(dst, x, y, n)
	case op == opSiluGrad:
		siluGradAVX2(dst, x, y, n)
	case op == opPrelu && wide:
		preluAVX512(dst, x, y, n)
	case op == opPrelu:
		preluAVX2(dst, x, y, n)
	}
}

func scaleKernel(alpha float32, x *float32, n int) {
	if level == avx512 {
		scaleAVX512(alpha, x, n)
		return
	}
	scaleAVX2(alpha, x, n)
}

func axpyKernel(alpha float32, x, y *float32, n int) {
	if level == avx512 {
		axpyAVX512(alpha, x, y, n)
		return
	}
	axpyAVX2(alpha, x, y, n)
}

func dotKernel(x, y *float32, n int) float32 {
	if level == avx512 {
		return dotAVX512(x, y, n)
	}
	return dotAVX2(x, y, n)
}

func addRowsKernel(dst, x *float32, row, n int) {
	if level == avx512 {
		addRowsAVX512(dst, x, row, n)
		return
	}
	addRowsAVX2(dst, x, row, n)
}

func adamKernel(w, m, v, g *float32, n int, b1, a1, b2, a2, step, root, eps float32) {
	if level == avx512 {
		adamAVX512(w, m, v, g, n, b1, a1, b2, a2, step, root, eps)
		return
	}
	adamAVX2(w, m, v, g, n, b1, a1, b2, a2, step, root, eps)
}

func totalKernel(op totalOp, x *float32, vectors int) float64 {
	wide := level == avx512
	switch {
	case op == opSum && wide:
		return sumAVX512(x, vectors)
	case op == opSum:
		return sumAVX2(x, vectors)
	case wide:
		return sumSquaresAVX512(x, vectors)
	}
	return sumSquaresAVX2(x, vectors)
}

func addDoublesKernel(dst *float64, x *float32, row, vectors int) {
	if level == avx512 {
		addDoublesAVX512(dst, x, row, vectors)
		return
	}
	addDoublesAVX2(dst, x, row, vectors)
}

func addDeviationsKernel(dst, mean *float64, x *float32, row, vectors int) {
	if level == avx512 {
		addDeviationsAVX512(dst, mean, x, row, vectors)
		return
	}
	addDeviationsAVX2(dst, mean, x, row, vectors)
}

func maxKernel(x *float32, n int) float32 {
	if level == avx512 {
		return maxAVX512(x, n)
	}
	return maxAVX2(x, n)
}

func copyRowsKernel(dst *float32, stride int, rows *[]float32, n, dim int) {
	if level == avx2 {
		copyRowsAVX2(dst, stride, rows, n, dim)
		return
	}
	copyRowsAVX512(dst, stride, rows, n, dim)
}

func sumRowsKernel(dst *float32, stride int, counts *uint32, n int, rows *[]float32, scales *float32, all, dim int, acc bool) {
	if level == avx2 {
		sumRowsAVX2(dst, stride, counts, n, rows, scales, all, dim, acc)
		return
	}
	sumRowsAVX512(dst, stride, counts, n, rows, scales, all, dim, acc)
}

func adamRowsKernel(w, state, g *[]float32, n, dim int, l2, scale, b1, a1, b2, a2, step, root, eps float32) {
	if level == avx2 {
		adamRowsAVX2(w, state, g, n, dim, l2, scale, b1, a1, b2, a2, step, root, eps)
		return
	}
	adamRowsAVX512(w, state, g, n, dim, l2, scale, b1, a1, b2, a2, step, root, eps)
}

func lambKernel(w, m, v, g *float32, n int, b1, a1, b2, a2, step, root, eps, decay float32) {
	if level == avx2 {
		lambAVX2(w, m, v, g, n, b1, a1, b2, a2, step, root, eps, decay)
		return
	}
	lambAVX512(w, m, v, g, n, b1, a1, b2, a2, step, root, eps, decay)
}

func lambRowsKernel(w, state, g *[]float32, n, dim int, l2, scale, b1, a1, b2, a2, step, root, eps, decay float32) {
	if level == avx2 {
		lambRowsAVX2(w, state, g, n, dim, l2, scale, b1, a1, b2, a2, step, root, eps, decay)
		return
	}
	lambRowsAVX512(w, state, g, n, dim, l2, scale, b1, a1, b2, a2, step, root, eps, decay)
}

func adagradKernel(w, m, g *float32, n int, rate, eps float32) {
	if level == avx2 {
		adagradAVX2(w, m, g, n, rate, eps)
		return
	}
	adagradAVX512(w, m, g, n, rate, eps)
}

func adagradRowsKernel(w, state, g *[]float32, n, dim int, l2, scale, rate, eps float32) {
	if level == avx2 {
		adagradRowsAVX2(w, state, g, n, dim, l2, scale, rate, eps)
		return
	}
	adagradRowsAVX512(w, state, g, n, dim, l2, scale, rate, eps)
}

func ftrlKernel(w, m, v, g *float32, n int, inverse, base, l1 float32) {
	if level == avx2 {
		ftrlAVX2(w, m, v, g, n, inverse, base, l1)
		return
	}
	ftrlAVX512(w, m, v, g, n, inverse, base, l1)
}

func ftrlRowsKernel(w, state, g *[]float32, n, dim int, l2, scale, inverse, base, l1 float32) {
	if level == avx2 {
		ftrlRowsAVX2(w, state, g, n, dim, l2, scale, inverse, base, l1)
		return
	}
	ftrlRowsAVX512(w, state, g, n, dim, l2, scale, inverse, base, l1)
}

func expShiftKernel(dst, x *float32, n int, shift float32) {
	if level == avx2 {
		expShiftAVX2(dst, x, n, shift)
		return
	}
	expShiftAVX512(dst, x, n, shift)
}

func preluGradKernel(dx, dalpha, dy, x, alpha *float32, n int) {
	if level == avx2 {
		preluGradAVX2(dx, dalpha, dy, x, alpha, n)
		return
	}
	preluGradAVX512(dx, dalpha, dy, x, alpha, n)
}

func dropoutKernel(dst, x *float32, blocks int, counter uint64, bound uint16, scale float32) int {
	if level != avx512 {
		return 0
	}
	return dropoutAVX512(dst, x, blocks, counter, bound, scale)
}

func normaliseKernel(dst, gamma, x, beta *float32, n int, scale, shift, floor float32) {
	if level == avx2 {
		normaliseAVX2(dst, gamma, x, beta, n, scale, shift, floor)
		return
	}
	normaliseAVX512(dst, gamma, x, beta, n, scale, shift, floor)
}

func normGradKernel(dx, gamma, dgamma, dbeta, dy, x, y *float32, n int, scale, shift, floor float32) (sum, dot float32) {
	if level == avx2 {
		return normGradAVX2(dx, gamma, dgamma, dbeta, dy, x, y, n, scale, shift, floor)
	}
	return normGradAVX512(dx, gamma, dgamma, dbeta, dy, x, y, n, scale, shift, floor)
}

func normGradEndKernel(dx, x *float32, n int, a, b, shift float32) {
	if level == avx2 {
		normGradEndAVX2(dx, x, n, a, b, shift)
		return
	}
	normGradEndAVX512(dx, x, n, a, b, shift)
}
