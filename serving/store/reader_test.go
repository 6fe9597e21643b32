package store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace/millrace/core/snapshot"
)

var twoTables = []Table{{"emb/item", "item", 2}, {"fs/item", "item", 3}}

func reader(t testing.TB, s *Store, cacheBytes int64) *Reader {
	t.Helper()
	r, err := s.NewReader(ReaderOptions{Model: "m", Tables: twoTables, CacheBytes: cacheBytes})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// poll expects a new version, or with want "" none.
func poll(t testing.TB, r *Reader, want string) *Version {
	t.Helper()
	v, err := r.Poll(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	got := ""
	if v != nil {
		got = v.Head.Version
	}
	if got != want {
		t.Fatalf("version %q, want %q", got, want)
	}
	return v
}

// rowsOf reads ids through a lookup and returns the first value of each table's row; it fails when a row is not the same value throughout.
func rowsOf(t testing.TB, l *Lookup, v *Version, ids ...uint64) (emb, fs []float32) {
	t.Helper()
	l.Begin(v)
	l.Need(0, ids)
	if err := l.Fetch(context.Background()); err != nil {
		t.Fatal(err)
	}
	return gathered(t, l, "emb/item", 2, ids), gathered(t, l, "fs/item", 3, ids)
}

func gathered(t testing.TB, l *Lookup, table string, dim int, ids []uint64) []float32 {
	t.Helper()
	stride := dim + 2
	dst := make([]float32, len(ids)*stride)
	if err := l.Gather(table, dst, stride, ids); err != nil {
		t.Fatal(err)
	}
	var out []float32
	for i := range ids {
		row := dst[i*stride:][:stride]
		for _, x := range row[:dim] {
			if x != row[0] {
				t.Fatalf("row of id %d in %s is torn: %v", ids[i], table, row)
			}
		}
		if row[dim] != 0 || row[dim+1] != 0 {
			t.Fatalf("row of id %d in %s wrote beyond its width: %v", ids[i], table, row)
		}
		out = append(out, row[0])
	}
	return out
}

func same(t testing.TB, got []float32, want ...float32) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("%v, want %v", got, want)
	}
}

func TestReader(t *testing.T) {
	s, _ := open(t)
	r := reader(t, s, 1<<20)
	if _, err := r.Poll(context.Background()); !errors.Is(err, ErrNoModel) {
		t.Fatalf("%v, want ErrNoModel", err)
	}
	publish(t, s, update("a", true, 1, 0, 1, 2, 3))
	a := poll(t, r, "a")
	poll(t, r, "")
	l := r.NewLookup()
	emb, fs := rowsOf(t, l, a, 3, 0, 77, 1)
	same(t, emb, 1, 1, 1, 1)
	same(t, fs, 1, 1, 1, 1)

	// A delta moves a cached row, adds one that was cached as unknown, and leaves the unknown row.
	publish(t, s, update("b", false, 2, 1, 77))
	b := poll(t, r, "b")
	_, before := r.Cache()
	emb, fs = rowsOf(t, l, b, 3, 0, 77, 1, 88)
	same(t, emb, 1, 1, 2, 2, 1)
	same(t, fs, 1, 1, 2, 2, 1)
	if _, after := r.Cache(); after != before+1 {
		t.Fatalf("%d misses after a delta, want only the id never seen", after-before)
	}

	// The unknown row moves: ids without a row follow it although they are cached.
	publish(t, s, update("c", false, 3, 0))
	c := poll(t, r, "c")
	emb, _ = rowsOf(t, l, c, 88, 1)
	same(t, emb, 3, 2)

	// Only one of the tables has the id.
	u := update("d", false, 4, 500)
	u.Rows = u.Rows[:1]
	publish(t, s, u)
	d := poll(t, r, "d")
	emb, fs = rowsOf(t, l, d, 500)
	same(t, emb, 4)
	same(t, fs, 3)

	// A new generation knows nothing of the old rows; the version before still reads its own.
	publish(t, s, update("e", true, 5, 0, 1))
	e := poll(t, r, "e")
	emb, _ = rowsOf(t, l, e, 1, 2, 500)
	same(t, emb, 5, 5, 5)
	emb, _ = rowsOf(t, l, d, 1, 2, 500)
	same(t, emb, 2, 1, 4)
	if len(e.Dense) != 1 || e.Dense[0].Name != "w" {
		t.Fatalf("dense values %v", e.Dense)
	}
	if err := l.Gather("emb/item", make([]float32, 2), 2, []uint64{999}); err == nil || !strings.HasPrefix(err.Error(), "BUG") {
		t.Fatalf("gathering an id that was not fetched: %v", err)
	}
}

