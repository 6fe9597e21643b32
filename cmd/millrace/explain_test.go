package main

import (
	"os"
	"strings"
	"testing"
)

func TestExplain(t *testing.T) {
	s := newShop(t)
	done(t, s.args("run")...)
	page := s.out("explain.html")
	o := done(t, "explain", "--checkpoint", s.out("run"), "--data", s.test, s.valid, "--rows", "4", "--from", "2", "--out", page, "--json")
	f := o.figures(t)
	rows, ok := f["rows"].([]any)
	if !ok || len(rows) != 4 || f["model"] != "dnn" {
		t.Fatalf("figures %v", f)
	}
	first := rows[0].(map[string]any)
	label := first["labels"].([]any)[0].(map[string]any)
	if label["label"] != "click" || label["score"] == nil || len(label["effects"].([]any)) != 4 || label["interactions"] == nil {
		t.Errorf("row %v", first)
	}
	if !strings.Contains(o.stderr, "interactions") || !strings.Contains(o.stderr, "Row 2 ") {
		t.Errorf("it tells\n%s", o.stderr)
	}
	if text, err := os.ReadFile(page); err != nil || !strings.Contains(string(text), "Why dnn scores") {
		t.Errorf("page: %v", err)
	}
	refused(t, []string{"explain", "--checkpoint", s.out("none"), "--data", s.test}, "none")
	refused(t, []string{"explain", "--checkpoint", s.out("run")}, "data")
	refused(t, []string{"explain", "--checkpoint", s.out("run"), "--data", s.out("absent.csv")}, "absent.csv")
	refused(t, []string{"explain", "--checkpoint", s.out("run"), "--data", s.test, "--rows", "0"}, "--rows")
	refused(t, []string{"explain", "--checkpoint", s.out("run"), "--data", s.test, "--from", "9999"}, "9999")
}
