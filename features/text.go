package features

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/apache/arrow/go/v15/arrow"

	"github.com/millrace/millrace/internal/strict"
)

// textFile reads one file of delimited or libfm text into canonical records.
type textFile struct {
	source *source
	lines  *lines
	split  *rowSplitter // delimited
	libfm  bool
	layout *layout
	names  []string // of the file's columns
	slots  []int    // a column of the file → one of the layout, or -1
	cells  []cell
	build  *recordBuilder
	budget *budget
	labels bool
	rows   int // a record
}

// budget counts unusable rows against how many are tolerated over all files, and remembers which rows they were.
type budget struct {
	allowed, bad int64
	good         int64   // rows of the records handed out
	at           []int64 // rows skipped, counted over all files from 0
}

// spend counts a bad row after so many good ones of the record at hand; it returns the error once too many are bad.
func (b *budget) spend(e *DataError, after int) error {
	b.bad++
	if b.bad <= b.allowed {
		b.at = append(b.at, b.good+int64(after)+b.bad-1)
		return nil
	}
	if b.allowed > 0 {
		e.Reason += fmt.Sprintf(" (bad row %d, %d tolerated)", b.bad, b.allowed)
	}
	return e
}

// extension is a data file's extension in lower case, less .gz or .zst.
func extension(path string) string {
	name := strings.ToLower(filepath.Base(path))
	for _, z := range []string{".gz", ".zst"} {
		name = strings.TrimSuffix(name, z)
	}
	return filepath.Ext(name)
}

var libfmExtensions = []string{".libfm", ".libsvm", ".svm"}

func openText(path string, l *layout, o *openOptions) (_ *textFile, err error) {
	src, err := openSource(path)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			src.Close()
		}
	}()
	d := &l.schema.CSV
	f := &textFile{source: src, lines: newLines(d.decode(src)), layout: l, budget: o.budget, labels: o.Labels, rows: o.BatchRows, cells: make([]cell, len(l.columns))}
	if err := f.skipMark(); err != nil {
		return nil, err
	}
	f.libfm = d.Format == "libfm" || slices.Contains(libfmExtensions, extension(path))
	if f.libfm {
		if err := f.planLibfm(); err != nil {
			return nil, err
		}
	} else {
		delim := d.Delimiter
		if delim == "" {
			delim = ","
			if extension(path) == ".tsv" {
				delim = "\t"
			}
		}
		f.split = &rowSplitter{lines: f.lines, delim: []byte(delim), quotes: d.hasQuotes(), trim: d.Trim}
		if err := f.planColumns(); err != nil {
			return nil, err
		}
	}
	present := make([]bool, len(l.columns))
	for _, at := range f.slots {
		if at >= 0 {
			present[at] = true
		}
	}
	f.build = newRecordBuilder(o.alloc, l, func(c *column) bool { return present[l.at(c.name)] })
	return f, nil
}

// skipMark passes over a byte order mark.
func (f *textFile) skipMark() error {
	line, _, err := f.lines.peek(0)
	if err != nil {
		return f.failure(err)
	}
	if strings.HasPrefix(view(line), "\ufeff") {
		f.lines.take(3, 0)
	}
	return nil
}

func (f *textFile) failure(err error) error {
	if errors.Is(err, errRowTooLong) {
		return &DataError{File: f.source.path, Line: f.lines.line, Reason: err.Error()}
	}
	return f.source.failure(err, f.lines.line)
}

// planColumns reads the header, or takes the schema's names, and maps columns.
func (f *textFile) planColumns() error {
	d := &f.layout.schema.CSV
	line := int64(0)
	if d.hasHeader() {
		row, err := f.split.next()
		if err != nil {
			return f.failure(err)
		}
		if row.size == 0 {
			return &DataError{File: f.source.path, Line: 1, Reason: "no header: the file is empty"}
		}
		if row.reason != "" {
			return &DataError{File: f.source.path, Line: row.line, Reason: "header: " + row.reason}
		}
		if !utf8.Valid(row.raw) {
			return &DataError{File: f.source.path, Line: row.line, Reason: "header: invalid UTF-8"}
		}
		line = row.line
		for _, v := range row.values {
			f.names = append(f.names, string(trimBlanks(v)))
		}
		f.split.take(&row)
	} else {
		f.names = d.Names
	}
	slots, err := f.layout.match(f.names, f.labels)
	if err != nil {
		var e *DataError
		if errors.As(err, &e) {
			e.File, e.Line = f.source.path, line
			if len(f.names) == 1 {
				e.Reason += fmt.Sprintf("; the header has one column only: is csv.delimiter %q right?", f.split.delim)
			}
		}
		return err
	}
	f.slots = slots
	return nil
}

