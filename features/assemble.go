package features

import (
	"fmt"
	"unicode/utf8"
	"unsafe"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/memory"
)

// Row is one impression or candidate to encode.
type Row struct {
	User, Item                          string
	UserFeatures, ItemFeatures, Context Values
	History                             History
	TimeMS                              int64
	Labels                              map[string]float64 // by label name; absent: missing. Only with labels.
	Weight                              float64            // 0: 1
}

// Assembler builds records of RecordSchema from rows: the one code by which the daemon and the server make what the encoder reads. It belongs to one goroutine.
type Assembler struct {
	schema *Schema
	layout *layout
	build  *recordBuilder
	cells  []cell
	from   []func(r *Row, out *cell) fault // one a column of the layout
	labels []labelTexts
	text   []byte // of the row at hand

	element cell // of a list at hand
}

// NewAssembler returns an assembler for s.
func NewAssembler(s *Schema, withLabels bool) *Assembler {
	return NewAssemblerIn(memory.NewGoAllocator(), s, withLabels)
}

// NewAssemblerIn is NewAssembler with records in alloc's memory.
func NewAssemblerIn(alloc memory.Allocator, s *Schema, withLabels bool) *Assembler {
	l := newLayout(s)
	a := &Assembler{schema: s, layout: l, cells: make([]cell, len(l.columns))}
	a.build = newRecordBuilder(alloc, l, func(c *column) bool { return withLabels || c.needed() })
	for i := range l.columns {
		a.from = append(a.from, a.source(&l.columns[i]))
		a.labels = append(a.labels, newLabelTexts(l, &l.columns[i]))
	}
	return a
}

// Append adds a row; an error, a *RowError, names the field whose value has the wrong type, and leaves the record as it was.
func (a *Assembler) Append(r *Row) error {
	a.text = a.text[:0]
	for _, at := range a.build.columns {
		c := &a.layout.columns[at]
		out := &a.cells[at]
		out.missing, out.list = false, out.list[:0]
		var ft fault
		if len(c.labels) > 0 {
			ft = a.label(c, &a.labels[at], r, out)
		} else {
			ft = a.from[at](r, out)
		}
		if ft.bad() {
			return &RowError{Row: a.Len(), Field: ft.field, Reason: ft.reason}
		}
	}
	a.build.append(a.cells)
	return nil
}

// Len is the number of rows since the last Record.
func (a *Assembler) Len() int { return a.build.rows }

// Record returns the rows so far as a record, which the caller releases, and starts anew.
func (a *Assembler) Record() arrow.Record { return a.build.record() }

// Release frees the assembler's memory, where its allocator counts it.
func (a *Assembler) Release() { a.build.release() }

// source says where a column's value comes from.
func (a *Assembler) source(c *column) func(r *Row, out *cell) fault {
	s := a.schema
	if c.user {
		return func(r *Row, out *cell) fault { return a.put(c, r.User, out) }
	}
	if c.item {
		return func(r *Row, out *cell) fault { return a.put(c, r.Item, out) }
	}
	if c.time {
		return func(r *Row, out *cell) fault { return a.put(c, r.TimeMS, out) }
	}
	if c.weight {
		return func(r *Row, out *cell) fault {
			w := r.Weight
			if w == 0 {
				w = 1
			}
			return a.put(c, w, out)
		}
	}
	if len(c.fields) == 0 {
		return func(r *Row, out *cell) fault {
			for _, v := range []Values{r.Context, r.UserFeatures, r.ItemFeatures} {
				if x, ok := v[c.name]; ok {
					return a.put(c, x, out)
				}
			}
			return a.put(c, nil, out)
		}
	}
	f := &s.Fields[c.fields[0]]
	switch f.From {
	case FromUser:
		if f.Name == s.User {
			return func(r *Row, out *cell) fault { return a.put(c, r.User, out) }
		}
		return func(r *Row, out *cell) fault { return a.put(c, f.in(r.UserFeatures), out) }
	case FromItem:
		if f.Name == s.Item {
			return func(r *Row, out *cell) fault { return a.put(c, r.Item, out) }
		}
		return func(r *Row, out *cell) fault { return a.put(c, f.in(r.ItemFeatures), out) }
	case FromHistory:
		return func(r *Row, out *cell) fault { return a.history(c, f, r.History, out) }
	}
	return func(r *Row, out *cell) fault { return a.put(c, f.in(r.Context), out) }
}

