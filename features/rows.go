package features

import (
	"bytes"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"
)

// splitList appends the elements of a list written as one text.
func splitList(dst [][]byte, b []byte, separator string) [][]byte {
	if len(separator) == 1 {
		for {
			i := bytes.IndexByte(b, separator[0])
			if i < 0 {
				return append(dst, b)
			}
			dst, b = append(dst, b[:i]), b[i+1:]
		}
	}
	sep := []byte(separator)
	for {
		i := bytes.Index(b, sep)
		if i < 0 {
			return append(dst, b)
		}
		dst, b = append(dst, b[:i]), b[i+len(sep):]
	}
}

// recordBuilder gathers rows of cells into canonical records over some of a layout's columns.
type recordBuilder struct {
	layout  *layout
	columns []int // of the layout, in the record's order
	schema  *arrow.Schema
	build   *array.RecordBuilder
	rows    int
}

func newRecordBuilder(alloc memory.Allocator, l *layout, keep func(c *column) bool) *recordBuilder {
	b := &recordBuilder{layout: l, schema: l.arrowSchema(keep)}
	for i := range l.columns {
		if keep(&l.columns[i]) {
			b.columns = append(b.columns, i)
		}
	}
	b.build = array.NewRecordBuilder(alloc, b.schema)
	return b
}

// append adds a row: one cell a column of the layout.
func (b *recordBuilder) append(cells []cell) {
	for k, at := range b.columns {
		c := &cells[at]
		field := b.build.Field(k)
		if c.missing {
			field.AppendNull()
			continue
		}
		switch b.layout.columns[at].form {
		case textForm:
			field.(*array.StringBuilder).BinaryBuilder.Append(c.text)
		case numberForm:
			field.(*array.Float64Builder).Append(c.number)
		case instantForm:
			field.(*array.Int64Builder).Append(c.instant)
		case listForm:
			list := field.(*array.ListBuilder)
			list.Append(true)
			values := list.ValueBuilder().(*array.StringBuilder)
			for _, e := range c.list {
				if e == nil || b.layout.missing.has(view(e)) {
					values.AppendNull()
				} else {
					values.BinaryBuilder.Append(e)
				}
			}
		}
	}
	b.rows++
}

// record returns the rows so far and starts anew.
func (b *recordBuilder) record() arrow.Record {
	b.rows = 0
	return b.build.NewRecord()
}

func (b *recordBuilder) release() { b.build.Release() }
