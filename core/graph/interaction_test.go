package graph

import (
	"strings"
	"testing"
)

// vector returns the vector of field f in row r of x.
func vector(x *Tensor, r, f, d int) []float64 { return x.F64[r*x.Cols+f*d : r*x.Cols+(f+1)*d] }

func dot(x, y []float64) (sum float64) {
	for i, v := range x {
		sum += v * y[i]
	}
	return sum
}

// manyRows are batches of one chunk and of several.
var manyRows = []int{1, 3, 300}

func TestPairsOfFieldsAreTheNaiveLoop(t *testing.T) {
	for _, rows := range manyRows {
		for _, fields := range []int{2, 3, 5} {
			const d = 3
			b := newBench(t)
			x := b.input(rows, fields*d)
			var dots, sums []float64
			for r := range rows {
				sum := 0.
				for f := range fields {
					for g := f + 1; g < fields; g++ {
						p := dot(vector(b.value[x], r, f, d), vector(b.value[x], r, g, d))
						dots, sum = append(dots, p), sum+p
					}
				}
				sums = append(sums, sum)
			}
			near(t, "PairDots", b.infer(PairDots(x, fields)), dots, 1e-12)
			near(t, "FMInteraction", b.infer(FMInteraction(x, fields)), sums, 1e-12)
		}
	}
}

func TestFMInteractionOfOneColumnAndOneField(t *testing.T) {
	b := newBench(t)
	x := b.input(1, 3)
	b.value[x].F64 = []float64{1, 2, 4}
	near(t, "d = 1", b.infer(FMInteraction(x, 3)), []float64{2 + 4 + 8}, 1e-15)
	near(t, "one field", b.infer(FMInteraction(x, 1)), []float64{0}, 1e-15)
}

func TestBilinearPairsAreTheNaiveLoop(t *testing.T) {
	const fields, d = 4, 3
	for _, rows := range manyRows {
		for _, kind := range []int{1, fields - 1, pairs(fields)} {
			b := newBench(t)
			x, w := b.input(rows, fields*d), b.param(kind*d, d)
			var want []float64
			for r := range rows {
				pair := 0
				for f := range fields {
					for g := f + 1; g < fields; g++ {
						m := map[int]int{1: 0, fields - 1: f, pairs(fields): pair}[kind]
						for c := range d {
							u := 0.
							for k, v := range vector(b.value[x], r, f, d) {
								u += v * at(b.value[w], m*d+k, c)
							}
							want = append(want, u*vector(b.value[x], r, g, d)[c])
						}
						pair++
					}
				}
			}
			near(t, "BilinearPairs", b.infer(BilinearPairs(x, w, fields)), want, 1e-12)
		}
	}
}

func TestCINIsTheNaiveTripleLoop(t *testing.T) {
	const fields, maps, out, d = 3, 2, 4, 5
	for _, rows := range []int{1, 3, 2500} {
		b := newBench(t)
		x, x0, w, bias := b.input(rows, maps*d), b.input(rows, fields*d), b.param(out, maps*fields), b.param(1, out)
		var want []float64
		for r := range rows {
			for h := range out {
				for c := range d {
					sum := at(b.value[bias], 0, h)
					for i := range maps {
						for j := range fields {
							sum += at(b.value[w], h, i*fields+j) * vector(b.value[x], r, i, d)[c] * vector(b.value[x0], r, j, d)[c]
						}
					}
					want = append(want, sum)
				}
			}
		}
		near(t, "CIN", b.infer(CIN(x, x0, w, bias, fields)), want, 1e-12)
	}
}

func TestCrossLayersAreTheirFormulas(t *testing.T) {
	const rows, n = 3, 4
	b := newBench(t)
	x0, x, w, v, bias := b.input(rows, n), b.input(rows, n), b.param(n, n), b.param(n, 1), b.param(1, n)
	var matrix, vectorForm []float64
	for r := range rows {
		s := dot(vector(b.value[x], r, 0, n), b.value[v].F64)
		for c := range n {
			u := at(b.value[bias], 0, c)
			for k := range n {
				u += at(b.value[x], r, k) * at(b.value[w], k, c)
			}
			matrix = append(matrix, at(b.value[x0], r, c)*u+at(b.value[x], r, c))
			vectorForm = append(vectorForm, at(b.value[x0], r, c)*s+at(b.value[bias], 0, c)+at(b.value[x], r, c))
		}
	}
	near(t, "Cross", b.infer(Cross(x0, Linear(x, w, bias, Identity), x)), matrix, 1e-12)
	near(t, "CrossVector", b.infer(CrossVector(x0, x, v, bias)), vectorForm, 1e-12)
}

