package training

import (
	"strconv"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"

	"github.com/millrace/millrace/features"
)

// textOf is a column's value in a row as a text, empty where there is none.
func textOf(rec arrow.Record, column string, row int) string {
	a := columnOf(rec, column)
	if column == "" || a == nil || a.IsNull(row) {
		return ""
	}
	if x, ok := a.(*array.Float64); ok {
		return strconv.FormatFloat(x.Value(row), 'g', -1, 64)
	}
	return a.ValueStr(row)
}

// valuesOf are a field's values in a row: those of a list that the encoder keeps, one of another field, none where it is missing.
func valuesOf(rec arrow.Record, f *features.Field, row int) []string {
	out := []string{}
	name := f.Column
	if columnOf(rec, name) == nil {
		name = f.Name
	}
	list, ok := columnOf(rec, name).(*array.List)
	if !ok {
		if v := textOf(rec, name, row); v != "" {
			out = append(out, v)
		}
		return out
	}
	if list.IsNull(row) {
		return out
	}
	from, to := list.ValueOffsets(row)
	for i := from; i < to; i++ {
		if v := list.ListValues(); v.IsNull(int(i)) {
			out = append(out, "")
		} else {
			out = append(out, v.ValueStr(int(i)))
		}
	}
	switch n := f.Max; {
	case n == 0 || len(out) <= n:
	case f.Kind == features.Sequence:
		out = out[len(out)-n:]
	default:
		out = out[:n]
	}
	return out
}
