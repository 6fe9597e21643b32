package features

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/ipc"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/apache/arrow/go/v15/parquet"
	"github.com/apache/arrow/go/v15/parquet/pqarrow"
)

// recordOf builds a record from JSON rows.
func recordOf(t testing.TB, schema *arrow.Schema, rows string) arrow.Record {
	t.Helper()
	rec, _, err := array.RecordFromJSON(memory.NewGoAllocator(), schema, strings.NewReader(rows), array.WithUseNumber())
	if err != nil {
		t.Fatal(err)
	}
	return rec
}

// columnarFiles writes a record as Parquet (several row groups of several pages), as an Arrow file and as an Arrow stream.
func columnarFiles(t testing.TB, rec arrow.Record) []string {
	t.Helper()
	dir := t.TempDir()
	create := func(name string) *os.File {
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	p := create("f.parquet")
	pw, err := pqarrow.NewFileWriter(rec.Schema(), p, parquet.NewWriterProperties(parquet.WithMaxRowGroupLength(100), parquet.WithDataPageSize(64)), pqarrow.NewArrowWriterProperties(pqarrow.WithStoreSchema()))
	must(err)
	must(pw.WriteBuffered(rec))
	must(pw.Close())
	a := create("f.arrow")
	fw, err := ipc.NewFileWriter(a, ipc.WithSchema(rec.Schema()), ipc.WithZstd())
	must(err)
	must(fw.Write(rec))
	must(fw.Close())
	must(a.Close())
	s := create("f.ipc")
	sw := ipc.NewWriter(s, ipc.WithSchema(rec.Schema()))
	must(sw.Write(rec))
	must(sw.Close())
	must(s.Close())
	return []string{p.Name(), a.Name(), s.Name()}
}

func TestColumnarTypes(t *testing.T) {
	s := mustSchema(t, "{timestamp: ts, labels: [{name: y}], fields: [{name: a}, {name: n, type: numeric}, {name: l, type: multi}]}")
	list := arrow.ListOf
	f := func(a, n, l, y, ts arrow.DataType, row, want string) {
		t.Helper()
		schema := arrow.NewSchema([]arrow.Field{{Name: "unread", Type: arrow.PrimitiveTypes.Int8, Nullable: true}, {Name: "l", Type: l, Nullable: true}, {Name: "n", Type: n, Nullable: true}, {Name: "a", Type: a, Nullable: true}, {Name: "y", Type: y, Nullable: true}, {Name: "ts", Type: ts, Nullable: true}}, nil)
		rec := recordOf(t, schema, "["+row+"]")
		defer rec.Release()
		for _, path := range columnarFiles(t, rec) {
			rows, _, err := rowsOf(t, s, ReadOptions{Labels: true}, path)
			if err != nil || len(rows) != 1 || rows[0] != want {
				t.Errorf("%s %s: %q, %v; want %q", filepath.Base(path), row, rows, err, want)
			}
		}
	}
	text, i64, f64, u64, boolean := arrow.BinaryTypes.String, arrow.PrimitiveTypes.Int64, arrow.PrimitiveTypes.Float64, arrow.PrimitiveTypes.Uint64, arrow.FixedWidthTypes.Boolean
	f(text, f64, list(text), f64, i64, `{"a": "x", "n": 1.5, "l": ["p", null, "q"], "y": 1, "ts": 7}`, "x 1.5 p||q 1 7")
	f(text, f64, list(text), f64, i64, `{"a": null, "n": null, "l": null, "y": 0, "ts": 7}`, "~ ~ ~ 0 7")
	f(i64, i64, list(i64), i64, i64, `{"a": -9223372036854775808, "n": 3, "l": [5, 6], "y": 1, "ts": 7}`, "-9223372036854775808 3 5|6 1 7")
	f(u64, u64, list(u64), boolean, u64, `{"a": 18446744073709551615, "n": 3, "l": [], "y": true, "ts": 7}`, "18446744073709551615 3  1 7")
	f(arrow.PrimitiveTypes.Int8, arrow.PrimitiveTypes.Float32, list(arrow.PrimitiveTypes.Int32), arrow.PrimitiveTypes.Uint8, arrow.FixedWidthTypes.Timestamp_us, `{"a": -1, "n": 0.5, "l": [5], "y": 1, "ts": "2020-01-02 03:04:05.678"}`, "-1 0.5 5 1 1577934245678")
	f(f64, f64, list(f64), f64, f64, `{"a": 5044.0, "n": 0.1, "l": [1.5, 2], "y": 1, "ts": 7}`, "5044 0.1 1.5|2 1 7")
	f(boolean, boolean, text, f64, text, `{"a": true, "n": true, "l": "p|q", "y": 1, "ts": "2020-01-02 03:04:05"}`, "true 1 p|q 1 1577934245000")
	f(text, text, list(text), text, arrow.FixedWidthTypes.Date32, `{"a": "5044", "n": "2.5", "l": ["p|q"], "y": "1", "ts": "2020-01-02"}`, "5044 2.5 p|q 1 1577923200000")
	f(arrow.BinaryTypes.Binary, f64, list(text), f64, i64, `{"a": "eA==", "n": 1, "l": [], "y": 1, "ts": 7}`, "x 1  1 7")
}

// TestColumnarRows reads more rows than a page, a row group and a record hold, with bad ones among them.
func TestColumnarRows(t *testing.T) {
	s := mustSchema(t, "{labels: [{name: y}], fields: [{name: a}, {name: n, type: numeric}, {name: l, type: sequence, max: 9}]}")
	schema := arrow.NewSchema([]arrow.Field{{Name: "a", Type: arrow.BinaryTypes.String}, {Name: "n", Type: arrow.PrimitiveTypes.Float64, Nullable: true}, {Name: "l", Type: textList, Nullable: true}, {Name: "y", Type: arrow.PrimitiveTypes.Int32}}, nil)
	var rows, want strings.Builder
	for k := range 1000 {
		y := k % 2
		if k%400 == 7 {
			y = 3
		} else {
			fmt.Fprintf(&want, "v%d %d %s %d;", k, k, strings.Repeat("e|", k%6)+"z", y)
		}
		fmt.Fprintf(&rows, `{"a": "v%d", "n": %d, "l": [%s"z"], "y": %d}`, k, k, strings.Repeat(`"e", `, k%6), y)
	}
	rec := recordOf(t, schema, "["+strings.ReplaceAll(rows.String(), "}{", "},{")+"]")
	defer rec.Release()
	for _, path := range columnarFiles(t, rec) {
		for _, size := range []int{0, 1, 37, 100} {
			got, bad, err := rowsOf(t, s, ReadOptions{Labels: true, SkipBad: 3, BatchRows: size}, path)
			if err != nil || bad != 3 || strings.Join(got, ";")+";" != want.String() {
				t.Errorf("%s by %d: %d rows, %d bad, %v", filepath.Base(path), size, len(got), bad, err)
			}
		}
		_, _, err := rowsOf(t, s, ReadOptions{Labels: true}, path)
		var e *DataError
		if !errors.As(err, &e) || e.File != path || e.Line != 8 || e.Field != "y" || e.Value != "3" {
			t.Errorf("%s: %v", filepath.Base(path), err)
		}
	}
}

func TestColumnarErrors(t *testing.T) {
	s := mustSchema(t, "fields: [{name: a}, {name: n, type: numeric}]")
	f := func(a, n arrow.DataType, row, want string) {
		t.Helper()
		rec := recordOf(t, arrow.NewSchema([]arrow.Field{{Name: "a", Type: a, Nullable: true}, {Name: "n", Type: n, Nullable: true}}, nil), "["+row+"]")
		defer rec.Release()
		for _, path := range columnarFiles(t, rec) {
			if _, _, err := rowsOf(t, s, ReadOptions{}, path); err == nil || !IsInput(err) || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v; want %s", filepath.Base(path), err, want)
			}
		}
	}
	text, f64 := arrow.BinaryTypes.String, arrow.PrimitiveTypes.Float64
	f(arrow.ListOf(text), f64, `{"a": ["x"], "n": 1}`, "cannot be read as a category")
	f(text, arrow.ListOf(f64), `{"a": "x", "n": [1]}`, "cannot be read as a number")
	f(arrow.StructOf(arrow.Field{Name: "x", Type: text}), f64, `{"a": {"x": "y"}, "n": 1}`, "cannot be read as a category")
	f(text, text, `{"a": "x", "n": "old"}`, "not a number")
	f(arrow.BinaryTypes.Binary, f64, `{"a": "//8=", "n": 1}`, "invalid UTF-8")

	b := array.NewFloat64Builder(memory.NewGoAllocator())
	defer b.Release()
	b.AppendValues([]float64{1, math.NaN(), math.Inf(1)}, nil)
	col := b.NewArray()
	defer col.Release()
	rec := array.NewRecord(arrow.NewSchema([]arrow.Field{{Name: "n", Type: f64}}, nil), []arrow.Array{col}, 3)
	defer rec.Release()
	for _, path := range columnarFiles(t, rec) {
		rows, bad, err := rowsOf(t, mustSchema(t, "fields: [{name: n, type: numeric}]"), ReadOptions{SkipBad: 1}, path)
		if err != nil || bad != 1 || strings.Join(rows, " ") != "1 ~" {
			t.Errorf("%s: %q, %d, %v: NaN is missing, infinity a bad row", filepath.Base(path), rows, bad, err)
		}
		if _, err := Open(s, []string{path}, ReadOptions{}); err == nil || !strings.Contains(err.Error(), `no column "a"`) {
			t.Error(err)
		}
	}
	for _, name := range []string{"f.parquet", "f.arrow", "f.ipc", "f.feather"} {
		for _, content := range []string{"", "PAR1", "PAR1....PAR1", "ARROW1", "ARROW1\x00\x00......ARROW1", strings.Repeat("\xff", 100)} {
			if _, _, err := rowsOf(t, s, ReadOptions{}, written(t, name, []byte(content))); err == nil || !IsInput(err) {
				t.Errorf("%s %q: %v", name, content, err)
			}
		}
	}
	if _, _, err := rowsOf(t, s, ReadOptions{}, written(t, "f.parquet.gz", gzipped(t, "PAR1"))); err == nil || !strings.Contains(err.Error(), "unpack it") {
		t.Error(err)
	}
}

