package training

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"

	"github.com/millrace/millrace/features"
)

// numberBins is how many bins of about equal counts the values of a number are cut into where each value of its own would be too many slices.
const numberBins = 10

// slice is the rows of one value of a field, or of a range of its values.
type slice struct {
	name string
	rows []uint32
}

// slicer collects which rows hold which values of one field or column: the categories themselves, every value of a multi field, numbers by value or range, sequences by their length.
// It takes 4 bytes a row and value, 8 for numbers and for fields of several values.
type slicer struct {
	name   string
	column string
	field  *features.Field // nil: a column that the schema does not name
	rows   int

	numbers []float64         // of every row, NaN where missing; or
	ids     []uint32          // values, one a row where of is nil
	of      []uint32          // the value's row
	known   map[string]uint32 // a value's id
	values  []string
}

// newSlicers resolves names of fields, or of columns.
func newSlicers(s *features.Schema, names []string) ([]*slicer, error) {
	var out []*slicer
	for _, n := range names {
		x := &slicer{name: n, column: n, known: map[string]uint32{}}
		if i := s.Field(n); i >= 0 {
			x.field = &s.Fields[i]
			x.column = x.field.Column
		}
		if n == "" || slices.ContainsFunc(out, func(o *slicer) bool { return o.name == n }) {
			return nil, refuse("slice %q: want each field once, by its name", n)
		}
		out = append(out, x)
	}
	return out, nil
}

// withColumns is s, and text fields over it for what the slicers read beside it.
func withColumns(s *features.Schema, slicers []*slicer) *features.Schema {
	out := *s
	out.Fields = slices.Clone(s.Fields)
	for _, x := range slicers {
		if x.field == nil {
			out.Fields = append(out.Fields, features.Field{Name: x.name, Column: x.column, Kind: features.Categorical})
		}
	}
	return &out
}

// add takes the values of a record's rows.
func (s *slicer) add(rec arrow.Record) error {
	column := columnOf(rec, s.column)
	if column == nil && s.field != nil {
		column = columnOf(rec, s.field.Name)
	}
	if column == nil {
		return refuse("slice %s: the data has no column %q", s.name, s.column)
	}
	switch a := column.(type) {
	case *array.String:
		for i := range a.Len() {
			text := ""
			if !a.IsNull(i) {
				text = a.Value(i)
			}
			s.ids = append(s.ids, s.id(text))
		}
	case *array.Float64:
		for i := range a.Len() {
			x := math.NaN()
			if !a.IsNull(i) {
				x = a.Value(i)
			}
			s.numbers = append(s.numbers, x)
		}
	case *array.Int64:
		for i := range a.Len() {
			x := math.NaN()
			if !a.IsNull(i) {
				x = float64(a.Value(i))
			}
			s.numbers = append(s.numbers, x)
		}
	case *array.List:
		s.addLists(a)
	default:
		return fmt.Errorf("slice %s: column %s is %s", s.name, s.column, column.DataType())
	}
	s.rows += column.Len()
	return nil
}

func (s *slicer) addLists(a *array.List) {
	values := a.ListValues().(*array.String)
	for i := range a.Len() {
		from, to := int64(0), int64(0)
		if !a.IsNull(i) {
			from, to = a.ValueOffsets(i)
		}
		if s.field != nil && s.field.Kind == features.Sequence {
			s.numbers = append(s.numbers, float64(to-from))
			continue
		}
		first := len(s.ids)
		for v := from; v < to; v++ {
			id := s.id(values.Value(int(v)))
			if !slices.Contains(s.ids[first:], id) {
				s.ids, s.of = append(s.ids, id), append(s.of, uint32(s.rows+i))
			}
		}
		if from == to {
			s.ids, s.of = append(s.ids, s.id("")), append(s.of, uint32(s.rows+i))
		}
	}
}

