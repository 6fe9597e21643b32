package main

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/millrace/millrace/features"
)

func TestTrainFigures(t *testing.T) {
	s := newShop(t)
	o := done(t, s.args("run")...)
	if n := strings.Count(o.stdout, "\n"); n != 1 {
		t.Errorf("standard output has %d lines, want the JSON alone: everything for people goes to standard error\n%s", n, o.stdout)
	}
	if !strings.Contains(o.stderr, "valid AUC") {
		t.Errorf("standard error tells nothing of the validation:\n%s", o.stderr)
	}
	m := o.figures(t)
	for _, key := range []string{"auc", "logloss", "gauc", "best_epoch", "epochs", "rows", "rows_per_s", "seconds", "parameters", "bad_rows"} {
		if x := number(t, m, key); x < 0 {
			t.Errorf("%s is %g", key, x)
		}
	}
	if auc := number(t, m, "auc"); auc < 0.6 || auc > 0.9 {
		t.Errorf("AUC %g: the shop's clicks can be learned, but not perfectly", auc)
	}
	if m["split"] != "test" {
		t.Errorf("split %v, want test", m["split"])
	}
	if got := number(t, m, "rows"); got != 700 {
		t.Errorf("rows %g, want the 700 of the training file", got)
	}
	if best, epochs := number(t, m, "best_epoch"), number(t, m, "epochs"); best < 1 || best > epochs || epochs > 3 {
		t.Errorf("best epoch %g of %g", best, epochs)
	}
	for _, name := range []string{"checkpoint/manifest.json", "report.html", "run.json"} {
		if _, err := os.Stat(filepath.Join(s.out("run"), name)); err != nil {
			t.Error(err)
		}
	}
}

func TestTrainUndefinedFigures(t *testing.T) {
	s := newShop(t)
	// Every user has one row: no group has both classes, so GAUC is undefined, and JSON says null.
	var b strings.Builder
	b.WriteString(shopHeader)
	for i := range 60 {
		fmt.Fprintf(&b, "v%d,i%d,30,,%d,%d\n", i, i%30, 1_700_000_000+i, i%2)
	}
	s.test = write(t, s.dir, "alone.csv", b.String())
	m := done(t, s.args("run")...).figures(t)
	if gauc, there := m["gauc"]; !there || gauc != nil {
		t.Errorf("gauc is %v (there: %v), want null", gauc, there)
	}
	number(t, m, "auc")
}

func TestTrainWithoutTest(t *testing.T) {
	s := newShop(t)
	m := done(t, "train", "--schema", s.schema, "--model", s.model, "--train", s.train, "--valid", s.valid, "--out", s.out("run"), "--json").figures(t)
	if m["split"] != "valid" {
		t.Errorf("split %v, want valid where there are no test rows", m["split"])
	}
}

func TestTrainSeveralLabels(t *testing.T) {
	s := newShop(t)
	two := strings.NewReplacer("{name: click}", "{name: click}, {name: late, column: time, above: 1700000100}").Replace(shopSchema)
	s.schema = write(t, s.dir, "two.yaml", strings.Replace(two, "timestamp: time\n", "", 1))
	m := done(t, s.args("run")...).figures(t)
	tasks, ok := m["tasks"].(map[string]any)
	if !ok || len(tasks) != 2 {
		t.Fatalf("tasks %v, want click and late", m["tasks"])
	}
	for _, key := range []string{"auc", "logloss"} {
		var sum float64
		for _, name := range []string{"click", "late"} {
			task, ok := tasks[name].(map[string]any)
			if !ok {
				t.Fatalf("task %s is %v", name, tasks[name])
			}
			sum += number(t, task, key)
		}
		if got := number(t, m, key); math.Abs(got-sum/2) > 1e-12 {
			t.Errorf("%s %g, want the mean over the labels, %g", key, got, sum/2)
		}
	}
	done(t, "predict", "--checkpoint", s.out("run"), "--data", s.test, "--out", s.out("p.csv"))
	rows := readCSV(t, s.out("p.csv"))
	if got, want := strings.Join(rows[0], " "), "row user click late score_click score_late"; got != want {
		t.Errorf("columns %q, want %q", got, want)
	}
}

