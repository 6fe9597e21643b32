package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The table's recipe and schema in examples/conflict read what simulate writes.
func TestSimulateTasks(t *testing.T) {
	dir := t.TempDir()
	table := filepath.Join(dir, "impressions.csv")
	call := func(args ...string) (string, int) {
		var stdout, stderr bytes.Buffer
		code := run(args, &stdout, &stderr)
		return stdout.String() + stderr.String(), code
	}
	out, code := call("simulate", "--tasks", "--events", "600", "--seed", "2", "--out", table, "--json")
	if code != 0 {
		t.Fatalf("exit %d: %s", code, out)
	}
	var got simulatedTasks
	if err := json.Unmarshal([]byte(out[:strings.Index(out, "\n")]), &got); err != nil {
		t.Fatal(err)
	}
	if got.Events != 600 || !(got.AUCBest["click"] > 0.8) || !(got.AUCBest["save"] > 0.8) {
		t.Errorf("%+v", got)
	}
	for _, f := range []string{table, table + ".truth"} {
		text, err := os.ReadFile(f)
		if err != nil || strings.Count(string(text), "\n") != 601 {
			t.Errorf("%s has %d lines, error %v", f, strings.Count(string(text), "\n"), err)
		}
	}
	if out, code := call("prepare", "../../examples/conflict/prepare.yaml", "--data", dir, "--out", filepath.Join(dir, "conflict")); code != 0 {
		t.Errorf("prepare: exit %d: %s", code, out)
	}
	if out, code := call("simulate", "--tasks", "--events", "10"); code != 2 || !strings.Contains(out, "--out") {
		t.Errorf("without --out: exit %d: %s", code, out)
	}
}
