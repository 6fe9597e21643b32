package kernel

import "math"

// The float32 functions of this file are within two and a half units in the last place of the exact result over the whole range, denormal
// arguments and results included; the portable ones are within 0.6.

// Exp writes e^x to dst, len(x) elements; dst may be x.
func Exp[T Float](dst, x []T) {
	dst = dst[:len(x):len(dst)]
	if vectored[T]() {
		vectorUnary(opExp, f32(dst), f32(x))
		return
	}
	if single[T]() {
		d := f32(dst)
		for i, v := range f32(x) {
			d[i] = float32(exp64(float64(v)))
		}
		return
	}
	for i, v := range x {
		dst[i] = T(math.Exp(float64(v)))
	}
}

// Log writes the natural logarithm of x to dst, len(x) elements; dst may be x. Zero gives -Inf, a negative number NaN.
func Log[T Float](dst, x []T) {
	dst = dst[:len(x):len(dst)]
	if vectored[T]() {
		vectorUnary(opLog, f32(dst), f32(x))
		return
	}
	for i, v := range x {
		dst[i] = T(math.Log(float64(v)))
	}
}

// Sigmoid writes 1/(1+e^-x) to dst, len(x) elements; dst may be x.
func Sigmoid[T Float](dst, x []T) {
	dst = dst[:len(x):len(dst)]
	if vectored[T]() {
		vectorUnary(opSigmoid, f32(dst), f32(x))
		return
	}
	if single[T]() {
		d := f32(dst)
		for i, v := range f32(x) {
			d[i] = float32(1 / (1 + exp64(-float64(v))))
		}
		return
	}
	for i, v := range x {
		dst[i] = T(1 / (1 + math.Exp(-float64(v))))
	}
}

// Tanh writes the hyperbolic tangent of x to dst, len(x) elements; dst may be x.
func Tanh[T Float](dst, x []T) {
	dst = dst[:len(x):len(dst)]
	if vectored[T]() {
		vectorUnary(opTanh, f32(dst), f32(x))
		return
	}
	if single[T]() {
		d := f32(dst)
		for i, v := range f32(x) {
			d[i] = float32(tanh64(float64(v)))
		}
		return
	}
	for i, v := range x {
		dst[i] = T(math.Tanh(float64(v)))
	}
}

// Softplus writes log(1+e^x) to dst, len(x) elements; dst may be x.
func Softplus[T Float](dst, x []T) {
	dst = dst[:len(x):len(dst)]
	if vectored[T]() {
		vectorUnary(opSoftplus, f32(dst), f32(x))
		return
	}
	for i, v := range x {
		f := float64(v)
		dst[i] = T(max(f, 0) + math.Log1p(math.Exp(-math.Abs(f))))
	}
}

// Relu writes max(x, 0) to dst, len(x) elements; dst may be x. A NaN stays.
func Relu[T Float](dst, x []T) {
	dst = dst[:len(x):len(dst)]
	if vectored[T]() {
		vectorUnary(opRelu, f32(dst), f32(x))
		return
	}
	for i, v := range x {
		if v < 0 {
			v = 0
		}
		dst[i] = v
	}
}

// ReluGrad writes to dst the gradient dy where the output y of Relu is above zero, and zero elsewhere; len(dy) elements; dst may
// be dy or y.
func ReluGrad[T Float](dst, dy, y []T) {
	dst, y = dst[:len(dy):len(dst)], y[:len(dy):len(y)]
	if vectored[T]() {
		vectorBinary(opReluGrad, f32(dst), f32(dy), f32(y))
		return
	}
	for i, v := range dy {
		if y[i] <= 0 {
			v = 0
		}
		dst[i] = v
	}
}

// SigmoidGrad writes dy·y·(1-y) to dst, y being the output of Sigmoid; len(dy) elements; dst may be dy or y.
func SigmoidGrad[T Float](dst, dy, y []T) {
	dst, y = dst[:len(dy):len(dst)], y[:len(dy):len(y)]
	if vectored[T]() {
		vectorBinary(opSigmoidGrad, f32(dst), f32(dy), f32(y))
		return
	}
	for i, v := range dy {
		dst[i] = v * ((1 - y[i]) * y[i])
	}
}

// TanhGrad writes dy·(1-y²) to dst, y being the output of Tanh; len(dy) elements; dst may be dy or y.
func TanhGrad[T Float](dst, dy, y []T) {
	dst, y = dst[:len(dy):len(dst)], y[:len(dy):len(y)]
	if vectored[T]() {
		vectorBinary(opTanhGrad, f32(dst), f32(dy), f32(y))
		return
	}
	for i, v := range dy {
		dst[i] = v * (1 - y[i]*y[i])
	}
}

// exp64 is e^x with a relative error below 1e-9: enough for a float32 result to be right to half an ulp and a little.
// It saturates beyond ±200, where the float32 result is 0 or +Inf.
func exp64(x float64) float64 {
	const (
		shifter = 3 << 51 // adding it leaves the nearest integer in the low bits
		ln2     = math.Ln2
	)
	if !(x < 200) {
		if x != x {
			return x
		}
		x = 200
	}
	x = max(x, -200)
	t := x*math.Log2E + shifter
	r := x - (t-shifter)*ln2
	p := 1 + r*(1+r*(1.0/2+r*(1.0/6+r*(1.0/24+r*(1.0/120+r*(1.0/720+r*(1.0/5040)))))))
	return p * math.Float64frombits(math.Float64bits(t)<<52+1023<<52)
}

func tanh64(x float64) float64 {
	if math.Abs(x) < 1.0/4096 {
		return x - x*x*x/3
	}
	e := exp64(-2 * math.Abs(x))
	return math.Copysign((1-e)/(1+e), x)
}
