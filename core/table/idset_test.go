package table

import (
	"math/rand/v2"
	"slices"
	"testing"
)

func TestIDSet(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var s IDSet
	if s.Find(7) != -1 {
		t.Error("an empty set holds an id")
	}
	for batch := range 20 {
		s.Reset()
		numbers := map[uint64]uint32{}
		var order []uint64
		for range 3 {
			ids := make([]uint64, rng.IntN(900))
			for i := range ids {
				ids[i] = rng.Uint64N(500) << (20 * (i % 3))
			}
			got := s.Append(nil, ids)
			for i, id := range ids {
				if _, ok := numbers[id]; !ok {
					numbers[id] = uint32(len(order))
					order = append(order, id)
				}
				if got[i] != numbers[id] {
					t.Fatalf("batch %d: id %d has number %d; want %d", batch, id, got[i], numbers[id])
				}
			}
		}
		if !slices.Equal(s.IDs(), order) {
			t.Fatalf("batch %d: IDs differ from the order of first appearance", batch)
		}
		for id := range uint64(600) {
			want := -1
			if n, ok := numbers[id]; ok {
				want = int(n)
			}
			if got := s.Find(id); got != want {
				t.Fatalf("batch %d: Find(%d) = %d; want %d", batch, id, got, want)
			}
		}
	}
}

func TestIDSetAddLeavesUnknownOut(t *testing.T) {
	var s IDSet
	s.Add([]uint64{5, UnknownID, 6, 5})
	if !slices.Equal(s.IDs(), []uint64{5, 6}) || s.Find(UnknownID) != -1 {
		t.Errorf("IDs = %v, Find(UnknownID) = %d; want [5 6] and -1", s.IDs(), s.Find(UnknownID))
	}
}

func TestIDSetWrapsAround(t *testing.T) {
	var s IDSet
	s.Add([]uint64{5})
	s.stamp = ^uint32(0)
	s.Reset()
	if s.Find(5) != -1 || len(s.IDs()) != 0 {
		t.Error("an id outlived the wrap of the stamp")
	}
	s.Add([]uint64{9})
	if s.Find(9) != 0 || s.Find(5) != -1 {
		t.Errorf("after the wrap Find(9) = %d, Find(5) = %d; want 0 and -1", s.Find(9), s.Find(5))
	}
}
