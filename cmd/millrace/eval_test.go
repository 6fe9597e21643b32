package main

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"
)

// sliceOf finds a value's figures.
func sliceOf(t *testing.T, m map[string]any, field, value string) map[string]any {
	t.Helper()
	fields, _ := m["slices"].(map[string]any)
	list, _ := fields[field].([]any)
	for _, x := range list {
		if s := x.(map[string]any); s["value"] == value {
			return s
		}
	}
	t.Fatalf("no slice %s of %s in %v", value, field, m["slices"])
	return nil
}

func TestEvalSlices(t *testing.T) {
	s := newShop(t)
	done(t, s.args("run")...)
	whole := done(t, "eval", "--checkpoint", s.out("run"), "--data", s.test, "--json").figures(t)
	o := done(t, "eval", "--checkpoint", s.out("run"), "--data", s.test, "--slice", "item", "--slice", "age", "--slice", "past", "--slice", "time", "--top", "6", "--at", "1,3", "--json")
	m := o.figures(t)
	for _, key := range []string{"auc", "logloss", "gauc", "ne", "ece", "calibration", "rows"} {
		if math.Abs(number(t, m, key)-number(t, whole, key)) > 1e-6 {
			t.Errorf("%s: %v with slices, %v without", key, m[key], whole[key])
		}
	}
	// A value's figures are those of a file with its rows alone.
	lines := strings.SplitAfter(shopRows(150, 3), "\n")
	f := func(field, value string, of func(columns []string) bool) {
		t.Helper()
		var some strings.Builder
		some.WriteString(shopHeader)
		for _, l := range lines[1:] {
			if c := strings.Split(l, ","); len(c) == 6 && of(c) {
				some.WriteString(l)
			}
		}
		alone := done(t, "eval", "--checkpoint", s.out("run"), "--data", write(t, s.dir, "alone.csv", some.String()), "--json").figures(t)
		got := sliceOf(t, m, field, value)
		for _, key := range []string{"rows", "logloss", "ece"} {
			if math.Abs(number(t, got, key)-number(t, alone, key)) > 1e-6 {
				t.Errorf("%s %s: %s is %v, alone %v", field, value, key, got[key], alone[key])
			}
		}
	}
	first := m["slices"].(map[string]any)["item"].([]any)[0].(map[string]any)["value"].(string)
	f("item", first, func(c []string) bool { return c[1] == first })
	f("past", "2", func(c []string) bool { return strings.Count(c[3], "|") == 1 })
	for _, field := range []string{"item", "age", "past", "time"} {
		total := 0.0
		for _, x := range m["slices"].(map[string]any)[field].([]any) {
			total += number(t, x.(map[string]any), "rows")
		}
		if total != 150 {
			t.Errorf("the slices of %s hold %g rows, want 150", field, total)
		}
	}
	ranking, _ := m["ranking"].([]any)
	if len(ranking) != 2 {
		t.Fatalf("ranking %v, want two cutoffs", m["ranking"])
	}
	one, three := ranking[0].(map[string]any), ranking[1].(map[string]any)
	if number(t, one, "recall") > number(t, three, "recall") || one["k"] != json.Number("1") {
		t.Errorf("recall@1 %v, recall@3 %v", one, three)
	}
	for _, want := range []string{"(24 others)", "recall", "normalised entropy"} {
		if !strings.Contains(o.stderr, want) {
			t.Errorf("standard error lacks %q:\n%s", want, o.stderr)
		}
	}

	eval := []string{"eval", "--checkpoint", s.out("run"), "--data", s.test}
	refused(t, append(eval, "--slice", "colour"), "test.csv", `"colour"`)
	refused(t, append(eval, "--slice", "item", "--slice", "item"), "item")
	refused(t, append(eval, "--slice", "item", "--top", "0"), "--top is 0")
	refused(t, append(eval, "--at", "0"), "cutoff 0")
}

func TestSeedsReport(t *testing.T) {
	s := newShop(t)
	o := done(t, s.args("run", "--seeds", "3")...)
	m := o.figures(t)
	if got, want := number(t, m, "auc_se"), number(t, m, "auc_std")/math.Sqrt(3); math.Abs(got-want) > 1e-12 {
		t.Errorf("auc_se %g, want %g", got, want)
	}
	text, err := os.ReadFile(s.out("run/report.html"))
	if err != nil {
		t.Fatal(err)
	}
	page := string(text)
	for _, want := range []string{"3 runs", "mean ± std", fmt.Sprintf("%.6f ± %.6f", number(t, m, "auc_mean"), number(t, m, "auc_std")), `class="band"`} {
		if !strings.Contains(page, want) {
			t.Errorf("the report lacks %q", want)
		}
	}
	if !strings.Contains(o.stderr, "3 runs: AUC") {
		t.Errorf("standard error lacks the spread:\n%s", o.stderr)
	}
}
