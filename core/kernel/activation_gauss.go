package kernel

import "math"

// Erf writes the error function of x to dst, len(x) elements; dst may be x. float32 results are within two units in the last place.
func Erf[T Float](dst, x []T) {
	dst = dst[:len(x):len(dst)]
	if vectored[T]() {
		vectorUnary(opErf, f32(dst), f32(x))
		return
	}
	for i, v := range x {
		dst[i] = T(math.Erf(float64(v)))
	}
}

// Gelu writes x·Φ(x) to dst, Φ being the normal distribution's (Hendrycks and Gimpel 2016, the exact form by erf); len(x) elements; dst may be x.
// float32 results are within 4 units in the last place from -1 up and within 2e-7 below.
func Gelu[T Float](dst, x []T) {
	dst = dst[:len(x):len(dst)]
	if vectored[T]() {
		vectorUnary(opGelu, f32(dst), f32(x))
		return
	}
	for i, v := range x {
		dst[i] = T(float64(v) * normal(float64(v)))
	}
}

// Silu writes x/(1+e^-x) to dst, len(x) elements; dst may be x. float32 results are within 3 units in the last place from -87 up.
func Silu[T Float](dst, x []T) {
	dst = dst[:len(x):len(dst)]
	if vectored[T]() {
		vectorUnary(opSilu, f32(dst), f32(x))
		return
	}
	for i, v := range x {
		dst[i] = T(float64(v) / (1 + math.Exp(-float64(v))))
	}
}

// GeluGrad writes dy times the derivative of Gelu at its argument x to dst, len(dy) elements; dst may be dy or x.
func GeluGrad[T Float](dst, dy, x []T) {
	dst, x = dst[:len(dy):len(dst)], x[:len(dy):len(x)]
	if vectored[T]() {
		vectorBinary(opGeluGrad, f32(dst), f32(dy), f32(x))
		return
	}
	for i, v := range dy {
		z := float64(x[i])
		dst[i] = T(float64(v) * (normal(z) + z*math.Exp(-z*z/2)/math.Sqrt(2*math.Pi)))
	}
}

// SiluGrad writes dy times the derivative of Silu at its argument x to dst, len(dy) elements; dst may be dy or x.
func SiluGrad[T Float](dst, dy, x []T) {
	dst, x = dst[:len(dy):len(dst)], x[:len(dy):len(x)]
	if vectored[T]() {
		vectorBinary(opSiluGrad, f32(dst), f32(dy), f32(x))
		return
	}
	for i, v := range dy {
		z := float64(x[i])
		s := 1 / (1 + math.Exp(-z))
		dst[i] = T(float64(v) * s * (1 + z*(1-s)))
	}
}

// Prelu writes max(x, 0) + alpha·min(x, 0) to dst, len(x) elements, each with its slope; dst may be x.
func Prelu[T Float](dst, x, alpha []T) {
	dst, alpha = dst[:len(x):len(dst)], alpha[:len(x):len(alpha)]
	if vectored[T]() {
		vectorBinary(opPrelu, f32(dst), f32(x), f32(alpha))
		return
	}
	for i, v := range x {
		dst[i] = max(v, 0) + alpha[i]*min(v, 0)
	}
}

// PreluGrad writes the gradient of Prelu at x to dx, dy above zero and alpha·dy elsewhere, and adds that of the slopes, x·dy at zero and below, to dalpha;
// len(x) elements; dx may be dy.
func PreluGrad[T Float](dx, dalpha, dy, x, alpha []T) {
	n := len(x)
	dx, dalpha, dy, alpha = dx[:n:len(dx)], dalpha[:n:len(dalpha)], dy[:n:len(dy)], alpha[:n:len(alpha)]
	if vectored[T]() {
		vectorPreluGrad(f32(dx), f32(dalpha), f32(dy), f32(x), f32(alpha))
		return
	}
	for i, v := range x {
		if g := dy[i]; v > 0 {
			dx[i] = g
		} else {
			dx[i] = g * alpha[i]
			dalpha[i] += g * v
		}
	}
}

// normal is the normal distribution's Φ.
func normal(x float64) float64 { return math.Erfc(-x/math.Sqrt2) / 2 }
