package prepare

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"

	"github.com/millrace/millrace/features"

	"github.com/millrace/millrace/internal/strict"
)

// mostRows is how many rows a table can hold: row numbers are 32 bits.
const mostRows = math.MaxInt32

// longestList bounds a list read from a source.
const longestList = 1 << 20

// sources reads the files of a recipe under one folder; report hears what is read.
type sources struct {
	recipe *Recipe
	dir    string
	report func(format string, args ...any)
	read   map[string]*table
}

// load reads a source, once.
func (s *sources) load(ctx context.Context, name string) (*table, error) {
	if t := s.read[name]; t != nil {
		return t, nil
	}
	src := s.recipe.Sources[name]
	files, err := s.files(&src)
	if err != nil {
		return nil, fmt.Errorf("source %q: %w", name, err)
	}
	var t *table
	switch src.Format {
	case "sequences":
		t, err = s.sequences(ctx, &src, files)
	case "json":
		t, err = loadJSON(&src, files)
	default:
		t, err = s.table(ctx, &src, files)
	}
	if err != nil {
		return nil, fmt.Errorf("source %q: %w", name, err)
	}
	for _, c := range sortedKeys(src.Add) {
		if t.find(c) != nil {
			return nil, fmt.Errorf("source %q: add: the files have a column %q", name, c)
		}
		d := newDictionary()
		t.put(&column{name: c, kind: textKind, dict: d, code: slices.Repeat([]uint32{d.of(src.Add[c])}, t.rows)})
	}
	for _, c := range sortedKeys(src.Types) {
		if t.find(c) == nil {
			return nil, fmt.Errorf("source %q: types: %w", name, at(src.Line, "no column %q%s", c, strict.Meant(c, t.names())))
		}
	}
	s.report("source %s: %d rows, columns %s", name, t.rows, strings.Join(t.names(), ", "))
	s.read[name] = t
	return t, nil
}

// files resolves a source's files under the data folder, each as it is or compressed; paths that leave it are refused.
func (s *sources) files(src *Source) ([]string, error) {
	var paths []string
	for _, f := range src.Files {
		if !filepath.IsLocal(filepath.FromSlash(f)) {
			return nil, at(src.Line, "file %q is not under the data folder", f)
		}
		paths = append(paths, packed(filepath.Join(s.dir, filepath.FromSlash(f))))
	}
	return features.Expand(paths)
}

// builder gathers one column's values.
type builder struct {
	*column
	asTime bool
}

func newBuilder(name, typ string) builder {
	c := &column{name: name}
	switch typ {
	case "integer", "time":
		c.kind = integerKind
	case "number":
		c.kind = numberKind
	case "list":
		c.kind = listKind
		c.elems = &column{name: name, kind: textKind, dict: newDictionary()}
	default:
		c.dict = newDictionary()
	}
	return builder{c, typ == "time"}
}

// schema asks the readers for the columns in the forms of their types.
func (src *Source) schema(names []string) (*features.Schema, error) {
	s := &features.Schema{CSV: src.CSV}
	for _, n := range names {
		f := features.Field{Name: n, Kind: features.Categorical, From: features.FromContext}
		switch src.Types[n] {
		case "integer", "number":
			f.Kind = features.Numeric
			f.Log = true // its values are not squeezed into a float32
		case "list":
			f.Kind, f.Max = features.Multi, longestList
		case "time":
			s.Timestamp = n
			continue
		}
		s.Fields = append(s.Fields, f)
	}
	if len(s.Fields) == 0 {
		s.Fields = append(s.Fields, features.Field{Name: s.Timestamp, Kind: features.Categorical, From: features.FromContext})
	}
	if err := s.Complete(); err != nil {
		return nil, fmt.Errorf("csv: %w", err)
	}
	return s, nil
}

