// Package kernel holds the dense primitives everything in core stands on: matrix products, element-wise functions,
// reductions and optimizer row updates over plain slices.
//
// float32 is the product's type and is dispatched at run time to AMX tiles and AVX-512, to AVX2+FMA or to portable Go (MILLRACE_KERNEL=amx,
// avx512, avx2 or portable in the environment lowers the choice); the float64 forms are portable and exist for tests of gradients
// and identities. Matrices are row-major with an explicit row stride (ld).
// Nothing here allocates in steady state, and results do not depend on scheduling: the same input and thread count give the
// same bits on the same instruction set.
//
// Slices shorter than the stated shape are a programming error and panic with the runtime's bounds error; nothing outside
// them is touched.
package kernel

//go:generate go run ./gen

import "unsafe"

// Float is the element type of the numeric core.
type Float interface{ float32 | float64 }

// single reports whether T is float32; it is a constant in each instance.
func single[T Float]() bool {
	var x T
	return unsafe.Sizeof(x) == 4
}

// f32 views x as float32 without a conversion; only where single[T]() holds.
func f32[T Float](x []T) []float32 { return *(*[]float32)(unsafe.Pointer(&x)) }