func TestFieldSumAndScale(t *testing.T) {
	const rows, fields, d = 3, 2, 4
	b := newBench(t)
	x, a := b.input(rows, fields*d), b.input(rows, fields)
	var sums, scaled []float64
	for r := range rows {
		for f := range fields {
			sums = append(sums, dot(vector(b.value[x], r, f, d), []float64{0.25, 0.25, 0.25, 0.25}))
			for _, v := range vector(b.value[x], r, f, d) {
				scaled = append(scaled, v*at(b.value[a], r, f))
			}
		}
	}
	near(t, "FieldSum", b.infer(FieldSum(x, fields, 0.25)), sums, 1e-12)
	near(t, "FieldScale", b.infer(FieldScale(x, a)), scaled, 1e-12)
}

func TestInteractionGradients(t *testing.T) {
	forSizes(t, func(b *bench, n int) { b.check(FMInteraction(b.input(n, 6), 3), n) })
	forSizes(t, func(b *bench, n int) { b.check(PairDots(b.input(n, 8), 4), n) })
	forSizes(t, func(b *bench, n int) { b.check(Cross(b.input(n, 3), b.input(n, 3), b.input(n, 3)), n) })
	forSizes(t, func(b *bench, n int) {
		x := b.input(n, 3) // the first layer: x is x0
		b.check(Cross(x, Linear(x, b.param(3, 3), b.param(1, 3), Identity), x), n)
	})
	forSizes(t, func(b *bench, n int) {
		b.check(CrossVector(b.input(n, 3), b.input(n, 3), b.param(3, 1), b.param(1, 3)), n)
	})
	forSizes(t, func(b *bench, n int) { x := b.input(n, 3); b.check(CrossVector(x, x, b.param(3, 1), b.param(1, 3)), n) })
	forSizes(t, func(b *bench, n int) { b.check(FieldSum(b.input(n, 6), 3, 0.5), n) })
	forSizes(t, func(b *bench, n int) { b.check(FieldScale(b.input(n, 6), b.input(n, 3)), n) })
	forSizes(t, func(b *bench, n int) { b.check(RowSoftmax(b.input(n, 4)), n) })
	for _, matrices := range []int{1, 3, 6} {
		forSizes(t, func(b *bench, n int) { b.check(BilinearPairs(b.input(n, 8), b.param(2*matrices, 2), 4), n) })
	}
	forSizes(t, func(b *bench, n int) {
		b.check(CIN(b.input(n, 6), b.input(n, 9), b.param(4, 6), b.param(1, 4), 3), n)
	})
	forSizes(t, func(b *bench, n int) { x := b.input(n, 6); b.check(CIN(x, x, b.param(2, 9), b.param(1, 2), 3), n) })
}

// Batches of several chunks or blocks, of which the sums are put together.
func TestInteractionGradientsOfManyRows(t *testing.T) {
	const n = 1100
	many := func(f func(b *bench) *Node) {
		t.Helper()
		b := newBench(t)
		b.check(f(b), n)
	}
	many(func(b *bench) *Node {
		return CrossVector(b.input(n, 3), b.input(n, 3), b.param(3, 1), b.param(1, 3))
	})
	many(func(b *bench) *Node { return BilinearPairs(b.input(n, 6), b.param(6, 2), 3) })
	many(func(b *bench) *Node { return CIN(b.input(n, 16), b.input(n, 16), b.param(3, 16), b.param(1, 3), 4) })
}

func TestInteractionsRefuseWhatDoesNotFit(t *testing.T) {
	f := func(want string, build func(b *bench)) {
		t.Helper()
		b := newBench(t)
		if err := Build(func() { build(b) }); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	f("7 columns are not those of 3 fields", func(b *bench) { FMInteraction(b.input(1, 7), 3) })
	f("one field has no pairs", func(b *bench) { PairDots(b.input(1, 4), 1) })
	f("one field has no pairs", func(b *bench) { BilinearPairs(b.input(1, 4), b.param(4, 4), 1) })
	f("w has 8 rows, want 2 for one matrix, 6 for one a field or 12 for one a pair", func(b *bench) { BilinearPairs(b.input(1, 8), b.param(8, 2), 4) })
	f("w is [4, 5], want 6 columns", func(b *bench) { CIN(b.input(1, 6), b.input(1, 9), b.param(4, 5), b.param(1, 4), 3) })
	f("w is [3, 3], want [3, 1]", func(b *bench) { CrossVector(b.input(1, 3), b.input(1, 3), b.param(3, 3), b.param(1, 3)) })
	f("3 and 4 columns", func(b *bench) { Cross(b.input(1, 3), b.input(1, 4), b.input(1, 3)) })
	f("7 columns are not those of 3 fields", func(b *bench) { FieldScale(b.input(1, 7), b.input(1, 3)) })
}
