package kernel

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestSums(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		for n := range 68 {
			x := random(rand.New(rand.NewPCG(uint64(n), 12)), n)
			var sum, squares float64
			for _, v := range x {
				sum += float64(v)
				squares += float64(v) * float64(v)
			}
			near(t, "sum", Sum(x), sum, float64(n), 1e-15)
			near(t, "sum of squares", SumSquares(x), squares, float64(n), 1e-15)
		}
		near(t, "a long sum", Sum(constant(1<<20, 0.1)), float64(float32(0.1))*(1<<20), 1e5, 1e-12)
	})
}

// Column sums run in the order of the rows whatever the instruction set: the bits are those of the plain loop.
func TestColSums(t *testing.T) {
	f := func(t *testing.T, rows, cols, ld int) {
		t.Helper()
		rng := rand.New(rand.NewPCG(uint64(rows), uint64(cols)))
		x, got := random(rng, max(0, (rows-1)*ld+cols)), random(rng, cols+16)
		for _, acc := range []bool{true, false} {
			want := append([]float32(nil), got...)
			if !acc {
				clear(want[:cols])
			}
			for i := range rows {
				for j := range cols {
					want[j] += x[i*ld+j]
				}
			}
			ColSums(got[:cols], x, rows, cols, ld, acc)
			sameBits(t, got, want)
		}
	}
	eachLevel(t, func(t *testing.T) {
		for v := range 68 {
			f(t, v, 33, 35)
			f(t, 7, v, v+v%3)
		}
		f(t, 9, chunk+3, chunk+3)
	})
}

func TestColMoments(t *testing.T) {
	f := func(t *testing.T, rows, cols, ld int, offset float32) {
		t.Helper()
		x := random(rand.New(rand.NewPCG(uint64(rows), uint64(cols))), max(0, (rows-1)*ld+cols))
		for i := range x {
			x[i] += offset
		}
		mean, variance := make([]float64, cols), make([]float64, cols)
		ColMoments(mean, variance, x, rows, cols, ld)
		sameDoubles(t, mean, variance, x, rows, cols, ld)
		for j := range cols {
			var m, v float64
			for i := range rows {
				m += float64(x[i*ld+j]) / float64(rows)
			}
			for i := range rows {
				d := float64(x[i*ld+j]) - m
				v += d * d / float64(rows)
			}
			near(t, "mean", mean[j], m, math.Abs(float64(offset))+1, 1e-14)
			near(t, "variance", variance[j], v, 1, 1e-12)
		}
	}
	eachLevel(t, func(t *testing.T) {
		for v := range 68 {
			f(t, v, 5, 6, 0)
			f(t, 11, v, v+1, 3)
		}
		f(t, 100, 17, 17, 30000)
		f(t, 1, 3, 3, -5)
	})
}

// sameDoubles checks the moments against the bits of the plain loop.
func sameDoubles(t *testing.T, mean, variance []float64, x []float32, rows, cols, ld int) {
	t.Helper()
	l := level
	defer func() { level = l }()
	level = portable
	m, v := make([]float64, cols), make([]float64, cols)
	ColMoments(m, v, x, rows, cols, ld)
	if !slices.Equal(m, mean) || !slices.Equal(v, variance) {
		t.Fatalf("moments of [%d, %d] are not those of the plain loop", rows, cols)
	}
}

func TestSoftmaxRow(t *testing.T) {
	inf := float32(math.Inf(1))
	f := func(t *testing.T, x []float32, want ...float64) {
		t.Helper()
		got := make([]float32, len(x))
		SoftmaxRow(got, x)
		for i, w := range want {
			if !(math.Abs(float64(got[i])-w) <= 2e-7) && !(math.IsNaN(w) && got[i] != got[i]) {
				t.Fatalf("softmax(%v) = %v, want %v", x, got, want)
			}
		}
	}
	eachLevel(t, func(t *testing.T) {
		f(t, nil)
		f(t, []float32{5}, 1)
		f(t, []float32{0, 0}, 0.5, 0.5)
		f(t, []float32{1000, 1000 + float32(math.Ln2)}, 1/(1+math.Exp(float64(1000+float32(math.Ln2))-1000)), 1-1/(1+math.Exp(float64(1000+float32(math.Ln2))-1000)))
		f(t, []float32{-inf, 3, -inf}, 0, 1, 0)
		f(t, []float32{-inf, -inf}, math.NaN(), math.NaN())
		f(t, []float32{1, float32(math.NaN())}, math.NaN(), math.NaN())
		f(t, []float32{-1e30, 0}, 0, 1)
	})
}

func TestSoftmaxLongRow(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		for _, n := range []int{15, 16, 17, 63, 2*chunk + 1, 5*chunk + 3} {
			for _, top := range []int{0, n / 2, n - 1} {
				x := make([]float32, n)
				x[top] = 100
				SoftmaxRow(x, x)
				near(t, "the largest", float64(x[top]), 1, 1, 1e-6)
			}
		}
	})
}

func TestLogSumExp(t *testing.T) {
	inf := float32(math.Inf(1))
	eachLevel(t, func(t *testing.T) {
		for n := 1; n < 600; n += 1 + n/20 {
			x := random(rand.New(rand.NewPCG(uint64(n), 4)), n)
			for _, shift := range []float32{0, 3e4, -3e4} {
				var sum float64
				x := append([]float32(nil), x...)
				for i := range x {
					x[i] += shift
				}
				for _, v := range x {
					sum += math.Exp(float64(v) - float64(shift))
				}
				near(t, "log-sum-exp", LogSumExp(x), float64(shift)+math.Log(sum), 1, 2e-7)
			}
		}
		for _, c := range []struct {
			x    []float32
			want float64
		}{
			{nil, math.Inf(-1)}, {constant(20, -inf), math.Inf(-1)}, {[]float32{-inf, 0, 0}, math.Ln2}, {[]float32{0, inf}, math.NaN()},
			{[]float32{0, float32(math.NaN())}, math.NaN()}, {[]float32{float32(math.NaN()), -inf}, math.NaN()},
		} {
			if got := LogSumExp(c.x); got != c.want && !(got != got && c.want != c.want) && !(math.Abs(got-c.want) < 1e-7) {
				t.Errorf("log-sum-exp of %v is %v, want %v", c.x, got, c.want)
			}
		}
		if n := testing.AllocsPerRun(10, func() { LogSumExp([]float32{1, 2, 3}) }); n != 0 {
			t.Errorf("log-sum-exp: %v allocations", n)
		}
	})
	near(t, "log-sum-exp", LogSumExp([]float64{1000, 1000}), 1000+math.Ln2, 1, 1e-12)
}
