package store

import (
	"context"
	"errors"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/millrace/millrace/core/snapshot"
	"github.com/millrace/millrace/internal/embedded/redis"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// open starts an embedded server and a store on it.
func open(t testing.TB) (*Store, *redis.Server) {
	t.Helper()
	server, err := redis.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	return connect(t, server.Addr()), server
}

func connect(t testing.TB, addr string) *Store {
	t.Helper()
	s, err := Open(context.Background(), addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// update makes an update of two tables of one vocabulary, whose rows hold value at every place.
func update(version string, full bool, value float32, ids ...uint64) *snapshot.Update {
	u := &snapshot.Update{Model: "m", Version: version, Full: full, Dense: []snapshot.Tensor{snapshot.NewTensor("w", []float32{value}, 1, 1)}}
	for _, t := range []TableLayout{{"emb/item", 2}, {"fs/item", 3}} {
		r := snapshot.Rows{Table: t.Name, Dim: t.Dim, IDs: ids}
		for range ids {
			for range t.Dim {
				r.Values = append(r.Values, value)
			}
		}
		u.Rows = append(u.Rows, r)
	}
	return u
}

func publish(t testing.TB, s *Store, u *snapshot.Update) {
	t.Helper()
	if err := s.Publish(context.Background(), u); err != nil {
		t.Fatal(err)
	}
}

func wantKeys(t *testing.T, s *Store, want int64) {
	t.Helper()
	if n, err := s.Keys(context.Background(), "m"); err != nil || n != want {
		t.Fatalf("%d keys, %v, want %d", n, err, want)
	}
}

func wantHead(t *testing.T, s *Store, version string, seq int64) *Head {
	t.Helper()
	h, err := s.Head(context.Background(), "m")
	if err != nil {
		t.Fatal(err)
	}
	if h.Version != version || h.Seq != seq {
		t.Fatalf("head is version %s, sequence %d, want %s, %d", h.Version, h.Seq, version, seq)
	}
	return h
}

func TestPublish(t *testing.T) {
	s, server := open(t)
	ctx := context.Background()
	wantKeys(t, s, 0)
	if _, err := s.Head(ctx, "m"); !errors.Is(err, ErrNoModel) {
		t.Fatalf("head of an empty store: %v, want ErrNoModel", err)
	}
	var need *NeedFullError
	if err := s.Publish(ctx, update("0", false, 1, 7)); !errors.As(err, &need) {
		t.Fatalf("a delta to an empty store: %v, want NeedFullError", err)
	}
	publish(t, s, update("a", true, 1, 0, 1, 2, 1<<63))
	wantKeys(t, s, 6)
	first := wantHead(t, s, "a", 1)
	publish(t, s, update("b", false, 2, 0, 2, 9))
	wantKeys(t, s, 8)
	wantHead(t, s, "b", 2)
	publish(t, s, update("c", true, 3, 0, 5))
	wantKeys(t, s, 2)
	if h := wantHead(t, s, "c", 3); h.Gen == first.Gen {
		t.Fatal("a full update kept the generation")
	}
	if !server.Exists(rowKey("m", first.Gen, "emb/item", 0)) {
		t.Fatal("the generation before is gone at once")
	}
	server.FastForward(grace + time.Second)
	if server.Exists(rowKey("m", first.Gen, "emb/item", 0)) || server.Exists(denseKey("m", 2)) {
		t.Fatal("the generation before and its dense values stay for ever")
	}
	wantKeys(t, s, 2)
}

// TestReplaced: a delta must not land in a generation that someone else wrote.
func TestReplaced(t *testing.T) {
	s, server := open(t)
	publish(t, s, update("a", true, 1, 0, 1))
	other := connect(t, server.Addr())
	publish(t, other, update("x", true, 1, 0, 1))
	var need *NeedFullError
	if err := s.Publish(context.Background(), update("b", false, 1, 1)); !errors.As(err, &need) || !need.NeedFull() {
		t.Fatalf("a delta onto another writer's generation: %v, want NeedFullError", err)
	}
	wantHead(t, other, "x", 2)
	publish(t, s, update("b", true, 1, 0, 1))
	publish(t, s, update("c", false, 1, 1))
	wantHead(t, s, "c", 4)
	server.FlushAll()
	if err := s.Publish(context.Background(), update("d", false, 1, 1)); !errors.As(err, &need) {
		t.Fatalf("a delta after the store lost everything: %v, want NeedFullError", err)
	}
}

func TestPublishRefuses(t *testing.T) {
	s, _ := open(t)
	f := func(change func(*snapshot.Update)) {
		t.Helper()
		u := update("a", true, 1, 0, 1)
		change(u)
		if err := s.Publish(context.Background(), u); err == nil {
			t.Error("no error")
		}
	}
	f(func(u *snapshot.Update) { u.Model = "" })
	f(func(u *snapshot.Update) { u.Model = "a{b}" })
	f(func(u *snapshot.Update) { u.Rows[0].Table = "fs/item" })
	f(func(u *snapshot.Update) { u.Rows[0].Values = u.Rows[0].Values[1:] })
	f(func(u *snapshot.Update) { u.Rows[0].Dim = 0 })
}

func TestOpenRefuses(t *testing.T) {
	f := func(addr string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if s, err := Open(ctx, addr); err == nil {
			s.Close()
			t.Errorf("%q opened", addr)
		}
	}
	f("")
	f("localhost")
	f("127.0.0.1:1")
	f("127.0.0.1:1,")
	f("http://127.0.0.1:1")
}
