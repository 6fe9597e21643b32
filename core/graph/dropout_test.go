package graph

import (
	"math"
	"math/rand/v2"
	"testing"
)

// A mask is the same number of the stream for each element wherever it is computed from, by blocks or one by one.
func TestDropoutBlocks(t *testing.T) {
	f := func(n, first int, rate float64) {
		t.Helper()
		c := newCoins[float32](rate)
		x, y := make([]float32, n), make([]float32, n+7)
		rng := rand.New(rand.NewPCG(uint64(n), 1))
		for i := range x {
			x[i] = float32(rng.NormFloat64())
		}
		y = y[: n : n+7]
		key := uint64(n) * 12345
		c.mask(key, first, y[first:], x[first:])
		kept := 0
		for i, v := range y {
			want := float32(0)
			if i >= first {
				want = x[i] * c.factor(key, i)
			}
			if math.Float32bits(v) != math.Float32bits(want) {
				t.Fatalf("%d elements from %d, rate %g: element %d of %g is %g, want %g", n, first, rate, i, x[i], v, want)
			}
			if v != 0 {
				kept++
			}
		}
		if n > 10_000 && first == 0 {
			if got, sigma := float64(kept)/float64(n), math.Sqrt(rate*(1-rate)/float64(n)); math.Abs(got-(1-rate)) > 5*sigma {
				t.Errorf("rate %g: %g of the elements are kept", rate, got)
			}
		}
		for i, v := range y[n : n+7] {
			if v != 0 {
				t.Fatalf("%d elements: element %d was written", n, n+i)
			}
		}
	}
	for n := range 200 {
		f(n, 0, 0.3)
		f(n, min(n, 13), 0.5)
		f(n, min(n, 12), 0.5)
	}
	for _, rate := range []float64{0.01, 0.1, 0.4, 0.999, 1.5 / 65536} {
		f(100_003, 0, rate)
		f(100_003, 777, rate)
	}
}

func BenchmarkDropout(b *testing.B) {
	c := newCoins[float32](0.4)
	x, y := make([]float32, 1<<14), make([]float32, 1<<14)
	for name, draw := range map[string]func(key, q uint64, y, x []float32){"blocks": c.quads, "drawn": c.drawn} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for i := uint64(0); b.Loop(); i++ {
				draw(i, 0, y, x)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(x)), "ns/element")
		})
	}
}
