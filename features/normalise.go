package features

import (
	"fmt"
	"math"
	"strconv"
	"unicode/utf8"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"
)

func (l *layout) allocator() memory.Allocator { return memory.DefaultAllocator }

// normalise turns a column of any accepted type into its canonical form, checking every value; the first that cannot be used is the error.
func (l *layout) normalise(c *column, arr arrow.Array, alloc memory.Allocator, labels bool) (arrow.Array, error) {
	b := newRecordBuilder(alloc, &layout{schema: l.schema, columns: []column{*c}, missing: l.missing, label: l.label}, func(*column) bool { return true })
	defer b.release()
	cells := make([]cell, 1)
	var v valueReader
	for r := range arr.Len() {
		if ft := l.readValue(c, &v, arr, r, labels, &cells[0]); ft.bad() {
			return nil, &RowError{Row: r, Field: ft.field, Value: valueText(arr, r), Reason: ft.reason}
		}
		b.append(cells)
	}
	rec := b.record()
	defer rec.Release()
	out := rec.Column(0)
	out.Retain()
	return out, nil
}

// valueReader holds the memory of one row's texts.
type valueReader struct{ text []byte }

// readValue fills a cell from a native value.
func (l *layout) readValue(c *column, v *valueReader, arr arrow.Array, r int, labels bool, out *cell) fault {
	v.text = v.text[:0]
	if d, ok := arr.(*array.Dictionary); ok && !d.IsNull(r) {
		return l.readValue(c, v, d.Dictionary(), d.GetValueIndex(r), labels, out)
	}
	if arr.IsNull(r) {
		out.missing = true
		return l.checkMissing(c, labels)
	}
	if c.form == listForm {
		return l.readList(c, v, arr, r, out)
	}
	if b, ok := textOf(arr, r); ok {
		if !utf8.ValidString(b) {
			return fault{l.fieldName(c), "invalid UTF-8"}
		}
		v.text = append(v.text, b...)
		return l.readText(c, v.text, labels, out)
	}
	number, instant, kind := numberOf(arr, r)
	if kind == noNumber {
		return fault{l.fieldName(c), fmt.Sprintf("a %s column cannot be read as %s", arr.DataType(), c.form)}
	}
	if kind == floating && math.IsNaN(number) {
		out.missing = true
		return l.checkMissing(c, labels)
	}
	out.missing = false
	switch c.form {
	case numberForm:
		out.number = number
		return l.checkNumber(c, number)
	case instantForm:
		if kind == floating && (number != math.Trunc(number) || math.Abs(number) >= 1<<63) || kind == boolean {
			return fault{c.name, errInstant.Error()}
		}
		out.instant = instant
		return fault{}
	}
	v.text = appendCanonical(v.text, arr, r)
	out.text = v.text
	return l.checkText(c, view(v.text))
}

func (f form) String() string {
	return [...]string{"a category", "a number", "a time", "a list"}[f]
}

func (l *layout) readList(c *column, v *valueReader, arr arrow.Array, r int, out *cell) fault {
	list, ok := arr.(array.ListLike)
	if !ok {
		b, ok := textOf(arr, r)
		if !ok {
			b = string(appendCanonical(nil, arr, r))
		}
		if !utf8.ValidString(b) {
			return fault{l.fieldName(c), "invalid UTF-8"}
		}
		return l.readText(c, []byte(b), false, out)
	}
	out.missing, out.list = false, out.list[:0]
	from, to := list.ValueOffsets(r)
	values := list.ListValues()
	if d, ok := values.(*array.Dictionary); ok {
		for i := int(from); i < int(to); i++ {
			if d.IsNull(i) {
				out.list = append(out.list, nil)
			} else if ft := l.readElement(c, v, d.Dictionary(), d.GetValueIndex(i), out); ft.bad() {
				return ft
			}
		}
		return fault{}
	}
	for i := int(from); i < int(to); i++ {
		if ft := l.readElement(c, v, values, i, out); ft.bad() {
			return ft
		}
	}
	return fault{}
}

