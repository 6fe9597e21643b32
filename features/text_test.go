package features

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// written writes a file into a folder of the test and returns its path.
func written(t testing.TB, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o666); err != nil {
		t.Fatal(err)
	}
	return path
}

func gzipped(t testing.TB, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func zstandard(t testing.TB, text string) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return w.EncodeAll([]byte(text), nil)
}

// rowsOf reads files and shows every row: "col=value" joined by blanks, ~ for missing. It returns how many rows were skipped.
func rowsOf(t testing.TB, s *Schema, o ReadOptions, files ...string) (rows []string, bad int64, err error) {
	t.Helper()
	alloc := memory.NewCheckedAllocator(memory.NewGoAllocator())
	defer alloc.AssertSize(t.(memory.TestingT), 0)
	o.Allocator = alloc
	r, err := Open(s, files, o)
	if err != nil {
		return nil, 0, err
	}
	defer r.Close()
	for {
		rec, err := r.Next()
		if err == io.EOF {
			return rows, r.BadRows(), nil
		}
		if err != nil {
			return rows, r.BadRows(), err
		}
		for i := range int(rec.NumRows()) {
			var row []string
			for c := range int(rec.NumCols()) {
				v := "~"
				if !rec.Column(c).IsNull(i) {
					v = csvText(rec.Column(c), i)
				}
				row = append(row, v)
			}
			rows = append(rows, strings.Join(row, " "))
		}
		rec.Release()
	}
}

func TestCSVDialects(t *testing.T) {
	fields := "fields: [{name: a}, {name: n, type: numeric}, {name: l, type: multi}]\n"
	f := func(dialect, text string, want ...string) {
		t.Helper()
		s := mustSchema(t, dialect+"\n"+fields)
		for _, name := range []string{"f.csv", "f.csv.gz", "f.csv.zst", "odd.name"} {
			content := []byte(text)
			switch {
			case strings.HasSuffix(name, ".gz"), name == "odd.name":
				content = gzipped(t, text)
			case strings.HasSuffix(name, ".zst"):
				content = zstandard(t, text)
			}
			rows, _, err := rowsOf(t, s, ReadOptions{BatchRows: 2}, written(t, name, content))
			if err != nil || strings.Join(rows, ";") != strings.Join(want, ";") {
				t.Errorf("%s %s %q: %q, %v; want %q", name, dialect, text, rows, err, want)
			}
		}
	}
	f("", "a,n,l\nx,1,p|q\n", "x 1 p|q")
	f("", "a,n,l\r\nx,1,p|q\r\ny,2.5,r", "x 1 p|q", "y 2.5 r")
	f("", "\ufeffa,n,l\nx,1,p\n\n\ny,2,q\n", "x 1 p", "y 2 q")
	f("", "skip,l,n,a\n9,p,1,x\n", "x 1 p")
	f("", "a,n,l\n,,\n", "~ ~ ~")
	f("", "a,n,l\n\"x,\"\"y\",1,\"p|q\"\n", `x,"y 1 p|q`)
	f("", "a,n,l\n\"x\ny\",1,\"p\"\nz,2,q\n", "x\ny 1 p", "z 2 q")
	f("", "a,n,l\n\"x\r\ny\",1,\"p\"\r\nz,2,q\r\n", "x\r\ny 1 p", "z 2 q")
	f("", "a,n,l\nx\"y,1,5\" disk\n", `x"y 1 5" disk`)
	f("", "a,n,l\nx, 1 ,p\n", "x 1 p")
	f("csv: {quotes: false}", "a,n,l\n\"x\",1,p\n", `"x" 1 p`)
	f("csv: {delimiter: '::'}", "a::n::l\nx:y::1::p\n\"q::r\"::2::s\n", "x:y 1 p", "q::r 2 s")
	f(`csv: {delimiter: '\t'}`, "a\tn\tl\nx y\t1\tp\n", "x y 1 p")
	f("csv: {header: false, names: [l, n, skip, a]}", "p,1,9,x\n", "x 1 p")
	f("csv: {names: [a, n, l]}", "\ufeffx,1,p\n", "x 1 p")
	f("csv: {trim: true, missing: ['', '?']}", "a,n,l\n ? , ? ,?\n x y , 3 , \"p\" \n", "~ ~ ~", "x y 3 p")
	f("csv: {missing: ['?']}", "a,n,l\n,1,p\n", " 1 p")
	f("csv: {list_separator: '; '}", "a,n,l\nx,1,p; q\n", "x 1 p|q")
	f("", "a,n,l\n-,-0.5e1,|p|\n", "- -5 |p|")
	f("", "a,n,l\n")
}

