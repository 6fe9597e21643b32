package graph

import (
	"math"
	"testing"
)

// train runs one training step of out on the bench's values and returns its value.
func (b *bench) train(out *Node) []float64 {
	b.t.Helper()
	loss := total(out, b.constant(b.random(b.value[b.wrt[0]].Rows, out.Cols)))
	p, err := b.g.CompileTraining(loss, nil, out)
	if err != nil {
		b.t.Fatal(err)
	}
	b.bind(p)
	run(b.t, p)
	return p.Value(out).F64
}

// columnMoments returns mean and biased variance of the columns of x.
func columnMoments(x *Tensor) (mean, variance []float64) {
	for c := range x.Cols {
		var m, v float64
		for r := range x.Rows {
			m += x.F64[r*x.Cols+c] / float64(x.Rows)
		}
		for r := range x.Rows {
			d := x.F64[r*x.Cols+c] - m
			v += d * d / float64(x.Rows)
		}
		mean, variance = append(mean, m), append(variance, v)
	}
	return mean, variance
}

func TestBatchNormFormula(t *testing.T) {
	b := newBench(t)
	x, gamma, beta, s := b.input(5, 2), b.param(1, 2), b.param(1, 2), stats(2)
	y := BatchNorm(x, gamma, beta, s, 1e-5, 0.1)
	mean, variance := columnMoments(b.value[x])
	var want, runMean, runVar []float64
	for r := range 5 {
		for c := range 2 {
			want = append(want, b.value[gamma].F64[c]*(b.value[x].F64[r*2+c]-mean[c])/math.Sqrt(variance[c]+1e-5)+b.value[beta].F64[c])
		}
	}
	for c := range 2 {
		runMean = append(runMean, 0.1*mean[c])
		runVar = append(runVar, 0.9+0.1*variance[c]*5/4)
	}
	near(t, "training", b.train(y), want, 1e-12)
	near(t, "running mean", s.Mean.F64, runMean, 1e-12)
	near(t, "running variance", s.Var.F64, runVar, 1e-12)
	want = want[:0]
	for r := range 5 {
		for c := range 2 {
			want = append(want, b.value[gamma].F64[c]*(b.value[x].F64[r*2+c]-runMean[c])/math.Sqrt(runVar[c]+1e-5)+b.value[beta].F64[c])
		}
	}
	near(t, "inference", b.infer(y), want, 1e-12)
	near(t, "inference leaves the mean", s.Mean.F64, runMean, 1e-12)
}

func TestBatchNormOfOneRow(t *testing.T) {
	b := newBench(t)
	x, gamma, beta, s := b.input(1, 2), b.param(1, 2), b.param(1, 2), stats(2)
	near(t, "one row", b.train(BatchNorm(x, gamma, beta, s, 1e-5, 0.1)), b.value[beta].F64, 1e-12)
	near(t, "running variance", s.Var.F64, []float64{1, 1}, 0)
	near(t, "running mean", s.Mean.F64, []float64{0.1 * b.value[x].F64[0], 0.1 * b.value[x].F64[1]}, 1e-12)
}

func TestNormalisationOfNoRows(t *testing.T) {
	b := newBench(t)
	s := stats(2)
	b.train(Dice(b.input(0, 2), b.param(1, 2), s, 1e-9, 0.01))
	near(t, "running mean", s.Mean.F64, []float64{0, 0}, 0)
	near(t, "running variance", s.Var.F64, []float64{1, 1}, 0)
}

func TestDiceIdentities(t *testing.T) {
	constant := func(n *Node, b *bench, v float64) {
		for i := range b.value[n].F64 {
			b.value[n].F64[i] = v
		}
	}
	b := newBench(t)
	x, alpha := b.input(6, 3), b.param(1, 3)
	constant(alpha, b, 1)
	near(t, "alpha 1 is the identity", b.train(Dice(x, alpha, stats(3), 1e-9, 0.01)), b.value[x].F64, 1e-12)

	b = newBench(t)
	x, alpha = b.input(6, 3), b.param(1, 3)
	constant(alpha, b, 0)
	mean, variance := columnMoments(b.value[x])
	s := stats(3)
	got := b.train(Dice(x, alpha, s, 1e-9, 0.01))
	var want, runMean, runVar []float64
	for i, v := range b.value[x].F64 {
		want = append(want, v/(1+math.Exp(-(v-mean[i%3])/math.Sqrt(variance[i%3]+1e-9))))
	}
	for c := range 3 {
		runMean = append(runMean, 0.01*mean[c])
		runVar = append(runVar, 0.99+0.01*variance[c]*6/5)
	}
	near(t, "alpha 0 is p·x", got, want, 1e-12)
	near(t, "running mean after one batch", s.Mean.F64, runMean, 1e-12)
	near(t, "running variance after one batch", s.Var.F64, runVar, 1e-12)

	b = newBench(t)
	x, alpha = b.input(6, 3), b.param(1, 3)
	s = stats(3)
	constant(x, b, 0.7)
	s.Mean.F64 = []float64{0.7, 0.7, 0.7}
	want = nil
	for i := range 18 {
		want = append(want, (1+b.value[alpha].F64[i%3])/2*0.7)
	}
	near(t, "x at the mean", b.infer(Dice(x, alpha, s, 1e-9, 0.01)), want, 1e-12)

	b = newBench(t)
	x, alpha = b.input(6, 3), b.param(1, 3)
	s = stats(3)
	s.Var.F64 = make([]float64, 3)
	prelu := b.infer(PReLU(x, alpha))
	near(t, "no variance is PReLU", b.infer(Dice(x, alpha, s, 1e-18, 0.01)), prelu, 1e-12)
}

func TestDropout(t *testing.T) {
	const rate = 0.3
	mask := func(seed, step uint64, position int) []float64 {
		b := newBench(t)
		x := b.input(100, 1001)
		for i := range b.value[x].F64 {
			b.value[x].F64[i] = 1
		}
		for range position {
			Dropout(x, 0.5)
		}
		y := Dropout(x, rate)
		p, err := b.g.CompileTraining(total(y, b.constant(b.random(100, 1001))), nil, y)
		if err != nil {
			t.Fatal(err)
		}
		p.SetStep(seed, step)
		b.bind(p)
		run(t, p)
		near(t, "inference", b.infer(y), b.value[x].F64, 0)
		near(t, "inference further on", b.infer(Scale(y, 2)), b.infer(Scale(x, 2)), 0)
		return p.Value(y).F64
	}
	same := func(a, b []float64) (share float64) {
		for i := range a {
			if a[i] == b[i] {
				share += 1 / float64(len(a))
			}
		}
		return share
	}
	first := mask(1, 2, 0)
	dropped := same(first, make([]float64, len(first)))
	if n := float64(len(first)); math.Abs(dropped-rate) > 5*math.Sqrt(rate*(1-rate)/n) {
		t.Errorf("%g of %g elements dropped", dropped, n)
	}
	for _, v := range first {
		if v != 0 && v != 1/(1-rate) {
			t.Fatalf("an element is %g", v)
		}
	}
	if got := same(first, mask(1, 2, 0)); got < 1-1e-9 {
		t.Errorf("the same step repeats %g of its mask", got)
	}
	independent := rate*rate + (1-rate)*(1-rate)
	for what, other := range map[string][]float64{"seed": mask(2, 2, 0), "step": mask(1, 3, 0), "position": mask(1, 2, 1)} {
		if got := same(first, other); math.Abs(got-independent) > 0.01 {
			t.Errorf("with another %s masks agree in %g of the elements, want %g", what, got, independent)
		}
	}
}