// readElement appends one element; a missing one stays as nil, so that lists read together keep equal lengths.
func (l *layout) readElement(c *column, v *valueReader, values arrow.Array, i int, out *cell) fault {
	if values.IsNull(i) {
		out.list = append(out.list, nil)
		return fault{}
	}
	from := len(v.text)
	if b, ok := textOf(values, i); ok {
		if !utf8.ValidString(b) {
			return fault{l.fieldName(c), "invalid UTF-8"}
		}
		v.text = append(v.text, b...)
	} else if _, _, kind := numberOf(values, i); kind != noNumber {
		v.text = appendCanonical(v.text, values, i)
	} else {
		return fault{l.fieldName(c), fmt.Sprintf("a list of %s cannot be read as categories", values.DataType())}
	}
	element := v.text[from:]
	if element == nil {
		element = []byte{}
	}
	out.list = append(out.list, element)
	return fault{}
}

// valueText is a value for a message: bytes as they are, the rest as Arrow writes it.
func valueText(arr arrow.Array, r int) string {
	if !arr.IsNull(r) {
		if s, ok := textOf(arr, r); ok {
			return s
		}
	}
	return arr.ValueStr(r)
}

// textOf returns the text of a utf8 or binary value.
func textOf(arr arrow.Array, r int) (string, bool) {
	switch a := arr.(type) {
	case *array.String:
		return a.Value(r), true
	case *array.LargeString:
		return a.Value(r), true
	case *array.Binary:
		return a.ValueString(r), true
	case *array.LargeBinary:
		return a.ValueString(r), true
	}
	return "", false
}

type numberKind uint8

const (
	noNumber numberKind = iota
	signed
	unsigned
	floating
	boolean
)

// numberOf returns a number of any width, and a whole one exactly as int64.
func numberOf(arr arrow.Array, r int) (number float64, whole int64, kind numberKind) {
	i := func(v int64) (float64, int64, numberKind) { return float64(v), v, signed }
	u := func(v uint64) (float64, int64, numberKind) { return float64(v), int64(v), unsigned }
	f := func(v float64) (float64, int64, numberKind) { return v, int64(v), floating }
	switch a := arr.(type) {
	case *array.Int8:
		return i(int64(a.Value(r)))
	case *array.Int16:
		return i(int64(a.Value(r)))
	case *array.Int32:
		return i(int64(a.Value(r)))
	case *array.Int64:
		return i(a.Value(r))
	case *array.Uint8:
		return u(uint64(a.Value(r)))
	case *array.Uint16:
		return u(uint64(a.Value(r)))
	case *array.Uint32:
		return u(uint64(a.Value(r)))
	case *array.Uint64:
		return u(a.Value(r))
	case *array.Float16:
		return f(float64(a.Value(r).Float32()))
	case *array.Float32:
		return f(float64(a.Value(r)))
	case *array.Float64:
		return f(a.Value(r))
	case *array.Timestamp:
		unit := a.DataType().(*arrow.TimestampType).Unit
		return i(a.Value(r).ToTime(unit).UnixMilli())
	case *array.Date32:
		return i(a.Value(r).ToTime().UnixMilli())
	case *array.Date64:
		return i(int64(a.Value(r)))
	case *array.Decimal128:
		v, err := strconv.ParseFloat(a.ValueStr(r), 64) // rounded once, as the same number in text is
		if err != nil {
			v = a.Value(r).ToFloat64(a.DataType().(*arrow.Decimal128Type).Scale)
		}
		return f(v)
	case *array.Boolean:
		if a.Value(r) {
			return 1, 1, boolean
		}
		return 0, 0, boolean
	}
	return 0, 0, noNumber
}

// appendCanonical appends the canonical text of a number or boolean.
func appendCanonical(dst []byte, arr arrow.Array, r int) []byte {
	switch a := arr.(type) {
	case *array.Uint64:
		return strconv.AppendUint(dst, a.Value(r), 10)
	case *array.Float32:
		return appendFloat(dst, float64(a.Value(r)), 32)
	case *array.Boolean:
		return strconv.AppendBool(dst, a.Value(r))
	}
	number, whole, kind := numberOf(arr, r)
	if kind == floating {
		return appendFloat(dst, number, 64)
	}
	return strconv.AppendInt(dst, whole, 10)
}

// canonicalText is the text of a canonical column's value.
func canonicalText(arr arrow.Array, r int) string {
	if s, ok := textOf(arr, r); ok {
		return s
	}
	return string(appendCanonical(nil, arr, r))
}
