package kernel

import "math"

// Adagrad updates the weights w and the sums of squares s by the gradient g, len(w) elements (Duchi et al. 2011): s += g², w -= lr·g/(√s + eps).
//
//go:noinline
func Adagrad(w, s, g []float32, lr, eps float64) {
	s, g = s[:len(w):len(s)], g[:len(w):len(g)]
	if level == portable {
		adagradRow(w, s, g, 0, 1, float32(lr), float32(eps))
		return
	}
	for len(w) > 0 {
		n := min(len(w), chunk)
		adagradKernel(&w[0], &s[0], &g[0], n, float32(lr), float32(eps))
		w, s, g = w[n:], s[n:], g[n:]
	}
}

// AdagradRows is Adagrad over rows that lie anywhere; see AdamRows.
//
//go:noinline
func AdagradRows(w, state, g [][]float32, dim int, l2, scale float32, lr, eps float64) {
	if !rowLists(w, state, g, dim, 1) {
		return
	}
	if level == portable {
		for i := range w {
			adagradRow(w[i][:dim], state[i], g[i], l2, scale, float32(lr), float32(eps))
		}
		return
	}
	for n := rowsAtOnce(dim); len(w) > 0; {
		n = min(n, len(w))
		adagradRowsKernel(&w[0], &state[0], &g[0], n, dim, l2, scale, float32(lr), float32(eps))
		w, state, g = w[n:], state[n:], g[n:]
	}
}

func adagradRow(w, s, g []float32, l2, scale, lr, eps float32) {
	s, g = s[:len(w)], g[:len(w)]
	for i, x := range g {
		x = scale * (x + l2*w[i])
		s[i] += x * x
		w[i] -= lr * x / (float32(math.Sqrt(float64(s[i]))) + eps)
	}
}