// TestDictionary: encoding takes dictionaries, and records whose columns are not canonical.
func TestEncodeNative(t *testing.T) {
	s := mustSchema(t, "fields: [{name: a}, {name: n, type: numeric}, {name: l, type: multi}]")
	dictionary := &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrow.BinaryTypes.String}
	rec := recordOf(t, arrow.NewSchema([]arrow.Field{{Name: "a", Type: dictionary, Nullable: true}, {Name: "n", Type: arrow.PrimitiveTypes.Int64, Nullable: true}, {Name: "l", Type: arrow.ListOf(arrow.PrimitiveTypes.Int64), Nullable: true}}, nil),
		`[{"a": "x", "n": 2, "l": [7, null]}, {"a": null, "n": null, "l": null}, {"a": "x", "n": 3, "l": []}]`)
	defer rec.Release()
	e, err := NewEncoder(s, nil)
	if err != nil {
		t.Fatal(err)
	}
	var b Batch
	part := rec.NewSlice(1, 3)
	defer part.Release()
	for _, r := range []arrow.Record{part, rec} {
		if err := e.EncodeInto(&b, r); err != nil {
			t.Fatal(err)
		}
	}
	if got := b.Columns[0].IDs; got[0] != ID("a", "x") || got[1] != MissingID("a") || got[2] != got[0] {
		t.Error(got)
	}
	if got := b.Columns[2]; fmt.Sprint(got.Offsets) != "[0 2 2 2]" || got.IDs[0] != ID("l", "7") || got.IDs[1] != MissingID("l") {
		t.Error(got)
	}
	if got := b.Columns[1]; fmt.Sprint(got.Values, got.Missing) != "[2 0 3] [0 1 0]" {
		t.Error(got)
	}
	bad := recordOf(t, arrow.NewSchema([]arrow.Field{{Name: "a", Type: dictionary}, {Name: "n", Type: arrow.BinaryTypes.String}, {Name: "l", Type: textList}}, nil), `[{"a": "x", "n": "1", "l": []}, {"a": "x", "n": "old", "l": []}]`)
	defer bad.Release()
	var re *RowError
	if err := e.EncodeInto(&b, bad); !errors.As(err, &re) || re.Row != 1 || re.Field != "n" || !IsInput(err) {
		t.Error(err)
	}
}