func TestTabSeparatedByName(t *testing.T) {
	s := mustSchema(t, "fields: [{name: a}]")
	rows, _, err := rowsOf(t, s, ReadOptions{}, written(t, "f.tsv", []byte("a\tb\nx,y\t1\n")))
	if err != nil || len(rows) != 1 || rows[0] != "x,y" {
		t.Error(rows, err)
	}
}

// TestBrokenRows: every kind of bad row is an error that names its place, costs one row of the budget, and leaves the others.
func TestBrokenRows(t *testing.T) {
	s := mustSchema(t, `{labels: [{name: y}], timestamp: ts, weight: w, fields: [{name: a}, {name: n, type: numeric}, {name: b, type: numeric, buckets: [1]}, {name: l, type: multi}]}`)
	const header, good = "y,ts,w,a,n,b,l\n", "1,5,1,x,1,1,p\n"
	f := func(row string, want DataError) {
		t.Helper()
		for _, name := range []string{"f.csv", "f.csv.gz"} {
			text := header + good + row + good
			content := []byte(text)
			if strings.HasSuffix(name, ".gz") {
				content = gzipped(t, text)
			}
			path := written(t, name, content)
			want.File, want.Line = path, 3
			_, _, err := rowsOf(t, s, ReadOptions{Labels: true}, path)
			var got *DataError
			if !errors.As(err, &got) || !IsInput(err) {
				t.Errorf("%q: %v", row, err)
				continue
			}
			if !strings.Contains(got.Reason, want.Reason) || got.File != want.File || got.Line != want.Line || got.Field != want.Field || got.Value != want.Value {
				t.Errorf("%q:\n  %+v; want\n  %+v", row, got, want)
			}
			rows, bad, err := rowsOf(t, s, ReadOptions{Labels: true, SkipBad: 1}, path)
			if err != nil || bad != 1 || len(rows) != 2 {
				t.Errorf("%q skipped: %q, %d bad, %v", row, rows, bad, err)
			}
		}
	}
	f("1,5,1,x,1,1\n", DataError{Reason: "6 columns, want 7"})
	f("1,5,1,x,1,1,p,q\n", DataError{Reason: "8 columns, want 7"})
	f("lonely\n", DataError{Reason: "1 columns, want 7"})
	f("1,5,1,x,old,1,p\n", DataError{Field: "n", Value: "old", Reason: "not a number"})
	f("1,5,1,x,NaN,1,p\n", DataError{Field: "n", Value: "NaN", Reason: "not a number"})
	f("1,5,1,x,-Inf,1,p\n", DataError{Field: "n", Value: "-Inf", Reason: "not a number"})
	f("1,5,1,x,0x1p4,1,p\n", DataError{Field: "n", Value: "0x1p4", Reason: "not a number"})
	f("1,5,1,x,1_000,1,p\n", DataError{Field: "n", Value: "1_000", Reason: "not a number"})
	f("1,5,1,x,1e999,1,p\n", DataError{Field: "n", Value: "1e999", Reason: "out of range"})
	f("1,5,1,x,1e39,1,p\n", DataError{Field: "n", Value: "1e39", Reason: "float32"})
	f("1,5,1,x,1,one,p\n", DataError{Field: "b", Value: "one", Reason: "not a number"})
	f("2,5,1,x,1,1,p\n", DataError{Field: "y", Value: "2", Reason: "label outside {0, 1}"})
	f("yes,5,1,x,1,1,p\n", DataError{Field: "y", Value: "yes", Reason: "not a number"})
	f(",5,1,x,1,1,p\n", DataError{Field: "y", Reason: "label is missing"})
	f("1,today,1,x,1,1,p\n", DataError{Field: "ts", Value: "today", Reason: "not a time"})
	f("1,,1,x,1,1,p\n", DataError{Field: "ts", Reason: "timestamp is missing"})
	f("1,5,-1,x,1,1,p\n", DataError{Field: "w", Value: "-1", Reason: "weight"})
	f("1,5,1,\xff\xfe,1,1,p\n", DataError{Field: "a", Value: "\xff\xfe", Reason: "invalid UTF-8"})
	f("1,5,1,x,1,1,\"p\n", DataError{Reason: "never closed"})
	f("1,5,1,\"x\"y,1,1,p\n", DataError{Reason: "after a closing quote"})
}