// TestMissedDeltas: a reader that cannot tell what changed starts its near-cache anew.
func TestMissedDeltas(t *testing.T) {
	s, server := open(t)
	r := reader(t, s, 1<<20)
	publish(t, s, update("a", true, 1, 0, 1))
	l := r.NewLookup()
	rowsOf(t, l, poll(t, r, "a"), 1, 7)
	publish(t, s, update("b", false, 2, 1, 7))
	server.FastForward(deltaLife + time.Second)
	publish(t, s, update("c", false, 3, 2))
	emb, _ := rowsOf(t, l, poll(t, r, "c"), 1, 7, 2)
	same(t, emb, 2, 2, 3)
}

func TestLost(t *testing.T) {
	s, server := open(t)
	r := reader(t, s, 1<<20)
	publish(t, s, update("a", true, 1, 0, 1))
	v := poll(t, r, "a")
	l := r.NewLookup()
	f := func(id uint64) error {
		l.Begin(v)
		l.Need(0, []uint64{id})
		return l.Fetch(context.Background())
	}
	server.Del(rowKey("m", v.Head.Gen, "fs/item", bucketOf(1, Buckets)))
	if err := f(1); !errors.Is(err, ErrLost) {
		t.Fatalf("a row of a lost bucket: %v, want ErrLost", err)
	}
	server.FlushAll()
	if err := f(2); !errors.Is(err, ErrLost) {
		t.Fatalf("a row of a flushed store: %v, want ErrLost", err)
	}
	if _, err := r.Poll(context.Background()); !errors.Is(err, ErrNoModel) {
		t.Fatalf("a flushed store: %v, want ErrNoModel", err)
	}
	// The sequence starts again; the reader must not take the new rows for a delta of the old ones.
	publish(t, s, update("a", true, 8, 0, 1))
	emb, _ := rowsOf(t, l, poll(t, r, "a"), 1)
	same(t, emb, 8)
}

func TestOtherArchitecture(t *testing.T) {
	s, _ := open(t)
	publish(t, s, update("a", true, 1, 0, 1))
	f := func(o ReaderOptions, want string) {
		t.Helper()
		o.Model = "m"
		r, err := s.NewReader(o)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Poll(context.Background()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want an error with %q", err, want)
		}
	}
	f(ReaderOptions{Tables: []Table{{"emb/item", "item", 4}}}, "emb/item of width 4")
	f(ReaderOptions{Tables: []Table{{"emb/user", "user", 2}}}, "emb/user")
	if _, err := s.Seed(context.Background(), update("x", true, 1, 0), SeedOptions{Features: "f1"}); err != nil {
		t.Fatal(err)
	}
	f(ReaderOptions{Tables: twoTables, Features: "f2"}, "another schema")
}

