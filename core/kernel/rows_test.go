package kernel

import (
	"math/rand/v2"
	"testing"
)

func TestGatherScatterAdd(t *testing.T) {
	f := func(t *testing.T, dim int) {
		t.Helper()
		const rows, stride = 9, 70
		rng := rand.New(rand.NewPCG(uint64(dim), 13))
		table := random(rng, rows*dim)
		idx := []uint32{3, NoRow, 0, 8, 3, 5}
		got := constant(len(idx)*stride, 9)
		Gather(got, stride, table, dim, idx)
		for i, row := range idx {
			for j := range stride {
				want := float32(9)
				if j < dim {
					want = 0
					if row != NoRow {
						want = table[int(row)*dim+j]
					}
				}
				if got[i*stride+j] != want {
					t.Fatalf("dim %d: gathered [%d,%d] = %v, want %v", dim, i, j, got[i*stride+j], want)
				}
			}
		}
		grad := random(rng, len(idx)*stride)
		want := append([]float32(nil), table...)
		for i, row := range idx {
			for j := range dim {
				if row != NoRow {
					want[int(row)*dim+j] += grad[i*stride+j]
				}
			}
		}
		ScatterAdd(table, dim, idx, grad, stride)
		sameBits(t, table, want)
	}
	eachLevel(t, func(t *testing.T) {
		for dim := range 68 {
			f(t, dim)
		}
	})
}

// scattered returns n rows of width elements out of one block, in random order, some of them twice.
func scattered(rng *rand.Rand, n, width int) [][]float32 {
	block := random(rng, 2*n*width+1)
	rows := make([][]float32, n)
	for i := range rows {
		rows[i] = block[rng.IntN(2*n)*width:][:width]
	}
	return rows
}

// distinct is scattered without repetition.
func distinct(rng *rand.Rand, n, width int) [][]float32 {
	block := random(rng, n*width+1)
	rows := make([][]float32, n)
	for i, k := range rng.Perm(n) {
		rows[i] = block[k*width:][:width]
	}
	return rows
}

func TestCopyAndSumRows(t *testing.T) {
	f := func(t *testing.T, dim, sums int) {
		t.Helper()
		rng := rand.New(rand.NewPCG(uint64(dim), uint64(sums)))
		counts, all := make([]uint32, sums), 0
		for i := range counts {
			counts[i] = 1 + rng.Uint32N(5)
			all += int(counts[i])
		}
		rows, scales := scattered(rng, all, dim), random(rng, all)
		stride := dim + 1 + rng.IntN(3)
		got, want := constant(all*stride+5, 9), constant(all*stride+5, 9)
		CopyRows(got, stride, dim, rows)
		for i, r := range rows {
			copy(want[i*stride:], r)
		}
		sameBits(t, got, want)
		for _, acc := range []bool{false, true} {
			got := random(rng, sums*stride+5)
			want := make([]float64, len(got))
			for i, v := range got {
				if want[i] = float64(v); i < sums*stride && i%stride < dim && !acc {
					want[i] = 0
				}
			}
			k := 0
			for i, n := range counts {
				for range n {
					for j, v := range rows[k] {
						want[i*stride+j] += float64(scales[k]) * float64(v)
					}
					k++
				}
			}
			SumRows(got, stride, dim, counts, rows, scales, acc)
			for i, v := range got {
				near(t, "sum of rows", float64(v), want[i], 6, 2e-7)
			}
		}
	}
	eachLevel(t, func(t *testing.T) {
		for dim := range 68 {
			f(t, dim, dim%7)
		}
		f(t, 16, 700)
		f(t, 10, 300)
	})
}

// Rows updated where they lie have the bits that updating them one by one gives.
func TestAdamRows(t *testing.T) {
	f := func(t *testing.T, dim, n int, l2, scale float32) {
		t.Helper()
		rng := rand.New(rand.NewPCG(uint64(dim), uint64(n)))
		w, s, g := distinct(rng, n, dim), distinct(rng, n, 2*dim), scattered(rng, n, dim)
		for i := range s {
			for j := range s[i][dim:] {
				s[i][dim+j] *= s[i][dim+j]
			}
		}
		var want [][]float32
		for i := range w {
			x, y, z := append([]float32(nil), w[i]...), append([]float32(nil), s[i]...), append([]float32(nil), g[i]...)
			Axpy(l2, x, z)
			Scale(scale, z)
			Adam(x, y[:dim], y[dim:], z, 1e-2, 0.9, 0.99, 1e-8, 0.5, 0.3)
			want = append(want, x, y)
		}
		AdamRows(w, s, g, dim, l2, scale, 1e-2, 0.9, 0.99, 1e-8, 0.5, 0.3)
		for i := range w {
			sameBits(t, w[i], want[2*i])
			sameBits(t, s[i], want[2*i+1])
		}
	}
	eachLevel(t, func(t *testing.T) {
		for dim := range 68 {
			f(t, dim, 1+dim%40, 0, 1)
			f(t, dim, 1+dim%30, 0.1, 0.7)
		}
		f(t, 16, 1000, 0, 1)
	})
}
