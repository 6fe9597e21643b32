package kernel

import (
	"encoding/binary"
	"math"
	"testing"
)

// FuzzVectors compares the element-wise kernels of every level with the portable ones on any bits: infinities, NaNs, denormals and tails among them.
func FuzzVectors(f *testing.F) {
	unary := []func(dst, x []float32){
		Exp[float32], Log[float32], Sigmoid[float32], Tanh[float32], Softplus[float32], Relu[float32], Erf[float32], Gelu[float32], Silu[float32], SoftmaxRow[float32],
	}
	binary2 := []func(dst, x, y []float32){
		Add[float32], Sub[float32], Mul[float32], ReluGrad[float32], SigmoidGrad[float32], TanhGrad[float32], GeluGrad[float32], SiluGrad[float32], Prelu[float32],
		func(dst, x, y []float32) { Normalise(dst, x, y, y, 0.7, -0.2, true) },
	}
	f.Add(uint8(0), []byte("abcdefgh"))
	f.Add(uint8(3), []byte("\x00\x00\x80\x7f\x00\x00\xc0\x7f\x01\x00\x00\x80\x00\x00\x80\xff\x00\x00\x80\x3f"))
	f.Add(uint8(14), make([]byte, 4*67))
	f.Fuzz(func(t *testing.T, op uint8, bits []byte) {
		x := make([]float32, len(bits)/4)
		for i := range x {
			x[i] = math.Float32frombits(binary.LittleEndian.Uint32(bits[4*i:]))
		}
		which := int(op) % (len(unary) + len(binary2))
		run := func(dst []float32) {
			if which < len(unary) {
				unary[which](dst, x)
				return
			}
			n := len(x) / 2
			for i, v := range x { // beyond it products depend on their order, and 1 − σ(y) has no digits left
				x[i] = max(min(v, 8), -8)
			}
			binary2[which-len(unary)](dst[:n], x[:n], x[n:2*n])
		}
		level0 := level
		level = portable
		want := make([]float32, len(x))
		run(want)
		level = level0
		eachLevel(t, func(t *testing.T) {
			got := make([]float32, len(x))
			run(got)
			for i, w := range want {
				g, size, from := float64(got[i]), math.Abs(float64(w)), math.Abs(float64(x[i])) // Φ(x) of a tail has the absolute error of erf
				switch {
				case w != w && g != g || g == float64(w):
				case !(math.Abs(g-float64(w)) <= 4e-7*size+6e-7*min(from, 8)+1e-37):
					t.Fatalf("function %d of %g (%08x): element %d is %g, the portable one %g", which, x[i], math.Float32bits(x[i]), i, g, w)
				}
			}
		})
	})
}
