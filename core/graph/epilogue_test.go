package graph

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

func TestActivationFromInputGradients(t *testing.T) {
	for _, act := range []Activation{GELU, SiLU} {
		forSizes(t, func(b *bench, n int) { b.check(Apply(b.input(n, 3), act), n) })
		forSizes(t, func(b *bench, n int) { b.check(Linear(b.input(n, 4), b.param(4, 3), b.param(1, 3), act), n) })
	}
}

func TestEpilogueGradients(t *testing.T) {
	for _, act := range []Activation{Identity, ReLU, SigmoidAct, GELU} {
		forSizes(t, func(b *bench, n int) {
			b.check(LinearWith(b.input(n, 4), b.param(4, 3), b.param(1, 3), Epilogue{Act: act, Residual: b.input(n, 3)}), n)
		})
	}
	forSizes(t, func(b *bench, n int) {
		b.check(LinearWith(b.input(n, 4), b.param(4, 3), nil, Epilogue{Slopes: b.param(1, 3)}), n)
	})
	forSizes(t, func(b *bench, n int) {
		b.check(LinearWith(b.input(n, 4), b.param(4, 3), b.param(1, 3), Epilogue{Slopes: b.param(1, 3), Residual: b.input(n, 3)}), n)
	})
	forSizes(t, func(b *bench, n int) { // the residual is what the layer reads, and its gradient goes on in two ways
		x := b.input(n, 3)
		h := Linear(x, b.param(3, 3), nil, TanhAct)
		b.check(LinearWith(h, b.param(3, 3), b.param(1, 3), Epilogue{Act: ReLU, Residual: h}), n)
	})
}

// A layer with an epilogue is the layer, an addition and an activation, on float32, in chunks and below, in training and in inference.
func TestEpilogueIsItsParts(t *testing.T) {
	f := func(rows int, prelu, residual bool, act Activation) {
		t.Helper()
		g := New(Float32)
		rng := rand.New(rand.NewPCG(uint64(rows), 5))
		value := map[*Node]*Tensor{}
		node := func(n *Node, rows int) *Node {
			x := NewTensor(rows, n.Cols)
			for i := range x.F32 {
				x.F32[i] = float32(rng.NormFloat64())
			}
			value[n] = x
			return n
		}
		x, w := node(g.Input("x", 20), rows), node(g.Param("w", 20, 35), 20)
		b, a := node(g.Param("b", 1, 35), 1), node(g.Param("a", 1, 35), 1)
		r := node(g.Input("r", 35), rows)
		weights := node(g.Input("weights", 35), rows)
		e, z := Epilogue{Act: act}, Linear(x, w, b, Identity)
		wrt := []*Node{x, w, b}
		if residual {
			e.Residual, z = r, Add(z, r)
			wrt = append(wrt, r)
		}
		parts := Apply(z, act)
		if prelu {
			e.Slopes, parts = a, PReLU(z, a)
			wrt = append(wrt, a)
		}
		one := LinearWith(x, w, b, e)
		run := func(out *Node) (y []float32, grads [][]float32) {
			loss := total(Mul(out, out), weights)
			p, err := g.CompileTraining(loss, wrt, out)
			if err != nil {
				t.Fatal(err)
			}
			q, err := g.Compile(out)
			if err != nil {
				t.Fatal(err)
			}
			for n, v := range value {
				p.Bind(n, v)
				q.Bind(n, v)
			}
			if err := p.Run(); err != nil {
				t.Fatal(err)
			}
			if err := q.Run(); err != nil {
				t.Fatal(err)
			}
			y = p.Value(out).F32
			for i, v := range q.Value(out).F32 {
				if v != y[i] {
					t.Fatalf("%v: inference gives %g where training gives %g", e.Act, v, y[i])
				}
			}
			for _, n := range wrt {
				grads = append(grads, p.Grad(n).F32)
			}
			return y, grads
		}
		y, grads := run(one)
		wantY, wantGrads := run(parts)
		same := func(what string, got, want []float32) {
			t.Helper()
			top := 4.0 // the sums of 20 products that the two sides add up in different orders
			for _, v := range want {
				top = max(top, math.Abs(float64(v)))
			}
			for i, v := range got {
				if math.Abs(float64(v)-float64(want[i])) > 2e-6*top {
					t.Fatalf("%d rows, prelu %v, residual %v, %v: %s %d is %g, want %g", rows, prelu, residual, act, what, i, v, want[i])
				}
			}
		}
		same("value", y, wantY)
		for i := range grads {
			same(fmt.Sprint("gradient ", i, " at"), grads[i], wantGrads[i])
		}
	}
	for _, rows := range []int{1, 5, 300, 700} {
		for _, act := range []Activation{Identity, ReLU, SigmoidAct, TanhAct, GELU, SiLU} {
			f(rows, false, false, act)
			f(rows, false, true, act)
		}
		f(rows, true, false, Identity)
		f(rows, true, true, Identity)
	}
}
