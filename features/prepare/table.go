package prepare

import (
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/millrace/millrace/internal/strict"
)

// kind is what a column holds.
type kind uint8

const (
	textKind kind = iota
	integerKind
	numberKind
	listKind
)

func (k kind) String() string { return [...]string{"text", "integer", "number", "list"}[k] }

// missing stands for a missing text, integer and row; a missing number is NaN.
const (
	missingCode    = math.MaxUint32
	missingInteger = math.MinInt64
)

// dictionary gives texts codes in order of first sight.
type dictionary struct {
	code  map[string]uint32
	texts []string
}

func newDictionary() *dictionary { return &dictionary{code: map[string]uint32{}} }

func (d *dictionary) of(b string) uint32 {
	if c, ok := d.code[b]; ok {
		return c
	}
	c := uint32(len(d.texts))
	s := string([]byte(b))
	d.texts = append(d.texts, s)
	d.code[s] = c
	return c
}

// column is one column of a table. Its values never change once it stands in a table, so tables share columns.
type column struct {
	name string
	kind kind
	dict *dictionary
	code []uint32  // text
	ints []int64   // integer
	nums []float64 // number

	// list: row r holds elements start[r] to end[r]. Element e is the value of elems at order[e], or at e where there is no order.
	elems      *column
	order      []int32
	start, end []int64
}

func (c *column) rows() int {
	switch c.kind {
	case textKind:
		return len(c.code)
	case integerKind:
		return len(c.ints)
	case numberKind:
		return len(c.nums)
	}
	return len(c.start)
}

// element is the row of elems that holds list element e.
func (c *column) element(e int64) int {
	if c.order != nil {
		return int(c.order[e])
	}
	return int(e)
}

// absent reports whether a row has no value: missing, or an empty list.
func (c *column) absent(r int) bool {
	switch c.kind {
	case textKind:
		return c.code[r] == missingCode
	case integerKind:
		return c.ints[r] == missingInteger
	case numberKind:
		return math.IsNaN(c.nums[r])
	}
	return c.start[r] == c.end[r]
}

// text is the canonical text of a single value; "" where it is missing.
func (c *column) text(r int) string {
	switch {
	case c.absent(r):
		return ""
	case c.kind == textKind:
		return c.dict.texts[c.code[r]]
	case c.kind == integerKind:
		return strconv.FormatInt(c.ints[r], 10)
	case c.kind == numberKind:
		return strconv.FormatFloat(c.nums[r], 'g', -1, 64)
	}
	return c.text0(r)
}

// text0 shows a list for a message.
func (c *column) text0(r int) string {
	s := ""
	for e := c.start[r]; e < c.end[r] && len(s) < 60; e++ {
		if s != "" {
			s += "|"
		}
		s += c.elems.text(c.element(e))
	}
	return s
}

// number is a single value as a number; ok is false where it is missing or is none.
func (c *column) number(r int) (v float64, ok bool) {
	switch {
	case c.absent(r):
		return 0, false
	case c.kind == integerKind:
		return float64(c.ints[r]), true
	case c.kind == numberKind:
		return c.nums[r], true
	case c.kind == textKind:
		v, err := strconv.ParseFloat(c.dict.texts[c.code[r]], 64)
		return v, err == nil && !math.IsNaN(v) && !math.IsInf(v, 0)
	}
	return 0, false
}

// take returns the column of the rows named, in that order; row -1 is a missing value.
func (c *column) take(rows []int32) *column {
	out := &column{name: c.name, kind: c.kind, dict: c.dict, elems: c.elems, order: c.order}
	switch c.kind {
	case textKind:
		out.code = pick(c.code, rows, missingCode)
	case integerKind:
		out.ints = pick(c.ints, rows, missingInteger)
	case numberKind:
		out.nums = pick(c.nums, rows, math.NaN())
	case listKind:
		out.start, out.end = pick(c.start, rows, 0), pick(c.end, rows, 0)
	}
	return out
}

