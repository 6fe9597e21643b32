package prepare

import (
	"fmt"
	"sort"
	"strings"
	"time"
)

func (p *pipeline) derive(kind string, d *Derive) error {
	c, err := p.table.column(d.Column)
	if err != nil {
		return err
	}
	var out *column
	switch {
	case (kind == "first" || kind == "last") && c.kind == listKind:
		out = oneOfList(c, kind == "last")
	case c.kind == listKind:
		return fmt.Errorf("column %q holds lists; a single value is needed", d.Column)
	case kind == "first":
		out = mapText(c, func(s string) string {
			first, _, _ := strings.Cut(s, d.Separator)
			return strings.TrimSpace(first)
		})
	case kind == "last":
		out = mapText(c, func(s string) string {
			if i := strings.LastIndex(s, d.Separator); i >= 0 {
				s = s[i+len(d.Separator):]
			}
			return strings.TrimSpace(s)
		})
	case kind == "split":
		out = splitText(c, d.Separator)
	case kind == "match":
		out, err = matchText(c, d.Pattern)
	case kind == "bucket":
		out, err = bucket(c, d.Bounds)
	case kind == "time_part":
		out, err = timePart(c, d)
	}
	if err != nil {
		return err
	}
	p.table.put(out.named(d.Into))
	return nil
}

// mapText gives each value's text another; it works once a distinct value.
func mapText(c *column, f func(string) string) *column {
	d := newDictionary()
	out := &column{kind: textKind, dict: d, code: make([]uint32, c.rows())}
	known := map[string]uint32{}
	for r := range out.code {
		if c.absent(r) {
			out.code[r] = missingCode
			continue
		}
		text := c.text(r)
		code, ok := known[text]
		if !ok {
			code = d.of(f(text))
			known[text] = code
		}
		out.code[r] = code
	}
	return out
}

// oneOfList takes each list's first or last element; an empty list has none.
func oneOfList(c *column, last bool) *column {
	rows := make([]int32, c.rows())
	for r := range rows {
		switch {
		case c.absent(r):
			rows[r] = -1
		case last:
			rows[r] = int32(c.element(c.end[r] - 1))
		default:
			rows[r] = int32(c.element(c.start[r]))
		}
	}
	return c.elems.take(rows)
}

func splitText(c *column, separator string) *column {
	elems := &column{kind: textKind, dict: newDictionary()}
	out := &column{kind: listKind, elems: elems}
	type span struct{ start, end int64 }
	known := map[string]span{}
	for r := range c.rows() {
		var s span
		if !c.absent(r) {
			text := c.text(r)
			var ok bool
			if s, ok = known[text]; !ok {
				s.start = int64(len(elems.code))
				for e := range strings.SplitSeq(text, separator) {
					if e = strings.TrimSpace(e); e != "" {
						elems.code = append(elems.code, elems.dict.of(e))
					}
				}
				s.end = int64(len(elems.code))
				known[text] = s
			}
		}
		out.start, out.end = append(out.start, s.start), append(out.end, s.end)
	}
	return out
}

// numbers calls f with each row's number; a value that is none is an error.
func numbers(c *column, f func(r int, v float64, missing bool)) error {
	for r := range c.rows() {
		v, ok := c.number(r)
		if !ok && !c.absent(r) {
			return fmt.Errorf("column %q, value %.60q: not a number (under a source's types the error names the line)", c.name, c.text(r))
		}
		f(r, v, !ok)
	}
	return nil
}

func bucket(c *column, bounds []float64) (*column, error) {
	out := &column{kind: integerKind, ints: make([]int64, c.rows())}
	err := numbers(c, func(r int, v float64, missing bool) {
		if missing {
			out.ints[r] = missingInteger
			return
		}
		out.ints[r] = int64(sort.Search(len(bounds), func(i int) bool { return bounds[i] > v }))
	})
	return out, err
}

func timePart(c *column, d *Derive) (*column, error) {
	if c.kind != integerKind {
		return nil, fmt.Errorf("column %q is %s; want time or integer under its source's types", d.Column, c.kind)
	}
	text := d.Part == "date"
	out := &column{kind: integerKind}
	if text {
		out.kind, out.dict = textKind, newDictionary()
	}
	for r, v := range c.ints {
		if c.absent(r) {
			if text {
				out.code = append(out.code, missingCode)
			} else {
				out.ints = append(out.ints, missingInteger)
			}
			continue
		}
		t := time.UnixMilli(v)
		if d.Unit == "s" {
			t = time.Unix(v, 0)
		}
		switch t = t.UTC(); d.Part {
		case "hour":
			out.ints = append(out.ints, int64(t.Hour()))
		case "weekday":
			out.ints = append(out.ints, int64(t.Weekday()))
		default:
			out.code = append(out.code, out.dict.of(t.Format(time.DateOnly)))
		}
	}
	return out, nil
}

func setOf(values []string) map[string]bool {
	m := make(map[string]bool, len(values))
	for _, v := range values {
		m[v] = true
	}
	return m
}
