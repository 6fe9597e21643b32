package kernel

import "math"

// Adam updates the weights w and the moments m and v by the gradient g, len(w) elements (Kingma and Ba 2015, algorithm 1, in
// PyTorch's form): m = beta1·m + (1-beta1)·g, v = beta2·v + (1-beta2)·g², w -= lr·(m/corr1) / (√(v/corr2) + eps).
// corr1 and corr2 are the bias corrections 1-beta1^t and 1-beta2^t; an L2 penalty is the caller's to add to g.
// The vector kernels take denormal values for zero: moments that small move no weight.
func Adam[T Float](w, m, v, g []T, lr, beta1, beta2, eps, corr1, corr2 float64) {
	m, v, g = m[:len(w):len(m)], v[:len(w):len(v)], g[:len(w):len(g)]
	b1, a1, b2, a2 := T(beta1), T(1-beta1), T(beta2), T(1-beta2)
	step, root, e := T(lr/corr1), T(1/math.Sqrt(corr2)), T(eps)
	if vectored[T]() {
		vectorAdam(f32(w), f32(m), f32(v), f32(g), float32(b1), float32(a1), float32(b2), float32(a2), float32(step), float32(root), float32(e))
		return
	}
	for i, x := range g {
		mi := b1*m[i] + a1*x
		vi := b2*v[i] + a2*(x*x)
		m[i], v[i] = mi, vi
		w[i] -= step * mi / (T(math.Sqrt(float64(vi)))*root + e)
	}
}

// AdamRows is Adam over rows that lie anywhere: w[i] are the weights of a row, state[i] its two moments, one after the other, and g[i] its gradient,
// which stands for scale·(g + l2·w). A row may be in g more than once.
//
//go:noinline
func AdamRows(w, state, g [][]float32, dim int, l2, scale float32, lr, beta1, beta2, eps, corr1, corr2 float64) {
	if !rowLists(w, state, g, dim, 2) {
		return
	}
	b1, a1, b2, a2 := float32(beta1), float32(1-beta1), float32(beta2), float32(1-beta2)
	step, root, e := float32(lr/corr1), float32(1/math.Sqrt(corr2)), float32(eps)
	if level == portable {
		for i := range w {
			adamRow(w[i][:dim], state[i][:dim], state[i][dim:], g[i], l2, scale, b1, a1, b2, a2, step, root, e)
		}
		return
	}
	for n := rowsAtOnce(dim); len(w) > 0; {
		n = min(n, len(w))
		adamRowsKernel(&w[0], &state[0], &g[0], n, dim, l2, scale, b1, a1, b2, a2, step, root, e)
		w, state, g = w[n:], state[n:], g[n:]
	}
}

func adamRow(w, m, v, g []float32, l2, scale, b1, a1, b2, a2, step, root, eps float32) {
	m, v, g = m[:len(w)], v[:len(w)], g[:len(w)]
	for i, x := range g {
		x = scale * (x + l2*w[i])
		mi := b1*m[i] + a1*x
		vi := b2*v[i] + a2*(x*x)
		m[i], v[i] = mi, vi
		w[i] -= step * mi / (float32(math.Sqrt(float64(vi)))*root + eps)
	}
}
