package kernel

import (
	"math"
	"math/rand/v2"
	"testing"
)

func TestAdam(t *testing.T) {
	const lr, beta1, beta2, eps = 1e-3, 0.9, 0.999, 1e-8
	f := func(t *testing.T, n, step int) {
		t.Helper()
		rng := rand.New(rand.NewPCG(uint64(n), uint64(step)))
		w, m, v, g := random(rng, n+16), random(rng, n+16), random(rng, n+16), random(rng, n+16)
		for i := range v {
			v[i] = float32(math.Abs(float64(v[i])))
		}
		corr1, corr2 := 1-math.Pow(beta1, float64(step)), 1-math.Pow(beta2, float64(step))
		type row struct{ w, m, v float64 }
		want := make([]row, n+16)
		for i := range want {
			r := row{float64(w[i]), float64(m[i]), float64(v[i])}
			if i < n {
				x := float64(g[i])
				r.m = beta1*r.m + (1-beta1)*x
				r.v = beta2*r.v + (1-beta2)*x*x
				r.w -= lr * (r.m / corr1) / (math.Sqrt(r.v/corr2) + eps)
			}
			want[i] = r
		}
		Adam(w[:n], m, v, g, lr, beta1, beta2, eps, corr1, corr2)
		for i, r := range want {
			near(t, "w", float64(w[i]), r.w, 1, 3e-7)
			near(t, "m", float64(m[i]), r.m, 1, 2e-7)
			near(t, "v", float64(v[i]), r.v, 1, 2e-7)
		}
	}
	eachLevel(t, func(t *testing.T) {
		for n := range 68 {
			f(t, n, 1+n)
		}
		f(t, chunk+9, 1)
	})
}

// With no gradient ever, nothing moves: 0/(0+eps).
func TestAdamAtRest(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		w, z := constant(20, 0.5), make([]float32, 60)
		Adam(w, z[:20], z[20:40], z[40:], 1e-3, 0.9, 0.999, 1e-8, 0.1, 0.001)
		sameBits(t, w, constant(20, 0.5))
	})
}