func TestWriteIsDeterministic(t *testing.T) {
	schema := arrow.NewSchema([]arrow.Field{{Name: "a", Type: arrow.BinaryTypes.String}, {Name: "n", Type: arrow.PrimitiveTypes.Float32}}, nil)
	write := func(name string) []byte {
		path := filepath.Join(t.TempDir(), name)
		k := 0
		n, err := Write(path, schema, func() (arrow.Record, error) {
			if k++; k > 50 {
				return nil, io.EOF
			}
			return recordOf(t, schema, fmt.Sprintf(`[{"a": "v%d", "n": %d.25}, {"a": "w", "n": -1}]`, k%9, k)), nil
		})
		if err != nil || n != 100 {
			t.Fatal(n, err)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if left, _ := filepath.Glob(path + ".*"); len(left) > 0 {
			t.Error(left)
		}
		return b
	}
	for _, name := range []string{"f.parquet", "f.csv"} {
		if !bytes.Equal(write(name), write(name)) {
			t.Errorf("%s: two runs differ", name)
		}
	}
	broken := errors.New("broken")
	path := filepath.Join(t.TempDir(), "f.parquet")
	if _, err := Write(path, schema, func() (arrow.Record, error) { return nil, broken }); !errors.Is(err, broken) {
		t.Error(err)
	}
	if left, _ := filepath.Glob(path + "*"); len(left) > 0 {
		t.Error(left)
	}
	if _, err := Write("f.xls", schema, nil); !IsInput(err) {
		t.Error(err)
	}
}

// TestCutFiles: a columnar file cut anywhere is an error, never fewer rows.
func TestCutFiles(t *testing.T) {
	s := mustSchema(t, "fields: [{name: a}, {name: n, type: numeric}, {name: l, type: multi}]")
	rec := columnarSeed(t)
	defer rec.Release()
	for _, path := range columnarFiles(t, rec) {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for cut := len(b) - 9; cut > 0; cut -= 1 + cut/23 {
			rows, _, err := rowsOf(t, s, ReadOptions{SkipBad: 1 << 40}, written(t, filepath.Base(path), b[:cut]))
			if err == nil || !IsInput(err) {
				t.Errorf("%s cut to %d of %d: %d rows, %v", filepath.Base(path), cut, len(b), len(rows), err)
			}
		}
	}
}

func columnarSeed(t testing.TB) arrow.Record {
	return recordOf(t, arrow.NewSchema([]arrow.Field{{Name: "a", Type: arrow.BinaryTypes.String, Nullable: true}, {Name: "n", Type: arrow.PrimitiveTypes.Int64, Nullable: true}, {Name: "l", Type: textList, Nullable: true}}, nil),
		`[{"a": "x", "n": 2, "l": ["p", null]}, {"a": null, "n": null, "l": null}, {"a": "yy", "n": 3, "l": []}]`)
}

func FuzzParquet(f *testing.F) {
	s := mustSchema(f, "fields: [{name: a}, {name: n, type: numeric}, {name: l, type: multi}]")
	rec := columnarSeed(f)
	defer rec.Release()
	b, err := os.ReadFile(columnarFiles(f, rec)[0])
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte("PAR1\x15\x00\x15\x04PAR1"))
	delta := mustSchema(f, deltaSchema)
	for _, path := range append(deltaFiles(f), "testdata/delta_forged.parquet") {
		if b, err = os.ReadFile(path); err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		path := written(t, "f.parquet", data)
		readDamaged(t, s, path)
		readDamaged(t, delta, path)
	})
}

// readDamaged reads a file to its end or to an error, which must be one of input.
func readDamaged(t *testing.T, s *Schema, path string) {
	t.Helper()
	r, err := Open(s, []string{path}, ReadOptions{SkipBad: 1 << 40})
	for err == nil {
		var rec arrow.Record
		if rec, err = r.Next(); err == nil {
			rec.Release()
		}
	}
	if err != io.EOF && !IsInput(err) {
		t.Error(err)
	}
	if r != nil {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestEncodingNotRead wants an error where the library would give no values; the file was written by pyarrow.
func TestEncodingNotRead(t *testing.T) {
	s := mustSchema(t, "{labels: [{name: y}], fields: [{name: n, type: numeric}]}")
	_, err := Open(s, []string{"testdata/byte_stream_split.parquet"}, ReadOptions{Labels: true})
	if !IsInput(err) || !strings.Contains(err.Error(), `column "n": encoding BYTE_STREAM_SPLIT`) {
		t.Errorf("error %v", err)
	}
}
