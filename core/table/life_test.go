package table

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// live drives a table as a learner does: steps of ids drawn with a few frequent ones, from step first on.
func live(t *Table, seed uint64, first, steps uint32) {
	for step := first; step < first+steps; step++ {
		rng := rand.New(rand.NewPCG(seed, uint64(step)))
		t.Maintain(step)
		for range 64 {
			id := 1 + uint64(rng.ExpFloat64()*40)
			if rng.IntN(4) == 0 {
				id = 1000 + rng.Uint64N(1<<20)
			}
			if s := t.Admit(id); s != 0 {
				t.Touch(s)
				t.Row(s)[0] += float32(step)
				t.State(s)[1]++
			}
		}
	}
}

// ids lists the rows of a table by id, holes left out.
func ids(t *Table) []uint64 {
	var out []uint64
	for s := range uint32(t.Len()) {
		if id := t.ID(s); s == 0 || id != UnknownID {
			out = append(out, id)
		}
	}
	return out
}

func TestEvictionByAge(t *testing.T) {
	table := newTable(t, "x", Options{Dim: 2, State: 4, Limits: Limits{EvictAfter: 80}})
	live(table, 1, 1, 1000)
	for s := uint32(1); s < uint32(table.Len()); s++ {
		last, count := table.Seen(s)
		if id := table.ID(s); id != UnknownID {
			if 1000-last > 90 {
				t.Fatalf("id %d was last touched at step %d of 1000", id, last)
			}
			if count < 1 || table.Find(id) != s {
				t.Fatalf("id %d at slot %d: count %d, found at %d", id, s, count, table.Find(id))
			}
		} else if table.Row(s)[0] != 0 || table.State(s)[1] != 0 {
			t.Fatalf("the hole at slot %d is not zero", s)
		}
	}
	if n := table.Evicted(EvictedByAge); n < 10_000 || table.Len() > 4000 || table.Rows() != len(ids(table)) {
		t.Errorf("%d evicted, %d slots, %d rows and %d ids", n, table.Len(), table.Rows(), len(ids(table)))
	}
	if table.Find(1) == None || table.ID(0) != UnknownID {
		t.Error("a frequent id or the unknown row is gone")
	}
}

func TestEvictionBySize(t *testing.T) {
	table := newTable(t, "x", Options{Dim: 2, State: 4, Limits: Limits{MaxRows: 500}})
	for first := uint32(1); first < 1000; first += 10 {
		live(table, 2, first, 10)
		if table.Rows() > 500 || table.Len() > 500 {
			t.Fatalf("%d rows, %d slots", table.Rows(), table.Len())
		}
	}
	kept := 0
	for id := uint64(1); id <= 40; id++ {
		if table.Find(id) != None {
			kept++
		}
	}
	if kept < 39 || table.Evicted(EvictedBySize) < 10_000 || table.Refused() > 200 {
		t.Errorf("%d of 40 frequent ids kept, %d evicted, %d refused", kept, table.Evicted(EvictedBySize), table.Refused())
	}
}

func TestFullTableRefuses(t *testing.T) {
	table := newTable(t, "x", Options{Dim: 1, Limits: Limits{MaxRows: 3}})
	f := func(id uint64, want uint32) {
		t.Helper()
		if got := table.Admit(id); got != want {
			t.Errorf("Admit(%d) = %d, want %d", id, got, want)
		}
	}
	f(7, 1)
	f(8, 2)
	f(9, 0)
	f(7, 1)
	if events, dropped := table.Ledger(nil, 9); len(events) != 1 || events[0].Reason != TableFull || dropped {
		t.Errorf("ledger of the refused id: %v", events)
	}
}

// TestLifeGoesOnFromACheckpoint compares a table that lives on with one that was written and read in between: rows, slots, holes, ledger and all.
func TestLifeGoesOnFromACheckpoint(t *testing.T) {
	o := Options{Dim: 2, State: 4, InitStd: 1, Limits: Limits{MaxRows: 1500, EvictAfter: 60}}
	a := newTable(t, "x", o)
	live(a, 3, 1, 200)
	if a.life.holes == 0 {
		t.Fatal("there are no holes to keep")
	}
	b, err := FromPart(reread(t, a), o)
	if err != nil {
		t.Fatal(err)
	}
	live(a, 3, 201, 200)
	live(b, 3, 201, 200)
	x, y := reread(t, a), reread(t, b)
	if len(x.Tensors) != 6 || len(y.Tensors) != 6 {
		t.Fatalf("%d and %d tensors", len(x.Tensors), len(y.Tensors))
	}
	for i, u := range x.Tensors {
		if !slices.Equal(u.Data, y.Tensors[i].Data) {
			t.Errorf("tensor %s differs", u.Name)
		}
	}
	bare, err := FromPart(x, Options{})
	if err != nil || bare.Rows() != a.Rows() || bare.Len() != a.Len() {
		t.Errorf("read without options: %v", err)
	}
}