func (s *sources) table(ctx context.Context, src *Source, files []string) (*table, error) {
	names := src.Columns
	if len(names) == 0 {
		var err error
		if names, err = features.Columns(files[0], src.CSV); err != nil {
			return nil, err
		}
		for i, n := range names {
			if n == "" {
				return nil, &features.DataError{File: files[0], Line: 1, Reason: fmt.Sprintf("column %d has no name; list the columns to read", i+1)}
			}
		}
	}
	schema, err := src.schema(names)
	if err != nil {
		return nil, err
	}
	builders := make([]builder, len(names))
	for i, n := range names {
		builders[i] = newBuilder(n, src.Types[n])
	}
	out := &table{}
	for _, f := range files {
		if err := readInto(ctx, schema, f, builders, out); err != nil {
			return nil, err
		}
	}
	for _, b := range builders {
		out.columns = append(out.columns, b.column)
	}
	return out, nil
}

// readInto appends a file's rows to the builders.
func readInto(ctx context.Context, s *features.Schema, file string, builders []builder, out *table) error {
	r, err := features.Open(s, []string{file}, features.ReadOptions{Labels: true, BatchRows: 1 << 14})
	if err != nil {
		return err
	}
	defer r.Close()
	for record := int64(1); ; {
		if err := ctx.Err(); err != nil {
			return err
		}
		rec, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		n := int(rec.NumRows())
		if out.rows+n > mostRows {
			rec.Release()
			return fmt.Errorf("more than %d rows", mostRows)
		}
		for i := range builders {
			if err := builders[i].append(rec, file, record); err != nil {
				rec.Release()
				return err
			}
		}
		rec.Release()
		out.rows += n
		record += int64(n)
	}
}

// append adds a record's values of the column; record is the number of its first row in the file.
func (b *builder) append(rec arrow.Record, file string, record int64) error {
	at := rec.Schema().FieldIndices(b.name)
	if len(at) != 1 {
		return &features.DataError{File: file, Field: b.name, Reason: "no such column"}
	}
	switch a := rec.Column(at[0]).(type) {
	case *array.String:
		if b.asTime {
			return fmt.Errorf("column %q of %s is text where a time is wanted", b.name, file)
		}
		for r := range a.Len() {
			b.code = append(b.code, textCode(b.dict, a, r))
		}
	case *array.Float64:
		for r := range a.Len() {
			if err := b.appendNumber(a, r, file, record); err != nil {
				return err
			}
		}
	case *array.Int64:
		for r := range a.Len() {
			v := int64(missingInteger)
			if a.IsValid(r) {
				v = a.Value(r)
			}
			b.ints = append(b.ints, v)
		}
	case *array.List:
		values, ok := a.ListValues().(*array.String)
		if !ok {
			return fmt.Errorf("column %q of %s holds lists of %s", b.name, file, a.ListValues().DataType())
		}
		for r := range a.Len() {
			b.start = append(b.start, int64(len(b.elems.code)))
			if a.IsValid(r) {
				from, to := a.ValueOffsets(r)
				for e := from; e < to; e++ {
					b.elems.code = append(b.elems.code, textCode(b.elems.dict, values, int(e)))
				}
			}
			b.end = append(b.end, int64(len(b.elems.code)))
		}
	default:
		return fmt.Errorf("column %q of %s is %s, which a recipe cannot read", b.name, file, a.DataType())
	}
	return nil
}

func textCode(d *dictionary, a *array.String, r int) uint32 {
	if a.IsNull(r) {
		return missingCode
	}
	return d.of(a.Value(r))
}

func (b *builder) appendNumber(a *array.Float64, r int, file string, record int64) error {
	v := math.NaN()
	if a.IsValid(r) {
		v = a.Value(r)
	}
	if b.kind == numberKind {
		b.nums = append(b.nums, v)
		return nil
	}
	whole := int64(missingInteger)
	if a.IsValid(r) {
		if v != math.Trunc(v) || math.Abs(v) > 1<<53 {
			return &features.DataError{File: file, Field: b.name, Value: fmt.Sprint(v),
				Reason: fmt.Sprintf("record %d: not a whole number within ±2^53; read the column as text or number", record+int64(r))}
		}
		whole = int64(v)
	}
	b.ints = append(b.ints, whole)
	return nil
}

