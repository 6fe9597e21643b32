package graph

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// mlp builds a training plan of an MLP with ReLU layers and a loss, float32, with random values bound; gradients of the weights and of the input.
func mlp(tb testing.TB, batch int, widths ...int) (p *Plan, loss *Node, wrt []*Node) {
	g := New(Float32)
	rng := rand.New(rand.NewPCG(3, 4))
	value := map[*Node]*Tensor{}
	random := func(rows, cols int, scale float32) *Tensor {
		x := NewTensor(rows, cols)
		for i := range x.F32 {
			x.F32[i] = scale * float32(rng.NormFloat64())
		}
		return x
	}
	x := g.Input("x", widths[0])
	value[x] = random(batch, widths[0], 1)
	wrt = append(wrt, x)
	h := x
	for i, out := range widths[1:] {
		w, b := g.Param(fmt.Sprint("w", i), h.Cols, out), g.Param(fmt.Sprint("b", i), 1, out)
		value[w], value[b] = random(h.Cols, out, 0.07), random(1, out, 0.1)
		wrt = append(wrt, w, b)
		act := ReLU
		if i == len(widths)-2 {
			act = Identity
		}
		h = Linear(h, w, b, act)
	}
	y := g.Input("y", 1)
	value[y] = NewTensor(batch, 1)
	loss = BCEWithLogits(h, y, nil)
	p, err := g.CompileTraining(loss, wrt)
	if err != nil {
		tb.Fatal(err)
	}
	for n, t := range value {
		p.Bind(n, t)
	}
	return p, loss, wrt
}

// BenchmarkStepMLP is forward and backward of the MLP 320-400-400-400-1, 11 GFLOP at batch 4096; the optimizer is not in it.
func BenchmarkStepMLP(b *testing.B) {
	for _, batch := range []int{4096, 512, 64} {
		b.Run(fmt.Sprint(batch), func(b *testing.B) {
			p, _, _ := mlp(b, batch, 320, 400, 400, 400, 1)
			if err := p.Run(); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if err := p.Run(); err != nil {
					b.Fatal(err)
				}
			}
			s := b.Elapsed().Seconds() / float64(b.N)
			b.ReportMetric(float64(batch)/s, "rows/s")
			b.ReportMetric(3*2*float64(320*400+2*400*400+400)*float64(batch)/s/1e9, "GFLOP/s")
		})
	}
}

// BenchmarkPlan is the same net so small that what is left is the plan's own cost: 14 steps and a loss.
func BenchmarkPlan(b *testing.B) {
	p, _, _ := mlp(b, 1, 1, 1, 1, 1, 1)
	if err := p.Run(); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := p.Run(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkCompile is what a new plan of a net with one of everything costs, with its gradients and without.
func BenchmarkCompile(b *testing.B) {
	n := newNet(Float32)
	b.Run("training", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			n.training(b)
		}
	})
	b.Run("inference", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			n.inference(b)
		}
	})
}