func TestTrainSeeds(t *testing.T) {
	s := newShop(t)
	m := done(t, s.args("run", "--seeds", "2", "--seed", "5")...).figures(t)
	runs, ok := m["runs"].([]any)
	if !ok || len(runs) != 2 {
		t.Fatalf("runs %v, want two", m["runs"])
	}
	var aucs []float64
	for _, r := range runs {
		aucs = append(aucs, number(t, r.(map[string]any), "auc"))
	}
	mean := (aucs[0] + aucs[1]) / 2
	if got := number(t, m, "auc"); math.Abs(got-mean) > 1e-12 || number(t, m, "auc_mean") != got {
		t.Errorf("auc %g, auc_mean %v, want %g", got, m["auc_mean"], mean)
	}
	if got, want := number(t, m, "auc_std"), math.Abs(aucs[0]-aucs[1])/math.Sqrt2; math.Abs(got-want) > 1e-12 {
		t.Errorf("auc_std %g, want %g", got, want)
	}
	done(t, "eval", "--checkpoint", s.out("run"), "--data", s.test)

	// Interrupted within the second seed, it ends as if it had not been.
	whole := contents(t, filepath.Join(s.out("run"), "checkpoint"))
	for _, name := range []string{"checkpoint", "run.json", "seeds/6"} {
		if err := os.RemoveAll(filepath.Join(s.out("run"), name)); err != nil {
			t.Fatal(err)
		}
	}
	refused(t, s.args("run", "--resume"), "seeds", "--overwrite")
	again := done(t, s.args("run", "--seeds", "2", "--seed", "5", "--resume")...).figures(t)
	if again["auc"] != m["auc"] || again["auc_std"] != m["auc_std"] {
		t.Errorf("resumed: AUC %v ± %v, want %v ± %v", again["auc"], again["auc_std"], m["auc"], m["auc_std"])
	}
	if !maps.Equal(contents(t, filepath.Join(s.out("run"), "checkpoint")), whole) {
		t.Error("resumed, the checkpoint is another")
	}
}

// TestEvalEqualsTrain wants the figures of train's test rows to the last digit, whatever form and order of reading: a run's folder and its checkpoint's.
func TestEvalEqualsTrain(t *testing.T) {
	s := newShop(t)
	m := done(t, s.args("run")...).figures(t)
	for _, checkpoint := range []string{s.out("run"), filepath.Join(s.out("run"), "checkpoint")} {
		e := done(t, "eval", "--checkpoint", checkpoint, "--data", s.test, "--json").figures(t)
		for _, key := range []string{"auc", "logloss", "gauc"} {
			if e[key] != m[key] {
				t.Errorf("%s: eval %v, train %v", key, e[key], m[key])
			}
		}
		if got := number(t, e, "rows"); got != 150 {
			t.Errorf("rows %g, want 150", got)
		}
	}
}

