package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// spoilt is shopRows with other lines in place of some; 1 is the header's.
func spoilt(rows int, seed uint64, lines map[int]string) string {
	all := strings.SplitAfter(shopRows(rows, seed), "\n")
	for at, line := range lines {
		all[at-1] = line + "\n"
	}
	return strings.Join(all, "")
}

// brokenRows are rows that cannot be used, each with what the message must say beside file and line.
var brokenRows = []struct {
	name, row string
	texts     []string
}{
	{"too few columns", "u1,i1,30", []string{"3 columns, want 6"}},
	{"too many columns", "u1,i1,30,,1700000000,1,1", []string{"7 columns, want 6"}},
	{"text in a numeric field", "u1,i1,thirty,,1700000000,1", []string{`field "age"`, `value "thirty"`}},
	{"an infinite number", "u1,i1,1e999,,1700000000,1", []string{`field "age"`, `value "1e999"`}},
	{"invalid UTF-8", "u\xff1,i1,30,,1700000000,1", []string{`field "user"`, "UTF-8", `value "u`}},
	{"a label that is neither 0 nor 1", "u1,i1,30,,1700000000,2", []string{`field "click"`, `value "2"`}},
	{"a label that is no number", "u1,i1,30,,1700000000,yes", []string{`field "click"`, `value "yes"`}},
	{"no label", "u1,i1,30,,1700000000,", []string{`field "click"`, "missing"}},
	{"a time that is none", "u1,i1,30,,yesterday,1", []string{`field "time"`, `value "yesterday"`}},
	{"a quote that is never closed", `u1,"i1,30,,1700000000,1`, []string{"quote"}},
}

// TestBrokenRows wants the error of each kind of unusable row, and --skip-bad to pass over it.
func TestBrokenRows(t *testing.T) {
	for _, b := range brokenRows {
		t.Run(b.name, func(t *testing.T) {
			s := newShop(t)
			s.train = write(t, s.dir, "broken.csv", spoilt(700, 1, map[int]string{123: b.row}))
			refused(t, s.args("refused"), append(b.texts, "broken.csv line 123")...)
			m := done(t, s.args("skipped", "--skip-bad", "1")...).figures(t)
			if bad, rows := number(t, m, "bad_rows"), number(t, m, "rows"); bad != 1 || rows != 699 {
				t.Errorf("%g bad rows and %g good ones, want 1 and 699", bad, rows)
			}
		})
	}
}

// TestSkipBad counts over all files, and names the row that is one too many.
func TestSkipBad(t *testing.T) {
	s := newShop(t)
	s.train = write(t, s.dir, "train.csv", spoilt(700, 1, map[int]string{5: "u1", 9: "u1,i1,old,,1700000000,1"}))
	refused(t, s.args("a"), "train.csv line 5")
	refused(t, s.args("b", "--skip-bad", "1"), "train.csv line 9", `"age"`, `"old"`)
	if m := done(t, s.args("c", "--skip-bad", "2")...).figures(t); number(t, m, "bad_rows") != 2 {
		t.Errorf("bad_rows %v, want 2", m["bad_rows"])
	}
	s.valid = write(t, s.dir, "valid.csv", spoilt(200, 2, map[int]string{7: "u1"}))
	refused(t, s.args("d", "--skip-bad", "2"), "valid.csv line 7")
	s.test = write(t, s.dir, "test.csv", spoilt(150, 3, map[int]string{11: "u1"}))
	refused(t, s.args("e", "--skip-bad", "3"), "test.csv line 11")
	if m := done(t, s.args("f", "--skip-bad", "4")...).figures(t); number(t, m, "bad_rows") != 4 {
		t.Errorf("bad_rows %v of three files, want 4", m["bad_rows"])
	}

	refused(t, s.args("g", "--skip-bad", "-1"), "--skip-bad is -1")
	refused(t, []string{"eval", "--checkpoint", s.out("c"), "--data", s.test, "--skip-bad", "-1"}, "--skip-bad is -1")
	refused(t, []string{"eval", "--checkpoint", s.out("c"), "--data", s.test}, "test.csv line 11")
	e := done(t, "eval", "--checkpoint", s.out("c"), "--data", s.test, "--skip-bad", "1", "--json").figures(t)
	if rows, bad := number(t, e, "rows"), number(t, e, "bad_rows"); rows != 149 || bad != 1 {
		t.Errorf("eval: %g rows, %g bad ones", rows, bad)
	}
	refused(t, []string{"predict", "--checkpoint", s.out("c"), "--data", s.test, "--out", s.out("p.csv")}, "test.csv line 11")
	e = done(t, "predict", "--checkpoint", s.out("c"), "--data", s.test, "--skip-bad", "1", "--out", s.out("p.csv"), "--json").figures(t)
	if rows, bad := number(t, e, "rows"), number(t, e, "bad_rows"); rows != 149 || bad != 1 {
		t.Errorf("predict: %g rows, %g bad ones", rows, bad)
	}
}

