package graph

import (
	"fmt"
	"strings"
	"testing"
)

// interactingForms calls f with every kind of residual, with and without a norm.
func interactingForms(f func(name string, blocks int, residual, norm bool)) {
	for _, norm := range []bool{false, true} {
		f(fmt.Sprint("no residual, norm ", norm), 3, false, norm)
		f(fmt.Sprint("projected, norm ", norm), 4, false, norm)
		f(fmt.Sprint("x itself, norm ", norm), 3, true, norm)
	}
}

// interactingLayer adds a layer of four columns in two heads over three fields to b, x having so many rows, and the same of separate operations.
func (b *bench) interactingLayer(rows, blocks int, residual, norm bool, rate float64) (fused, alpha, parts *Node) {
	x, w := b.input(rows, 4), b.param(4, blocks*4)
	l := Interacting{Fields: 3, Heads: 2, Width: 4, Scale: 0.6, Rate: rate, Residual: residual, Eps: 1e-3}
	var other *Node
	if residual {
		other = x
	}
	parts, _ = FieldAttentionOf(Linear(x, w, nil, Identity), other, 4, 3, 2, 0.6, 0)
	if norm {
		l.Gamma, l.Beta = b.param(1, 4), b.param(1, 4)
		parts = LayerNormAct(parts, l.Gamma, l.Beta, 1e-3, ReLU)
	} else {
		parts = Apply(parts, ReLU)
	}
	fused, alpha = InteractingLayer(x, w, l)
	return fused, alpha, parts
}

func TestInteractingLayerIsItsParts(t *testing.T) {
	for _, rows := range []int{3, 3 * 400} {
		interactingForms(func(name string, blocks int, residual, norm bool) {
			b := newBench(t)
			fused, _, parts := b.interactingLayer(rows, blocks, residual, norm, 0)
			near(t, fmt.Sprint(name, " of rows ", rows), b.infer(fused), append([]float64{}, b.infer(parts)...), 1e-12)
		})
	}
	b := newBench(t)
	_, alpha, _ := b.interactingLayer(6, 4, false, true, 0)
	weights := b.infer(alpha)
	for r := 0; r < 6; r += 3 {
		for c := range 6 {
			near(t, "sum of weights", []float64{weights[r*6+c] + weights[r*6+6+c] + weights[r*6+12+c]}, []float64{1}, 1e-12)
		}
	}
}

func TestInteractingLayerGradient(t *testing.T) {
	f := func(rows, blocks int, residual, norm bool, rate float64) {
		t.Helper()
		b := newBench(t)
		fused, _, _ := b.interactingLayer(rows, blocks, residual, norm, rate)
		b.check(fused, rows)
	}
	interactingForms(func(_ string, blocks int, residual, norm bool) {
		f(6, blocks, residual, norm, 0)
		f(6, blocks, residual, norm, 0.3)
	})
	f(3*300, 3, true, true, 0.3)
	f(3*300, 4, false, true, 0.3)
}

func TestInteractingLayerRefuses(t *testing.T) {
	f := func(want string, x, in, cols int, l Interacting) {
		t.Helper()
		b := newBench(t)
		if err := Build(func() { InteractingLayer(b.input(12, x), b.param(in, cols), l) }); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	f("3 fields, 3 heads, 4 columns", 4, 4, 12, Interacting{Fields: 3, Heads: 3, Width: 4})
	f("w is [5, 12]", 4, 5, 12, Interacting{Fields: 3, Heads: 2, Width: 4})
	f("w is [4, 16]", 4, 4, 16, Interacting{Fields: 3, Heads: 2, Width: 4, Residual: true})
	f("a residual of 5 columns, want 4", 5, 5, 12, Interacting{Fields: 3, Heads: 2, Width: 4, Residual: true})
	f("dropout rate 1", 4, 4, 12, Interacting{Fields: 3, Heads: 2, Width: 4, Rate: 1})
}
