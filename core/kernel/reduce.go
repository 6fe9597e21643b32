package kernel

import (
	"math"
	"slices"
)

// Sum returns the sum of x, accumulated in float64.
func Sum[T Float](x []T) float64 {
	var s0, s1, s2, s3 float64
	i := 0
	if vectored[T]() {
		s0, i = vectorTotal(opSum, f32(x))
	}
	for ; i+4 <= len(x); i += 4 {
		a := x[i : i+4 : i+4]
		s0 += float64(a[0])
		s1 += float64(a[1])
		s2 += float64(a[2])
		s3 += float64(a[3])
	}
	for ; i < len(x); i++ {
		s0 += float64(x[i])
	}
	return (s0 + s1) + (s2 + s3)
}

// SumSquares returns the sum of the squares of x, accumulated in float64.
func SumSquares[T Float](x []T) float64 {
	var s0, s1, s2, s3 float64
	i := 0
	if vectored[T]() {
		s0, i = vectorTotal(opSumSquares, f32(x))
	}
	for ; i+4 <= len(x); i += 4 {
		a := x[i : i+4 : i+4]
		v0, v1, v2, v3 := float64(a[0]), float64(a[1]), float64(a[2]), float64(a[3])
		s0 += v0 * v0
		s1 += v1 * v1
		s2 += v2 * v2
		s3 += v3 * v3
	}
	for ; i < len(x); i++ {
		v := float64(x[i])
		s0 += v * v
	}
	return (s0 + s1) + (s2 + s3)
}

// ColSums writes to dst the sum of each of the cols columns of x [rows, cols] with row stride ld, or adds it when acc is set.
// It sums in T, in the order of the rows.
func ColSums[T Float](dst []T, x []T, rows, cols, ld int, acc bool) {
	dst, x = dst[:cols:len(dst)], slices.Clip(x)
	if !acc {
		clear(dst)
	}
	if vectored[T]() {
		if cols > 0 {
			vectorAddRows(f32(dst), f32(x), rows, ld)
		}
		return
	}
	for i := range rows {
		for j, v := range x[i*ld : i*ld+cols] {
			dst[j] += v
		}
	}
}

// ColMoments writes the mean and the biased variance of each column of x [rows, cols] with row stride ld, in two passes with
// float64 accumulation. Both are zero when rows is.
func ColMoments[T Float](mean, variance []float64, x []T, rows, cols, ld int) {
	mean, variance, x = mean[:cols:len(mean)], variance[:cols:len(variance)], slices.Clip(x)
	clear(mean)
	clear(variance)
	if rows == 0 {
		return
	}
	done := 0 // columns the vector kernels have summed over all rows but the last few
	fours := rows &^ 3
	if vectored[T]() && fours > 0 {
		_ = x[(rows-1)*ld+cols-1]
		done = vectorAddDoubles(mean, f32(x), fours, ld)
	}
	for i := range rows {
		from := 0
		if i < fours {
			from = done
		}
		row := x[i*ld : i*ld+cols]
		for j := from; j < cols; j++ {
			mean[j] += float64(row[j])
		}
	}
	n := float64(rows)
	for j := range mean {
		mean[j] /= n
	}
	if done > 0 {
		vectorAddDeviations(variance, mean, f32(x), fours, ld)
	}
	for i := range rows {
		from := 0
		if i < fours {
			from = done
		}
		row := x[i*ld : i*ld+cols]
		for j := from; j < cols; j++ {
			d := float64(row[j]) - mean[j]
			variance[j] += d * d
		}
	}
	for j := range variance {
		variance[j] /= n
	}
}

// SoftmaxRow writes softmax(x) to dst, len(x) elements; dst may be x. Entries of -Inf get zero; a row of nothing but -Inf, or
// with a NaN or +Inf in it, gives NaN.
func SoftmaxRow[T Float](dst, x []T) {
	if len(x) == 0 {
		return
	}
	dst = dst[:len(x):len(dst)]
	expShift(dst, x, greatest(x))
	Scale(T(1/Sum(dst)), dst)
}

// LogSumExp returns log Σ e^x, without overflow: -Inf of nothing or of nothing but -Inf, NaN with a NaN or +Inf among them.
func LogSumExp[T Float](x []T) float64 {
	if len(x) == 0 {
		return math.Inf(-1)
	}
	top := greatest(x)
	if math.IsInf(float64(top), -1) {
		return Sum(x) // -Inf, or a NaN among them
	}
	var block [256]T
	var sum float64
	for len(x) > 0 {
		n := min(len(x), len(block))
		expShift(block[:n], x[:n], top)
		sum += Sum(block[:n])
		x = x[n:]
	}
	return float64(top) + math.Log(sum)
}

// expShift writes e^(x-shift) to dst, which may be x.
func expShift[T Float](dst, x []T, shift T) {
	if vectored[T]() {
		vectorExpShift(f32(dst), f32(x), float32(shift))
		return
	}
	for i, v := range x {
		dst[i] = v - shift
	}
	Exp(dst, dst)
}

// greatest returns the greatest of x, which is not empty; with a NaN among them it may be any of them.
func greatest[T Float](x []T) T {
	if vectored[T]() && len(x) >= 16 {
		return T(vectorMax(f32(x)))
	}
	top := x[0]
	for _, v := range x[1:] {
		if v > top {
			top = v
		}
	}
	return top
}
