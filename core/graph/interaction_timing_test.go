package graph

import (
	"math/rand/v2"
	"testing"
)

// interactions are the operations among 10 fields of width 10, as on Frappe.
var interactions = []struct {
	name string
	cols int
	make func(g *Graph, x *Node) *Node
}{
	{"FM", 1, func(_ *Graph, x *Node) *Node { return FMInteraction(x, 10) }},
	{"PairDots", 45, func(_ *Graph, x *Node) *Node { return PairDots(x, 10) }},
	{"BilinearAll", 450, func(g *Graph, x *Node) *Node { return BilinearPairs(x, g.Param("w", 10, 10), 10) }},
	{"BilinearPair", 450, func(g *Graph, x *Node) *Node { return BilinearPairs(x, g.Param("w", 450, 10), 10) }},
	{"CIN64", 640, func(g *Graph, x *Node) *Node { return CIN(x, x, g.Param("w", 64, 100), g.Param("b", 1, 64), 10) }},
	{"CIN64x64", 640, func(g *Graph, x *Node) *Node {
		y := CIN(x, x, g.Param("w", 64, 100), g.Param("b", 1, 64), 10)
		return CIN(y, x, g.Param("w2", 64, 640), g.Param("b2", 1, 64), 10)
	}},
	{"CrossVector", 100, func(g *Graph, x *Node) *Node { return CrossVector(x, x, g.Param("w", 100, 1), g.Param("b", 1, 100)) }},
	{"CrossMatrix", 100, func(g *Graph, x *Node) *Node {
		return Cross(x, Linear(x, g.Param("w", 100, 100), g.Param("b", 1, 100), Identity), x)
	}},
}

// interaction builds the training plan of one of them, float32, with random values.
func interaction(tb testing.TB, build func(g *Graph, x *Node) *Node, batch, cols int) *Plan {
	g := New(Float32)
	rng := rand.New(rand.NewPCG(3, 4))
	x := g.Input("x", 100)
	y := build(g, x)
	r := g.Input("r", cols)
	var wrt []*Node
	for _, n := range g.nodes {
		if n.name != "" && n != r {
			wrt = append(wrt, n)
		}
	}
	p, err := g.CompileTraining(total(y, r), wrt)
	if err != nil {
		tb.Fatal(err)
	}
	for _, n := range append(wrt, r) {
		rows := n.rows
		if rows == 0 {
			rows = batch
		}
		v := NewTensor(rows, n.Cols)
		for i := range v.F32 {
			v.F32[i] = float32(rng.NormFloat64())
		}
		p.Bind(n, v)
	}
	if err := p.Run(); err != nil {
		tb.Fatal(err)
	}
	return p
}

func TestInteractionsDoNotAllocate(t *testing.T) {
	for _, i := range interactions {
		p := interaction(t, i.make, 600, i.cols)
		if allocs := testing.AllocsPerRun(10, func() { run(t, p) }); allocs >= 1 {
			t.Errorf("%s: %v allocations a run", i.name, allocs)
		}
	}
}

// BenchmarkInteraction is forward and backward at batch 4096.
func BenchmarkInteraction(b *testing.B) {
	for _, i := range interactions {
		b.Run(i.name, func(b *testing.B) {
			p := interaction(b, i.make, 4096, i.cols)
			b.ReportAllocs()
			for b.Loop() {
				if err := p.Run(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(4096*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}
