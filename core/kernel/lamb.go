package kernel

import "math"

// LambDirection updates the moments m and v by the gradient g and puts the direction of LAMB's step in place of g, len(w) elements (You et al. 2020,
// algorithm 2): m = beta1·m + (1-beta1)·g, v = beta2·v + (1-beta2)·g², g = (m/corr1)/(√(v/corr2) + eps) + decay·w. The weights stay: how far
// they go takes the norms of w and of the direction over the whole layer.
//
//go:noinline
func LambDirection(w, m, v, g []float32, beta1, beta2, eps, corr1, corr2, decay float64) {
	m, v, g = m[:len(w):len(m)], v[:len(w):len(v)], g[:len(w):len(g)]
	b1, a1, b2, a2 := float32(beta1), float32(1-beta1), float32(beta2), float32(1-beta2)
	step, root, e, d := float32(1/corr1), float32(1/math.Sqrt(corr2)), float32(eps), float32(decay)
	if level == portable {
		lambRow(w, m, v, g, 0, 1, b1, a1, b2, a2, step, root, e, d)
		return
	}
	for len(w) > 0 {
		n := min(len(w), chunk)
		lambKernel(&w[0], &m[0], &v[0], &g[0], n, b1, a1, b2, a2, step, root, e, d)
		w, m, v, g = w[n:], m[n:], v[n:], g[n:]
	}
}

// LambRows is LambDirection over rows that lie anywhere; see AdamRows. No gradient may be there twice, for each is overwritten.
//
//go:noinline
func LambRows(w, state, g [][]float32, dim int, l2, scale float32, beta1, beta2, eps, corr1, corr2, decay float64) {
	if !rowLists(w, state, g, dim, 2) {
		return
	}
	b1, a1, b2, a2 := float32(beta1), float32(1-beta1), float32(beta2), float32(1-beta2)
	step, root, e, d := float32(1/corr1), float32(1/math.Sqrt(corr2)), float32(eps), float32(decay)
	if level == portable {
		for i, s := range state[:len(w)] {
			lambRow(w[i][:dim], s[:dim], s[dim:], g[i], l2, scale, b1, a1, b2, a2, step, root, e, d)
		}
		return
	}
	for n := rowsAtOnce(dim); len(w) > 0; {
		n = min(n, len(w))
		lambRowsKernel(&w[0], &state[0], &g[0], n, dim, l2, scale, b1, a1, b2, a2, step, root, e, d)
		w, state, g = w[n:], state[n:], g[n:]
	}
}

func lambRow(w, m, v, g []float32, l2, scale, b1, a1, b2, a2, step, root, eps, decay float32) {
	m, v, g = m[:len(w)], v[:len(w)], g[:len(w)]
	for i, x := range g {
		x = scale * (x + l2*w[i])
		mi := b1*m[i] + a1*x
		vi := b2*v[i] + a2*(x*x)
		m[i], v[i] = mi, vi
		g[i] = step*mi/(float32(math.Sqrt(float64(vi)))*root+eps) + decay*w[i]
	}
}