// TestBrokenCompression is always exit 2, however many bad rows are tolerated, wherever the file stands.
func TestBrokenCompression(t *testing.T) {
	s := newShop(t)
	text := shopRows(3000, 1)
	zip, zst := gzipped(t, text), zstandard(t, text)
	flip := func(b string, at int) string { return b[:at] + string(b[at]^0x55) + b[at+1:] }
	for name, bytes := range map[string]string{
		"truncated.csv.gz":       zip[:len(zip)/2],
		"without-end.csv.gz":     zip[:len(zip)-4],
		"checksum.csv.gz":        flip(zip, len(zip)-6),
		"corrupt.csv.gz":         flip(zip, len(zip)/2),
		"truncated.csv.zst":      zst[:len(zst)/2],
		"corrupt.csv.zst":        flip(zst, len(zst)/2),
		"no-parquet.parquet":     text,
		"truncated-head.csv.gz":  zip[:5],
		"truncated-head.csv.zst": zst[:5],
	} {
		path := write(t, s.dir, name, bytes)
		bad := s
		bad.train = path
		refused(t, bad.args("train", "--skip-bad", "100000", "--overwrite"), name)
		bad = s
		bad.test = path
		refused(t, bad.args("test", "--skip-bad", "100000", "--overwrite"), name)
	}
}

// TestBrokenParquet names the record.
func TestBrokenParquet(t *testing.T) {
	s := newShop(t)
	done(t, s.args("run")...)
	done(t, "predict", "--checkpoint", s.out("run"), "--data", s.test, "--out", s.out("p.parquet"))
	s.schema = write(t, s.dir, "scores.yaml", "labels: [{name: click}]\nfields:\n  - {name: row}\n  - {name: user, type: numeric}\n")
	user := readCSV(t, s.test)[1][0]
	s.train, s.valid, s.test = s.out("p.parquet"), s.out("p.parquet"), s.out("p.parquet")
	refused(t, s.args("again"), "p.parquet record 1, ", `field "user"`, `value "`+user+`"`)
}