// TestStrayQuote: a quote left open by mistake costs its own row, not those up to the next quote.
func TestStrayQuote(t *testing.T) {
	s := mustSchema(t, "fields: [{name: a}, {name: b}]")
	rows, bad, err := rowsOf(t, s, ReadOptions{SkipBad: 9}, written(t, "f.csv", []byte("a,b\n\"x,1\ny,2\n\"z\",3\nq,4\n")))
	if err != nil || bad != 1 || strings.Join(rows, ";") != "y 2;z 3;q 4" {
		t.Errorf("%q, %d bad, %v", rows, bad, err)
	}
}

func TestBudgetIsOfAllFiles(t *testing.T) {
	s := mustSchema(t, "fields: [{name: n, type: numeric}]")
	a, b := written(t, "a.csv", []byte("n\n1\nx\n2\n")), written(t, "b.csv", []byte("n\ny\n3\n"))
	if rows, bad, err := rowsOf(t, s, ReadOptions{SkipBad: 2}, a, b); err != nil || bad != 2 || len(rows) != 3 {
		t.Error(rows, bad, err)
	}
	_, _, err := rowsOf(t, s, ReadOptions{SkipBad: 1}, a, b)
	var e *DataError
	if !errors.As(err, &e) || e.File != b || e.Line != 2 || !strings.Contains(e.Reason, "1 tolerated") {
		t.Error(err)
	}
}

func TestCompression(t *testing.T) {
	s := mustSchema(t, "fields: [{name: a}]")
	var text strings.Builder
	text.WriteString("a\n")
	for i := range 50000 {
		fmt.Fprintf(&text, "value%d\n", i*7919)
	}
	f := func(name string, content []byte, want string) {
		t.Helper()
		_, _, err := rowsOf(t, s, ReadOptions{SkipBad: 1 << 40}, written(t, name, content))
		var e *DataError
		if !errors.As(err, &e) || !strings.Contains(e.Reason, want) {
			t.Errorf("%s: %v; want %s", name, err, want)
		}
	}
	gz, zs := gzipped(t, text.String()), zstandard(t, text.String())
	f("cut.csv.gz", gz[:len(gz)/2], "truncated gzip")
	f("cut.csv.gz", gz[:len(gz)-4], "truncated gzip")
	f("cut.csv.gz", gz[:5], "truncated gzip")
	f("cut.csv.zst", zs[:len(zs)/2], "truncated zstd")
	f("cut.csv.zst", zs[:len(zs)-3], "truncated zstd")
	damaged := bytes.Clone(gz)
	damaged[len(damaged)/2] ^= 0xff
	f("bad.csv.gz", damaged, "corrupt gzip")
	damaged = bytes.Clone(zs)
	damaged[len(damaged)/2] ^= 0xff
	f("bad.csv.zst", damaged, "zstd")
	rows, _, err := rowsOf(t, s, ReadOptions{}, written(t, "two.csv.gz", append(gzipped(t, "a\nx\ny"), gzipped(t, "z\nw\n")...)))
	if err != nil || strings.Join(rows, " ") != "x yz w" {
		t.Error(rows, err)
	}
}

