package graph

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/millrace/millrace/core/kernel"
)

var gruKinds = []GRUKind{PlainGRU, AIGRU, AGRU, AUGRU}

// recurrence adds a unit of the kind with random inputs to the graph.
func recurrence(b *bench, kind GRUKind, r *Ragged, rows, h int) (out *Node, in []*Node) {
	wide := kind.Gates() * h
	g, w, bias := b.input(rows, wide), b.param(h, wide), b.param(2, wide)
	if kind == PlainGRU {
		return GRU(g, w, bias, r), []*Node{g, w, bias}
	}
	a := b.input(rows, 1)
	return AttentionGRU(g, a, w, bias, r, kind), []*Node{g, w, bias, a}
}

// many are enough segments for several parts, of lengths 0 to 7.
func many() *Ragged {
	r := &Ragged{Offsets: []int32{0}}
	for b := range 150 {
		r.Offsets = append(r.Offsets, r.Offsets[b]+int32(b*b%8))
	}
	return r
}

func TestGRUGradient(t *testing.T) {
	for _, kind := range gruKinds {
		forRagged(t, func(b *bench, r *Ragged, batch, rows int) {
			out, _ := recurrence(b, kind, r, rows, 3)
			n := batch
			if kind == PlainGRU {
				n = rows
			}
			b.check(out, n)
		})
	}
	for _, kind := range gruKinds {
		b, r := newBench(t), many()
		out, _ := recurrence(b, kind, r, int(r.Offsets[150]), 2)
		n := 150
		if kind == PlainGRU {
			n = int(r.Offsets[150])
		}
		b.check(out, n)
	}
}

// gruByLoops is the definition, unit by unit: all states, and the last of each segment.
func gruByLoops(kind GRUKind, g, w, bias, a []float64, offsets []int32, h int) (states, last []float64) {
	wide := kind.Gates() * h
	sigmoid := func(x float64) float64 { return 1 / (1 + math.Exp(-x)) }
	for s := range len(offsets) - 1 {
		state := make([]float64, h)
		for t := int(offsets[s]); t < int(offsets[s+1]); t++ {
			at := 1.
			if kind != PlainGRU {
				at = a[t]
			}
			input := func(col int) float64 {
				x := g[t*wide+col]
				if kind == AIGRU {
					x *= at
				}
				return x + bias[col]
			}
			inner := func(col int) float64 {
				x := bias[wide+col]
				for i, v := range state {
					x += v * w[i*wide+col]
				}
				return x
			}
			next := make([]float64, h)
			for c := range h {
				reset := sigmoid(input(c) + inner(c))
				candidate := math.Tanh(input(wide-h+c) + reset*inner(wide-h+c))
				update := at
				switch kind {
				case PlainGRU, AIGRU:
					update = sigmoid(input(h+c) + inner(h+c))
				case AUGRU:
					update *= sigmoid(input(h+c) + inner(h+c))
				}
				next[c] = (1-update)*state[c] + update*candidate
			}
			state = next
			states = append(states, state...)
		}
		last = append(last, state...)
	}
	return states, last
}

func TestGRUByLoops(t *testing.T) {
	for _, kind := range gruKinds {
		for _, r := range append([]*Ragged{many()}, &Ragged{Offsets: []int32{0, 0, 3, 3, 9, 10}}, &Ragged{Offsets: []int32{0, 0}}) {
			b := newBench(t)
			out, in := recurrence(b, kind, r, int(r.Offsets[len(r.Offsets)-1]), 4)
			var a []float64
			if kind != PlainGRU {
				a = b.value[in[3]].F64
			}
			states, last := gruByLoops(kind, b.value[in[0]].F64, b.value[in[1]].F64, b.value[in[2]].F64, a, r.Offsets, 4)
			want := states
			if kind != PlainGRU {
				want = last
			}
			near(t, kind.String(), b.infer(out), want, 1e-12)
		}
	}
}

// TestAttentionOfOneIsAGRU: with attention 1 everywhere AIGRU and AUGRU end in a plain unit's last state; with 0 AGRU and AUGRU stay at zero.
func TestAttentionOfOneIsAGRU(t *testing.T) {
	r := &Ragged{Offsets: []int32{0, 3, 3, 5}}
	for _, kind := range []GRUKind{AIGRU, AGRU, AUGRU} {
		b := newBench(t)
		out, in := recurrence(b, kind, r, 5, 3)
		set := func(x float64) {
			for i := range b.value[in[3]].F64 {
				b.value[in[3]].F64[i] = x
			}
		}
		if kind != AGRU {
			set(1)
			near(t, kind.String(), b.infer(out), b.infer(SegmentPool(GRU(in[0], in[1], in[2], r), r, PoolLast)), 1e-15)
		}
		if kind != AIGRU {
			set(0)
			near(t, kind.String(), b.infer(out), make([]float64, 9), 0)
		}
	}
}

// TestGRUOfSharedSegments: one user's history bound once gives what it gives repeated for every candidate.
func TestGRUOfSharedSegments(t *testing.T) {
	const batch, length, h = 70, 5, 3
	for _, kind := range gruKinds {
		b, r := newBench(t), &Ragged{}
		out, in := recurrence(b, kind, r, length, h)
		if kind == PlainGRU {
			out = SegmentPool(out, r, PoolLast)
		} else {
			b.value[in[3]] = b.random(batch*length, 1)
		}
		p, err := b.g.Compile(out)
		if err != nil {
			t.Fatal(err)
		}
		b.bind(p)
		p.BindShared(r, batch, length)
		if err := p.Run(); err != nil {
			t.Fatal(err)
		}
		got := slices.Clone(p.Value(out).F64)
		repeated, offsets := NewTensorOf(Float64, batch*length, in[0].Cols), []int32{0}
		for i := range batch {
			copy(repeated.F64[i*length*in[0].Cols:], b.value[in[0]].F64)
			offsets = append(offsets, int32((i+1)*length))
		}
		p.Bind(in[0], repeated)
		p.BindOffsets(r, offsets)
		if err := p.Run(); err != nil {
			t.Fatal(err)
		}
		near(t, kind.String(), got, p.Value(out).F64, 1e-14)
	}
}

