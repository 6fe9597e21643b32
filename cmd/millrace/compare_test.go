package main

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// modelOf finds a model's figures in a comparison.
func modelOf(t *testing.T, list any, name string) map[string]any {
	t.Helper()
	models, _ := list.([]any)
	for _, x := range models {
		if m := x.(map[string]any); m["name"] == name {
			return m
		}
	}
	t.Fatalf("no model %s in %v", name, list)
	return nil
}

// testOf finds a test by its metric and method.
func testOf(t *testing.T, model map[string]any, metric, method string) map[string]any {
	t.Helper()
	tests, _ := model["tests"].([]any)
	for _, x := range tests {
		if m := x.(map[string]any); m["metric"] == metric && m["method"] == method {
			return m
		}
	}
	t.Fatalf("no test of %s by %s in %v", metric, method, model["tests"])
	return nil
}

func TestCompare(t *testing.T) {
	s := newShop(t)
	done(t, s.args("dnn")...)
	s.model = write(t, s.dir, "poor.yaml", strings.NewReplacer("epochs: 3", "epochs: 1", "learning_rate: 0.02", "learning_rate: 0.00001").Replace(shopModel))
	done(t, s.args("poor")...)
	done(t, s.args("several", "--seeds", "2", "--seed", "8")...)

	compare := []string{"compare", "poor=" + s.out("poor"), s.out("dnn"), s.out("several"), "--data", s.test}
	o := done(t, append(compare, "--slice", "past", "--samples", "200", "--out", s.out("comparison"), "--json")...)
	m := o.figures(t)
	if m["baseline"] != "poor" || number(t, m, "rows") != 150 || number(t, m, "groups") < 30 {
		t.Errorf("baseline %v, %v rows, %v groups", m["baseline"], m["rows"], m["groups"])
	}
	eval := func(run string) map[string]any {
		return done(t, "eval", "--checkpoint", run, "--data", s.test, "--json").figures(t)
	}
	poor, dnn, several := modelOf(t, m["models"], "poor"), modelOf(t, m["models"], "dnn"), modelOf(t, m["models"], "several")
	for name, run := range map[string]map[string]any{"poor": poor, "dnn": dnn} {
		want := eval(s.out(name))
		for _, key := range []string{"auc", "gauc", "logloss", "ne", "ece", "calibration"} {
			if math.Abs(number(t, run, key)-number(t, want, key)) > 1e-6 {
				t.Errorf("%s of %s is %v, eval says %v", key, name, run[key], want[key])
			}
		}
	}
	one, two := eval(s.out("several/seeds/8")), eval(s.out("several/seeds/9"))
	if got, want := number(t, several, "auc"), (number(t, one, "auc")+number(t, two, "auc"))/2; math.Abs(got-want) > 1e-6 || number(t, several, "runs") != 2 {
		t.Errorf("the AUC of two seeds is %g over %v runs, want their mean %g", got, several["runs"], want)
	}
	want := (number(t, dnn, "auc")-.5)/(number(t, poor, "auc")-.5) - 1
	if got := number(t, dnn, "relaimpr"); math.Abs(got-want) > 1e-9 || number(t, poor, "relaimpr") != 0 {
		t.Errorf("RelaImpr %g, want %g; the baseline's %v", got, want, poor["relaimpr"])
	}
	for _, x := range [][2]string{{"auc", "DeLong"}, {"auc", "DeLong over groups"}, {"auc", "bootstrap over groups"}, {"gauc", "bootstrap over groups"}, {"logloss", "bootstrap over groups"}} {
		test := testOf(t, dnn, x[0], x[1])
		difference := number(t, dnn, x[0]) - number(t, poor, x[0])
		if got := number(t, test, "difference"); math.Abs(got-difference) > 1e-9 || number(t, test, "low") > got || number(t, test, "high") < got {
			t.Errorf("%v: %v, want the difference %g within its interval", x, test, difference)
		}
	}
	if p := number(t, testOf(t, dnn, "auc", "DeLong"), "p"); p > 1e-3 {
		t.Errorf("p %g: the untrained model is worse beyond doubt", p)
	}
	rows := 0.0
	for _, x := range m["slices"].(map[string]any)["past"].([]any) {
		v := x.(map[string]any)
		rows += number(t, v, "rows")
		number(t, testOf(t, modelOf(t, v["models"], "dnn"), "auc", "DeLong over groups"), "p_holm")
	}
	if rows != 150 {
		t.Errorf("the slices hold %g rows, want 150", rows)
	}
	page, err := os.ReadFile(filepath.Join(s.out("comparison"), "compare.html"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"<svg", "whisker", "several (mean of 2 runs)", "By past", "Reliability"} {
		if !strings.Contains(string(page), want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if strings.Contains(string(page), "NaN") || strings.Contains(string(page), "ZgotmplZ") {
		t.Error("the page shows NaN")
	}
	for _, want := range []string{"RelaImpr", "DeLong over groups", "several (2 runs)"} {
		if !strings.Contains(o.stderr, want) {
			t.Errorf("standard error lacks %q:\n%s", want, o.stderr)
		}
	}
	// The same numbers again, whatever the threads; another baseline turns the sign.
	if again := done(t, append(compare, "--slice", "past", "--samples", "200", "--threads", "1", "--json")...); fmt.Sprint(again.figures(t)["models"]) != fmt.Sprint(m["models"]) {
		t.Error("the same comparison with one thread has other figures")
	}
	turned := testOf(t, modelOf(t, done(t, append(compare, "--samples", "50", "--baseline", "dnn", "--json")...).figures(t)["models"], "poor"), "auc", "DeLong")
	if got, want := number(t, turned, "difference"), number(t, testOf(t, dnn, "auc", "DeLong"), "difference"); math.Abs(got+want) > 1e-9 {
		t.Errorf("against the other: %g, want %g", got, -want)
	}

	// Prediction files hold what the checkpoints say.
	for _, f := range [][2]string{{"poor", "poor.csv"}, {"dnn", "dnn.parquet"}} {
		done(t, "predict", "--checkpoint", s.out(f[0]), "--data", s.test, "--out", s.out(f[1]))
	}
	byFiles := done(t, "compare", "poor="+s.out("poor.csv"), "dnn="+s.out("dnn.parquet"), "--slice", "user", "--samples", "200", "--json").figures(t)
	mixed := done(t, "compare", "poor="+s.out("poor.csv"), "dnn="+s.out("dnn"), "--data", s.test, "--samples", "200", "--json").figures(t)
	for name, c := range map[string]map[string]any{"files": byFiles, "a file and a checkpoint": mixed} {
		x := modelOf(t, c["models"], "dnn")
		for _, key := range []string{"auc", "gauc", "logloss"} {
			if math.Abs(number(t, x, key)-number(t, dnn, key)) > 1e-6 {
				t.Errorf("%s: %s is %v, want %v", name, key, x[key], dnn[key])
			}
		}
		if got, want := number(t, testOf(t, x, "auc", "DeLong over groups"), "p"), number(t, testOf(t, dnn, "auc", "DeLong over groups"), "p"); math.Abs(got-want) > 1e-6 {
			t.Errorf("%s: p %g, want %g", name, got, want)
		}
	}

	// What is not the same rows is refused.
	other := write(t, s.dir, "other.csv", shopRows(150, 4))
	done(t, "predict", "--checkpoint", s.out("dnn"), "--data", other, "--out", s.out("other-scores.csv"))
	refused(t, []string{"compare", s.out("poor.csv"), s.out("other-scores.csv")}, "other-scores.csv", "label click of row", "same data")
	done(t, "predict", "--checkpoint", s.out("dnn"), "--data", s.valid, "--out", s.out("longer.csv"))
	refused(t, []string{"compare", s.out("poor.csv"), s.out("longer.csv")}, "longer.csv", "it has row 150")
	refused(t, []string{"compare", s.out("poor"), s.out("longer.csv"), "--data", s.test}, "longer.csv", "it has row 150")
	refused(t, []string{"compare", s.out("poor.csv"), s.test}, "test.csv", "no column score")
	refused(t, []string{"compare", s.out("poor.csv"), s.out("none.csv")}, "none.csv")
	refused(t, []string{"compare", s.out("poor")}, "at least two")
	refused(t, []string{"compare", s.out("poor.csv"), s.out("dnn.parquet"), "--data", s.test}, "--data is for checkpoints")
	refused(t, []string{"compare", s.out("poor"), s.out("dnn")}, "--data")
	refused(t, append(compare, "--baseline", "best"), "baseline best")
	refused(t, append(compare, "--samples", "1"), "--samples is 1")
	refused(t, append(compare, "--slice", "colour"), "colour")
	refused(t, []string{"compare", "x=" + s.out("poor"), "x=" + s.out("dnn"), "--data", s.test}, "called x")
}
