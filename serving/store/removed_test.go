package store

import (
	"context"
	"testing"
)

// TestRemovedRows: ids that a delta removes are the unknown row's again, for a reader that has them cached as for a new one, and come back with a later delta.
func TestRemovedRows(t *testing.T) {
	s, _ := open(t)
	u := update("a", true, 1, 0, 1, 2, 3)
	publish(t, s, u)
	r := reader(t, s, 1<<20)
	l := r.NewLookup()
	emb, _ := rowsOf(t, l, poll(t, r, "a"), 1, 2, 3)
	same(t, emb, 1, 1, 1)

	u = update("b", false, 2, 0)
	u.Rows[0].Removed = []uint64{1, 3}
	publish(t, s, u)
	emb, fs := rowsOf(t, l, poll(t, r, "b"), 1, 2, 3)
	same(t, emb, 2, 1, 2)
	same(t, fs, 1, 1, 1)
	fresh := reader(t, s, 1<<20)
	v, err := fresh.Poll(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	emb, _ = rowsOf(t, fresh.NewLookup(), v, 1, 2, 3)
	same(t, emb, 2, 1, 2)

	publish(t, s, update("c", false, 3, 3))
	emb, _ = rowsOf(t, l, poll(t, r, "c"), 1, 2, 3)
	same(t, emb, 2, 1, 3)
}