func pick[T any](from []T, rows []int32, none T) []T {
	out := make([]T, len(rows))
	for i, r := range rows {
		if r < 0 {
			out[i] = none
		} else {
			out[i] = from[r]
		}
	}
	return out
}

// named is the column under another name.
func (c *column) named(name string) *column {
	out := *c
	out.name = name
	return &out
}

// append adds the rows of o, a column of the same kind.
func (c *column) append(o *column) *column {
	out := &column{name: c.name, kind: c.kind}
	switch c.kind {
	case textKind:
		out.dict = c.dict
		out.code = slices.Clone(c.code)
		to := make([]uint32, len(o.dict.texts))
		for i, t := range o.dict.texts {
			to[i] = out.dict.of(t)
		}
		for _, v := range o.code {
			if v != missingCode {
				v = to[v]
			}
			out.code = append(out.code, v)
		}
	case integerKind:
		out.ints = slices.Concat(c.ints, o.ints)
	case numberKind:
		out.nums = slices.Concat(c.nums, o.nums)
	case listKind:
		out.elems = c.elems.append(o.elems)
		out.start, out.end = slices.Clone(c.start), slices.Clone(c.end)
		shift := int64(c.elems.rows())
		for r := range o.start {
			out.start, out.end = append(out.start, o.start[r]+shift), append(out.end, o.end[r]+shift)
		}
	}
	return out
}

// table is columns of equal length. event numbers the row's event: a drawn negative has its positive's.
type table struct {
	columns []*column
	rows    int
	event   []int32
	drawn   bool // holds drawn negatives
}

func (t *table) names() []string {
	out := make([]string, len(t.columns))
	for i, c := range t.columns {
		out[i] = c.name
	}
	return out
}

func (t *table) find(name string) *column {
	for _, c := range t.columns {
		if c.name == name {
			return c
		}
	}
	return nil
}

// column finds a column that somebody needs.
func (t *table) column(name string) (*column, error) {
	if c := t.find(name); c != nil {
		return c, nil
	}
	return nil, fmt.Errorf("no column %q%s", name, strict.Meant(name, t.names()))
}

// single finds a column that must not hold lists.
func (t *table) single(name string) (*column, error) {
	c, err := t.column(name)
	if err == nil && c.kind == listKind {
		return nil, fmt.Errorf("column %q holds lists; a single value is needed", name)
	}
	return c, err
}

// put adds a column, or replaces the one of its name.
func (t *table) put(c *column) {
	for i, o := range t.columns {
		if o.name == c.name {
			t.columns = slices.Clone(t.columns)
			t.columns[i] = c
			return
		}
	}
	t.columns = append(slices.Clip(t.columns), c)
}

// take returns the table of the rows named, in that order.
func (t *table) take(rows []int32) *table {
	out := &table{rows: len(rows), event: pick(t.event, rows, -1), drawn: t.drawn}
	for _, c := range t.columns {
		out.columns = append(out.columns, c.take(rows))
	}
	return out
}

// numberEvents makes every row an event of its own.
func (t *table) numberEvents() {
	t.event = make([]int32, t.rows)
	for i := range t.event {
		t.event[i] = int32(i)
	}
}

// identify gives each distinct value of a single-valued column a number in order of first appearance; a missing value is -1.
func identify(c *column) (of []int32, count int) {
	of = make([]int32, c.rows())
	switch c.kind {
	case textKind:
		seen := make([]int32, len(c.dict.texts))
		for i := range seen {
			seen[i] = -1
		}
		for r, v := range c.code {
			if v == missingCode {
				of[r] = -1
				continue
			}
			if seen[v] < 0 {
				seen[v] = int32(count)
				count++
			}
			of[r] = seen[v]
		}
	default:
		seen := map[int64]int32{}
		for r := range of {
			if c.absent(r) {
				of[r] = -1
				continue
			}
			v := int64(0)
			if c.kind == integerKind {
				v = c.ints[r]
			} else {
				v = int64(math.Float64bits(c.nums[r] + 0))
			}
			id, ok := seen[v]
			if !ok {
				id = int32(count)
				seen[v] = id
				count++
			}
			of[r] = id
		}
	}
	return of, count
}