// at is the index of a column by name, or -1.
func (l *layout) at(name string) int {
	for i := range l.columns {
		if l.columns[i].name == name {
			return i
		}
	}
	return -1
}

// match maps a file's columns to the layout's; what must be there and is not is a *DataError without a file.
func (l *layout) match(names []string, labels bool) ([]int, error) {
	slots := make([]int, len(names))
	found := make([]bool, len(l.columns))
	for i, n := range names {
		slots[i] = l.at(n)
		if slots[i] < 0 {
			continue
		}
		if found[slots[i]] {
			return nil, &DataError{Field: n, Reason: "the column stands twice"}
		}
		found[slots[i]] = true
	}
	for i := range l.columns {
		if c := &l.columns[i]; !found[i] && (labels || c.needed()) && !l.dispensable(c) {
			return nil, &DataError{Field: l.fieldName(c), Reason: fmt.Sprintf("no column %q%s", c.name, strict.Meant(c.name, names))}
		}
	}
	return slots, nil
}

// next returns the next record, or io.EOF.
func (f *textFile) next() (arrow.Record, error) {
	for f.build.rows < f.rows {
		bad, more, err := f.row()
		if err != nil {
			return nil, err
		}
		if !more {
			break
		}
		if bad != nil {
			if err := f.budget.spend(bad, f.build.rows); err != nil {
				return nil, err
			}
		}
	}
	if f.build.rows == 0 {
		return nil, io.EOF
	}
	return f.build.record(), nil
}

// row reads one row into the builder; bad says why it could not be used.
func (f *textFile) row() (bad *DataError, more bool, err error) {
	var row textRow
	if f.libfm {
		row, err = f.pairs()
	} else {
		row, err = f.split.next()
	}
	if err != nil {
		return nil, false, f.failure(err)
	}
	if row.size == 0 {
		return nil, false, nil
	}
	if bad = f.use(&row); bad == nil {
		f.build.append(f.cells)
	}
	f.lines.take(row.size, row.count)
	return bad, true, nil
}

// use checks a row and fills the cells.
func (f *textFile) use(row *textRow) *DataError {
	fail := func(field, value, reason string) *DataError {
		return &DataError{File: f.source.path, Line: row.line, Field: field, Value: strings.Clone(value), Reason: reason}
	}
	if row.reason != "" {
		return fail("", "", row.reason)
	}
	if len(row.values) != len(f.slots) {
		return fail("", "", fmt.Sprintf("%d columns, want %d", len(row.values), len(f.slots)))
	}
	if !utf8.Valid(row.raw) {
		for i, v := range row.values {
			if !utf8.Valid(v) {
				return fail(f.columnName(i), string(v), "invalid UTF-8")
			}
		}
		return fail("", "", "invalid UTF-8")
	}
	for i, v := range row.values {
		at := f.slots[i]
		if at < 0 {
			continue
		}
		if ft := f.layout.readText(&f.layout.columns[at], v, f.labels, &f.cells[at]); ft.bad() {
			return fail(ft.field, view(v), ft.reason)
		}
	}
	return nil
}

func (f *textFile) columnName(i int) string {
	if at := f.slots[i]; at >= 0 {
		return f.layout.fieldName(&f.layout.columns[at])
	}
	return f.names[i]
}

func (f *textFile) progress() float64 {
	if f.source.size == 0 {
		return 1
	}
	return min(1, float64(f.source.read.Load())/float64(f.source.size))
}

func (f *textFile) close() error {
	f.build.release()
	return f.source.Close()
}
