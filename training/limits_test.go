package training_test

import (
	"maps"
	"strings"
	"testing"

	"github.com/millrace/millrace/core/snapshot"
	"github.com/millrace/millrace/core/table"
	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/models"
	"github.com/millrace/millrace/training"
)

// limited is a learner whose tables cannot hold all users and items.
func limited(t *testing.T, limits map[string]table.Limits) (*training.Incremental, *features.Schema, error) {
	t.Helper()
	spec, s := streamSpec(t, streamModels["dnn"])
	l, err := training.NewIncremental(spec, s, training.IncrementalOptions{Model: "m", Limits: limits})
	return l, s, err
}

func TestLimitedTablesGoOnFromACheckpoint(t *testing.T) {
	limits := map[string]table.Limits{"user": {MaxRows: 12}, "*": {EvictAfter: 3}}
	a, s, err := limited(t, limits)
	if err != nil {
		t.Fatal(err)
	}
	learn(t, a, events(t, s, 1, 640))
	if u, err := a.Update(); err != nil || !u.Full {
		t.Fatalf("the first update: %v", err)
	}
	first := t.TempDir()
	write(t, first, a)
	stories, err := training.Why(first, "user", "u3", "", 0)
	if err != nil || len(stories) != 1 || !stories[0].Tracked || len(stories[0].Events) == 0 {
		t.Errorf("the story of a user: %+v, %v", stories, err)
	}
	learn(t, a, events(t, s, 2, 640))
	u, err := a.Update()
	if err != nil || u.Full {
		t.Fatalf("the second update is full: %v", err)
	}
	removed := 0
	for _, r := range u.Rows {
		removed += len(r.Removed)
		for _, id := range r.IDs {
			for _, gone := range r.Removed {
				if id == gone {
					t.Errorf("id %d of %s is both removed and changed", id, r.Table)
				}
			}
		}
	}
	if removed == 0 {
		t.Error("the delta removes nothing")
	}
	straight, resumed := t.TempDir(), t.TempDir()
	write(t, straight, a)

	b := resumeLimited(t, first, limits)
	learn(t, b, events(t, s, 2, 640))
	write(t, resumed, b)
	x, y := partSums(t, straight), partSums(t, resumed)
	if len(x) < 5 || !maps.Equal(x, y) {
		t.Errorf("after resuming the parts are %v, want %v", y, x)
	}
}

func TestLimitsNameTables(t *testing.T) {
	if _, _, err := limited(t, map[string]table.Limits{"usr": {MaxRows: 9}}); err == nil || !strings.Contains(err.Error(), `"usr"`) {
		t.Errorf("limits of a table that is not there: %v", err)
	}
	if _, err := training.Why(t.TempDir(), "user", "u3", "", 0); err == nil {
		t.Error("no checkpoint and no error")
	}
}

func TestWhyRefuses(t *testing.T) {
	l, s, err := limited(t, nil)
	if err != nil {
		t.Fatal(err)
	}
	learn(t, l, events(t, s, 1, 64))
	dir := t.TempDir()
	write(t, dir, l)
	f := func(field, name, want string) {
		t.Helper()
		if _, err := training.Why(dir, field, "1", name, 7); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Why(%q, %q): %v, want %q", field, name, err, want)
		}
	}
	f("usr", "", `no field "usr"`)
	f("price", "", "is a number")
	f("", "nothing", `no table "nothing"`)
}

// partSums are the checksums of a checkpoint's parts.
func partSums(t *testing.T, dir string) map[string]string {
	t.Helper()
	sums := map[string]string{}
	for _, p := range openSnapshot(t, dir).Manifest.Parts {
		sums[p.Name] = p.SHA256
	}
	return sums
}

func openSnapshot(t *testing.T, dir string) *snapshot.Snapshot {
	t.Helper()
	at, err := snapshot.Locate(dir)
	if err != nil {
		t.Fatal(err)
	}
	s, err := snapshot.Open(at)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func resumeLimited(t *testing.T, dir string, limits map[string]table.Limits) *training.Incremental {
	t.Helper()
	c, err := models.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	l, err := training.ResumeIncremental(c, training.IncrementalOptions{Model: "m", Limits: limits})
	if err != nil {
		t.Fatal(err)
	}
	return l
}
