package graph

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// chosen runs Choose over one column of rows and returns the kept ones with their boundaries.
func chosen(t *testing.T, offsets []int32, x, scores []float64, most int, shared int) ([]float64, []float64) {
	t.Helper()
	g := New(Float64)
	r := &Ragged{Offsets: offsets}
	xn := g.Input("x", 1)
	var sn *Node
	if scores != nil {
		sn = g.Input("s", 1)
	}
	y, kept := Choose(xn, sn, r, most)
	lengths := SegmentWeightedSum(nil, Shift(Scale(y, 0), 1), kept)
	p, err := g.Compile(y, lengths)
	if err != nil {
		t.Fatal(err)
	}
	p.Bind(xn, &Tensor{Rows: len(x), Cols: 1, F64: x})
	if sn != nil {
		p.Bind(sn, &Tensor{Rows: len(scores), Cols: 1, F64: scores})
	}
	if shared > 0 { // len(x) rows, once
		p.BindShared(r, shared, len(x))
	}
	run(t, p)
	run(t, p)
	return p.Value(y).F64, p.Value(lengths).F64
}

func TestChoose(t *testing.T) {
	no, nan := math.Inf(-1), math.NaN()
	f := func(offsets []int32, x, scores []float64, most int, want, lengths []float64) {
		t.Helper()
		got, n := chosen(t, offsets, x, scores, most, 0)
		if !slices.Equal(got, want) || !slices.Equal(n, lengths) {
			t.Errorf("%v of lengths %v, want %v of %v", got, n, want, lengths)
		}
	}
	x := []float64{1, 2, 3, 4, 5, 6}
	f([]int32{0, 4, 4, 6}, x, []float64{.1, .9, .5, .7, .2, .1}, 2, []float64{2, 4, 5, 6}, []float64{2, 0, 2})
	f([]int32{0, 4, 4, 6}, x, []float64{.1, .9, .5, .7, .2, .1}, 1, []float64{2, 5}, []float64{1, 0, 1})
	f([]int32{0, 4, 4, 6}, x, []float64{.1, .9, .5, .7, .2, .1}, 9, x, []float64{4, 0, 2})
	f([]int32{0, 6}, x, []float64{.5, .5, .9, .5, .5, .1}, 3, []float64{3, 4, 5}, []float64{3}) // of equals the later ones
	f([]int32{0, 6}, x, []float64{.5, .5, .5, .5, .5, .5}, 2, []float64{5, 6}, []float64{2})
	f([]int32{0, 6}, x, []float64{no, 0, no, 0, 0, nan}, 2, []float64{4, 5}, []float64{2})
	f([]int32{0, 6}, x, []float64{no, 0, no, no, no, no}, 2, []float64{2}, []float64{1})
	f([]int32{0, 3, 6}, x, []float64{no, no, no, no, no, no}, 2, []float64{}, []float64{0, 0})
	f([]int32{0, 4, 4, 6}, x, nil, 3, []float64{2, 3, 4, 5, 6}, []float64{3, 0, 2}) // the newest
	f([]int32{0, 0}, nil, []float64{}, 3, []float64{}, []float64{0})
}

// TestChooseAgainstSorting: of random scores with many equals, what a stable sort would keep.
func TestChooseAgainstSorting(t *testing.T) {
	rng := rand.New(rand.NewPCG(6, 6))
	for range 300 {
		n, most := 1+rng.IntN(60), 1+rng.IntN(20)
		x, scores, order := make([]float64, n), make([]float64, n), make([]int, n)
		for i := range x {
			x[i], scores[i], order[i] = float64(i), float64(rng.IntN(1+rng.IntN(30))), n-1-i
			if rng.IntN(9) == 0 {
				scores[i] = math.Inf(-1)
			}
		}
		slices.SortStableFunc(order, func(a, b int) int {
			switch {
			case scores[a] > scores[b]:
				return -1
			case scores[a] < scores[b]:
				return 1
			}
			return 0
		})
		var want []float64
		for _, i := range order[:min(n, most)] {
			if !math.IsInf(scores[i], -1) {
				want = append(want, float64(i))
			}
		}
		slices.Sort(want)
		got, _ := chosen(t, []int32{0, int32(n)}, x, scores, most, 0)
		if !slices.Equal(got, want) {
			t.Fatalf("%v of scores %v, want %v", got, scores, want)
		}
	}
}

