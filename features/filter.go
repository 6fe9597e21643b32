package features

import (
	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"
)

// filterRecord returns the rows of a canonical record that keep names; the caller releases it.
func filterRecord(rec arrow.Record, keep []bool) arrow.Record {
	n := 0
	for _, k := range keep {
		if k {
			n++
		}
	}
	if n == len(keep) {
		rec.Retain()
		return rec
	}
	b := array.NewRecordBuilder(memory.DefaultAllocator, rec.Schema())
	defer b.Release()
	b.Reserve(n)
	for c := range int(rec.NumCols()) {
		filterColumn(b.Field(c), rec.Column(c), keep)
	}
	return b.NewRecord()
}

func filterColumn(b array.Builder, arr arrow.Array, keep []bool) {
	for r, k := range keep {
		switch {
		case !k:
		case arr.IsNull(r):
			b.AppendNull()
		default:
			switch a := arr.(type) {
			case *array.String:
				b.(*array.StringBuilder).Append(a.Value(r))
			case *array.Float64:
				b.(*array.Float64Builder).Append(a.Value(r))
			case *array.Int64:
				b.(*array.Int64Builder).Append(a.Value(r))
			case *array.List:
				list := b.(*array.ListBuilder)
				list.Append(true)
				from, to := a.ValueOffsets(r)
				appendTexts(list.ValueBuilder().(*array.StringBuilder), a.ListValues().(*array.String), int(from), int(to))
			}
		}
	}
}

func appendTexts(b *array.StringBuilder, texts *array.String, from, to int) {
	for i := from; i < to; i++ {
		if texts.IsNull(i) {
			b.AppendNull()
		} else {
			b.Append(texts.Value(i))
		}
	}
}
