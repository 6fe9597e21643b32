package kernel

import (
	"math"
	"math/rand/v2"
	"testing"
)

// Numbers whose parts are denormal lose digits and touch no other: here the steps of k that share double words are of all sizes.
func TestTiledProductOfTinyNumbers(t *testing.T) {
	withTiles(t)
	rng := rand.New(rand.NewPCG(5, 6))
	const m, n, k = 32, 32, 64
	for range 200 {
		a, b, c := make([]float32, m*k), make([]float32, k*n), make([]float32, m*n)
		for i := range a {
			a[i] = math.Float32frombits(rng.Uint32() & 0x83ffffff) // below 2⁻¹²⁰ in size, denormal ones too
		}
		for i := range b {
			b[i] = 2*rng.Float32() - 1
		}
		gemmTiled(false, false, m, n, k, a, k, b, n, false, c, n)
		for i := range c {
			if !(math.Abs(float64(c[i])) < k*0x1p-119) {
				t.Fatalf("element %d is %g", i, c[i])
			}
		}
	}
}
