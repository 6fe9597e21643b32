package table

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/millrace/millrace/core/snapshot"
)

func newTable(t testing.TB, name string, o Options) *Table {
	t.Helper()
	table, err := New(name, o)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// randomID draws small integers, hashes and, now and then, ids that share the high half of their hash.
func randomID(rng *rand.Rand) uint64 {
	switch rng.IntN(3) {
	case 0:
		return uint64(1 + rng.IntN(5000))
	case 1:
		return rng.Uint64() | 1
	}
	return unmix(0xabcdef12_00000000 | uint64(rng.IntN(20000)))
}

// unmix inverts mix.
func unmix(h uint64) uint64 {
	h ^= h >> 33
	h *= 0x9cb4b2f8129337db
	h ^= h >> 33
	h *= 0x4f74430c22a54005
	return h ^ h>>33
}

func TestUnmix(t *testing.T) {
	for _, h := range []uint64{0, 1, 1 << 63, 0xabcdef1200000007} {
		if got := mix(unmix(h)); got != h {
			t.Errorf("mix(unmix(%x)) = %x", h, got)
		}
	}
}

func TestAgainstMap(t *testing.T) {
	seeds := uint64(4)
	if testing.Short() {
		seeds = 2
	}
	for seed := range seeds {
		rng := rand.New(rand.NewPCG(seed, 9))
		table := newTable(t, "item", Options{Dim: 3, State: 6, Seed: 1, InitStd: 0.1})
		type row struct {
			slot    uint32
			weights [3]float32
		}
		model := map[uint64]row{UnknownID: {0, [3]float32(table.Row(0))}}
		for range 60_000 {
			id := randomID(rng)
			want, known := model[id]
			switch rng.IntN(4) {
			case 0, 1:
				s := table.Admit(id)
				if known && s != want.slot || !known && s != uint32(len(model)) {
					t.Fatalf("Admit(%d) = %d, model %v %v", id, s, want, known)
				}
				model[id] = row{s, [3]float32(table.Row(s))}
			case 2:
				w := [3]float32{rng.Float32(), 1, 2}
				model[id] = row{table.Put(id, w[:]), w}
			case 3:
				if s := table.Find(id); known && s != want.slot || !known && s != None {
					t.Fatalf("Find(%d) = %d, model %v %v", id, s, want, known)
				}
			}
		}
		if table.Len() != len(model) {
			t.Fatalf("%d rows, want %d", table.Len(), len(model))
		}
		ids := []uint64{UnknownID, 1 << 62}
		for id, r := range model {
			if s := table.Find(id); s != r.slot || table.ID(s) != id || [3]float32(table.Row(s)) != r.weights {
				t.Fatalf("id %d: slot %d of id %d, row %v, want %v", id, s, table.ID(s), table.Row(s), r)
			}
			ids = append(ids, id)
		}
		slots := make([]uint32, len(ids))
		table.Resolve(slots, ids)
		gathered := make([]float32, 5*len(ids))
		table.Gather(gathered[1:], 5, slots)
		for i, id := range ids {
			r, ok := model[id]
			if !ok {
				r = model[UnknownID]
			}
			if slots[i] != r.slot || [3]float32(gathered[1+5*i:]) != r.weights || gathered[5*i] != 0 {
				t.Fatalf("Resolve and Gather of %d: slot %d row %v, want %v", id, slots[i], gathered[5*i:][:5], r)
			}
		}
	}
}

// TestCollidingHashes admits ids that no directory can tell apart: it stays bounded and finds them all.
func TestCollidingHashes(t *testing.T) {
	table := newTable(t, "x", Options{Dim: 1})
	n := uint64(12 * fullSegments)
	if testing.Short() {
		n = 2 * fullSegments
	}
	for i := range n {
		table.Admit(unmix(0xffff_ffff_0000_0000 | i<<8))
	}
	for i := range n {
		if s := table.Find(unmix(0xffff_ffff_0000_0000 | i<<8)); s != uint32(i+1) {
			t.Fatalf("id %d at slot %d", i, s)
		}
	}
	if len(table.index.meta) > 1<<maxDepth {
		t.Errorf("directory of %d", len(table.index.meta))
	}
}

func TestRowsStayInPlace(t *testing.T) {
	table := newTable(t, "x", Options{Dim: 4, State: 4, InitStd: 1})
	table.Admit(77)
	row, state := table.Row(1), table.State(1)
	for id := uint64(100); id < 20_000; id++ {
		table.Admit(id)
	}
	row[2], state[3] = 42, 43
	if s := table.Find(77); table.Row(s)[2] != 42 || table.State(s)[3] != 43 {
		t.Error("growth moved a row")
	}
	if cap(row) != 4 || cap(state) != 4 {
		t.Error("an append to a row would reach into the next")
	}
}

func TestInitialValues(t *testing.T) {
	o := Options{Dim: 7, Seed: 5, InitStd: 0.5}
	a, b := newTable(t, "item", o), newTable(t, "item", o)
	for id := uint64(1); id <= 5000; id++ {
		a.Admit(id)
		b.Admit(5001 - id)
	}
	other := newTable(t, "user", o)
	o.Seed++
	reseeded := newTable(t, "item", o)
	var sum, squares, cross, n float64
	for id := uint64(0); id <= 5000; id++ {
		row := a.Row(a.Find(id))
		if !slices.Equal(row, b.Row(b.Find(id))) {
			t.Fatalf("id %d: the initial row depends on the order of arrival", id)
		}
		if slices.Equal(row, other.Row(other.Admit(id))) || slices.Equal(row, reseeded.Row(reseeded.Admit(id))) {
			t.Fatalf("id %d: the initial row does not depend on table and seed", id)
		}
		for j, x := range row {
			sum, squares, n = sum+float64(x), squares+float64(x)*float64(x), n+1
			cross += float64(x) * float64(row[(j+1)%7])
		}
	}
	// Standard errors: 0.5/√n = 0.0027 for the mean, 0.25·√(2/n) = 0.0019 for the variance.
	if m, v, c := sum/n, squares/n, cross/n; math.Abs(m) > 0.011 || math.Abs(v-0.25) > 0.008 || math.Abs(c) > 0.006 {
		t.Errorf("mean %g, variance %g, neighbours' covariance %g; want 0, 0.25, 0", m, v, c)
	}
}

func TestChanged(t *testing.T) {
	table := newTable(t, "x", Options{Dim: 1})
	f := func(touch, want []uint32) {
		t.Helper()
		for _, s := range touch {
			table.Touch(s)
		}
		if got := table.Changed(nil); !slices.Equal(got, want) {
			t.Errorf("changed %v, want %v", got, want)
		}
	}
	f(nil, []uint32{0})
	f(nil, nil)
	for id := uint64(1); id < 10_000; id++ {
		table.Admit(id)
	}
	if got := table.Changed(nil); len(got) != 9999 || got[0] != 1 || got[9998] != 9999 {
		t.Errorf("%d new rows changed", len(got))
	}
	f([]uint32{9999, 63, 64, 0, 4095, 4096, 63}, []uint32{0, 63, 64, 4095, 4096, 9999})
	f(nil, nil)
	table.Put(5, []float32{1})
	f(nil, []uint32{5})
}

func TestConcurrentReaders(t *testing.T) {
	table := newTable(t, "x", Options{Dim: 2, InitStd: 1})
	for id := uint64(1); id < 3000; id++ {
		table.Admit(id)
	}
	var wg sync.WaitGroup
	for g := range uint64(4) {
		wg.Go(func() {
			ids, slots, dst := []uint64{0}, []uint32{0}, make([]float32, 2)
			for id := uint64(1); id < 4000; id++ {
				ids[0] = id * (g + 1)
				table.Resolve(slots, ids)
				table.Gather(dst, 2, slots)
				if s := table.Find(ids[0]); s != None && s != slots[0] {
					t.Errorf("id %d at %d and %d", ids[0], s, slots[0])
				}
			}
		})
	}
	wg.Wait()
}

func TestRejectsOptions(t *testing.T) {
	f := func(name string, o Options, want string) {
		t.Helper()
		if _, err := New(name, o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("New(%q, %+v): %v, want %q", name, o, err, want)
		}
	}
	f("", Options{Dim: 1}, "name is empty")
	f("x", Options{}, "dimension 0")
	f("x", Options{Dim: 1, State: -1}, "-1 floats of state")
	f("x", Options{Dim: 1, InitStd: math.NaN()}, "standard deviation NaN")
}

// reread sends a table's part through a checkpoint on disk.
func reread(t *testing.T, table *Table) *snapshot.Part {
	t.Helper()
	dir := t.TempDir()
	if _, err := snapshot.Write(dir, snapshot.Manifest{}, []snapshot.Part{table.Part()}); err != nil {
		t.Fatal(err)
	}
	s, err := snapshot.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	p, err := s.Part(PartPrefix + table.Name())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPart(t *testing.T) {
	for _, rows := range []int{1, 2, ChunkRows, ChunkRows + 1, 3000} {
		o := Options{Dim: 3, State: 2, Seed: 4, InitStd: 1}
		a := newTable(t, "user_id", o)
		for a.Len() < rows {
			s := a.Admit(mix(uint64(a.Len())))
			a.State(s)[1] = float32(s)
		}
		p := reread(t, a)
		b, err := FromPart(p, o)
		if err != nil {
			t.Fatal(err)
		}
		bare, err := FromPart(p, Options{Seed: 4, InitStd: 1})
		if err != nil {
			t.Fatal(err)
		}
		if b.Name() != "user_id" || b.Len() != rows || bare.Len() != rows || bare.Dim() != 3 || bare.StateSize() != 0 {
			t.Fatalf("table %s of %d rows; without state %d rows of %d", b.Name(), b.Len(), bare.Len(), bare.Dim())
		}
		for s := range uint32(rows) {
			if b.ID(s) != a.ID(s) || !slices.Equal(b.Row(s), a.Row(s)) || !slices.Equal(b.State(s), a.State(s)) || !slices.Equal(bare.Row(s), a.Row(s)) {
				t.Fatalf("slot %d is not what it was", s)
			}
		}
		if c := b.Changed(nil); len(c) != 0 {
			t.Errorf("%d rows changed by reading", len(c))
		}
		if x, y := a.Admit(1<<40), b.Admit(1<<40); x != y || !slices.Equal(a.Row(x), b.Row(y)) {
			t.Error("a new row differs after reading back")
		}
	}
}

func TestFromPartRejects(t *testing.T) {
	u, r := snapshot.NewTensor[uint64], snapshot.NewTensor[float32]
	f := func(o Options, want string, name string, tensors ...snapshot.Tensor) {
		t.Helper()
		if _, err := FromPart(&snapshot.Part{Name: name, Tensors: tensors}, o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	ids, rows := []uint64{0, 7}, make([]float32, 4)
	f(Options{}, "does not begin with table/", "x", u("ids", ids), r("rows", rows, 2, 2))
	f(Options{}, `want U64`, "table/x", r("rows", rows, 2, 2))
	f(Options{}, `want F32`, "table/x", u("ids", ids))
	f(Options{Dim: 3}, "shape [2 2], want [2 3]", "table/x", u("ids", ids), r("rows", rows, 2, 2))
	f(Options{}, "shape [1 4], want [2 4]", "table/x", u("ids", ids), r("rows", rows, 1, 4))
	f(Options{}, "0 ids", "table/x", u("ids", nil), r("rows", nil, 0, 2))
	f(Options{}, "the first id is 7", "table/x", u("ids", ids[1:]), r("rows", rows[:2], 1, 2))
	f(Options{}, "id 7 is there twice", "table/x", u("ids", []uint64{0, 7, 7}), r("rows", make([]float32, 3), 3, 1))
	f(Options{}, "id 0 is there twice", "table/x", u("ids", []uint64{0, 0}), r("rows", rows[:2], 2, 1))
	f(Options{State: 4}, "tensor state has shape [2 2], want [2 4]", "table/x", u("ids", ids), r("rows", rows, 2, 2), r("state", rows, 2, 2))
}

func TestAppendRows(t *testing.T) {
	table := newTable(t, "x", Options{Dim: 2})
	table.Put(9, []float32{1, 2})
	table.Put(8, []float32{3, 4})
	r := table.AppendRows(snapshot.Rows{}, []uint32{2, 1})
	if r.Table != "x" || r.Dim != 2 || !slices.Equal(r.IDs, []uint64{8, 9}) || !slices.Equal(r.Values, []float32{3, 4, 1, 2}) {
		t.Errorf("%+v", r)
	}
}