func readCSV(t testing.TB, path string) [][]string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// readParquet reads columns of a Parquet file as text, those names first.
func readParquet(t testing.TB, path string, names ...string) [][]string {
	t.Helper()
	schema := &features.Schema{Name: "scores"}
	for _, n := range names {
		schema.Fields = append(schema.Fields, features.Field{Name: n})
	}
	if err := schema.Complete(); err != nil {
		t.Fatal(err)
	}
	r, err := features.Open(schema, []string{path}, features.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	rows := [][]string{names}
	for {
		rec, err := r.Next()
		if err == io.EOF {
			return rows
		}
		if err != nil {
			t.Fatal(err)
		}
		for i := range int(rec.NumRows()) {
			var row []string
			for _, n := range names {
				row = append(row, rec.Column(rec.Schema().FieldIndices(n)[0]).ValueStr(i))
			}
			rows = append(rows, row)
		}
		rec.Release()
	}
}

func TestPredict(t *testing.T) {
	s := newShop(t)
	done(t, s.args("run")...)
	m := done(t, "predict", "--checkpoint", s.out("run"), "--data", s.test, "--out", s.out("p.csv"), "--json").figures(t)
	if got := number(t, m, "rows"); got != 150 {
		t.Errorf("rows %g, want 150", got)
	}
	in, out := readCSV(t, s.test), readCSV(t, s.out("p.csv"))
	if got, want := strings.Join(out[0], " "), "row user click score"; got != want {
		t.Fatalf("columns %q, want %q", got, want)
	}
	if len(out) != len(in) {
		t.Fatalf("%d rows, want one an input row, %d", len(out)-1, len(in)-1)
	}
	for i := 1; i < len(in); i++ {
		want := []string{strconv.Itoa(i - 1), in[i][0], in[i][5]}
		if !slices.Equal(out[i][:3], want) {
			t.Fatalf("row %d is %v, want %v", i-1, out[i][:3], want)
		}
		if p, err := strconv.ParseFloat(out[i][3], 64); err != nil || p <= 0 || p >= 1 {
			t.Fatalf("row %d: score %q", i-1, out[i][3])
		}
	}

	done(t, "predict", "--checkpoint", s.out("run"), "--data", s.test, "--out", s.out("p.parquet"))
	columns := readParquet(t, s.out("p.parquet"), out[0]...)
	if len(columns) != len(out) {
		t.Fatalf("Parquet has %d rows, CSV %d", len(columns), len(out))
	}
	for i := 1; i < len(out); i++ {
		for k, name := range out[0] {
			a, errA := strconv.ParseFloat(out[i][k], 32)
			b, errB := strconv.ParseFloat(columns[i][k], 32)
			if out[i][k] != columns[i][k] && (errA != nil || errB != nil || a != b) {
				t.Fatalf("row %d, %s: CSV %q, Parquet %q", i-1, name, out[i][k], columns[i][k])
			}
		}
	}
}

// TestPredictWithoutLabels scores rows that have no labels yet, from two files, and gives a group's column where there is one.
func TestPredictWithoutLabels(t *testing.T) {
	s := newShop(t)
	s.schema = write(t, s.dir, "grouped.yaml", strings.Replace(shopSchema, "timestamp:", "group: item\ntimestamp:", 1))
	done(t, s.args("run")...)
	a := write(t, s.dir, "new-a.csv", "item,user,age,past,time\ni1,u1,30,i2|i3,1700000000\ni9,nobody,31,,1700000001\n")
	b := write(t, s.dir, "new-b.csv", "user,item,age,past,time\nu2,never seen,32,,1700000002\n")
	predicted := func(want []string, args ...string) [][]string {
		t.Helper()
		done(t, append([]string{"predict", "--checkpoint", s.out("run"), "--out", s.out("p.csv")}, args...)...)
		rows := readCSV(t, s.out("p.csv"))
		var got []string
		for _, r := range rows {
			got = append(got, strings.Join(r[:3], " "))
		}
		if !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		return rows
	}
	rows := predicted([]string{"row user item", "0 u1 i1", "1 nobody i9", "2 u2 never seen"}, "--data", a, b)
	predicted([]string{"row user item", "0 u2 never seen", "1 u1 i1", "2 nobody i9"}, "--data", b, a)
	c := write(t, s.dir, "bad.csv", "user,item,age,past,time\nu3,i1,x,,1700000000\nu4,i2,31,,1700000001\nu5\nu6\nu7,i3,31,,1700000001\nu8\n")
	predicted([]string{"row user item", "1 u4 i2", "4 u7 i3", "6 u2 never seen"}, "--data", c, b, "--skip-bad", "4")
	if got := strings.Join(rows[0], " "); got != "row user item score" {
		t.Errorf("columns %q, want no label", got)
	}
}

// TestPredictUntouched sees that a failed predict leaves an earlier file of scores as it was.
func TestPredictUntouched(t *testing.T) {
	s := newShop(t)
	done(t, s.args("run")...)
	out := write(t, s.dir, "p.csv", "earlier scores")
	bad := write(t, s.dir, "bad.csv", shopHeader+"u1,i1,thirty,,1700000000,0\n")
	refused(t, []string{"predict", "--checkpoint", s.out("run"), "--data", bad, "--out", out}, "bad.csv line 2", `"age"`, `"thirty"`)
	if text, err := os.ReadFile(out); err != nil || string(text) != "earlier scores" {
		t.Errorf("the file is %q, %v", text, err)
	}
}

func TestSameBytes(t *testing.T) {
	s := newShop(t)
	done(t, s.args("a")...)
	done(t, s.args("b")...)
	sameFiles(t, filepath.Join(s.out("a"), "checkpoint"), filepath.Join(s.out("b"), "checkpoint"))
	done(t, s.args("other", "--seed", "9")...)
	if a, b := contents(t, filepath.Join(s.out("a"), "checkpoint")), contents(t, filepath.Join(s.out("other"), "checkpoint")); a["manifest.json"] == b["manifest.json"] {
		t.Error("another seed gives the same checkpoint")
	}
	// The same again over the old run.
	done(t, s.args("b", "--overwrite")...)
	sameFiles(t, filepath.Join(s.out("a"), "checkpoint"), filepath.Join(s.out("b"), "checkpoint"))
}

// TestThreads wants the figures of one and two threads to agree to rounding. Batches are large, so that the kernels do share the work.
func TestThreads(t *testing.T) {
	s := newShop(t)
	s.model = write(t, s.dir, "wide.yaml", strings.NewReplacer("batch_size: 32", "batch_size: 256", "[16, 8]", "[128, 64]", "epochs: 3", "epochs: 2").Replace(shopModel))
	defer setThreads(0)
	one := done(t, s.args("one", "--threads", "1")...).figures(t)
	two := done(t, s.args("two", "--threads", "2")...).figures(t)
	for _, key := range []string{"auc", "logloss", "gauc"} {
		if a, b := number(t, one, key), number(t, two, key); math.Abs(a-b) > 1e-6 {
			t.Errorf("%s: %g with one thread, %g with two", key, a, b)
		}
	}
	again := done(t, s.args("again", "--threads", "2")...).figures(t)
	if again["logloss"] != two["logloss"] {
		t.Errorf("logloss %v, then %v with the same two threads", two["logloss"], again["logloss"])
	}
	sameFiles(t, filepath.Join(s.out("two"), "checkpoint"), filepath.Join(s.out("again"), "checkpoint"))
}

// TestTrainFiles names the same rows in several ways, which must give the same bits: several files, a folder, a glob, compressed.
func TestTrainFiles(t *testing.T) {
	s := newShop(t)
	lines := strings.SplitAfter(shopRows(600, 4), "\n")
	parts := filepath.Join(s.dir, "parts")
	if err := os.Mkdir(parts, 0o755); err != nil {
		t.Fatal(err)
	}
	text := func(from, to int) string { return shopHeader + strings.Join(lines[from:to], "") }
	a := write(t, parts, "part-0.csv", text(1, 201))
	b := write(t, parts, "part-1.csv.gz", gzipped(t, text(201, 401)))
	c := write(t, parts, "part-2.csv.zst", zstandard(t, strings.ReplaceAll(text(401, 601), "\n", "\r\n")))
	write(t, parts, "_SUCCESS", "no data")
	train := func(out string, files ...string) map[string]any {
		t.Helper()
		args := append([]string{"train", "--schema", s.schema, "--model", s.model, "--train"}, files...)
		return done(t, append(args, "--valid", s.valid, "--out", s.out(out), "--json")...).figures(t)
	}
	m := train("named", a, b, c)
	if got := number(t, m, "rows"); got != 600 {
		t.Errorf("rows %g of three files, want 600", got)
	}
	train("folder", parts)
	train("glob", filepath.Join(parts, "part-*"))
	train("repeated", c, "--train", a, "--train", b)
	for _, other := range []string{"folder", "glob", "repeated"} {
		sameFiles(t, filepath.Join(s.out("named"), "checkpoint"), filepath.Join(s.out(other), "checkpoint"))
	}
}

// TestTrainShares cuts validation and test rows from the training file.
func TestTrainShares(t *testing.T) {
	s := newShop(t)
	s.train = write(t, s.dir, "all.csv", shopRows(1000, 5))
	train := func(out string, more ...string) map[string]any {
		t.Helper()
		args := []string{"train", "--schema", s.schema, "--model", s.model, "--train", s.train, "--out", s.out(out), "--json"}
		return done(t, append(args, more...)...).figures(t)
	}
	m := train("hash", "--valid", "10%", "--test", "20%")
	if rows := number(t, m, "rows"); rows < 650 || rows > 750 || m["split"] != "test" {
		t.Errorf("%g rows to train on and figures of %v, want about 700 and test", rows, m["split"])
	}
	m = train("time", "--valid", "10%", "--split-by", "time")
	if rows := number(t, m, "rows"); rows != 900 || m["split"] != "valid" {
		t.Errorf("%g rows before the newest tenth and figures of %v, want 900 and valid", rows, m["split"])
	}
	// The newest tenth is the file's last rows: the figures are eval's of those.
	lines := strings.SplitAfter(shopRows(1000, 5), "\n")
	newest := write(t, s.dir, "newest.csv", shopHeader+strings.Join(lines[901:], ""))
	e := done(t, "eval", "--checkpoint", s.out("time"), "--data", newest, "--json").figures(t)
	if e["logloss"] != m["logloss"] || e["auc"] != m["auc"] {
		t.Errorf("figures of the newest tenth: train %v, eval %v", m["logloss"], e["logloss"])
	}

	m = train("group", "--valid", "20%", "--split-by", "user")
	if rows := number(t, m, "rows"); rows <= 500 || rows >= 950 {
		t.Errorf("%g rows to train on where a fifth of 40 users is held out", rows)
	}
	report, err := os.ReadFile(filepath.Join(s.out("group"), "report.html"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(report), "20%") || !strings.Contains(string(report), "user") {
		t.Error("the report does not say which share was cut by what")
	}
}

// TestSplitByGroup sees that whole groups go to one side: users of the training rows alone are in the table, and none of them among the validation rows.
func TestSplitByGroup(t *testing.T) {
	s := newShop(t)
	// A user's label is always the same, so a user on both sides would be known by heart and one on one side is a coin's throw.
	var b strings.Builder
	b.WriteString(shopHeader)
	for i := range 3000 {
		user := i % 300
		fmt.Fprintf(&b, "u%d,i0,30,,%d,%d\n", user, 1_700_000_000+i, (user*7919>>3)&1)
	}
	s.train = write(t, s.dir, "all.csv", b.String())
	train := func(out string, more ...string) float64 {
		t.Helper()
		args := []string{"train", "--schema", s.schema, "--model", s.model, "--train", s.train, "--valid", "20%", "--out", s.out(out), "--json"}
		return number(t, done(t, append(args, more...)...).figures(t), "auc")
	}
	if auc := train("rows"); auc < 0.95 {
		t.Errorf("AUC %g where rows of known users are held out, want nearly 1", auc)
	}
	if auc := train("users", "--split-by", "user"); auc > 0.75 {
		t.Errorf("AUC %g of users never seen: whole groups were not held out", auc)
	}
}

// TestInit starts from another run's weights.
func TestInit(t *testing.T) {
	s := newShop(t)
	done(t, s.args("first")...)
	s.model = write(t, s.dir, "one.yaml", strings.Replace(shopModel, "epochs: 3", "epochs: 1", 1))
	cold := number(t, done(t, s.args("cold")...).figures(t), "logloss")
	warm := number(t, done(t, s.args("warm", "--init", s.out("first"))...).figures(t), "logloss")
	if warm >= cold {
		t.Errorf("logloss %g after an epoch from a trained checkpoint, %g from nothing", warm, cold)
	}
	refused(t, s.args("none", "--init", s.out("absent")), "absent")
}

// TestCommandsExplainThemselves wants of each command's --help an example to paste.
func TestCommandsExplainThemselves(t *testing.T) {
	for _, c := range commands {
		name := c().Name()
		o := done(t, name, "--help")
		if !strings.Contains(o.stdout, "Examples:\n  millrace "+name) {
			t.Errorf("millrace %s --help has no example:\n%s", name, o.stdout)
		}
	}
	if o := done(t, "--help"); !strings.Contains(o.stdout, "train") {
		t.Errorf("millrace --help: %s", o.stdout)
	}
	if o := done(t, "--version"); !strings.HasPrefix(o.stdout, "millrace ") {
		t.Errorf("millrace --version: %s", o.stdout)
	}
}

// TestRunFile sees what run.json tells beside the figures of standard output.
func TestRunFile(t *testing.T) {
	s := newShop(t)
	m := done(t, s.args("run")...).figures(t)
	text, err := os.ReadFile(filepath.Join(s.out("run"), "run.json"))
	if err != nil {
		t.Fatal(err)
	}
	var f map[string]any
	if err := json.Unmarshal(text, &f); err != nil {
		t.Fatal(err)
	}
	want, _ := m["auc"].(json.Number).Float64()
	if f["auc"] != want {
		t.Errorf("run.json says AUC %v, standard output %v", f["auc"], m["auc"])
	}
}
