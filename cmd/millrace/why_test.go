package main

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/millrace/millrace/core/snapshot"
	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/models"
	"github.com/millrace/millrace/training"
)

// learnedRun is the checkpoint of a learner that has seen one user's item twice and another once.
func learnedRun(t *testing.T) string {
	t.Helper()
	s, err := features.ParseSchema([]byte("name: s\nuser: user\nitem: item\nlabels: [{name: click}]\nfields:\n- {name: user, from: user}\n- {name: item, from: item, min_count: 2}\n"))
	if err != nil {
		t.Fatal(err)
	}
	spec, err := models.Parse([]byte("model: dnn\nembedding_dim: 2\nhidden_units: [4]\nembedding_optimizer: sparse_adam\nbatch_size: 3\n"), s)
	if err != nil {
		t.Fatal(err)
	}
	l, err := training.NewIncremental(spec, s, training.IncrementalOptions{Model: "m"})
	if err != nil {
		t.Fatal(err)
	}
	a := features.NewAssembler(s, true)
	for _, item := range []string{"7", "7", "8"} {
		if err := a.Append(&features.Row{User: "u", Item: item, Labels: map[string]float64{"click": 1}}); err != nil {
			t.Fatal(err)
		}
	}
	rec := a.Record()
	defer rec.Release()
	if _, err := l.Learn(rec); err != nil {
		t.Fatal(err)
	}
	m, parts, err := l.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if _, err := snapshot.Write(filepath.Join(dir, "checkpoint"), m, parts); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestWhy(t *testing.T) {
	dir := learnedRun(t)
	f := func(code int, want string, args ...string) string {
		t.Helper()
		var stdout, stderr strings.Builder
		if got := run(append([]string{"why"}, args...), &stdout, &stderr); got != code || !strings.Contains(stderr.String(), want) {
			t.Errorf("why %v: exit %d, want %d and %q in\n%s", args, got, code, want, stderr.String())
		}
		return stdout.String()
	}
	f(exitDone, "step 1: admitted: reached the minimum count (seen 2 times)", "--checkpoint", dir, "item", "7")
	f(exitDone, "has no row: seen 1 times of the 2 it takes", "--run", dir, "--field", "item", "8")
	f(exitDone, "step 1: admitted: first seen", "--checkpoint", dir, "user", "u")
	f(exitDone, "no event of it is among the last", "--checkpoint", dir, "user", "nobody")
	out := f(exitDone, "", "--checkpoint", dir, "item", "7", "--json")
	var got struct {
		Tables []whyTableFigures `json:"tables"`
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil || len(got.Tables) != 1 {
		t.Fatalf("%q: %v", out, err)
	}
	x := got.Tables[0]
	if !x.Present || x.MinCount != 2 || len(x.Events) != 1 || x.Events[0].Reason != "min_count" || x.Events[0].Count != 2 {
		t.Errorf("%+v", x)
	}
	f(exitDone, "reached the minimum count", "--checkpoint", dir, "--table", x.Table, x.ID)
	f(exitWrong, "give a folder", "item", "7")
	f(exitWrong, "no field", "--checkpoint", dir, "itm", "7")
	f(exitWrong, "not an id's number", "--checkpoint", dir, "--table", x.Table, "u")
	f(exitWrong, "no table", "--checkpoint", dir, "--table", "other", "5")
	f(exitWrong, "wants a field and a value", "--checkpoint", dir, "item")
	f(exitWrong, "find a checkpoint", "--checkpoint", t.TempDir(), "item", "7")
}

func TestBenchTable(t *testing.T) {
	var stdout, stderr strings.Builder
	if code := run([]string{"bench", "table", "--rows", "2e3", "--repeat", "1", "--min-time", "1ms", "--json"}, &stdout, &stderr); code != exitDone {
		t.Fatalf("exit %d\n%s", code, stderr.String())
	}
	var r tableFigures
	if err := json.Unmarshal([]byte(stdout.String()), &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Tables) != 1 || r.Tables[0].Lookups <= 0 || r.Tables[0].MapLookups <= 0 || r.Tables[0].Lines <= 0 || r.Tables[0].PerRow < 200 || len(r.Widths) != 4 {
		t.Errorf("%+v", r)
	}
	for _, rows := range []string{"x", "0", "1.5", "1e10"} {
		if code := run([]string{"bench", "table", "--rows", rows}, &stdout, &stderr); code != exitWrong {
			t.Errorf("--rows %s: exit %d", rows, code)
		}
	}
}