// TestChooseOfSharedRows: rows that all candidates share are kept for each by its own scores, and the newest stay shared.
func TestChooseOfSharedRows(t *testing.T) {
	x := []float64{1, 2, 3}
	got, lengths := chosen(t, nil, x, []float64{3, 2, 1, 1, 2, 3, math.Inf(-1), 1, math.Inf(-1)}, 2, 3)
	if !slices.Equal(got, []float64{1, 2, 2, 3, 2}) || !slices.Equal(lengths, []float64{2, 2, 1}) {
		t.Errorf("%v of lengths %v", got, lengths)
	}
	got, lengths = chosen(t, nil, x, nil, 2, 3)
	if !slices.Equal(got, []float64{2, 3}) || !slices.Equal(lengths, []float64{2, 2, 2}) {
		t.Errorf("newest %v of lengths %v", got, lengths)
	}
	got, lengths = chosen(t, nil, []float64{}, []float64{}, 2, 3) // candidates of a user without a history
	if len(got) != 0 || !slices.Equal(lengths, []float64{0, 0, 0}) {
		t.Errorf("nothing of nothing: %v of lengths %v", got, lengths)
	}
	// The search's scores over shared rows are those over their copies.
	f := func(make func(q, k *Node, r *Ragged) *Node) {
		b, r := newBench(t), &Ragged{}
		q, k := b.input(3, 1), b.input(2, 1)
		b.value[q].F64, b.value[k].F64 = []float64{1, 2, 1}, []float64{2, 1}
		s := make(q, k, r)
		p, err := b.g.Compile(s)
		if err != nil {
			t.Fatal(err)
		}
		b.bind(p)
		p.BindShared(r, 3, 2)
		run(t, p)
		shared := slices.Clone(p.Value(s).F64)
		p.BindOffsets(r, []int32{0, 2, 4, 6})
		p.Bind(k, &Tensor{Rows: 6, Cols: 1, F64: []float64{2, 1, 2, 1, 2, 1}})
		run(t, p)
		if !slices.Equal(shared, p.Value(s).F64) {
			t.Errorf("%v shared, %v copied", shared, p.Value(s).F64)
		}
	}
	f(SegmentDots)
	f(SameCode)
}

func TestSameCode(t *testing.T) {
	b := newBench(t)
	q, k := b.input(2, 1), b.input(3, 1)
	b.value[q].F64, b.value[k].F64 = []float64{7, 8}, []float64{7, 8, 8}
	no := math.Inf(-1)
	if got := b.infer(SameCode(q, k, &Ragged{Offsets: []int32{0, 2, 3}})); !slices.Equal(got, []float64{0, no, 0}) {
		t.Errorf("%v", got)
	}
}

func TestChooseGradients(t *testing.T) {
	forRagged(t, func(b *bench, r *Ragged, batch, rows int) {
		y, kept := Choose(b.input(rows, 2), b.constant(b.random(rows, 1)), r, 2)
		b.check(SegmentWeightedSum(nil, y, kept), batch)
	})
	forRagged(t, func(b *bench, r *Ragged, batch, rows int) {
		y, kept := Choose(b.input(rows, 2), nil, r, 2)
		b.check(SegmentPool(y, kept, PoolMean), batch)
	})
}

func BenchmarkChoose(b *testing.B) {
	const batch, length, cols, most = 256, 500, 32, 50
	g := New(Float32)
	r := &Ragged{Offsets: make([]int32, batch+1)}
	for i := range r.Offsets {
		r.Offsets[i] = int32(i * length)
	}
	xn, sn := g.Input("x", cols), g.Input("s", 1)
	y, _ := Choose(xn, sn, r, most)
	p, err := g.Compile(y)
	if err != nil {
		b.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 1))
	x, s := NewTensor(batch*length, cols), NewTensor(batch*length, 1)
	for i := range s.F32 {
		s.F32[i] = rng.Float32()
	}
	p.Bind(xn, x)
	p.Bind(sn, s)
	b.ReportAllocs()
	for b.Loop() {
		if err := p.Run(); err != nil {
			b.Fatal(err)
		}
	}
}