// TestGRURefusals: inputs that do not fit are refused when the graph is built or run.
func TestGRURefusals(t *testing.T) {
	g := New(Float64)
	for i, f := range []func(n func(rows, cols int) *Node){
		func(n func(rows, cols int) *Node) { GRU(n(0, 6), n(3, 6), n(2, 6), &Ragged{}) },
		func(n func(rows, cols int) *Node) { GRU(n(0, 6), n(2, 6), n(1, 6), &Ragged{}) },
		func(n func(rows, cols int) *Node) { GRU(n(0, 7), n(2, 7), n(2, 7), &Ragged{}) },
		func(n func(rows, cols int) *Node) {
			AttentionGRU(n(0, 6), n(0, 2), n(2, 6), n(2, 6), &Ragged{}, AUGRU)
		},
		func(n func(rows, cols int) *Node) {
			AttentionGRU(n(0, 6), n(0, 1), n(2, 6), n(2, 6), &Ragged{}, PlainGRU)
		},
	} {
		made := 0
		node := func(rows, cols int) *Node {
			made++
			if rows == 0 {
				return g.Input(fmt.Sprint("x", i, made), cols)
			}
			return g.Param(fmt.Sprint("p", i, made), rows, cols)
		}
		if err := Build(func() { f(node) }); err == nil {
			t.Errorf("case %d is not refused", i)
		}
	}
	b := newBench(t)
	out, in := recurrence(b, AUGRU, &Ragged{Offsets: []int32{0, 2, 4}}, 4, 2)
	b.value[in[3]] = b.random(3, 1)
	p, err := b.g.Compile(out)
	if err != nil {
		t.Fatal(err)
	}
	b.bind(p)
	if err := p.Run(); err == nil {
		t.Error("3 weights for 4 rows are not refused")
	}
}

// gruPlan is a training plan in float32 of so many segments of about 30 rows, and the nodes whose gradients, or values, it computes.
func gruPlan(tb testing.TB, kind GRUKind, segments, h int) (*Plan, []*Node) {
	r := &Ragged{Offsets: []int32{0}}
	for b := range segments {
		r.Offsets = append(r.Offsets, r.Offsets[b]+int32(b*37%61))
	}
	rows := int(r.Offsets[segments])
	g := New(Float32)
	wide := kind.Gates() * h
	x, w, bias := g.Input("x", wide), g.Param("w", h, wide), g.Param("b", 2, wide)
	wrt, y, n := []*Node{x, w, bias}, (*Node)(nil), rows
	if kind == PlainGRU {
		y = GRU(x, w, bias, r)
	} else {
		a := g.Input("a", 1)
		wrt, y, n = append(wrt, a), AttentionGRU(x, a, w, bias, r, kind), segments
	}
	to := g.Input("to", h)
	p, err := g.CompileTraining(total(y, to), wrt, y)
	if err != nil {
		tb.Fatal(err)
	}
	for i, node := range append(slices.Clone(wrt), to) {
		v := NewTensor([]int{rows, h, 2, rows}[min(i, 3)], node.Cols)
		if node == to {
			v = NewTensor(n, h)
		}
		for k := range v.F32 {
			v.F32[k] = 0.3 * float32(math.Sin(float64(k)+float64(i)))
		}
		p.Bind(node, v)
	}
	if err := p.Run(); err != nil {
		tb.Fatal(err)
	}
	return p, append(wrt, y)
}

// TestGRUThreads: the same bits on one thread and on several, and nothing allocated.
func TestGRUThreads(t *testing.T) {
	defer kernel.SetThreads(0)
	for _, kind := range gruKinds {
		var want [][]float32
		for _, threads := range []int{1, 2, 4} {
			kernel.SetThreads(threads)
			p, nodes := gruPlan(t, kind, 200, 16)
			for i, n := range nodes {
				v := p.Grad(n)
				if v == nil {
					v = p.Value(n)
				}
				if threads == 1 {
					want = append(want, slices.Clone(v.F32))
				} else if !slices.Equal(v.F32, want[i]) {
					t.Errorf("%v on %d threads: value %d differs", kind, threads, i)
				}
			}
			least := math.Inf(1)
			for round := 0; round < 5 && least > 0; round++ { // the runtime allocates now and then on its own account
				least = min(least, testing.AllocsPerRun(3, func() { run(t, p) }))
			}
			if least > 0 {
				t.Errorf("%v on %d threads: %v allocations a run", kind, threads, least)
			}
		}
	}
}

// BenchmarkGRU is forward and backward of 1024 segments of 30 rows on average.
func BenchmarkGRU(b *testing.B) {
	for _, kind := range []GRUKind{PlainGRU, AUGRU} {
		for _, h := range []int{16, 32, 128} {
			b.Run(fmt.Sprint(kind, h), func(b *testing.B) {
				p, nodes := gruPlan(b, kind, 1024, h)
				b.ReportAllocs()
				for b.Loop() {
					if err := p.Run(); err != nil {
						b.Fatal(err)
					}
				}
				rows := float64(p.Grad(nodes[0]).Rows)
				b.ReportMetric(rows*float64(b.N)/b.Elapsed().Seconds(), "behaviours/s")
				b.ReportMetric(18*rows*float64(h*h)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
			})
		}
	}
}
