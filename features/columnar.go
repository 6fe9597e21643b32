package features

import (
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
)

// arraySource yields a columnar file's columns batch by batch, then io.EOF. The caller releases the arrays.
type arraySource interface {
	next() ([]arrow.Array, error)
	progress() float64
	close() error
}

// columnFile turns a columnar file's batches into canonical records, checking every value.
type columnFile struct {
	path   string
	source arraySource
	layout *layout
	slots  []int // a selected column of the file → one of the layout
	cells  []cell
	values []valueReader // one a selected column
	build  *recordBuilder
	budget *budget
	labels bool
	record int64 // of the file, read so far
}

// newColumnFile maps a file's columns by name and checks their types; pick opens a source over the chosen ones.
func newColumnFile(path string, schema *arrow.Schema, l *layout, o *openOptions, pick func(columns []int) (arraySource, error)) (*columnFile, error) {
	names := make([]string, schema.NumFields())
	for i := range names {
		names[i] = schema.Field(i).Name
	}
	slots, err := l.match(names, o.Labels)
	if err != nil {
		var e *DataError
		if errors.As(err, &e) {
			e.File = path
		}
		return nil, err
	}
	f := &columnFile{path: path, layout: l, cells: make([]cell, len(l.columns)), budget: o.budget, labels: o.Labels}
	var columns []int
	present := make([]bool, len(l.columns))
	for i, at := range slots {
		if at < 0 {
			continue
		}
		c := &l.columns[at]
		if t := schema.Field(i).Type; !readable(t, c.form) {
			return nil, &DataError{File: path, Field: l.fieldName(c), Reason: fmt.Sprintf("column %q holds %s, which cannot be read as %s", c.name, t, c.form)}
		}
		columns, f.slots, present[at] = append(columns, i), append(f.slots, at), true
	}
	f.values = make([]valueReader, len(columns))
	if f.source, err = pick(columns); err != nil {
		return nil, err
	}
	f.build = newRecordBuilder(o.alloc, l, func(c *column) bool { return present[l.at(c.name)] })
	return f, nil
}

// Readable reports whether a column of a type can be a field: structs, maps and lists of lists cannot.
func Readable(t arrow.DataType) bool { return readable(t, textForm) || readable(t, listForm) }

// readable reports whether values of a type can be read in a form.
func readable(t arrow.DataType, want form) bool {
	switch t := t.(type) {
	case *arrow.DictionaryType:
		return readable(t.ValueType, want)
	case *arrow.ListType:
		return want == listForm && readable(t.Elem(), textForm)
	case *arrow.LargeListType:
		return want == listForm && readable(t.Elem(), textForm)
	case *arrow.FixedSizeListType:
		return want == listForm && readable(t.Elem(), textForm)
	}
	switch t.ID() {
	case arrow.STRING, arrow.LARGE_STRING, arrow.BINARY, arrow.LARGE_BINARY, arrow.NULL,
		arrow.INT8, arrow.INT16, arrow.INT32, arrow.INT64, arrow.UINT8, arrow.UINT16, arrow.UINT32, arrow.UINT64,
		arrow.FLOAT16, arrow.FLOAT32, arrow.FLOAT64, arrow.TIMESTAMP, arrow.DATE32, arrow.DATE64, arrow.DECIMAL128, arrow.BOOL:
		return true
	}
	return false
}

func (f *columnFile) next() (arrow.Record, error) {
	for {
		arrays, err := f.source.next()
		if err != nil {
			return nil, f.failure(err)
		}
		err = f.add(arrays)
		releaseAll(arrays)
		if err != nil {
			return nil, err
		}
		if f.build.rows > 0 {
			return f.build.record(), nil
		}
	}
}

func (f *columnFile) failure(err error) error {
	var d *DataError
	if err == io.EOF || errors.As(err, &d) {
		return err
	}
	return &DataError{File: f.path, Line: f.record + 1, Record: true, Reason: "corrupt: " + err.Error()}
}

func (f *columnFile) add(arrays []arrow.Array) (err error) {
	defer recovered(f.path, &err)
	rows := arrays[0].Len()
	for _, a := range arrays {
		if a.Len() != rows {
			return &DataError{File: f.path, Line: f.record + 1, Record: true, Reason: fmt.Sprintf("corrupt: columns of %d and %d rows", rows, a.Len())}
		}
	}
	for r := range rows {
		f.record++
		var ft fault
		k := 0
		for ; k < len(arrays); k++ {
			at := f.slots[k]
			if ft = f.layout.readValue(&f.layout.columns[at], &f.values[k], arrays[k], r, f.labels, &f.cells[at]); ft.bad() {
				break
			}
		}
		if !ft.bad() {
			f.build.append(f.cells)
			continue
		}
		if err := f.budget.spend(&DataError{File: f.path, Line: f.record, Record: true, Field: ft.field, Value: valueText(arrays[k], r), Reason: ft.reason}, f.build.rows); err != nil {
			return err
		}
	}
	return nil
}

func (f *columnFile) progress() float64 { return f.source.progress() }

func (f *columnFile) close() error {
	f.build.release()
	return f.source.close()
}

func releaseAll(arrays []arrow.Array) {
	for _, a := range arrays {
		if a != nil {
			a.Release()
		}
	}
}

// recovered turns a panic of the Arrow library over a damaged file into an error.
func recovered(path string, err *error) {
	if r := recover(); r != nil {
		*err = &DataError{File: path, Reason: fmt.Sprintf("corrupt: %v", r)}
	}
}

// single returns a chunked column as one array, which the caller releases; it releases the chunks.
func single(c *arrow.Chunked, o *openOptions) (arrow.Array, error) {
	defer c.Release()
	chunks := c.Chunks()
	if len(chunks) == 1 {
		chunks[0].Retain()
		return chunks[0], nil
	}
	return array.Concatenate(chunks, o.alloc)
}

// share is done/total, 1 where there is nothing.
func share(done, total int64) float64 {
	if total <= 0 {
		return 1
	}
	return math.Min(1, float64(done)/float64(total))
}
