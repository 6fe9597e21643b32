package kernel

import "math"

// Normalise writes gamma·(x·scale + shift) + beta to dst, or where relu is set its positive part, len(x) elements: a row of layer normalisation when
// scale is 1/σ and shift −μ/σ. dst may be x.
func Normalise[T Float](dst, x, gamma, beta []T, scale, shift T, relu bool) {
	n := len(x)
	dst, gamma, beta = dst[:n:len(dst)], gamma[:n:len(gamma)], beta[:n:len(beta)]
	if vectored[T]() {
		vectorNormalise(f32(dst), f32(x), f32(gamma), f32(beta), float32(scale), float32(shift), floorOf(relu))
		return
	}
	for i, v := range x {
		y := gamma[i]*(v*scale+shift) + beta[i]
		if relu && y <= 0 {
			y = 0
		}
		dst[i] = y
	}
}

// NormaliseGrad is the gradient of Normalise through the mean and the deviation of x too: with y its result, dy the gradient of that, dz = dy where y counts, x̂ =
// x·scale + shift and g = dz·gamma, it writes scale·(g − mean(g) − x̂·mean(g·x̂)) to dx and adds dz·x̂ to dgamma and dz to dbeta, len(x) elements. dx may be dy, and no other of them.
func NormaliseGrad[T Float](dx, dgamma, dbeta, x, y, dy, gamma []T, scale, shift T, relu bool) {
	n := len(x)
	if n == 0 {
		return
	}
	dx, dgamma, dbeta, y, dy, gamma = dx[:n:len(dx)], dgamma[:n:len(dgamma)], dbeta[:n:len(dbeta)], y[:n:len(y)], dy[:n:len(dy)], gamma[:n:len(gamma)]
	var sum, dot T
	if vectored[T]() {
		s, d := vectorNormGrad(f32(dx), f32(dgamma), f32(dbeta), f32(x), f32(y), f32(dy), f32(gamma), float32(scale), float32(shift), floorOf(relu))
		sum, dot = T(s), T(d)
	} else {
		for i, v := range x {
			dz, normal := dy[i], v*scale+shift
			if relu && y[i] <= 0 {
				dz = 0
			}
			dgamma[i] += dz * normal
			dbeta[i] += dz
			g := dz * gamma[i]
			sum += g
			dot += g * normal
			dx[i] = g
		}
	}
	mean, tilt := sum/T(n), dot/T(n)
	b, c := -scale*scale*tilt, -scale*(mean+shift*tilt)
	if vectored[T]() {
		vectorNormGradEnd(f32(dx), f32(x), float32(scale), float32(b), float32(c))
		return
	}
	for i, g := range dx {
		dx[i] = scale*g + b*x[i] + c
	}
}

// floorOf is what an element must be above to count.
func floorOf(relu bool) float32 {
	if relu {
		return 0
	}
	return float32(math.Inf(-1))
}

//go:noinline
func vectorNormalise(dst, x, gamma, beta []float32, scale, shift, floor float32) {
	for len(x) > 0 {
		n := min(len(x), chunk)
		normaliseKernel(&dst[0], &gamma[0], &x[0], &beta[0], n, scale, shift, floor)
		dst, x, gamma, beta = dst[n:], x[n:], gamma[n:], beta[n:]
	}
}

//go:noinline
func vectorNormGrad(dx, dgamma, dbeta, x, y, dy, gamma []float32, scale, shift, floor float32) (sum, dot float32) {
	for len(x) > 0 {
		n := min(len(x), chunk)
		s, d := normGradKernel(&dx[0], &gamma[0], &dgamma[0], &dbeta[0], &dy[0], &x[0], &y[0], n, scale, shift, floor)
		sum, dot = sum+s, dot+d
		dx, dgamma, dbeta, x, y, dy, gamma = dx[n:], dgamma[n:], dbeta[n:], x[n:], y[n:], dy[n:], gamma[n:]
	}
	return sum, dot
}

//go:noinline
func vectorNormGradEnd(dx, x []float32, a, b, shift float32) {
	for len(x) > 0 {
		n := min(len(x), chunk)
		normGradEndKernel(&dx[0], &x[0], n, a, b, shift)
		dx, x = dx[n:], x[n:]
	}
}
