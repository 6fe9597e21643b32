package features

import (
	"bytes"
	"fmt"
	"unicode/utf8"
)

// planLibfm maps the label and the fields in their order: the i-th pair feeds the i-th field.
func (f *textFile) planLibfm() error {
	s := f.layout.schema
	if len(s.Labels) > 1 {
		return &SchemaError{Reason: fmt.Sprintf("libfm files hold one label, the schema has %d", len(s.Labels))}
	}
	if len(s.Labels) == 1 {
		f.names, f.slots = append(f.names, s.Labels[0].Column), append(f.slots, f.layout.at(s.Labels[0].Column))
	} else {
		f.names, f.slots = append(f.names, "label"), append(f.slots, -1)
	}
	for i := range f.layout.columns {
		c := &f.layout.columns[i]
		switch {
		case c.form == listForm:
			return fieldError(&s.Fields[c.fields[0]], "libfm files hold no lists")
		case len(c.fields) > 0 && len(c.labels) > 0:
			return fieldError(&s.Fields[c.fields[0]], "the column is the label, which libfm files hold once")
		case len(c.fields) > 0:
			f.names, f.slots = append(f.names, c.name), append(f.slots, i)
		case len(c.labels) == 0 && f.labels:
			return &SchemaError{Reason: fmt.Sprintf("column %q: libfm files hold the label and the fields only", c.name)}
		}
	}
	return nil
}

// pairs cuts the next row: the label, then the index of each pair where a field is a category, its value where it is a number.
func (f *textFile) pairs() (textRow, error) {
	for {
		line, size, err := f.lines.peek(0)
		if err != nil || size == 0 {
			return textRow{}, err
		}
		row := textRow{line: f.lines.line, raw: line, size: size, count: 1}
		rest := trimBlanks(line)
		if len(rest) == 0 {
			f.lines.take(size, 1)
			continue
		}
		if f.split == nil {
			f.split = &rowSplitter{}
		}
		row.values = f.split.values[:0]
		for len(rest) > 0 && row.reason == "" {
			var token []byte
			if i := bytes.IndexAny(rest, " \t"); i >= 0 {
				token, rest = rest[:i], trimBlanks(rest[i:])
			} else {
				token, rest = rest, nil
			}
			if k := len(row.values); k > 0 {
				token, row.reason = f.pair(k, token)
			}
			row.values = append(row.values, token)
		}
		f.split.values = row.values
		return row, nil
	}
}

func (f *textFile) pair(k int, token []byte) (value []byte, reason string) {
	index, number, ok := bytes.Cut(token, []byte{':'})
	if !ok || !isIndex(index) || len(number) == 0 {
		return token, fmt.Sprintf("pair %d: %q is not index:value", k, clip(string(token)))
	}
	if k < len(f.slots) && f.layout.columns[f.slots[k]].form == numberForm {
		return number, ""
	}
	if _, err := parseNumber(view(number)); err != nil && !f.layout.missing.has(view(number)) {
		return token, fmt.Sprintf("pair %d: %q: the value is %s", k, clip(string(token)), err)
	}
	return index, ""
}

// isIndex reports whether b is a whole number; bytes that are no UTF-8 pass, for they get an error of their own.
func isIndex(b []byte) bool {
	for _, c := range b {
		if c < '0' || c > '9' {
			return !utf8.Valid(b)
		}
	}
	return len(b) > 0
}