// TestAgainstMap compares lookups with a plain map over random updates, with a near-cache too small for the ids.
func TestAgainstMap(t *testing.T) {
	s, _ := open(t)
	r := reader(t, s, 20<<10)
	rng := rand.New(rand.NewPCG(1, 2))
	truth := map[uint64]float32{}
	ids := func(n int) []uint64 {
		seen, out := map[uint64]bool{}, []uint64{}
		for range n {
			if id := uint64(rng.IntN(400)); !seen[id] {
				seen[id] = true
				out = append(out, id<<40|id)
			}
		}
		return out
	}
	l := r.NewLookup()
	for n := range 60 {
		value := float32(n + 1)
		version := fmt.Sprint("v", n)
		full := n%20 == 0
		list := ids(30)
		if full {
			clear(truth)
			if list[0] != 0 {
				list = append(list, 0)
			}
		}
		u := update(version, full, value, unique(list)...)
		for _, id := range list {
			truth[id] = value
		}
		publish(t, s, u)
		if n%3 == 1 {
			continue // the reader sleeps over some versions
		}
		v := poll(t, r, version)
		for range 5 {
			ask := ids(40)
			emb, fs := rowsOf(t, l, v, ask...)
			for i, id := range ask {
				want, ok := truth[id]
				if !ok {
					want = truth[0]
				}
				if emb[i] != want || fs[i] != want {
					t.Fatalf("version %s, id %d: %v and %v, want %v", version, id, emb[i], fs[i], want)
				}
			}
		}
	}
	if hits, misses := r.Cache(); hits == 0 || misses == 0 {
		t.Fatalf("%d hits and %d misses: the near-cache was not at work", hits, misses)
	}
}

func unique(ids []uint64) []uint64 {
	seen, out := map[uint64]bool{}, ids[:0]
	for _, id := range ids {
		if !seen[id] {
			seen[id] = true
			out = append(out, id)
		}
	}
	return out
}

// TestFresh reads from many goroutines while versions are published: whatever a reader of version N sees is at least as new as N.
func TestFresh(t *testing.T) {
	s, _ := open(t)
	r := reader(t, s, 16<<10)
	const ids, versions = 60, 50
	var all []uint64
	for id := range uint64(ids) {
		all = append(all, id)
	}
	publish(t, s, update("1", true, 1, all...))
	var current atomic.Pointer[Version]
	current.Store(poll(t, r, "1"))
	// newest[id] is the value last written before a version was seen; at[version][id] what version's rows hold at least.
	var mu sync.Mutex
	least := map[string][ids]float32{}
	var now [ids]float32
	for i := range now {
		now[i] = 1
	}
	least["1"] = now
	done := make(chan struct{})
	var wg sync.WaitGroup
	for g := range 3 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			rng := rand.New(rand.NewPCG(uint64(g), 7))
			l := r.NewLookup()
			for {
				select {
				case <-done:
					return
				default:
				}
				v := current.Load()
				var ask []uint64
				for range 10 {
					ask = append(ask, uint64(1+rng.IntN(ids-1)))
				}
				emb, _ := rowsOf(t, l, v, ask...)
				mu.Lock()
				want := least[v.Head.Version]
				mu.Unlock()
				for i, id := range ask {
					if emb[i] < want[id] {
						t.Errorf("id %d read under version %s is of version %v, older than %v", id, v.Head.Version, emb[i], want[id])
						return
					}
				}
			}
		}()
	}
	rng := rand.New(rand.NewPCG(3, 4))
	for n := 2; n <= versions; n++ {
		var list []uint64
		for range 8 {
			list = append(list, uint64(1+rng.IntN(ids-1)))
		}
		list = unique(list)
		for _, id := range list {
			now[id] = float32(n)
		}
		version := fmt.Sprint(n)
		mu.Lock()
		least[version] = now
		mu.Unlock()
		publish(t, s, update(version, false, float32(n), list...))
		if v := poll(t, r, version); v != nil {
			current.Store(v)
		}
	}
	close(done)
	wg.Wait()
}