// TestWrongRequests is about schema, model file and flags.
func TestWrongRequests(t *testing.T) {
	s := newShop(t)
	schema := func(old, new string, texts ...string) {
		t.Helper()
		if !strings.Contains(shopSchema, old) {
			t.Fatalf("the schema has no %q", old)
		}
		w := s
		w.schema = write(t, s.dir, "wrong.yaml", strings.Replace(shopSchema, old, new, 1))
		refused(t, w.args("wrong"), append(texts, "wrong.yaml")...)
	}
	schema("fields:", "feilds:", `"feilds"`, `"fields"`, "line 6")
	schema("min_count", "mincount", `"mincount"`, `"min_count"`)
	schema("type: numeric", "type: nummeric", `"nummeric"`, `"numeric"`, `"age"`)
	schema("from: user", "from: usr", `"usr"`, `"user"`)
	schema("shares: item", "shares: itme", `"itme"`, `"item"`)
	schema("max: 4", "max: -4", `"past"`, "max", "-4")
	schema("max: 4", "max: many", "max", `"many"`)
	schema("name: shop", "name: [shop", "YAML")
	schema("name: item, from", "name: user, from", `"user"`, "twice")

	model := func(old, new string, texts ...string) {
		t.Helper()
		if !strings.Contains(shopModel, old) {
			t.Fatalf("the model file has no %q", old)
		}
		w := s
		w.model = write(t, s.dir, "wrong.yaml", strings.Replace(shopModel, old, new, 1))
		refused(t, w.args("wrong"), append(texts, "wrong.yaml")...)
	}
	model("hidden_units", "hiden_units", `"hiden_units"`, `"hidden_units"`)
	model("model: DNN", "model: DNNN", "DNNN", "dnn")
	model("model: DNN", "modle: DNN", `"model"`)
	model("[16, 8]", "[16, 0]", "hidden_units", "0")
	model("[16, 8]", "[16, 8000000000]", "hidden_units", "8000000000")
	model("embedding_dim: 4", "embedding_dim: 0", "embedding_dim", "0")
	model("embedding_dim: 4", "embedding_dim: 1000000000", "embedding_dim", "1000000000")
	model("embedding_dim: 4", "embedding_dim: four", "embedding_dim", "four")
	model("batch_size: 32", "batch_size: 0", "batch_size", "0")
	model("batch_size: 32", "batch_size: 99999999999", "batch_size", "99999999999")
	model("net_dropout: 0.1", "net_dropout: 1", "net_dropout", "1")
	model("learning_rate: 0.02", "learning_rate: -1", "learning_rate", "-1")
	model("epochs: 3", "epochs: 0", "epochs", "0")
	model("epochs: 3", "optimizer: adamm", "adamm")
	model("epochs: 3", "monitor: AUCC", "AUCC")

	none := s
	none.schema = s.out("none.yaml")
	refused(t, none.args("wrong"), "none.yaml")
	none = s
	none.model = s.out("none.yaml")
	refused(t, none.args("wrong"), "none.yaml")
	none = s
	none.train = s.out("none.csv")
	refused(t, none.args("wrong"), "none.csv")
	none.train = s.out("none-*.csv")
	refused(t, none.args("wrong"), "none-*.csv")
	none = s
	none.test = s.out("none.csv")
	refused(t, none.args("wrong"), "none.csv")

	none = s
	none.schema = write(t, s.dir, "unlabelled.yaml", strings.Replace(shopSchema, "labels: [{name: click}]", "labels: []", 1))
	refused(t, none.args("wrong"), "the schema has no label")

	refused(t, s.args("wrong", "--trheads", "2"), "--trheads")
	refused(t, s.args("wrong", "--threads", "two"), "--threads", "two")
	refused(t, s.args("wrong", "--threads", "-1"), "--threads", "-1")
	refused(t, s.args("wrong", "--seeds", "-1"), "--seeds", "-1")
	refused(t, s.args("wrong", "--seed", "-1"), "--seed", "-1")
	refused(t, s.args("wrong", "--split-by", "user"), "--split-by")
	refused(t, []string{"train", "--schema", s.schema}, "model", "train", "valid", "out")
	refused(t, []string{"trian"}, "trian")
	refused(t, []string{"eval", "--checkpoint", s.out("none"), "--data", s.test}, "none")
	if left, err := os.ReadDir(s.out("wrong")); err == nil && len(left) > 0 {
		t.Errorf("a refused command line left %v in the run's folder", left)
	}
}

// TestShares refuses what is no share.
func TestShares(t *testing.T) {
	s := newShop(t)
	shares := func(texts []string, more ...string) {
		t.Helper()
		args := []string{"train", "--schema", s.schema, "--model", s.model, "--train", s.train, "--out", s.out("wrong")}
		refused(t, append(args, more...), texts...)
	}
	shares([]string{"100%"}, "--valid", "100%")
	shares([]string{"0%"}, "--valid", "0%")
	shares([]string{"x%"}, "--valid", "x%")
	shares([]string{"10%"}, "--valid", "10%", s.valid)
	shares([]string{"120%"}, "--valid", "60%", "--test", "60%")
	shares([]string{`split by "usr"`, `"user"`}, "--valid", "10%", "--split-by", "usr")
}

// TestEmptyParts refuses a part without rows, by whatever way it came to be empty.
func TestEmptyParts(t *testing.T) {
	s := newShop(t)
	empty := write(t, s.dir, "empty.csv", shopHeader)
	nothing := write(t, s.dir, "nothing.csv", "")
	for _, path := range []string{empty, nothing} {
		name := filepath.Base(path)
		w := s
		w.train = path
		refused(t, w.args("train", "--overwrite"), name)
		w = s
		w.valid = path
		refused(t, w.args("valid", "--overwrite"), name)
		w = s
		w.test = path
		refused(t, w.args("test", "--overwrite"), name)
	}
	refused(t, []string{"train", "--schema", s.schema, "--model", s.model, "--train", s.train, "--valid", "0.0001%", "--out", s.out("share")}, "the valid part", "empty")
	done(t, s.args("run")...)
	refused(t, []string{"eval", "--checkpoint", s.out("run"), "--data", empty}, "empty.csv")
	refused(t, []string{"predict", "--checkpoint", s.out("run"), "--data", empty, "--out", s.out("p.csv")}, "no rows")

	// One class alone leaves the figure that chooses the best epoch undefined.
	var b strings.Builder
	b.WriteString(shopHeader)
	for range 50 {
		b.WriteString("u1,i1,30,,1700000000,1\n")
	}
	w := s
	w.valid = write(t, s.dir, "one-class.csv", b.String())
	refused(t, w.args("one", "--overwrite"), "AUC", "classes")
}

