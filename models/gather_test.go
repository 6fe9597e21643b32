package models

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/millrace/millrace/core/nn"
)

// Ranges of few rows, of many and of long lists give the same inputs, and nothing beside a lookup's columns is written.
func TestFill(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	source := &rowBlock{values: make([]float32, 50*5), dim: 5}
	for i := range source.values {
		source.values[i] = float32(rng.NormFloat64())
	}
	for _, pool := range []nn.Pool{nn.PoolOne, nn.PoolSum, nn.PoolMean, nn.PoolRagged} {
		const rows, stride, col = 300, 9, 3
		l := &lookupFeed{Lookup: &nn.Lookup{Dim: 5, Col: col, Pool: pool}}
		offsets := []int32{0}
		for r := range rows {
			n := 1
			if pool == nn.PoolSum || pool == nn.PoolMean {
				n = rng.IntN(4)
				if r%50 == 0 {
					n = 2*rowsListed + 7
				}
			}
			for range n {
				l.rows = append(l.rows, rng.Uint32N(50))
			}
			offsets = append(offsets, int32(len(l.rows)))
		}
		filled := func(step int) []float32 {
			j := lookupJob{l: l, source: source, offsets: offsets, dst: slices.Repeat([]float32{7}, rows*stride), stride: stride, rows: rows}
			for lo := 0; lo < rows; lo += step {
				j.fill(lo, min(lo+step, rows))
			}
			return j.dst
		}
		want := filled(1)
		for r := range rows {
			for c, v := range want[r*stride : (r+1)*stride] {
				exact := 0.0
				for _, k := range l.rows[offsets[r]:offsets[r+1]] {
					if c >= col && c < col+5 {
						exact += float64(source.Row(k)[c-col]) * float64(l.scale(int(offsets[r+1]-offsets[r])))
					}
				}
				if c < col || c >= col+5 {
					exact = 7
				}
				if d := float64(v) - exact; d > 1e-4 || d < -1e-4 {
					t.Fatalf("pooling %v: row %d column %d is %g, want %g", pool, r, c, v, exact)
				}
			}
		}
		for _, step := range []int{5, 9, 128, rows} {
			if !slices.Equal(filled(step), want) {
				t.Errorf("pooling %v: %d rows at a time give other bits than one", pool, step)
			}
		}
	}
}
