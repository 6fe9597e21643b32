package graph

import (
	"slices"
	"testing"
)

func TestSegmentDotsAndCutsGradients(t *testing.T) {
	forRagged(t, func(b *bench, r *Ragged, batch, rows int) {
		b.check(SegmentDots(b.input(batch, 3), b.input(rows, 3), r), rows)
	})
	forRagged(t, func(b *bench, r *Ragged, batch, rows int) {
		pairs := 0
		for i := range batch {
			pairs += max(int(r.Offsets[i+1]-r.Offsets[i])-1, 0)
		}
		b.check(Concat(ButLast(b.input(rows, 2), r), ButFirst(b.input(rows, 2), r), Shuffle(ButFirst(b.input(rows, 3), r))), pairs)
	})
}

func TestSegmentCuts(t *testing.T) {
	x := &Tensor{Rows: 6, Cols: 1, F64: []float64{0, 1, 2, 3, 4, 5}}
	r := &Ragged{Offsets: []int32{0, 3, 3, 4, 6}}
	b := newBench(t)
	near(t, "but first", b.infer(ButFirst(b.constant(x), r)), []float64{1, 2, 5}, 0)
	b = newBench(t)
	near(t, "but last", b.infer(ButLast(b.constant(x), r)), []float64{0, 1, 4}, 0)
	b = newBench(t)
	q := &Tensor{Rows: 4, Cols: 1, F64: []float64{2, 7, 3, 10}}
	near(t, "dots", b.infer(SegmentDots(b.constant(q), b.constant(x), r)), []float64{0, 2, 4, 9, 40, 50}, 0)
}

// TestSharedDots: behaviours that all candidates have in common are given once.
func TestSharedDots(t *testing.T) {
	b, r := newBench(t), &Ragged{}
	out := SegmentDots(b.constant(&Tensor{Rows: 2, Cols: 2, F64: []float64{1, 2, 3, 4}}), b.constant(&Tensor{Rows: 3, Cols: 2, F64: []float64{1, 0, 0, 1, 1, 1}}), r)
	p, err := b.g.Compile(out)
	if err != nil {
		t.Fatal(err)
	}
	b.bind(p)
	p.BindShared(r, 2, 3)
	if err := p.Run(); err != nil {
		t.Fatal(err)
	}
	near(t, "shared dots", p.Value(out).F64, []float64{1, 2, 3, 3, 4, 7}, 0)
}

// TestShuffle: every row is given once and none in its place; steps, seeds and positions draw other orders, and the same ones the same.
func TestShuffle(t *testing.T) {
	const n = 300
	x := NewTensorOf(Float64, n, 1)
	for i := range x.F64 {
		x.F64[i] = float64(i)
	}
	b := newBench(t)
	in := b.constant(x)
	one, two := Shuffle(in), Shuffle(in)
	p, err := b.g.Compile(one, two)
	if err != nil {
		t.Fatal(err)
	}
	b.bind(p)
	draw := func(seed, step uint64) (a, c []float64) {
		p.SetStep(seed, step)
		if err := p.Run(); err != nil {
			t.Fatal(err)
		}
		return slices.Clone(p.Value(one).F64), slices.Clone(p.Value(two).F64)
	}
	first, other := draw(1, 1)
	again, _ := draw(1, 1)
	step, _ := draw(1, 2)
	seed, _ := draw(2, 1)
	if !slices.Equal(first, again) {
		t.Error("the same seed and step draw two orders")
	}
	for i, x := range [][]float64{first, other, step, seed} {
		if i > 0 && slices.Equal(x, first) {
			t.Error("another position, step or seed draws the same order")
		}
		seen := make([]bool, n)
		for i, v := range x {
			if int(v) == i || seen[int(v)] {
				t.Errorf("row %d is given in place %d, for the second time: %v", int(v), i, seen[int(v)])
			}
			seen[int(v)] = true
		}
	}
}

// TestShuffleIsFair: over many steps a row is in each other place about equally often.
func TestShuffleIsFair(t *testing.T) {
	const n, draws = 5, 20000
	order, counts := make([]int32, n), [n][n]int{}
	for step := range uint64(draws) {
		cycle(order, mix(step))
		for i, v := range order {
			counts[i][v]++
		}
	}
	for i := range n {
		for v := range n {
			if want := draws / (n - 1); i != v && (counts[i][v] < want*95/100 || counts[i][v] > want*105/100) {
				t.Errorf("row %d is in place %d in %d of %d draws, want about %d", v, i, counts[i][v], draws, want)
			}
		}
	}
}
