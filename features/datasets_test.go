package features

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// dataFile returns a file of the real data sets, or skips the test where they are not at hand.
func dataFile(t testing.TB, name string) string {
	t.Helper()
	dir := os.Getenv("MILLRACE_DATA")
	if dir == "" {
		dir = filepath.Join("..", "..", "shared", "data")
	}
	path := filepath.Join(dir, name)
	if _, err := os.Stat(path); err != nil {
		if strings.Contains(os.Getenv("MILLRACE_REQUIRE"), "data") {
			t.Fatalf("the data sets are required: %v", err)
		}
		t.Skipf("needs %s (set MILLRACE_DATA)", name)
	}
	return path
}

func exampleSchema(t testing.TB, name string) *Schema {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "examples", name, "schema.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := ParseSchema(b)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestFrappe(t *testing.T) {
	s := exampleSchema(t, "frappe")
	for _, part := range []struct {
		file        string
		rows, items int
		users       int
	}{
		{"x1_train_rebuilt.csv.gz", 202027, 4082, 954},
		{"x1_valid.csv.gz", 57722, 4082, 884},
		{"x1_test.csv.gz", 28860, 4054, 811},
	} {
		if testing.Short() && part.rows > 100000 {
			continue
		}
		st, v, err := Fit(s, []string{dataFile(t, "frappe/"+part.file)}, nil, ReadOptions{Labels: true}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if int(st.Rows) != part.rows || len(v["item"]) != part.items || len(v["user"]) != part.users {
			t.Errorf("%s: %d rows, %d items, %d users; want %d, %d, %d", part.file, st.Rows, len(v["item"]), len(v["user"]), part.rows, part.items, part.users)
		}
	}
}

func TestLoaderFrappe(t *testing.T) {
	s := exampleSchema(t, "frappe")
	e, err := NewEncoder(s, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, buffer := range []int{0, 10000} {
		l, err := NewLoader(e, []string{dataFile(t, "frappe/x1_test.csv.gz")}, LoaderOptions{BatchSize: 4096, Shuffle: true, BufferRows: buffer, Read: ReadOptions{Labels: true}})
		if err != nil {
			t.Fatal(err)
		}
		ep, err := l.Epoch(0, 0)
		if err != nil {
			t.Fatal(err)
		}
		rows, batches := 0, 0
		for {
			b, err := ep.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			rows += b.Rows
			batches++
		}
		if err := ep.Close(); err != nil {
			t.Fatal(err)
		}
		if rows != 28860 || batches != 8 || l.Rows() != 28860 {
			t.Errorf("buffer %d: %d rows in %d batches, Rows %d", buffer, rows, batches, l.Rows())
		}
	}
}

func TestCensusIncome(t *testing.T) {
	s := exampleSchema(t, "census-income")
	f, err := newFitter(s)
	if err != nil {
		t.Fatal(err)
	}
	r, err := Open(s, []string{dataFile(t, "census-income/census-income.test.gz")}, ReadOptions{Labels: true})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	positives := 0
	for {
		rec, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		err = f.add(rec)
		rec.Release()
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range f.batch.Labels[0] {
			positives += int(l)
		}
		if testing.Short() && f.rows > 20000 {
			return
		}
	}
	if f.rows != 99762 || positives != 6186 || len(s.Fields) != 40 {
		t.Errorf("%d rows, %d positive, %d fields; want 99762, 6186, 40", f.rows, positives, len(s.Fields))
	}
	if n := f.stats().Numeric["dividends"]; n.Count != 99762 || n.Std <= 0 {
		t.Errorf("dividends: %+v", n)
	}
}

func TestIPinYou(t *testing.T) {
	var text strings.Builder
	text.WriteString("csv: {format: libfm}\nlabels: [{name: click}]\nfields:\n")
	for i := range 16 {
		text.WriteString("  - {name: f" + string(rune('a'+i)) + "}\n")
	}
	s := mustSchema(t, text.String())
	for file, want := range map[string]int64{"train": 26773, "test": 21150} {
		st, v, err := Fit(s, []string{dataFile(t, "ipinyou-deepctr/"+file+".fm.txt.gz")}, nil, ReadOptions{Labels: true}, nil)
		if err != nil || st.Rows != want || len(v["fa"]) == 0 {
			t.Errorf("%s: %+v, %v; want %d rows", file, st, err, want)
		}
	}
}
