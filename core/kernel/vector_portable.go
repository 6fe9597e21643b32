//go:build !amd64 || noasm

package kernel

// Nothing is vectored here: level is portable, so these are never reached.

func unaryKernel(unaryOp, *float32, *float32, int) {}

func binaryKernel(binaryOp, *float32, *float32, *float32, int) {}

func scaleKernel(float32, *float32, int) {}

func axpyKernel(float32, *float32, *float32, int) {}

func dotKernel(*float32, *float32, int) float32 { return 0 }

func addRowsKernel(*float32, *float32, int, int) {}

func adamKernel(w, m, v, g *float32, n int, b1, a1, b2, a2, step, root, eps float32) {}

func totalKernel(totalOp, *float32, int) float64 { return 0 }

func addDoublesKernel(*float64, *float32, int, int) {}

func addDeviationsKernel(_, _ *float64, _ *float32, _, _ int) {}

func maxKernel(*float32, int) float32 { return 0 }

func copyRowsKernel(*float32, int, *[]float32, int, int) {}

func sumRowsKernel(*float32, int, *uint32, int, *[]float32, *float32, int, int, bool) {}

func adamRowsKernel(w, state, g *[]float32, n, dim int, l2, scale, b1, a1, b2, a2, step, root, eps float32) {
}

func lambKernel(w, m, v, g *float32, n int, b1, a1, b2, a2, step, root, eps, decay float32) {}

func lambRowsKernel(w, state, g *[]float32, n, dim int, l2, scale, b1, a1, b2, a2, step, root, eps, decay float32) {
}

func adagradKernel(w, m, g *float32, n int, rate, eps float32) {}

func adagradRowsKernel(w, state, g *[]float32, n, dim int, l2, scale, rate, eps float32) {
}

func ftrlKernel(w, m, v, g *float32, n int, inverse, base, l1 float32) {}

func ftrlRowsKernel(w, state, g *[]float32, n, dim int, l2, scale, inverse, base, l1 float32) {
}

func expShiftKernel(*float32, *float32, int, float32) {}

func preluGradKernel(dx, dalpha, dy, x, alpha *float32, n int) {}

func dropoutKernel(dst, x *float32, blocks int, counter uint64, bound uint16, scale float32) int {
	return 0
}

func normaliseKernel(dst, gamma, x, beta *float32, n int, scale, shift, floor float32) {}

func normGradKernel(dx, gamma, dgamma, dbeta, dy, x, y *float32, n int, scale, shift, floor float32) (sum, dot float32) {
	return 0, 0
}

func normGradEndKernel(dx, x *float32, n int, a, b, shift float32) {}

func fetchLines(*float32, int) {}
