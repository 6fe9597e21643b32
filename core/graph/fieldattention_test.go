package graph

import (
	"math"
	"math/rand/v2"
	"testing"
)

func TestLayerNormRows(t *testing.T) {
	b := newBench(t)
	x, gamma, beta := b.input(2, 3), b.param(1, 3), b.param(1, 3)
	b.value[x].F64 = []float64{1, 2, 3, -5, -5, -5}
	g, s := b.value[gamma].F64, 1/math.Sqrt(2./3+1e-8)
	o := b.value[beta].F64
	near(t, "y", b.infer(LayerNorm(x, gamma, beta, 1e-8)),
		[]float64{o[0] - g[0]*s, o[1], o[2] + g[2]*s, o[0], o[1], o[2]}, 1e-12)
}

func TestSplitAndJoinRows(t *testing.T) {
	b := newBench(t)
	x := b.input(2, 6)
	near(t, "there and back", b.infer(JoinRows(SplitRows(x, 3), 3)), b.value[x].F64, 0)
	b = newBench(t)
	p, err := b.g.Compile(JoinRows(b.input(5, 2), 3))
	if err != nil {
		t.Fatal(err)
	}
	b.bind(p)
	if err := p.Run(); err == nil {
		t.Error("5 rows joined by 3")
	}
}

func TestFieldAttentionIdentities(t *testing.T) {
	// No queries: every weight is 1/M and every field gets the mean.
	b := newBench(t)
	q, k, v := b.input(6, 4), b.input(6, 4), b.input(6, 4)
	clear(b.value[q].F64)
	want := make([]float64, 24)
	for r := range 6 {
		for c := range 4 {
			for f := range 3 {
				want[r*4+c] += at(b.value[v], r/3*3+f, c) / 3
			}
		}
	}
	near(t, "no queries", b.infer(FieldAttention(q, k, v, 3, 2, 1, 0.3)), want, 1e-12)

	// One field attends to itself.
	b = newBench(t)
	q, k, v = b.input(6, 4), b.input(6, 4), b.input(6, 4)
	near(t, "one field", b.infer(FieldAttention(q, k, v, 1, 2, 1, 0)), b.value[v].F64, 1e-12)

	// Queries scaled by s without a scale are queries with the scale s.
	b = newBench(t)
	q, k, v = b.input(6, 4), b.input(6, 4), b.input(6, 4)
	near(t, "scale", b.infer(FieldAttention(Scale(q, 0.6), k, v, 3, 2, 1, 0)), b.infer(FieldAttention(q, k, v, 3, 2, 0.6, 0)), 1e-12)

	// Exchanged fields exchange the result.
	got := append([]float64{}, b.infer(FieldAttention(q, k, v, 3, 2, 1, 0))...)
	for _, n := range []*Node{q, k, v} {
		x := b.value[n].F64
		for c := range 4 {
			x[c], x[8+c] = x[8+c], x[c]
		}
	}
	for c := range 4 {
		got[c], got[8+c] = got[8+c], got[c]
	}
	near(t, "exchanged fields", b.infer(FieldAttention(q, k, v, 3, 2, 1, 0)), got, 1e-12)
}

// TestFieldAttentionForms: a block of residuals and a residual from elsewhere are the same; a field's weights add up to 1.
func TestFieldAttentionForms(t *testing.T) {
	b := newBench(t)
	q, k, v, x := b.input(6, 4), b.input(6, 4), b.input(6, 4), b.input(6, 4)
	want := append([]float64{}, b.infer(Add(FieldAttention(q, k, v, 3, 2, 0.5, 0), x))...)
	block, alpha := FieldAttentionOf(Concat(q, k, v, x), nil, 4, 3, 2, 0.5, 0)
	near(t, "block", b.infer(block), want, 1e-12)
	other, _ := FieldAttentionOf(Concat(q, k, v), x, 4, 3, 2, 0.5, 0)
	near(t, "another value", b.infer(other), want, 1e-12)
	weights := b.infer(alpha)
	for r := 0; r < 6; r += 3 {
		for c := range 6 {
			near(t, "sum of weights", []float64{weights[r*6+c] + weights[r*6+6+c] + weights[r*6+12+c]}, []float64{1}, 1e-12)
		}
	}
}

// TestFieldAttentionOfManyRows compares batches of many blocks, with a rest, and of float32 with one row at a time.
func TestFieldAttentionOfManyRows(t *testing.T) {
	for _, fields := range []int{3, 4} {
		g := New(Float32)
		x := g.Input("x", 12)
		y, alpha := FieldAttentionOf(x, nil, 4, fields, 2, 0.5, 0)
		p, err := g.Compile(y, alpha)
		if err != nil {
			t.Fatal(err)
		}
		run := func(v []float32) (a, b []float32) {
			p.Bind(x, &Tensor{Rows: len(v) / 12, Cols: 12, F32: v})
			if err := p.Run(); err != nil {
				t.Fatal(err)
			}
			return append(a, p.Value(y).F32...), append(b, p.Value(alpha).F32...)
		}
		rng := rand.New(rand.NewPCG(1, 2))
		v := make([]float32, 101*fields*12)
		for i := range v {
			v[i] = 8 * float32(rng.NormFloat64())
		}
		ys, alphas := run(v)
		for r := range 101 {
			a, b := run(v[r*fields*12 : (r+1)*fields*12])
			for i := range a {
				if math.Abs(float64(a[i]-ys[r*fields*4+i])) > 1e-5 {
					t.Fatalf("%d fields, row %d: %g alone, %g among many", fields, r, a[i], ys[r*fields*4+i])
				}
			}
			for i := range b {
				if !(math.Abs(float64(b[i]-alphas[r*fields*2*fields+i])) <= 1e-6) {
					t.Fatalf("%d fields, row %d: weight %g alone, %g among many", fields, r, b[i], alphas[r*fields*2*fields+i])
				}
			}
		}
	}
}