func TestLongRow(t *testing.T) {
	s := mustSchema(t, "fields: [{name: a}, {name: n, type: numeric}]")
	long := strings.Repeat("x", 3<<20)
	rows, _, err := rowsOf(t, s, ReadOptions{}, written(t, "f.csv", []byte("a,n\n"+long+",1\n\""+long+"\",2\ny,3\n")))
	if err != nil || len(rows) != 3 || rows[0] != long+" 1" || rows[1] != long+" 2" || rows[2] != "y 3" {
		t.Error(len(rows), err)
	}
}

func TestColumnsOfFile(t *testing.T) {
	s := mustSchema(t, "{user: uid, labels: [{name: click, column: clicked}], weight: w, fields: [{name: price, type: numeric, column: cost}]}")
	f := func(header string, labels bool, want string) {
		t.Helper()
		_, _, err := rowsOf(t, s, ReadOptions{Labels: labels}, written(t, "f.csv", []byte(header+"\n")))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want) || !IsInput(err)) {
			t.Errorf("%s: %v; want %s", header, err, want)
		}
	}
	f("uid,clicked,w,cost", true, "")
	f("cost", false, "")
	f("uid,clicked,w,kost", true, `field "price": no column "cost"; did you mean "kost"?`)
	f("uid,clickd,w,cost", true, `field "click": no column "clicked"; did you mean "clickd"?`)
	f("clicked,w,cost", true, `no column "uid"`)
	f("uid,clicked,cost", true, `no column "w"`)
	f("uid,clicked,w,cost,cost", true, "stands twice")
	f("uid;clicked;w;cost", true, "is csv.delimiter")
	f("", true, "no header")
	f("uid,\xff,w,cost", true, "header: invalid UTF-8")
}

func TestExpand(t *testing.T) {
	dir := t.TempDir()
	for _, n := range []string{"b.csv", "a.csv", "deep/c.csv", ".hidden", "_SUCCESS", "_tmp/d.csv"} {
		path := filepath.Join(dir, n)
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	f := func(want string, paths ...string) {
		t.Helper()
		for i := range paths {
			paths[i] = filepath.Join(dir, paths[i])
		}
		got, err := Expand(paths)
		for i := range got {
			got[i], _ = filepath.Rel(dir, got[i])
		}
		if text := strings.Join(got, " "); text != want || (err != nil) != (want == "") || err != nil && !IsInput(err) {
			t.Errorf("%v: %q, %v; want %q", paths, text, err, want)
		}
	}
	f("a.csv b.csv deep/c.csv", "")
	f("a.csv b.csv", "*.csv")
	f("a.csv b.csv deep/c.csv", "{.,deep}/*.csv", "a.csv")
	f("a.csv", "a.csv", "a.csv")
	f("", "none.csv")
	f("", "*.parquet")
	f("")
}

func FuzzCSV(f *testing.F) {
	schema := mustSchema(f, "{labels: [{name: y}], fields: [{name: a}, {name: n, type: numeric}, {name: l, type: multi}]}")
	trimmed := mustSchema(f, "{csv: {trim: true, delimiter: '::', missing: ['?']}, labels: [{name: y}], fields: [{name: a}, {name: n, type: numeric}, {name: l, type: multi}]}")
	f.Add([]byte("y,a,n,l\n1,x,2,p|q\n"))
	f.Add([]byte("y,a,n,l\r\n1,\"x\"\"\n\",2,\"p|q\"\r\n0,\xff,,\n"))
	f.Add([]byte("y::a::n::l\n1:: \"x\" ::?::\n"))
	f.Add([]byte("y,a,n,l\n1,\"x,2,p\n0,y,3,q\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, s := range []*Schema{schema, trimmed} {
			path := written(t, "f.csv", data)
			rows, bad, err := rowsOf(t, s, ReadOptions{Labels: true, SkipBad: 1 << 40, BatchRows: 3}, path)
			if err != nil && !IsInput(err) {
				t.Error(err)
			}
			if n := int64(bytes.Count(data, []byte{'\n'}) + 1); int64(len(rows))+bad > n {
				t.Errorf("%d rows and %d bad of %d lines", len(rows), bad, n)
			}
		}
	})
}
