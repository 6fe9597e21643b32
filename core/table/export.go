package table

import (
	"fmt"
	"math"

	"github.com/millrace/millrace/core/snapshot"
)

// HalfError and Int8Error bound what a float16 or int8 row loses: the first relative to a value from 2⁻¹⁴ to 65504 in size (2⁻²⁵ absolute below, infinite above);
// the second relative to the row's largest value.
const (
	HalfError = 1.0 / (1 << 11)
	Int8Error = 1.0 / 253 // half a step of max/127, and the rounding of the scale
)

// AppendHalf appends values as IEEE 754 binary16, rounded to nearest, ties to even. Values past 65504 become infinite, NaN stays NaN.
func AppendHalf(dst []uint16, values []float32) []uint16 {
	for _, x := range values {
		dst = append(dst, half(math.Float32bits(x)))
	}
	return dst
}

func half(b uint32) uint16 {
	sign, b := uint16(b>>16&0x8000), b&0x7fffffff
	switch {
	case b > 0x7f800000:
		return sign | 0x7e00
	case b >= 0x47800000: // 2¹⁶ and more
		return sign | 0x7c00
	case b < 0x38800000: // less than 2⁻¹⁴: adding ½ leaves the value's multiple of 2⁻²⁴ in the low bits
		x := math.Float32frombits(b) + 0.5
		return sign | uint16(math.Float32bits(x)-math.Float32bits(0.5))
	}
	b += 0xfff + b>>13&1 // to nearest even; a carry goes on into the exponent, at the end to infinity
	return sign | uint16((b-0x38000000)>>13)
}

// DecodeHalf writes the float32 values of binary16 numbers to dst.
func DecodeHalf(dst []float32, src []uint16) {
	for i, h := range src {
		sign, e, m := uint32(h&0x8000)<<16, uint32(h>>10&31), uint32(h&0x3ff)
		switch e {
		case 0:
			dst[i] = float32(m) / (1 << 24)
			if sign != 0 {
				dst[i] = float32(math.Copysign(float64(dst[i]), -1))
			}
		case 31:
			dst[i] = math.Float32frombits(sign | 0x7f800000 | m<<13)
		default:
			dst[i] = math.Float32frombits(sign | (e+112)<<23 | m<<13)
		}
	}
}

// AppendInt8 appends a row as integers from −127 to 127 and returns the scale that they are multiples of: the row's largest value over 127, or 0 for a row of zeros.
// Values must be finite.
func AppendInt8(dst []int8, row []float32) (out []int8, scale float32) {
	var top float32
	for _, x := range row {
		top = max(top, float32(math.Abs(float64(x))))
	}
	if scale = top / 127; scale == 0 {
		return append(dst, make([]int8, len(row))...), 0
	}
	for _, x := range row {
		dst = append(dst, int8(max(-127, min(127, math.RoundToEven(float64(x)/float64(scale))))))
	}
	return dst, scale
}

// DecodeInt8 writes the float32 values of a row of AppendInt8 to dst.
func DecodeInt8(dst []float32, src []int8, scale float32) {
	for i, q := range src {
		dst[i] = float32(q) * scale
	}
}

// Encoding is how rows are written for export.
type Encoding string

// The encodings: of 4·Dim, 2·Dim and Dim+4 bytes a row.
const (
	Float32 Encoding = "float32"
	Float16 Encoding = "float16"
	Int8    Encoding = "int8"
)

// The tensors of an exported part beside ids: rows as in a checkpoint; or half U8 [N, 2·Dim], binary16 with the lower byte first; or int8 U8 [N, Dim], two's complement,
// and scale F32 [N].
const (
	halfTensor  = "half"
	int8Tensor  = "int8"
	scaleTensor = "scale"
)

// Export is the table's rows as a part without optimizer state, ages and holes, in slot order. It is a copy. A row that is not finite is an error.
func (t *Table) Export(e Encoding) (snapshot.Part, error) {
	n, d := t.Rows(), t.opt.Dim
	p := snapshot.Part{Name: PartPrefix + t.name}
	ids, scales := make([]uint64, 0, n), make([]float32, 0, n)
	var rows []float32
	var bytes []byte
	var halves []uint16
	var ints []int8
	for s := range t.n {
		id := t.ID(s)
		if id == UnknownID && s != 0 {
			continue
		}
		ids = append(ids, id)
		row := t.Row(s)
		for _, x := range row {
			if x-x != 0 {
				return p, fmt.Errorf("export table %s: the row of id %d has a value %g", t.name, id, x)
			}
		}
		switch e {
		case Float32:
			rows = append(rows, row...)
		case Float16:
			halves = AppendHalf(halves[:0], row)
			for _, h := range halves {
				bytes = append(bytes, byte(h), byte(h>>8))
			}
		case Int8:
			var scale float32
			ints, scale = AppendInt8(ints[:0], row)
			scales = append(scales, scale)
			for _, q := range ints {
				bytes = append(bytes, byte(q))
			}
		default:
			return p, fmt.Errorf("export table %s: encoding %q, want float32, float16 or int8", t.name, e)
		}
	}
	p.Tensors = []snapshot.Tensor{snapshot.NewTensor(idsTensor, ids)}
	switch e {
	case Float32:
		p.Tensors = append(p.Tensors, snapshot.NewTensor(rowsTensor, rows, n, d))
	case Float16:
		p.Tensors = append(p.Tensors, snapshot.NewTensor(halfTensor, bytes, n, 2*d))
	case Int8:
		p.Tensors = append(p.Tensors, snapshot.NewTensor(int8Tensor, bytes, n, d), snapshot.NewTensor(scaleTensor, scales))
	}
	return p, nil
}
