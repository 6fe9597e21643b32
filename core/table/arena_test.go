package table

import "testing"

func TestArena(t *testing.T) {
	a := &arena{}
	for _, n := range []int{1, 64, 100_000, 3 << 20, 7} {
		p, err := a.alloc(n, read)
		if err != nil {
			t.Fatal(err)
		}
		if uintptr(p)%lineBytes != 0 {
			t.Errorf("%d bytes begin at %p, want a cache line's beginning", n, p)
		}
	}
	if a.mapped < 3<<20 || a.mapped > 8<<20 {
		t.Errorf("%d bytes are mapped", a.mapped)
	}
	a.release()
	if a.mapped != 0 || len(a.blocks) != 0 {
		t.Error("memory is left")
	}
	if _, err := a.alloc(1<<60, written); err == nil {
		t.Error("more memory than there is")
	}
}

func TestSmallTablesAreSmall(t *testing.T) {
	table := newTable(t, "x", Options{Dim: 16, State: 32, Track: true})
	for id := range uint64(10) {
		table.Admit(id)
	}
	if n := table.Bytes(); n > 20<<10 {
		t.Errorf("a table of ten rows has %d bytes", n)
	}
	table.Close()
	if table.mem.mapped != 0 || table.Len() != 0 {
		t.Error("memory is left after Close")
	}
}

// TestBytesPerRow: at 16 floats with Adam's state a row takes 240 bytes at most, index, age and count included, at any number of rows; the ledger's ring aside.
func TestBytesPerRow(t *testing.T) {
	for _, rows := range []int{30_000, 50_000, 65_000, 100_000} {
		x, err := newIndex(&arena{}, rows)
		if err != nil {
			t.Fatal(err)
		}
		for i := range rows {
			if err := x.insert(uint64(i+1), uint32(i+1)); err != nil {
				t.Fatal(err)
			}
		}
		if n := float64(x.bytes()) / float64(rows); n > 26 {
			t.Errorf("an index made for %d rows takes %.1f bytes a row", rows, n)
		}
		x.mem.release()
	}
	table := newTable(t, "x", Options{Dim: 16, State: 32, Track: true})
	for id := uint64(1); id < 100_000; id++ {
		table.Admit(id)
		if n := float64(table.Bytes()-table.life.ledger.bytes()) / float64(table.Len()); id > 10_000 && id%1000 == 0 && n > 240 {
			t.Fatalf("%.1f bytes a row at %d rows", n, table.Len())
		}
	}
}

func TestPlaceIsMonotone(t *testing.T) {
	last := uint64(0)
	for x := uint64(0); x < 1<<32; x += 9_999_991 {
		p := place(x << 32)
		if p < last || p >= 1<<32 {
			t.Fatalf("place of %d is %d after %d", x, p, last)
		}
		last = p
	}
	if p := place(^uint64(0)); p < 1<<32-4 || p >= 1<<32 {
		t.Errorf("the last place is %d", p)
	}
}
