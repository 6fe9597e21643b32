package prepare

import (
	"context"
	"io"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/millrace/millrace/features"
)

// recordRows is how many rows are handed to the writer at once.
const recordRows = 1 << 14

func (k kind) dataType() arrow.DataType {
	switch k {
	case integerKind:
		return arrow.PrimitiveTypes.Int64
	case numberKind:
		return arrow.PrimitiveTypes.Float64
	}
	return arrow.BinaryTypes.String
}

func (c *column) field() arrow.Field {
	t := c.kind.dataType()
	if c.kind == listKind {
		t = arrow.ListOf(c.elems.kind.dataType())
	}
	return arrow.Field{Name: c.name, Type: t, Nullable: true}
}

// writeParquet writes rows of the columns to a file.
func writeParquet(ctx context.Context, path string, columns []*column, rows []int32) error {
	fields := make([]arrow.Field, len(columns))
	for i, c := range columns {
		fields[i] = c.field()
	}
	schema := arrow.NewSchema(fields, nil)
	build := array.NewRecordBuilder(memory.NewGoAllocator(), schema)
	defer build.Release()
	_, err := features.WriteParquet(path, schema, func() (arrow.Record, error) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if len(rows) == 0 {
			return nil, io.EOF
		}
		n := min(recordRows, len(rows))
		for i, c := range columns {
			c.appendTo(build.Field(i), rows[:n])
		}
		rows = rows[n:]
		return build.NewRecord(), nil
	})
	return err
}

// appendTo appends rows to an Arrow builder of the column's type.
func (c *column) appendTo(b array.Builder, rows []int32) {
	if c.kind == listKind {
		list := b.(*array.ListBuilder)
		for _, r := range rows {
			list.Append(true)
			for e := c.start[r]; e < c.end[r]; e++ {
				c.elems.appendValue(list.ValueBuilder(), c.element(e))
			}
		}
		return
	}
	for _, r := range rows {
		c.appendValue(b, int(r))
	}
}

func (c *column) appendValue(b array.Builder, r int) {
	if c.absent(r) {
		b.AppendNull()
		return
	}
	switch c.kind {
	case textKind:
		b.(*array.StringBuilder).Append(c.dict.texts[c.code[r]])
	case integerKind:
		b.(*array.Int64Builder).Append(c.ints[r])
	case numberKind:
		b.(*array.Float64Builder).Append(c.nums[r])
	}
}
