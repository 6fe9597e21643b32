package kernel

import "math"

// FTRL updates the weights w, the gradients' adjusted sums z and the sums of squares s by the gradient g, len(w) elements (McMahan et al. 2013,
// algorithm 1, FTRL-proximal): z += g - (√(s+g²) - √s)/lr·w, s += g², and w = -sign(z)·max(|z| - l1, 0)/((beta + √s)/lr + l2), which is zero where
// |z| is at most l1. Weights are a function of z and s: what they began with counts only in the first step. beta or l2 must be above zero.
//
//go:noinline
func FTRL(w, z, s, g []float32, lr, beta, l1, l2 float64) {
	z, s, g = z[:len(w):len(z)], s[:len(w):len(s)], g[:len(w):len(g)]
	inverse, base := float32(1/lr), float32(beta/lr+l2)
	if level == portable {
		ftrlRow(w, z, s, g, 0, 1, inverse, base, float32(l1))
		return
	}
	for len(w) > 0 {
		n := min(len(w), chunk)
		ftrlKernel(&w[0], &z[0], &s[0], &g[0], n, inverse, base, float32(l1))
		w, z, s, g = w[n:], z[n:], s[n:], g[n:]
	}
}

// FTRLRows is FTRL over rows that lie anywhere; see AdamRows. regulariser is the factor of the weights in the gradient, l2 that of the proximal step.
//
//go:noinline
func FTRLRows(w, state, g [][]float32, dim int, regulariser, scale float32, lr, beta, l1, l2 float64) {
	if !rowLists(w, state, g, dim, 2) {
		return
	}
	inverse, base := float32(1/lr), float32(beta/lr+l2)
	if level == portable {
		for i, s := range state[:len(w)] {
			ftrlRow(w[i][:dim], s[:dim], s[dim:], g[i], regulariser, scale, inverse, base, float32(l1))
		}
		return
	}
	for n := rowsAtOnce(dim); len(w) > 0; {
		n = min(n, len(w))
		ftrlRowsKernel(&w[0], &state[0], &g[0], n, dim, regulariser, scale, inverse, base, float32(l1))
		w, state, g = w[n:], state[n:], g[n:]
	}
}

func ftrlRow(w, z, s, g []float32, regulariser, scale, inverse, base, l1 float32) {
	z, s, g = z[:len(w)], s[:len(w)], g[:len(w)]
	root := func(x float32) float32 { return float32(math.Sqrt(float64(x))) }
	for i, x := range g {
		x = scale * (x + regulariser*w[i])
		after := s[i] + x*x
		zi := z[i] + x - (root(after)-root(s[i]))*inverse*w[i]
		size := max(float32(math.Abs(float64(zi)))-l1, 0) / (root(after)*inverse + base)
		z[i], s[i] = zi, after
		w[i] = float32(math.Copysign(float64(size), -float64(zi)))
	}
}
