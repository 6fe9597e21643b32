package training

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/parquet/file"

	"github.com/millrace/millrace/features"
)

// frame is some columns of data files, whole in memory: numbers, NaN where missing, and texts as ids of their values.
type frame struct {
	rows    int
	numbers map[string][]float64
	texts   map[string]*texts
}

// texts is a column of texts; a missing one is "".
type texts struct {
	ids    []uint32
	values []string
	known  map[string]uint32
}

func (t *texts) add(v string) {
	id, ok := t.known[v]
	if !ok {
		id = uint32(len(t.values))
		t.known[v], t.values = id, append(t.values, v)
	}
	t.ids = append(t.ids, id)
}

// text is a row's text.
func (t *texts) text(row int) string { return t.values[t.ids[row]] }

// readFrame reads columns of files, in the files' order; a column may be wanted both as numbers and as texts.
func readFrame(ctx context.Context, files []string, dialect features.Dialect, numbers, wanted []string) (f *frame, err error) {
	s := &features.Schema{CSV: dialect}
	for _, n := range wanted {
		s.Fields = append(s.Fields, features.Field{Name: n, Kind: features.Categorical, From: features.FromContext})
	}
	for _, n := range numbers {
		if !slices.Contains(wanted, n) {
			s.Fields = append(s.Fields, features.Field{Name: n, Kind: features.Numeric, From: features.FromContext})
		}
	}
	if err := s.Complete(); err != nil {
		return nil, err
	}
	reader, err := features.Open(s, files, features.ReadOptions{Context: ctx})
	if err != nil {
		return nil, err
	}
	defer func() {
		if cerr := reader.Close(); err == nil {
			err = cerr
		}
	}()
	f = &frame{numbers: map[string][]float64{}, texts: map[string]*texts{}}
	for _, n := range wanted {
		f.texts[n] = &texts{known: map[string]uint32{}}
	}
	for {
		rec, err := reader.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		err = f.add(rec, numbers)
		rec.Release()
		if err != nil {
			return nil, &features.DataError{File: files[0], Reason: err.Error()}
		}
	}
	if f.rows == 0 {
		return nil, &features.DataError{File: files[0], Reason: "there are no rows"}
	}
	return f, nil
}

func (f *frame) add(rec arrow.Record, numbers []string) error {
	n := int(rec.NumRows())
	for name, t := range f.texts {
		column := columnOf(rec, name)
		for i := range n {
			v := ""
			if !column.IsNull(i) {
				v = column.ValueStr(i)
			}
			t.add(v)
		}
	}
	for _, name := range numbers {
		values := f.numbers[name]
		column := columnOf(rec, name)
		for i := range n {
			x := math.NaN()
			if !column.IsNull(i) {
				switch a := column.(type) {
				case *array.Float64:
					x = a.Value(i)
				default:
					var err error
					if x, err = strconv.ParseFloat(column.ValueStr(i), 64); err != nil {
						return fmt.Errorf("row %d: column %q is %q, want a number", f.rows+i, name, column.ValueStr(i))
					}
				}
			}
			values = append(values, x)
		}
		f.numbers[name] = values
	}
	f.rows += n
	return nil
}

// columnNames lists a data file's columns.
func columnNames(path string, dialect features.Dialect) ([]string, error) {
	kind, err := features.KindOf(path)
	if err != nil {
		return nil, err
	}
	switch kind {
	case features.TextFile:
		return features.Columns(path, dialect)
	case features.ParquetFile:
		f, err := file.OpenParquetFile(path, false)
		if err != nil {
			return nil, &features.DataError{File: path, Reason: "not a whole Parquet file: " + err.Error()}
		}
		defer f.Close()
		root := f.MetaData().Schema.Root()
		var out []string
		for i := range root.NumFields() {
			out = append(out, root.Field(i).Name())
		}
		return out, nil
	}
	return nil, &features.DataError{File: path, Reason: "want text or Parquet"}
}

// expandInOrder resolves each path in turn: files in the order they are named, those of one folder or glob sorted.
func expandInOrder(paths []string) ([]string, error) {
	var out []string
	for _, p := range paths {
		found, err := features.Expand([]string{p})
		if err != nil {
			return nil, &RequestError{err}
		}
		out = append(out, found...)
	}
	return out, nil
}
