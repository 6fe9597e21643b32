package graph

import "github.com/millrace/millrace/core/kernel"

// DType is the element type of a graph: Float32 is the product's, Float64 serves gradient and identity tests.
type DType int

const (
	Float32 DType = iota
	Float64
)

// Tensor is a dense row-major matrix [Rows, Cols]. Exactly one of F32 and F64 holds the Rows·Cols elements.
// A plan's tensors keep their capacity and are resliced when the number of rows changes, so Data never outlives the next run.
type Tensor struct {
	Rows, Cols int
	F32        []float32
	F64        []float64

	packed *kernel.Packed // set by Freeze
}

// Freeze promises that the elements no longer change and lays a float32 weight matrix out for products: Linear is then faster on small batches, by the same bits.
// It takes as much memory again. Plans on several goroutines may share a frozen tensor.
func (t *Tensor) Freeze() {
	if t.F32 != nil && t.Rows > 1 && t.Cols > 1 {
		t.packed = kernel.Pack(t.Rows, t.Cols, t.F32, t.Cols)
	}
}

// NewTensor returns a zeroed [rows, cols] float32 tensor.
func NewTensor(rows, cols int) *Tensor {
	return &Tensor{Rows: rows, Cols: cols, F32: make([]float32, rows*cols)}
}

// NewTensorOf returns a zeroed [rows, cols] tensor of the given element type.
func NewTensorOf(dtype DType, rows, cols int) *Tensor {
	if dtype == Float64 {
		return &Tensor{Rows: rows, Cols: cols, F64: make([]float64, rows*cols)}
	}
	return NewTensor(rows, cols)
}

// DType tells which of the two slices holds the elements.
func (t *Tensor) DType() DType {
	if t.F64 != nil {
		return Float64
	}
	return Float32
}

// Resize sets the shape, keeping the backing array where it is large enough; the contents are undefined afterwards.
func (t *Tensor) Resize(rows, cols int) {
	t.Rows, t.Cols, t.packed = rows, cols, nil
	if t.F64 != nil {
		t.F64 = resized(t.F64, rows*cols)
	} else {
		t.F32 = resized(t.F32, rows*cols)
	}
}

// resized returns s with n elements of undefined contents. A slice that has to grow again gets an eighth more than asked,
// so that ragged lengths, new each run, settle after a few.
func resized[T any](s []T, n int) []T {
	if n <= cap(s) {
		return s[:n]
	}
	if cap(s) == 0 {
		return make([]T, n)
	}
	return make([]T, n, n+n/8)
}

// data returns the elements of t, which must be of type T.
func data[T kernel.Float](t *Tensor) []T {
	if p, ok := any(&t.F32).(*[]T); ok {
		return *p
	}
	return *any(&t.F64).(*[]T)
}
