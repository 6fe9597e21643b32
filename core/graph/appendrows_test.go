package graph

import (
	"slices"
	"testing"
)

func TestAppendRowsPutsTheRowLast(t *testing.T) {
	b := newBench(t)
	r := &Ragged{Offsets: []int32{0, 2, 2, 3}}
	k, q := b.input(3, 2), b.input(3, 2)
	b.value[k].F64 = []float64{1, 2, 3, 4, 5, 6}
	b.value[q].F64 = []float64{10, 20, 30, 40, 50, 60}
	x, longer := AppendRows(k, q, r)
	near(t, "rows", b.infer(x), []float64{1, 2, 3, 4, 10, 20, 30, 40, 5, 6, 50, 60}, 0)
	near(t, "last", b.infer(SegmentPool(x, longer, PoolLast)), b.value[q].F64, 0)
	near(t, "mean", b.infer(SegmentPool(x, longer, PoolMean)), []float64{14. / 3, 26. / 3, 30, 40, 27.5, 33}, 1e-12)
	near(t, "sum", b.infer(SegmentPool(x, longer, PoolSum)), []float64{14, 26, 30, 40, 55, 66}, 1e-12)
	near(t, "last of nothing", b.infer(SegmentPool(k, r, PoolLast)), []float64{3, 4, 0, 0, 5, 6}, 0)
}

// TestAppendRowsFollows: the new boundaries are those of the run, also after a longer or a shorter one, and of a history shared by all rows.
func TestAppendRowsFollows(t *testing.T) {
	b := newBench(t)
	r := &Ragged{}
	k, q := b.g.Input("k", 1), b.g.Input("q", 1)
	x, longer := AppendRows(k, q, r)
	sum := SegmentPool(x, longer, PoolSum)
	p, err := b.g.Compile(sum)
	if err != nil {
		t.Fatal(err)
	}
	column := func(values ...float64) *Tensor { return &Tensor{Rows: len(values), Cols: 1, F64: values} }
	f := func(offsets []int32, keys, queries *Tensor, want ...float64) {
		t.Helper()
		r.Offsets = offsets
		p.Bind(k, keys)
		p.Bind(q, queries)
		run(t, p)
		if !slices.Equal(p.Value(sum).F64, want) {
			t.Errorf("%v, want %v", p.Value(sum).F64, want)
		}
	}
	f([]int32{0, 1}, column(1), column(10), 11)
	f([]int32{0, 2, 3}, column(1, 2, 3), column(10, 20), 13, 23)
	f([]int32{0, 0}, column(), column(10), 10)
	p.BindShared(r, 3, 2)
	f(nil, column(1, 2), column(10, 20, 30), 13, 23, 33)
}

func TestAppendRowsGradients(t *testing.T) {
	forRagged(t, func(b *bench, r *Ragged, batch, rows int) {
		x, _ := AppendRows(b.input(rows, 2), b.input(batch, 2), r)
		b.check(x, rows+batch)
	})
	for _, kind := range []Pooling{PoolLast, PoolMean, PoolSum} {
		forRagged(t, func(b *bench, r *Ragged, batch, rows int) {
			x, longer := AppendRows(b.input(rows, 4), b.input(batch, 4), r)
			b.check(SegmentPool(SegmentAttention(x, x, x, longer, 2, 0.6), longer, kind), batch)
		})
		forRagged(t, func(b *bench, r *Ragged, batch, rows int) { b.check(SegmentPool(b.input(rows, 3), r, kind), batch) })
	}
}

// One segment that all rows share is pooled as its copies are.
func TestSegmentPoolOfSharedRows(t *testing.T) {
	for _, kind := range []Pooling{PoolLast, PoolMean, PoolSum} {
		for _, length := range []int{0, 1, 4} {
			b := newBench(t)
			x, r := b.input(length, 3), &Ragged{}
			y := SegmentPool(x, r, kind)
			p, err := b.g.Compile(y)
			if err != nil {
				t.Fatal(err)
			}
			b.bind(p)
			p.BindShared(r, 2, length)
			if err := p.Run(); err != nil {
				t.Fatal(err)
			}
			got := append([]float64{}, p.Value(y).F64...)
			p.BindOffsets(r, []int32{0, int32(length)})
			if err := p.Run(); err != nil {
				t.Fatal(err)
			}
			one := p.Value(y).F64
			near(t, "shared", got, append(append([]float64{}, one...), one...), 0)
		}
	}
}