func TestOldPartsCountAsFresh(t *testing.T) {
	old := newTable(t, "x", Options{Dim: 1})
	old.Admit(5)
	table, err := FromPart(reread(t, old), Options{Limits: Limits{EvictAfter: 10}})
	if err != nil {
		t.Fatal(err)
	}
	table.Maintain(1000)
	if table.Find(5) == None {
		t.Fatal("a row without age was taken for old")
	}
	for step := uint32(1001); step < 1020; step++ {
		table.Maintain(step)
	}
	if table.Find(5) != None {
		t.Error("the row outlived its age")
	}
}

func TestRemoved(t *testing.T) {
	table := newTable(t, "x", Options{Dim: 1, Limits: Limits{EvictAfter: 5}})
	for id := uint64(1); id <= 3; id++ {
		table.Admit(id)
	}
	table.Changed(nil)
	for step := range uint32(20) {
		table.Maintain(step)
		if step > 15 {
			table.Touch(table.Admit(2))
		}
	}
	if got, all := table.Removed(nil); !all || !slices.Equal(got, []uint64{1, 3}) {
		t.Errorf("removed %v %v, want [1 3]", got, all)
	}
	if got := table.Changed(nil); len(got) != 1 || table.ID(got[0]) != 2 {
		t.Errorf("changed %v", got)
	}
	if got, _ := table.Removed(nil); len(got) != 0 {
		t.Errorf("removed twice: %v", got)
	}
	want := []Event{{ID: 2, Step: 0, Count: 1, Reason: FirstSeen}, {ID: 2, Step: 6, Count: 1, Reason: EvictedByAge}, {ID: 2, Step: 16, Count: 1, Reason: FirstSeen}}
	if got, _ := table.Ledger(nil, 2); !slices.Equal(got, want) {
		t.Errorf("ledger %+v, want %+v", got, want)
	}
	s, err := StoryOf(reread(t, table), 2)
	if err != nil || !s.Present || !s.Tracked || s.Last != 19 || s.Count != 5 || !slices.Equal(s.Events, want) || s.Total != 7 {
		t.Errorf("story %+v, %v", s, err)
	}
}

func TestLedgerIsARing(t *testing.T) {
	var l ledger
	const n = LedgerEvents + 100
	for i := range uint64(n) {
		l.add(Event{ID: i, Step: uint32(i), Count: 3, Last: 4, Reason: EvictedBySize})
	}
	w := l.ordered()
	first, last := eventOf(w), eventOf(w[len(w)-eventWords:])
	if len(w) != LedgerEvents*eventWords || first != (Event{100, 100, 3, 4, EvictedBySize}) || last.ID != n-1 {
		t.Errorf("%d words, from %+v to %+v", len(w), first, last)
	}
	table := &Table{life: life{ledger: l}}
	got, total := table.LedgerSince(nil, n-3)
	if total != n || len(got) != 3 || got[0].ID != n-3 || got[2].ID != n-1 {
		t.Errorf("the last three of %d: %+v", total, got)
	}
}

func TestSketch(t *testing.T) {
	s, exact := NewSketch(), map[uint64]uint32{}
	rng := rand.New(rand.NewPCG(4, 4))
	for range 30_000 {
		id := 1 + rng.Uint64N(6000)
		exact[id]++
		if got := s.Add(id); got < exact[id] {
			t.Fatalf("id %d counted %d times after %d", id, got, exact[id])
		}
	}
	over := 0
	for id, n := range exact {
		if s.Count(id) != n {
			over++
		}
	}
	if over > len(exact)/50 {
		t.Errorf("%d of %d counts are too high", over, len(exact))
	}
	for id := range exact {
		s.Forget(id)
	}
	if s.used > 1200 { // of 24,000
		t.Errorf("%d counters are left when all ids are forgotten", s.used)
	}
	for range 70_000 {
		s.Add(7)
	}
	if s.Count(7) != MaxSketchCount {
		t.Errorf("the count overflowed to %d", s.Count(7))
	}
}

func TestSketchAges(t *testing.T) {
	s := NewSketch()
	const frequent = 1
	blocks := len(s.blocks)
	for id := range uint64(400_000) {
		s.Add(id + 10)
		if id%64 == 0 {
			s.Add(frequent)
		}
	}
	if len(s.blocks) != 2*blocks || s.Bytes() != int64(len(s.blocks))*64 {
		t.Errorf("%d blocks", len(s.blocks))
	}
	once := 0
	for id := range uint64(1000) {
		if s.Count(id+10) > 0 {
			once++
		}
	}
	if s.Count(frequent) < 1000 || once > 700 {
		t.Errorf("the frequent id is counted %d times, %d of 1000 old ids are still counted", s.Count(frequent), once)
	}
}
