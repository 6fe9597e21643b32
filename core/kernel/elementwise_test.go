package kernel

import (
	"math"
	"math/rand/v2"
	"testing"
)

// near fails unless got is want to within eps of scale.
func near(t *testing.T, what string, got, want, scale, eps float64) {
	t.Helper()
	if !(math.Abs(got-want) <= eps*scale) {
		t.Fatalf("%s = %v, want %v", what, got, want)
	}
}

func TestScaleAxpyDotTails(t *testing.T) {
	f := func(t *testing.T, n int) {
		t.Helper()
		rng := rand.New(rand.NewPCG(uint64(n), 11))
		x, y := random(rng, n+16), random(rng, n+16)
		got := append([]float32(nil), y...)
		Axpy(0.37, x[:n], got)
		for i := range got {
			want := float64(y[i])
			if i < n {
				want += float64(float32(0.37)) * float64(x[i])
			}
			near(t, "axpy", float64(got[i]), want, 1, 1.3e-7)
		}
		copy(got, y)
		MulAdd(got, x[:n], y)
		for i := range got {
			want := float64(y[i])
			if i < n {
				want += float64(x[i]) * float64(y[i])
			}
			near(t, "multiply-add", float64(got[i]), want, 1, 1.3e-7)
		}
		copy(got, x)
		Scale(-1.7, got[:n])
		for i := range got {
			want := float64(x[i])
			if i < n {
				want *= float64(float32(-1.7))
			}
			near(t, "scale", float64(got[i]), want, 1, 2e-7)
		}
		var want, size float64
		for i := range n {
			want += float64(x[i]) * float64(y[i])
			size += math.Abs(float64(x[i]) * float64(y[i]))
		}
		near(t, "dot", float64(Dot(x[:n], y)), want, size+1e-30, 1e-6)
	}
	eachLevel(t, func(t *testing.T) {
		for n := range 68 {
			f(t, n)
		}
		f(t, chunk-1)
		f(t, chunk+5)
		f(t, 3*chunk+17)
	})
}

func TestAddBias(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		for cols := range 68 {
			const rows = 3
			ld := cols + 2
			x, bias := make([]float32, rows*ld), make([]float32, cols)
			for j := range bias {
				bias[j] = float32(j + 1)
			}
			AddBias(x, bias, rows, cols, ld)
			for at, v := range x {
				want := float32(0)
				if j := at % ld; j < cols {
					want = float32(j + 1)
				}
				if v != want {
					t.Fatalf("%d columns: element %d is %v, want %v", cols, at, v, want)
				}
			}
		}
	})
}

func TestFloat64Forms(t *testing.T) {
	x, y := []float64{1, -2, 3, 0.5, 7}, []float64{2, 4, -1, 8, 0.25}
	near(t, "dot", Dot(x, y), 2-8-3+4+1.75, 1, 1e-15)
	got := make([]float64, 5)
	Add(got, x, y)
	near(t, "add", got[3], 8.5, 1, 0)
	Sub(got, x, y)
	near(t, "sub", got[3], -7.5, 1, 0)
	Mul(got, x, y)
	near(t, "mul", got[4], 1.75, 1, 0)
	Axpy(2, x, got)
	near(t, "axpy", got[4], 15.75, 1, 0)
	Scale(0.5, got)
	near(t, "scale", got[4], 7.875, 1, 0)
	Sigmoid(got, x)
	near(t, "sigmoid", got[0], 1/(1+math.Exp(-1)), 1, 1e-16)
	Tanh(got, x)
	near(t, "tanh", got[1], math.Tanh(-2), 1, 0)
	Exp(got, x)
	near(t, "exp", got[2], math.Exp(3), 1, 0)
	Log(got, y[:2])
	near(t, "log", got[1], math.Log(4), 1, 0)
	Softplus(got, []float64{-800, 0, 800})
	near(t, "softplus", got[0], 0, 1, 0)
	near(t, "softplus", got[1], math.Ln2, 1, 1e-16)
	near(t, "softplus", got[2], 800, 1, 0)
}

func TestShortOperandPanics(t *testing.T) {
	f := func(name string, call func(long, short []float32)) {
		t.Helper()
		defer func() {
			if recover() == nil {
				t.Errorf("%s of a short operand did not panic", name)
			}
		}()
		call(make([]float32, 40), make([]float32, 40)[:39])
	}
	f("exp", func(long, short []float32) { Exp(short, long) })
	f("add", func(long, short []float32) { Add(long, long, short) })
	f("axpy", func(long, short []float32) { Axpy(1, long, short) })
	f("dot", func(long, short []float32) { Dot(long, short) })
	f("adam", func(long, short []float32) { Adam(long, long, long, short, 1, 1, 1, 1, 1, 1) })
	f("column sums", func(long, short []float32) { ColSums(long[:10], short, 4, 10, 10, false) })
	f("column sums", func(long, short []float32) { ColSums(short[:9], long[:29], 4, 9, 9, false) })
	f("gather", func(long, short []float32) { Gather(short, 10, long, 10, []uint32{0, 0, 0, 0}) })
	f("scatter", func(long, short []float32) { ScatterAdd(short, 10, []uint32{3}, long, 10) })
}

func TestNothingAllocates(t *testing.T) {
	x, y, z := make([]float32, 100), make([]float32, 100), make([]float32, 100)
	mean, variance := make([]float64, 10), make([]float64, 10)
	f := func(t *testing.T, name string, call func()) {
		t.Helper()
		if n := testing.AllocsPerRun(10, call); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
	eachLevel(t, func(t *testing.T) {
		f(t, "sigmoid", func() { Sigmoid(x, y) })
		f(t, "softmax", func() { SoftmaxRow(x, y) })
		f(t, "dot", func() { Dot(x, y) })
		f(t, "adam", func() { Adam(x, y, z, z, 1, .9, .9, 1, 1, 1) })
		f(t, "column sums", func() { ColSums(x[:10], y, 10, 10, 10, true) })
		f(t, "column moments", func() { ColMoments(mean, variance, y, 10, 10, 10) })
	})
}
