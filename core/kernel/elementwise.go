package kernel

import "slices"

// Add writes x + y to dst, len(x) elements; dst may be x or y.
func Add[T Float](dst, x, y []T) {
	dst, y = dst[:len(x):len(dst)], y[:len(x):len(y)]
	if vectored[T]() {
		vectorBinary(opAdd, f32(dst), f32(x), f32(y))
		return
	}
	for i, v := range x {
		dst[i] = v + y[i]
	}
}

// Sub writes x - y to dst, len(x) elements; dst may be x or y.
func Sub[T Float](dst, x, y []T) {
	dst, y = dst[:len(x):len(dst)], y[:len(x):len(y)]
	if vectored[T]() {
		vectorBinary(opSub, f32(dst), f32(x), f32(y))
		return
	}
	for i, v := range x {
		dst[i] = v - y[i]
	}
}

// Mul writes the element-wise product of x and y to dst, len(x) elements; dst may be x or y.
func Mul[T Float](dst, x, y []T) {
	dst, y = dst[:len(x):len(dst)], y[:len(x):len(y)]
	if vectored[T]() {
		vectorBinary(opMul, f32(dst), f32(x), f32(y))
		return
	}
	for i, v := range x {
		dst[i] = v * y[i]
	}
}

// MulAdd adds the element-wise product of x and y to dst, len(x) elements.
func MulAdd[T Float](dst, x, y []T) {
	dst, y = dst[:len(x):len(dst)], y[:len(x):len(y)]
	if vectored[T]() {
		vectorBinary(opMulAdd, f32(dst), f32(x), f32(y))
		return
	}
	for i, v := range x {
		dst[i] += v * y[i]
	}
}

// AddBias adds bias, cols elements, to each row of x [rows, cols] with row stride ld.
func AddBias[T Float](x []T, bias []T, rows, cols, ld int) {
	x, bias = slices.Clip(x), bias[:cols:len(bias)]
	for i := range rows {
		row := x[i*ld:][:cols]
		Add(row, row, bias)
	}
}

// Scale multiplies x by alpha in place.
func Scale[T Float](alpha T, x []T) {
	if vectored[T]() {
		vectorScale(float32(alpha), f32(x))
		return
	}
	for i := range x {
		x[i] *= alpha
	}
}

// Axpy adds alpha·x to y, len(x) elements.
func Axpy[T Float](alpha T, x, y []T) {
	y = y[:len(x):len(y)]
	if vectored[T]() {
		vectorAxpy(float32(alpha), f32(x), f32(y))
		return
	}
	for i, v := range x {
		y[i] += alpha * v
	}
}

// Dot returns the inner product of x and y over len(x) elements, summed in T.
func Dot[T Float](x, y []T) T {
	y = y[:len(x):len(y)]
	if vectored[T]() {
		return T(vectorDot(f32(x), f32(y)))
	}
	var s0, s1, s2, s3 T
	i := 0
	for ; i+4 <= len(x); i += 4 {
		a, b := x[i:i+4:i+4], y[i:i+4:i+4]
		s0 += a[0] * b[0]
		s1 += a[1] * b[1]
		s2 += a[2] * b[2]
		s3 += a[3] * b[3]
	}
	for ; i < len(x); i++ {
		s0 += x[i] * y[i]
	}
	return (s0 + s1) + (s2 + s3)
}
