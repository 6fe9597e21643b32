package snapshot

import (
	"encoding/binary"
	"fmt"
	"slices"
	"unsafe"
)

// Tensor is a named array as it lies in a part. DType is F32, F64, U64, I64, U32, U8 or, in exports, F16 or I8 (safetensors names); Data is little-endian.
// A tensor to be written may come in Pieces instead, which are its data when put end to end; a tensor that was read has Data. Keep is what must be kept
// while Data or Pieces are in use, where they lie outside the Go heap.
type Tensor struct {
	Name   string
	DType  string
	Shape  []int
	Data   []byte
	Pieces [][]byte
	Keep   any
}

// Element is a Go type that a tensor can hold.
type Element interface {
	float32 | float64 | uint64 | int64 | uint32 | uint8
}

func dtypeOf[T Element]() string {
	var x T
	switch any(x).(type) {
	case float32:
		return "F32"
	case float64:
		return "F64"
	case uint64:
		return "U64"
	case int64:
		return "I64"
	case uint32:
		return "U32"
	}
	return "U8"
}

func dtypeSize(dtype string) (int, bool) {
	switch dtype {
	case "F64", "U64", "I64":
		return 8, true
	case "F32", "U32":
		return 4, true
	case "F16":
		return 2, true
	case "U8", "I8":
		return 1, true
	}
	return 0, false
}

// NewTensor returns a tensor over values without copying them: they must not change while it is in use. No shape means one dimension.
func NewTensor[T Element](name string, values []T, shape ...int) Tensor {
	if len(shape) == 0 {
		shape = []int{len(values)}
	}
	return Tensor{Name: name, DType: dtypeOf[T](), Shape: shape, Data: Bytes(values)}
}

// Values returns a tensor's elements, without copying where the memory allows: treat them as read-only. It fails when the type is another one.
func Values[T Element](t Tensor) ([]T, error) {
	if want := dtypeOf[T](); t.DType != want {
		return nil, fmt.Errorf("tensor %s is %s, want %s", t.Name, t.DType, want)
	}
	var x T
	size := int(unsafe.Sizeof(x))
	if len(t.Data)%size != 0 {
		return nil, fmt.Errorf("tensor %s has %d bytes, want a multiple of %d", t.Name, len(t.Data), size)
	}
	n := len(t.Data) / size
	if n == 0 {
		return nil, nil
	}
	p := unsafe.Pointer(unsafe.SliceData(t.Data))
	if littleEndian && uintptr(p)%unsafe.Alignof(x) == 0 {
		return unsafe.Slice((*T)(p), n), nil
	}
	out := make([]T, n)
	copy(Bytes(out), t.Data)
	if !littleEndian {
		swap(Bytes(out), size)
	}
	return out, nil
}

// Bytes returns the little-endian bytes of values: a view of them, on big-endian machines a copy.
func Bytes[T Element](values []T) []byte {
	var x T
	size := int(unsafe.Sizeof(x))
	b := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(values))), len(values)*size)
	if littleEndian {
		return b
	}
	b = slices.Clone(b)
	swap(b, size)
	return b
}

var littleEndian = binary.NativeEndian.Uint16([]byte{1, 0}) == 1

func swap(b []byte, size int) {
	for ; len(b) >= size; b = b[size:] {
		slices.Reverse(b[:size])
	}
}

func (t Tensor) pieces() [][]byte {
	if t.Pieces != nil {
		return t.Pieces
	}
	return [][]byte{t.Data}
}

func (t Tensor) bytes() int64 {
	var n int64
	for _, p := range t.pieces() {
		n += int64(len(p))
	}
	return n
}