func (s *slicer) id(text string) uint32 {
	id, ok := s.known[text]
	if !ok {
		id = uint32(len(s.values))
		s.known[text], s.values = id, append(s.values, text)
	}
	return id
}

// slices cuts the rows: at most top values with the most rows each on their own, in that order, the others together; numbers ascending.
func (s *slicer) slices(top int) []slice {
	if s.numbers == nil && s.of == nil && len(s.values) > top {
		s.readNumbers()
	}
	if s.numbers != nil {
		return s.ofNumbers(top)
	}
	counts := make([]int, len(s.values))
	for _, id := range s.ids {
		counts[id]++
	}
	order := make([]uint32, len(counts))
	for i := range order {
		order[i] = uint32(i)
	}
	slices.SortFunc(order, func(a, b uint32) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(s.values[a], s.values[b]))
	})
	place := make([]int, len(counts)) // of a value's slice
	var out []slice
	for k, id := range order {
		if k >= top && len(order) > top+1 {
			place[id] = top
			if k == top {
				out = append(out, slice{name: fmt.Sprintf("(%d others)", len(order)-top)})
			}
			continue
		}
		place[id] = k
		name := s.values[id]
		if name == "" {
			name = "(missing)"
		}
		out = append(out, slice{name: name, rows: make([]uint32, 0, counts[id])})
	}
	for i, id := range s.ids {
		row := uint32(i)
		if s.of != nil {
			row = s.of[i]
		}
		x := &out[place[id]]
		if n := len(x.rows); n == 0 || x.rows[n-1] != row { // several of the others in one row
			x.rows = append(x.rows, row)
		}
	}
	return out
}

// readNumbers turns a text column of too many values into numbers, where all its values are some.
func (s *slicer) readNumbers() {
	numbers := make([]float64, len(s.values))
	for i, v := range s.values {
		if v == "" {
			numbers[i] = math.NaN()
			continue
		}
		x, err := strconv.ParseFloat(v, 64)
		if err != nil || s.field != nil { // the schema says that these are categories
			return
		}
		numbers[i] = x
	}
	s.numbers = make([]float64, len(s.ids))
	for i, id := range s.ids {
		s.numbers[i] = numbers[id]
	}
}

// ofNumbers cuts by value where there are few, else into bins of about equal counts; equal values stay together.
func (s *slicer) ofNumbers(top int) []slice {
	var missing []uint32
	order := make([]uint32, 0, len(s.numbers))
	for i, x := range s.numbers {
		if x != x {
			missing = append(missing, uint32(i))
		} else {
			order = append(order, uint32(i))
		}
	}
	slices.SortFunc(order, func(a, b uint32) int { return cmp.Or(cmp.Compare(s.numbers[a], s.numbers[b]), cmp.Compare(a, b)) })
	distinct := 0
	for i, r := range order {
		if i == 0 || s.numbers[r] != s.numbers[order[i-1]] {
			distinct++
		}
	}
	bins := numberBins
	if distinct <= top {
		bins = len(order)
	}
	var out []slice
	for i := 0; i < len(order); {
		end := i + 1
		if bins < len(order) {
			bin := i*bins/len(order) + 1
			end = max(end, min((bin*len(order)+bins-1)/bins, len(order)))
		}
		for end < len(order) && s.numbers[order[end]] == s.numbers[order[end-1]] {
			end++
		}
		name := numberText(s.numbers[order[i]])
		if last := numberText(s.numbers[order[end-1]]); last != name {
			name += " to " + last
		}
		rows := slices.Clone(order[i:end])
		slices.Sort(rows)
		out = append(out, slice{name, rows})
		i = end
	}
	if missing != nil {
		out = append(out, slice{"(missing)", missing})
	}
	return out
}

func numberText(x float64) string {
	if x == math.Trunc(x) && math.Abs(x) < 1e15 {
		return strconv.FormatFloat(x, 'f', -1, 64)
	}
	return strconv.FormatFloat(x, 'g', 5, 64)
}
