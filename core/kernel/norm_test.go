package kernel

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestNormalise compares a row's normalisation and its gradient with the formulae in float64, over all tails, and looks for writes beyond the row.
func TestNormalise(t *testing.T) {
	f := func(t *testing.T, n int, relu bool) {
		t.Helper()
		rng := rand.New(rand.NewPCG(uint64(n), 5))
		x, gamma, beta, dy, scale, shift := random(rng, n), random(rng, n), random(rng, n), random(rng, n), float32(1.7), float32(-0.3)
		y := constant(n+16, 7)
		Normalise(y[:n], x, gamma, beta, scale, shift, relu)
		sameBits(t, y[n:], constant(16, 7))
		dx, dgamma, dbeta := append(append([]float32{}, dy...), constant(16, 7)...), random(rng, n+16), random(rng, n+16)
		keptGamma, keptBeta := append([]float32{}, dgamma...), append([]float32{}, dbeta...)
		NormaliseGrad(dx[:n], dgamma, dbeta, x, y, dx[:n], gamma, scale, shift, relu)
		sameBits(t, dx[n:], constant(16, 7))
		sameBits(t, dgamma[n:], keptGamma[n:])
		sameBits(t, dbeta[n:], keptBeta[n:])
		g, normal, sum, dot := make([]float64, n), make([]float64, n), 0., 0.
		for i := range n {
			normal[i] = float64(x[i])*float64(scale) + float64(shift)
			want, dz := normal[i]*float64(gamma[i])+float64(beta[i]), float64(dy[i])
			if relu {
				want = max(want, 0)
			}
			near(t, "normal", float64(y[i]), want, 8, 1e-7)
			if relu && y[i] <= 0 {
				dz = 0
			}
			near(t, "gradient of gamma", float64(dgamma[i]), float64(keptGamma[i])+dz*normal[i], 8, 1e-7)
			near(t, "gradient of beta", float64(dbeta[i]), float64(keptBeta[i])+dz, 4, 1e-7)
			g[i] = dz * float64(gamma[i])
			sum += g[i]
			dot += g[i] * normal[i]
		}
		for i := range n {
			near(t, "gradient", float64(dx[i]), float64(scale)*(g[i]-sum/float64(n)-normal[i]*dot/float64(n)), 32, 1e-6)
		}
	}
	eachLevel(t, func(t *testing.T) {
		for n := range 68 {
			f(t, n, true)
			f(t, n, false)
		}
		f(t, chunk+9, true)
	})
}

// A NaN stays one, and so does what goes back through it.
func TestNormaliseNaN(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		for _, relu := range []bool{true, false} {
			x, y, one, zero := constant(20, 1), make([]float32, 20), constant(20, 1), make([]float32, 20)
			x[3], x[18] = float32(math.NaN()), float32(math.NaN())
			Normalise(y, x, one, zero, 1, 0, relu)
			if !math.IsNaN(float64(y[3])) || !math.IsNaN(float64(y[18])) || y[4] != 1 {
				t.Errorf("relu %v: %v", relu, y)
			}
			dx := make([]float32, 20)
			NormaliseGrad(dx, make([]float32, 20), make([]float32, 20), x, y, one, one, 1, 0, relu)
			if !math.IsNaN(float64(dx[0])) {
				t.Errorf("relu %v: gradient %v", relu, dx)
			}
		}
	})
}