// sequences reads lines of a user and items in time order into one row an item.
func (s *sources) sequences(ctx context.Context, src *Source, files []string) (*table, error) {
	const line = "line"
	no := false
	d := src.CSV
	d.ListSeparator = d.Delimiter
	if d.ListSeparator == "" {
		d.ListSeparator = " "
	}
	d.Delimiter, d.Names, d.Header, d.Quotes = "\x00", []string{line}, &no, &no
	lines := Source{CSV: d, Columns: []string{line}, Types: map[string]string{line: "list"}, Line: src.Line}
	t, err := s.table(ctx, &lines, files)
	if err != nil {
		return nil, err
	}
	user, item := newBuilder(src.Columns[0], src.Types[src.Columns[0]]), newBuilder(src.Columns[1], src.Types[src.Columns[1]])
	list := t.columns[0]
	out := &table{}
	for r := range t.rows {
		if list.end[r]-list.start[r] < 2 {
			return nil, &features.DataError{File: files[0], Value: list.text(r), Reason: fmt.Sprintf("record %d: a user without items", r+1)}
		}
		for e := list.start[r] + 1; e < list.end[r]; e++ {
			if out.rows++; out.rows > mostRows {
				return nil, fmt.Errorf("more than %d rows", mostRows)
			}
			if err := item.appendText(list.elems.text(int(e))); err != nil {
				return nil, &features.DataError{File: files[0], Field: item.name, Value: list.elems.text(int(e)), Reason: fmt.Sprintf("record %d: %v", r+1, err)}
			}
			if err := user.appendText(list.elems.text(int(list.start[r]))); err != nil {
				return nil, &features.DataError{File: files[0], Field: user.name, Value: list.elems.text(int(list.start[r])), Reason: fmt.Sprintf("record %d: %v", r+1, err)}
			}
		}
	}
	out.columns = []*column{user.column, item.column}
	return out, nil
}

// appendText adds a value given as text to a text or integer column.
func (b *builder) appendText(v string) error {
	if b.kind == textKind {
		b.code = append(b.code, b.dict.of(v))
		return nil
	}
	var n int64
	if err := json.Unmarshal([]byte(v), &n); err != nil {
		return errors.New("not a whole number")
	}
	b.ints = append(b.ints, n)
	return nil
}

// loadJSON reads objects {key: value or list} into a column of keys and one of lists, in order of the keys.
func loadJSON(src *Source, files []string) (*table, error) {
	key := newBuilder(src.Columns[0], src.Types[src.Columns[0]])
	list := newBuilder(src.Columns[1], "list")
	for _, f := range files {
		b, err := readAll(f)
		if err != nil {
			return nil, err
		}
		var object map[string]any
		dec := json.NewDecoder(bytes.NewReader(b))
		dec.UseNumber()
		if err := dec.Decode(&object); err != nil {
			return nil, &features.DataError{File: f, Reason: "want a JSON object {key: value or list}: " + err.Error()}
		}
		for _, k := range sortedKeys(object) {
			if err := key.appendText(k); err != nil {
				return nil, &features.DataError{File: f, Field: key.name, Value: k, Reason: err.Error()}
			}
			values, ok := object[k].([]any)
			if !ok {
				values = []any{object[k]}
			}
			list.start = append(list.start, int64(len(list.elems.code)))
			for _, v := range values {
				switch v.(type) {
				case string, json.Number, bool:
					list.elems.code = append(list.elems.code, list.elems.dict.of(fmt.Sprint(v)))
				case nil:
				default:
					return nil, &features.DataError{File: f, Field: k, Reason: "a value is neither text nor number nor a list of these"}
				}
			}
			list.end = append(list.end, int64(len(list.elems.code)))
		}
	}
	return &table{columns: []*column{key.column, list.column}, rows: key.rows()}, nil
}

func readAll(path string) ([]byte, error) {
	r, err := features.OpenBytes(path)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		var p *os.PathError
		if errors.As(err, &p) {
			return nil, fmt.Errorf("read %s: %w", path, err)
		}
		return nil, &features.DataError{File: path, Reason: err.Error()}
	}
	return b, nil
}
