package nn

import (
	"encoding/binary"
	"math"
	"math/rand/v2"

	"github.com/zeebo/xxh3"
)

// Init draws the initial values of a [rows, cols] parameter.
type Init func(rng func() float64 /* standard normal */, rows, cols int, dst []float32)

// Zeros leaves every value 0.
func Zeros() Init { return Constant(0) }

// Constant sets every value to x.
func Constant(x float64) Init {
	return func(_ func() float64, _, _ int, dst []float32) {
		for i := range dst {
			dst[i] = float32(x)
		}
	}
}

// Normal draws from N(0, std²).
func Normal(std float64) Init {
	return func(rng func() float64, _, _ int, dst []float32) {
		for i := range dst {
			dst[i] = float32(std * rng())
		}
	}
}

// XavierNormal draws from N(0, 2/(in+out)) with in and out the rows and columns of the parameter (Glorot and Bengio, AISTATS 2010, for the normal law).
func XavierNormal() Init {
	return func(rng func() float64, rows, cols int, dst []float32) {
		Normal(math.Sqrt(2/float64(rows+cols)))(rng, rows, cols, dst)
	}
}

// normals returns a source of standard normal numbers that depends only on seed, name and shape.
func normals(seed uint64, name string, rows, cols int) func() float64 {
	var h xxh3.Hasher
	var b [24]byte
	binary.LittleEndian.PutUint64(b[:], seed)
	binary.LittleEndian.PutUint64(b[8:], uint64(rows))
	binary.LittleEndian.PutUint64(b[16:], uint64(cols))
	h.Write(b[:])
	h.WriteString(name)
	sum := h.Sum128()
	return rand.New(rand.NewPCG(sum.Hi, sum.Lo)).NormFloat64
}