// in finds the field among values, by its name, else by its column.
func (f *Field) in(v Values) any {
	if x, ok := v[f.Name]; ok {
		return x
	}
	return v[f.Column]
}

// put fills a cell with a value of any accepted type.
func (a *Assembler) put(c *column, v any, out *cell) fault {
	if c.form == listForm {
		return a.putList(c, v, out)
	}
	if n, ok := numberValue(v); ok && c.form != textForm {
		if c.form == instantForm {
			t, whole := wholeValue(v)
			if !whole {
				return fault{c.name, errInstant.Error()}
			}
			out.instant = t
			return fault{}
		}
		out.number = n
		return a.layout.checkNumber(c, n)
	}
	text, ft := a.textOf(c, v, out)
	if ft.bad() {
		return ft
	}
	if out.missing {
		return fault{}
	}
	if ft := a.layout.readText(c, text, false, out); ft.bad() {
		ft.reason = fmt.Sprintf("value %q: %s", clip(string(text)), ft.reason)
		return ft
	}
	return fault{}
}

func (a *Assembler) putList(c *column, v any, out *cell) fault {
	add := func(e any) fault {
		one := &a.element
		one.missing = false
		text, ft := a.textOf(c, e, one)
		if one.missing {
			text = nil
		}
		out.list = append(out.list, text)
		return ft
	}
	switch l := v.(type) {
	case []any:
		for _, e := range l {
			if ft := add(e); ft.bad() {
				return ft
			}
		}
		return fault{}
	case []string:
		for _, e := range l {
			if ft := add(e); ft.bad() {
				return ft
			}
		}
		return fault{}
	}
	text, ft := a.textOf(c, v, out)
	if ft.bad() || out.missing {
		return ft
	}
	return a.layout.readText(c, text, false, out)
}

// history fills a list with one element a behaviour, the newest History.Max: missing ones stay, so that lists of one history keep equal lengths.
func (a *Assembler) history(c *column, f *Field, h History, out *cell) fault {
	if most := a.schema.History.Max; len(h) > most {
		h = h[len(h)-most:]
	}
	what := a.schema.remembered(f)
	for i := range h {
		var v any
		switch what {
		case rememberItem, rememberAction:
			text := h[i].Item
			if what == rememberAction {
				text = h[i].Action
			}
			// Not through textOf: a string made an any costs an allocation.
			if !utf8.ValidString(text) {
				return fault{a.layout.fieldName(c), "invalid UTF-8"}
			}
			out.list = append(out.list, bytesOf(text))
			continue
		default:
			v = h[i].Attributes[f.Attribute]
		}
		one := &a.element
		one.missing = false
		text, ft := a.textOf(c, v, one)
		if ft.bad() {
			return ft
		}
		if one.missing {
			text = nil
		}
		out.list = append(out.list, text)
	}
	return fault{}
}

// textOf returns a value's canonical text; out.missing is set for nil.
func (a *Assembler) textOf(c *column, v any, out *cell) ([]byte, fault) {
	from := len(a.text)
	switch x := v.(type) {
	case nil:
		out.missing = true
		return nil, fault{}
	case string:
		if !utf8.ValidString(x) {
			return nil, fault{a.layout.fieldName(c), "invalid UTF-8"}
		}
		return bytesOf(x), fault{}
	default:
		var ok bool
		if a.text, ok = appendValue(a.text, v); !ok {
			return nil, fault{a.layout.fieldName(c), fmt.Sprintf("a value of type %T; want text, a number, true or false", v)}
		}
	}
	return a.text[from:len(a.text):len(a.text)], fault{}
}

// bytesOf reads a string as bytes, which must not be changed; it is not nil for the empty one.
func bytesOf(s string) []byte {
	if s == "" {
		return []byte{}
	}
	return unsafe.Slice(unsafe.StringData(s), len(s))
}
