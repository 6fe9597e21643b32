package graph

import (
	"fmt"
	"strings"
	"testing"
)

// interactingForm is a kind of layer: the residual by a fourth block, x itself or none; rectified projections; no norm, one before the ReLU or one after it.
type interactingForm struct {
	blocks                  int
	residual, bias          bool
	normed, last, oneHeaded bool
}

var interactingForms = []interactingForm{
	{blocks: 3}, {blocks: 4}, {blocks: 3, residual: true},
	{blocks: 3, normed: true}, {blocks: 4, normed: true}, {blocks: 3, residual: true, normed: true},
	{blocks: 4, bias: true}, {blocks: 4, bias: true, normed: true, last: true}, {blocks: 3, residual: true, bias: true, normed: true, last: true},
	{blocks: 3, residual: true, normed: true, last: true, oneHeaded: true},
}

// interactingLayer adds a layer of four columns over three fields to b, x having so many rows, and the same of separate operations.
func (b *bench) interactingLayer(rows int, f interactingForm, rate float64) (fused, alpha, parts *Node) {
	x, w := b.input(rows, 4), b.param(4, f.blocks*4)
	l := Interacting{Fields: 3, Heads: 2, Width: 4, Scale: 0.6, Rate: rate, Residual: f.residual, Eps: 1e-3, NormLast: f.last}
	if f.oneHeaded {
		l.Heads = 1
	}
	var other *Node
	if f.residual {
		other = x
	}
	p := Linear(x, w, nil, Identity)
	if f.bias {
		l.Bias = b.param(1, w.Cols)
		p = Linear(x, w, l.Bias, ReLU)
	}
	parts, _ = FieldAttentionOf(p, other, 4, 3, l.Heads, 0.6, 0)
	if f.normed {
		l.Gamma, l.Beta = b.param(1, 4), b.param(1, 4)
	}
	switch {
	case f.last:
		parts = LayerNorm(Apply(parts, ReLU), l.Gamma, l.Beta, 1e-3)
	case f.normed:
		parts = LayerNormAct(parts, l.Gamma, l.Beta, 1e-3, ReLU)
	default:
		parts = Apply(parts, ReLU)
	}
	fused, alpha = InteractingLayer(x, w, l)
	return fused, alpha, parts
}

func TestInteractingLayerIsItsParts(t *testing.T) {
	for _, rows := range []int{3, 3 * 400} {
		for _, form := range interactingForms {
			b := newBench(t)
			fused, _, parts := b.interactingLayer(rows, form, 0)
			near(t, fmt.Sprintf("%d rows of %+v", rows, form), b.infer(fused), append([]float64{}, b.infer(parts)...), 1e-12)
		}
	}
	b := newBench(t)
	_, alpha, _ := b.interactingLayer(6, interactingForm{blocks: 4, normed: true}, 0)
	weights := b.infer(alpha)
	for r := 0; r < 6; r += 3 {
		for c := range 6 {
			near(t, "sum of weights", []float64{weights[r*6+c] + weights[r*6+6+c] + weights[r*6+12+c]}, []float64{1}, 1e-12)
		}
	}
}

func TestInteractingLayerGradient(t *testing.T) {
	f := func(rows int, form interactingForm, rate float64) {
		t.Helper()
		b := newBench(t)
		fused, _, _ := b.interactingLayer(rows, form, rate)
		b.check(fused, rows)
	}
	for _, form := range interactingForms {
		f(6, form, 0)
		f(6, form, 0.3)
	}
	f(3*300, interactingForm{blocks: 3, residual: true, normed: true}, 0.3)
	f(3*300, interactingForm{blocks: 4, bias: true, normed: true, last: true}, 0.3)
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