func TestSeed(t *testing.T) {
	s, server := open(t)
	ctx := context.Background()
	f := func(u *snapshot.Update, o SeedOptions, want Seeding, version string) {
		t.Helper()
		got, err := s.Seed(ctx, u, o)
		if err != nil || got != want {
			t.Fatalf("seeding %s: %s, %v, want %s", u.Version, got, err, want)
		}
		if h, err := s.Head(ctx, "m"); err != nil || h.Version != version {
			t.Fatalf("after seeding %s the head is %v, %v, want version %s", u.Version, h, err, version)
		}
	}
	batch := update("batch", true, 1, 0, 1)
	f(batch, SeedOptions{}, Seeded, "batch")
	f(batch, SeedOptions{}, Present, "batch")
	f(update("batch2", true, 2, 0, 1), SeedOptions{}, Seeded, "batch2")
	f(batch, SeedOptions{}, Seeded, "batch") // back to the one before

	// A daemon trains on from it and streams: its versions stay, also where it begins anew from its own checkpoint.
	publish(t, s, update("s1", true, 3, 0, 1))
	f(batch, SeedOptions{}, Newer, "s1")
	publish(t, s, update("s2", false, 4, 1))
	publish(t, s, update("s3", true, 4, 0, 1))
	f(batch, SeedOptions{}, Newer, "s3")
	f(update("daemon's own", true, 3, 0, 1), SeedOptions{Streamed: true}, Newer, "s3")
	// Another one trained from files is asked for expressly.
	f(update("batch3", true, 5, 0, 1), SeedOptions{}, Seeded, "batch3")
	f(update("daemon's own", true, 3, 0, 1), SeedOptions{Streamed: true}, Seeded, "daemon's own")
	// Another architecture under the same name.
	other := update("other", true, 5, 0, 1)
	other.Rows = other.Rows[:1]
	f(other, SeedOptions{}, Seeded, "other")
	// Present by name, but some of its rows are gone.
	f(batch, SeedOptions{}, Seeded, "batch")
	h, _ := s.Head(ctx, "m")
	server.Del(rowKey("m", h.Gen, "emb/item", 3))
	f(batch, SeedOptions{}, Seeded, "batch")
}

// TestSeedTogether: of many servers that start at once one writes.
func TestSeedTogether(t *testing.T) {
	s, server := open(t)
	var wrote atomic.Int32
	var wg sync.WaitGroup
	for range 8 {
		wg.Add(1)
		o := connect(t, server.Addr())
		go func() {
			defer wg.Done()
			did, err := o.Seed(context.Background(), update("a", true, 1, 0, 1, 2, 3), SeedOptions{})
			if err != nil {
				t.Error(err)
			}
			if did == Seeded {
				wrote.Add(1)
			}
		}()
	}
	wg.Wait()
	if wrote.Load() != 1 {
		t.Fatalf("%d of 8 wrote", wrote.Load())
	}
	wantHead(t, s, "a", 1)
}

// TestLateInsert: a row read before a delta must not enter the near-cache after it.
func TestLateInsert(t *testing.T) {
	c := newNearCache([]int{1}, 1<<20)
	var order shardOrder
	id, row, masks := []uint64{7}, []float32{1}, []uint64{1}
	epoch := c.epoch.Load()
	c.epoch.Add(1) // a refresh begins between the fetch and the insert
	c.insert(0, epoch, id, []int32{0}, row, masks)
	if miss := c.read(0, id, row, masks, nil, &order); len(miss) != 1 {
		t.Fatal("a row of an earlier epoch was inserted")
	}
	c.insert(0, c.epoch.Load(), id, []int32{0}, row, masks)
	if miss := c.read(0, id, row, masks, nil, &order); len(miss) != 0 {
		t.Fatal("a row of this epoch was not inserted")
	}
}

// TestCacheBudget: entries beyond the budget leave, and the working set stays.
func TestCacheBudget(t *testing.T) {
	const budget = 64 << 10
	c := newNearCache([]int{4}, budget)
	var order shardOrder
	rows, masks := make([]float32, 4), []uint64{1}
	hot := []uint64{42}
	c.insert(0, 0, hot, []int32{0}, rows, masks)
	for id := uint64(1000); id < 50_000; id++ {
		c.insert(0, 0, []uint64{id}, []int32{0}, rows, masks)
		if id%10 == 0 && len(c.read(0, hot, rows, masks, nil, &order)) > 0 {
			t.Fatalf("an id that is read all the time left after %d others", id-1000)
		}
	}
	entries := 0
	c.each(func(sh *shard) { entries += len(sh.now.index) + len(sh.old.index) })
	if bytes := entries * (entryBytes + 16); bytes > budget+budget/8 || bytes < budget/3 {
		t.Fatalf("%d entries hold about %d bytes of %d", entries, bytes, budget)
	}
}
