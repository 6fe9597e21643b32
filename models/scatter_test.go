package models

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/millrace/millrace/core/graph"
	"github.com/millrace/millrace/core/kernel"
	"github.com/millrace/millrace/core/nn"
	"github.com/millrace/millrace/core/table"
)

// sumsBed is a table read by lookups of every kind of pooling, with random gradients of their inputs.
func sumsBed(t *testing.T, rng *rand.Rand, batch, slots int, zero bool) (*rowSums, []*graph.Tensor) {
	tab, err := table.New("emb/x", table.Options{Dim: 5})
	if err != nil {
		t.Fatal(err)
	}
	s := &tableSums{table: tab, zero: zero}
	var grads []*graph.Tensor
	for k, pool := range []nn.Pool{nn.PoolOne, nn.PoolSum, nn.PoolMean, nn.PoolRagged} {
		l := &lookupFeed{Lookup: &nn.Lookup{Dim: 5, Col: 2 * k, Pool: pool}}
		offsets := []int32{0}
		for range batch {
			n := 1
			if pool != nn.PoolOne {
				n = rng.IntN(4) * rng.IntN(4)
			}
			offsets = append(offsets, offsets[len(offsets)-1]+int32(n))
		}
		rows := batch
		if pool == nn.PoolRagged {
			rows = int(offsets[batch])
		}
		for range offsets[batch] {
			slot := rng.Uint32N(uint32(slots))
			if rng.IntN(3) == 0 {
				slot = 1 // a popular one, whose sum does not fit one list
			}
			l.rows = append(l.rows, slot)
		}
		g := graph.NewTensor(rows, 13)
		for i := range g.F32 {
			g.F32[i] = float32(rng.NormFloat64())
		}
		s.lookups = append(s.lookups, l)
		s.sources = append(s.sources, gradSource{values: g.F32, stride: 13, col: l.Col, offsets: offsets})
		grads = append(grads, g)
	}
	r := newRowSums(&feed{}, nil)
	r.tables = []*tableSums{s}
	return r, grads
}

func (s *rowSums) sumAll() {
	for _, t := range s.tables {
		t.number()
		s.split(t)
	}
	kernel.Parallel(len(s.parts), 1, s.all)
}

func TestRowSums(t *testing.T) {
	defer kernel.SetThreads(0)
	f := func(batch, slots int, zero bool) {
		t.Helper()
		rng := rand.New(rand.NewPCG(uint64(batch), uint64(slots)))
		r, grads := sumsBed(t, rng, batch, slots, zero)
		s := r.tables[0]
		kernel.SetThreads(1)
		r.sumAll()
		want, size := map[uint32][]float64{}, map[uint32]float64{}
		for k, l := range s.lookups {
			offsets := s.sources[k].offsets
			for b := range batch {
				for i := offsets[b]; i < offsets[b+1]; i++ {
					slot, row, scale := l.rows[i], b, 1.0
					if l.Pool == nn.PoolRagged {
						row = int(i)
					}
					if l.Pool == nn.PoolMean {
						scale = 1 / float64(offsets[b+1]-offsets[b])
					}
					if zero && slot == 0 {
						continue
					}
					if want[slot] == nil {
						want[slot] = make([]float64, 5)
					}
					for j := range 5 {
						want[slot][j] += scale * float64(grads[k].F32[row*13+l.Col+j])
					}
					size[slot]++
				}
			}
		}
		if len(s.slots) != len(want) || len(s.grads) != 5*len(s.slots) {
			t.Fatalf("%d rows: %d distinct slots with %d floats, want %d", batch, len(s.slots), len(s.grads), len(want))
		}
		for i, slot := range s.slots {
			for j := range 5 {
				if got := s.grads[i*5+j]; !(math.Abs(float64(got)-want[slot][j]) <= 1e-6*size[slot]) {
					t.Fatalf("%d rows: gradient %d of slot %d is %g, want %g", batch, j, slot, got, want[slot][j])
				}
			}
		}
		first := slices.Clone(s.grads)
		kernel.SetThreads(3)
		r.parts = r.parts[:0]
		r.sumAll()
		if !slices.Equal(s.grads, first) {
			t.Errorf("%d rows: three threads give other bits than one", batch)
		}
	}
	f(1, 1, false)
	f(1, 1, true)
	f(7, 3, true)
	f(100, 50, false)
	f(1500, 700, true)
	f(1500, 100_000, false)
}

func TestSlotSet(t *testing.T) {
	var s slotSet
	for _, n := range []int{0, 1, 31, 32, 33, 5000, 10} {
		s.reset(n)
		seen := map[uint32]uint32{}
		rng := rand.New(rand.NewPCG(uint64(n), 1))
		for range n {
			slot := rng.Uint32N(uint32(n))
			if n > 4000 {
				slot = math.MaxUint32 - 1 - slot
			}
			want, ok := seen[slot]
			if !ok {
				want = uint32(len(seen))
				seen[slot] = want
			}
			if got := s.add(slot, uint32(len(seen))-map[bool]uint32{false: 1}[ok]); got != want {
				t.Fatalf("slot %d of %d got number %d, want %d", slot, n, got, want)
			}
		}
	}
}