// TestLeakIsTold warns of a field that is the label.
func TestLeakIsTold(t *testing.T) {
	s := newShop(t)
	s.schema = write(t, s.dir, "leak.yaml", shopSchema+"  - {name: answer, column: click}\n")
	if o := done(t, s.args("run")...); !strings.Contains(o.stderr, "field answer reads the column of label click") {
		t.Errorf("no word of the leak:\n%s", o.stderr)
	}
}

// TestFieldWithoutData wants the name of the field whose column is nowhere.
func TestFieldWithoutData(t *testing.T) {
	s := newShop(t)
	good := s.schema
	s.schema = write(t, s.dir, "colour.yaml", shopSchema+"  - {name: colour}\n")
	refused(t, s.args("run"), "train.csv", `"colour"`)
	s.schema = write(t, s.dir, "agee.yaml", strings.Replace(shopSchema, "{name: age,", "{name: agee,", 1))
	refused(t, s.args("run"), "train.csv", `"agee"`, `"age"`)
	s.schema = good
	done(t, s.args("run")...)
	short := write(t, s.dir, "short.csv", "user,item,past,time,click\nu1,i1,,1700000000,1\n")
	refused(t, []string{"eval", "--checkpoint", s.out("run"), "--data", short}, "short.csv", `"age"`)
	refused(t, []string{"predict", "--checkpoint", s.out("run"), "--data", short, "--out", s.out("p.csv")}, "short.csv", `"age"`)
	unlabelled := write(t, s.dir, "unlabelled.csv", "user,item,age,past,time\nu1,i1,30,,1700000000\n")
	refused(t, []string{"eval", "--checkpoint", s.out("run"), "--data", unlabelled}, "unlabelled.csv", `"click"`)

	// A column that is there but empty is only missing values: the rows are good.
	lines := strings.Split(shopRows(700, 1), "\n")
	for i, line := range lines[1:] {
		if cells := strings.Split(line, ","); len(cells) == 6 {
			cells[2] = ""
			lines[i+1] = strings.Join(cells, ",")
		}
	}
	s.train = write(t, s.dir, "ageless.csv", strings.Join(lines, "\n"))
	m := done(t, s.args("ageless")...).figures(t)
	number(t, m, "logloss")
}

// TestTornCheckpoint never scores with files that are not what the manifest says.
func TestTornCheckpoint(t *testing.T) {
	s := newShop(t)
	done(t, s.args("run")...)
	parts, err := filepath.Glob(filepath.Join(s.out("run"), "checkpoint", "parts", "*"))
	if err != nil || len(parts) == 0 {
		t.Fatalf("no parts: %v", err)
	}
	eval := []string{"eval", "--checkpoint", s.out("run"), "--data", s.test}
	for _, part := range parts {
		whole, err := os.ReadFile(part)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(filepath.Base(part), "optimizer") {
			continue // scoring does not read it
		}
		for _, torn := range []string{string(whole[:len(whole)-1]), string(whole[:len(whole)-1]) + "\x7f"} {
			write(t, filepath.Dir(part), filepath.Base(part), torn)
			if o := millrace(eval...); o.code == exitDone || !strings.Contains(o.stderr, filepath.Base(part)) {
				t.Errorf("exit %d with %s torn:\n%s", o.code, filepath.Base(part), o.stderr)
			}
		}
		if err := os.Remove(part); err != nil {
			t.Fatal(err)
		}
		if o := millrace(eval...); o.code == exitDone {
			t.Errorf("it scored without %s", filepath.Base(part))
		}
		write(t, filepath.Dir(part), filepath.Base(part), string(whole))
	}
	done(t, eval...)
}
