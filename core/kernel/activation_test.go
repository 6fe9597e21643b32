package kernel

import (
	"math"
	"testing"
)

// specials are the arguments where a function of one variable goes wrong first.
var specials = []float32{
	0, float32(math.Copysign(0, -1)), 1, -1, math.SmallestNonzeroFloat32, -math.SmallestNonzeroFloat32, 1e-38, -1e-38, 1e-20, 1e-8, 1e-4, -1e-4,
	0.6249999, 0.625, 0.6250001, -0.625, 9, -9, 20, -20, 87.3, -87.3, 88.72283, 88.72284, 88.8, -88.8, 89, -100, -103.2, -103.9, -103.98, -104, -105, 200, -200,
	1e10, -1e10, math.MaxFloat32, -math.MaxFloat32, float32(math.Inf(1)), float32(math.Inf(-1)), float32(math.NaN()),
}

// sweepArguments are the specials and a dense walk over the range in which the functions bend.
func sweepArguments() []float32 {
	x := append([]float32(nil), specials...)
	for v := float32(-110); v < 110; v += 0.0137 {
		x = append(x, v)
	}
	for e := -149; e < 128; e++ {
		for _, m := range []float64{1, 1.2345, 1.9999} {
			v := float32(math.Ldexp(m, e))
			x = append(x, v, -v)
		}
	}
	return x
}

// ulps is the distance of got from want in units of want's last place as a float32, denormals included.
func ulps(got float32, want float64) float64 {
	w := float32(want)
	switch {
	case math.IsNaN(want) || math.IsInf(float64(w), 0) || math.IsInf(float64(got), 0) || got != got:
		if got == w || got != got && w != w {
			return 0
		}
		return math.Inf(1)
	}
	unit := math.Abs(float64(math.Nextafter32(w, float32(math.Inf(1)))) - float64(w))
	return math.Abs(float64(got)-want) / unit
}

func TestFunctionsAgainstFloat64(t *testing.T) {
	x := sweepArguments()
	f := func(t *testing.T, name string, limit float64, fast func(dst, x []float32), exact func(float64) float64) {
		t.Helper()
		got := make([]float32, len(x))
		fast(got, x)
		worst, where := 0.0, 0
		for i, v := range x {
			if d := ulps(got[i], exact(float64(v))); d > worst {
				worst, where = d, i
			}
		}
		if worst > limit {
			t.Errorf("%s(%v) = %v, want %v: off by %.2f units in the last place", name, x[where], got[where], exact(float64(x[where])), worst)
		}
	}
	eachLevel(t, func(t *testing.T) {
		f(t, "exp", 2, Exp[float32], math.Exp)
		f(t, "log", 2, Log[float32], math.Log)
		f(t, "sigmoid", 2.5, Sigmoid[float32], func(x float64) float64 { return 1 / (1 + math.Exp(-x)) })
		f(t, "tanh", 2, Tanh[float32], math.Tanh)
		f(t, "softplus", 2, Softplus[float32], func(x float64) float64 {
			if x > 40 {
				return x
			}
			return math.Log1p(math.Exp(x))
		})
	})
}

// Every tail gives what the same elements give in a long vector, and nothing past the end is touched.
func TestFunctionTails(t *testing.T) {
	f := func(t *testing.T, name string, fn func(dst, x []float32)) {
		t.Helper()
		x := make([]float32, 80)
		for i := range x {
			x[i] = float32(i)*0.31 - 11
		}
		whole := make([]float32, 80)
		fn(whole, x)
		for n := range 68 {
			got := make([]float32, 80)
			fn(got, x[:n])
			sameBits(t, got[:n], whole[:n])
			for i, v := range got[n:] {
				if v != 0 {
					t.Fatalf("%s of %d elements wrote element %d", name, n, n+i)
				}
			}
			copy(got, x)
			fn(got[:n], got[:n])
			sameBits(t, got[:n], whole[:n])
		}
	}
	eachLevel(t, func(t *testing.T) {
		f(t, "exp", Exp[float32])
		f(t, "log", Log[float32])
		f(t, "sigmoid", Sigmoid[float32])
		f(t, "tanh", Tanh[float32])
		f(t, "softplus", Softplus[float32])
		f(t, "add", func(dst, x []float32) { Add(dst, x, x) })
		f(t, "mul", func(dst, x []float32) { Mul(dst, x, x) })
		f(t, "relu", Relu[float32])
		f(t, "relu gradient", func(dst, x []float32) { ReluGrad(dst, constant(len(x), 3), x) })
		f(t, "sigmoid gradient", func(dst, x []float32) { SigmoidGrad(dst, constant(len(x), 3), x) })
		f(t, "tanh gradient", func(dst, x []float32) { TanhGrad(dst, x, constant(len(x), 0.25)) })
		f(t, "sub", func(dst, x []float32) { Sub(dst, x, constant(len(x), 0.7)) })
	})
}

func constant(n int, v float32) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = v
	}
	return x
}

func TestReluAndGradients(t *testing.T) {
	nan := float32(math.NaN())
	eachLevel(t, func(t *testing.T) {
		x := []float32{-1, 0, 2, nan, float32(math.Inf(1)), float32(math.Inf(-1))}
		got := make([]float32, len(x))
		Relu(got, x)
		for i, want := range []float32{0, 0, 2, nan, float32(math.Inf(1)), 0} {
			if got[i] != want && !(got[i] != got[i] && want != want) {
				t.Errorf("relu(%v) = %v, want %v", x[i], got[i], want)
			}
		}
		ReluGrad(got, constant(len(x), 5), x)
		for i, want := range []float32{0, 0, 5, 5, 5, 0} {
			if got[i] != want {
				t.Errorf("gradient of relu at an output of %v is %v, want %v", x[i], got[i], want)
			}
		}
		SigmoidGrad(got[:1], []float32{4}, []float32{0.25})
		near(t, "gradient of sigmoid", float64(got[0]), 0.75, 1, 0)
		TanhGrad(got[:1], []float32{4}, []float32{0.5})
		near(t, "gradient of tanh", float64(got[0]), 3, 1, 0)
	})
	d := make([]float64, 1)
	ReluGrad(d, []float64{4}, []float64{1})
	near(t, "gradient of relu", d[0], 4, 1, 0)
	SigmoidGrad(d, []float64{4}, []float64{0.25})
	near(t, "gradient of sigmoid", d[0], 0.75, 1, 0)
	TanhGrad(d, []float64{4}, []float64{0.5})
	near(t, "gradient of tanh", d[0], 3, 1, 0)
	Relu(d, []float64{-4})
	near(t, "relu", d[0], 0, 1, 0)
}
