package kernel

import (
	"math"
	"math/rand/v2"
	"testing"
)

// rowRules are the optimizers' steps in both forms with fixed constants: over one row whose gradient is ready, and over rows.
var rowRules = []struct {
	name   string
	states int
	one    func(w, s, g []float32)
	rows   func(w, s, g [][]float32, dim int, l2, scale float32)
	exact  func(w, g float64, s []float64) (float64, []float64) // of one weight, in float64; the direction where there is one
}{
	{"adagrad", 1,
		func(w, s, g []float32) { Adagrad(w, s, g, 0.05, 1e-7) },
		func(w, s, g [][]float32, dim int, l2, scale float32) {
			AdagradRows(w, s, g, dim, l2, scale, 0.05, 1e-7)
		},
		func(w, g float64, s []float64) (float64, []float64) {
			n := s[0] + g*g
			return w - 0.05*g/(math.Sqrt(n)+1e-7), []float64{n}
		},
	},
	{"ftrl", 2,
		func(w, s, g []float32) { n := len(w); FTRL(w, s[:n], s[n:], g, 0.1, 1, 0.2, 0.3) },
		func(w, s, g [][]float32, dim int, l2, scale float32) {
			FTRLRows(w, s, g, dim, l2, scale, 0.1, 1, 0.2, 0.3)
		},
		func(w, g float64, s []float64) (float64, []float64) {
			sigma := (math.Sqrt(s[1]+g*g) - math.Sqrt(s[1])) / 0.1
			z, n := s[0]+g-sigma*w, s[1]+g*g
			if math.Abs(z) <= 0.2 {
				return 0, []float64{z, n}
			}
			return -(z - math.Copysign(0.2, z)) / ((1+math.Sqrt(n))/0.1 + 0.3), []float64{z, n}
		},
	},
	{"lamb", 2,
		func(w, s, g []float32) {
			n := len(w)
			LambDirection(w, s[:n], s[n:], g, 0.9, 0.99, 1e-6, 0.5, 0.3, 0.01)
		},
		func(w, s, g [][]float32, dim int, l2, scale float32) {
			LambRows(w, s, g, dim, l2, scale, 0.9, 0.99, 1e-6, 0.5, 0.3, 0.01)
		},
		func(w, g float64, s []float64) (float64, []float64) {
			m, v := 0.9*s[0]+0.1*g, 0.99*s[1]+0.01*g*g
			return m/0.5/(math.Sqrt(v/0.3)+1e-6) + 0.01*w, []float64{m, v}
		},
	},
}

func TestRowRules(t *testing.T) {
	f := func(t *testing.T, rule, dim, n int, l2, scale float32) {
		t.Helper()
		r := rowRules[rule]
		rng := rand.New(rand.NewPCG(uint64(dim), uint64(n)))
		w, s, g := distinct(rng, n, dim), distinct(rng, n, r.states*dim), distinct(rng, n, dim)
		var wants [][3][]float32
		for i := range w {
			squares := s[i][(r.states-1)*dim:]
			for j := range squares {
				squares[j] *= squares[j]
			}
			one := [3][]float32{append([]float32(nil), w[i]...), append([]float32(nil), s[i]...), append([]float32(nil), g[i]...)}
			Axpy(l2, one[0], one[2])
			Scale(scale, one[2])
			r.one(one[0], one[1], one[2])
			wants = append(wants, one)
			for j := range dim {
				was := make([]float64, r.states)
				for k := range was {
					was[k] = float64(s[i][k*dim+j])
				}
				grad := float64(scale) * (float64(g[i][j]) + float64(l2)*float64(w[i][j]))
				want, state := r.exact(float64(w[i][j]), grad, was)
				got := one[0][j]
				if r.name == "lamb" {
					got = one[2][j]
				}
				near(t, r.name, float64(got), want, math.Max(1, math.Abs(want)), 2e-6)
				for k, x := range state {
					near(t, r.name+"'s state", float64(one[1][k*dim+j]), x, math.Max(1, 10*math.Abs(float64(w[i][j]))), 1e-6)
				}
			}
		}
		r.rows(w, s, g, dim, l2, scale)
		for i, want := range wants {
			sameBits(t, w[i], want[0])
			sameBits(t, s[i], want[1])
			if r.name == "lamb" {
				sameBits(t, g[i], want[2])
			}
		}
	}
	eachLevel(t, func(t *testing.T) {
		for i := range rowRules {
			for dim := range 68 {
				f(t, i, dim, 1+dim%20, 0, 1)
				f(t, i, dim, 1+dim%20, 0.1, 0.7)
			}
			f(t, i, 16, 500, 0, 1)
		}
	})
}

// FTRL's weights are exactly zero where the sum of gradients stays within l1, and have its sign turned elsewhere.
func TestFTRLIsSparse(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		w, z, s := make([]float32, 40), make([]float32, 40), make([]float32, 40)
		g := make([]float32, 40)
		for i := range g {
			g[i] = float32(i-20) * 0.1
		}
		FTRL(w, z, s, g, 0.1, 1, 1, 0)
		for i, x := range w {
			if inside := math.Abs(float64(g[i])) <= 1; inside != (x == 0) || !inside && (x > 0) == (g[i] > 0) {
				t.Errorf("gradient %g gives weight %g", g[i], x)
			}
		}
	})
}
