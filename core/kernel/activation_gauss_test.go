package kernel

import (
	"math"
	"math/rand/v2"
	"testing"
)

func TestGaussianFunctionsAgainstFloat64(t *testing.T) {
	all := sweepArguments()
	f := func(t *testing.T, name string, from, limit float64, fast func(dst, x []float32), exact func(float64) float64) {
		t.Helper()
		var x []float32
		for _, v := range all {
			if !(float64(v) < from) {
				x = append(x, v)
			}
		}
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
	absolute := func(t *testing.T, name string, limit float64, fast func(dst, x []float32), exact func(float64) float64) {
		t.Helper()
		got := make([]float32, len(all))
		fast(got, all)
		for i, v := range all {
			if want := exact(float64(v)); !(math.Abs(float64(got[i])-want) <= limit*max(1, math.Abs(want))) && !(want != want && got[i] != got[i]) && !math.IsInf(float64(float32(want)), 0) {
				t.Errorf("%s(%v) = %v, want %v", name, v, got[i], want)
				return
			}
		}
	}
	gelu := func(x float64) float64 { return x * normal(x) }
	inf := math.Inf(-1)
	eachLevel(t, func(t *testing.T) {
		f(t, "erf", inf, 2, Erf[float32], math.Erf)
		f(t, "gelu", -1, 4, Gelu[float32], gelu)
		absolute(t, "gelu", 2e-7, Gelu[float32], gelu)
		f(t, "silu", -87, 3, Silu[float32], func(x float64) float64 { return x / (1 + math.Exp(-x)) })
		absolute(t, "silu", 2e-7, Silu[float32], func(x float64) float64 { return x / (1 + math.Exp(-x)) })
		ones := constant(len(all), 1)
		absolute(t, "gradient of gelu", 5e-7, func(dst, x []float32) { GeluGrad(dst, ones, x) }, func(x float64) float64 {
			return normal(x) + x*math.Exp(-x*x/2)/math.Sqrt(2*math.Pi)
		})
		absolute(t, "gradient of silu", 1e-6, func(dst, x []float32) { SiluGrad(dst, ones, x) }, func(x float64) float64 {
			s := 1 / (1 + math.Exp(-x))
			return s * (1 + x*(1-s))
		})
	})
}

func TestGaussianTails(t *testing.T) {
	f := func(t *testing.T, name string, fn func(dst, x []float32)) {
		t.Helper()
		x := make([]float32, 80)
		for i := range x {
			x[i] = float32(i)*0.11 - 4
		}
		whole := make([]float32, 80)
		fn(whole, x)
		for n := range 68 {
			got := make([]float32, 80)
			fn(got, x[:n])
			sameBits(t, got[:n], whole[:n])
			sameBits(t, got[n:], make([]float32, 80-n))
			copy(got, x)
			fn(got[:n], got[:n])
			sameBits(t, got[:n], whole[:n])
		}
	}
	eachLevel(t, func(t *testing.T) {
		f(t, "erf", Erf[float32])
		f(t, "gelu", Gelu[float32])
		f(t, "silu", Silu[float32])
		f(t, "gradient of gelu", func(dst, x []float32) { GeluGrad(dst, constant(len(x), 3), x) })
		f(t, "gradient of silu", func(dst, x []float32) { SiluGrad(dst, constant(len(x), 3), x) })
		f(t, "prelu", func(dst, x []float32) { Prelu(dst, x, constant(len(x), 0.3)) })
	})
}

func TestPrelu(t *testing.T) {
	f := func(t *testing.T, n int) {
		t.Helper()
		rng := rand.New(rand.NewPCG(uint64(n), 3))
		x, alpha, dy, sum := random(rng, n), random(rng, n), random(rng, n), random(rng, n+16)
		if n > 3 {
			x[3] = 0
		}
		y, dx, got := constant(n+16, 7), constant(n+16, 7), append([]float32(nil), sum...)
		Prelu(y[:n], x, alpha)
		PreluGrad(dx[:n], got, dy, x, alpha)
		for i := range n {
			want, slope, da := x[i], float32(1), float32(0)
			if x[i] <= 0 {
				want, slope, da = alpha[i]*x[i], alpha[i], dy[i]*x[i]
			}
			near(t, "prelu", float64(y[i]), float64(want), 1, 1e-7)
			near(t, "gradient of prelu", float64(dx[i]), float64(slope*dy[i]), 1, 1e-7)
			near(t, "gradient of the slope", float64(got[i]), float64(sum[i])+float64(da), 2, 1e-7)
		}
		sameBits(t, y[n:], constant(16, 7))
		sameBits(t, dx[n:], constant(16, 7))
		sameBits(t, got[n:], sum[n:])
	}
	eachLevel(t, func(t *testing.T) {
		for n := range 68 {
			f(t, n)
		}
		f(t, chunk+9)
	})
}
