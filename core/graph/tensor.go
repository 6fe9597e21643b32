package graph

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
}

// NewTensor returns a zeroed [rows, cols] float32 tensor.
func NewTensor(rows, cols int) *Tensor {
	return &Tensor{Rows: rows, Cols: cols, F32: make([]float32, rows*cols)}
}

// Resize sets the shape, keeping the backing array where it is large enough; the contents are undefined afterwards.
func (t *Tensor) Resize(rows, cols int) { panic("contract") }
