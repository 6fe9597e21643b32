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
