package features

import "github.com/apache/arrow/go/v15/arrow"

// form is how a column stands in a canonical record.
type form uint8

const (
	textForm    form = iota // utf8
	numberForm              // float64
	instantForm             // int64
	listForm                // list<utf8>
)

func (f form) dataType() arrow.DataType {
	switch f {
	case numberForm:
		return arrow.PrimitiveTypes.Float64
	case instantForm:
		return arrow.PrimitiveTypes.Int64
	case listForm:
		return textList
	}
	return arrow.BinaryTypes.String
}

var textList = arrow.ListOf(arrow.BinaryTypes.String)

// column is one column of canonical records with all who read it: a field and a label may share one. Where they want different single-valued forms it is text.
type column struct {
	name                            string
	form                            form
	mixed                           bool
	fields, labels                  []int
	user, item, time, group, weight bool
	propensity                      bool
}

// needed reports whether rows cannot be encoded without the column even where labels are not asked for.
func (c *column) needed() bool { return len(c.fields) > 0 }

// layout is what a schema reads, column by column: fields first, then labels, user, item, timestamp, group, weight and propensity.
type layout struct {
	schema  *Schema
	columns []column
	missing missingSet
	label   []labelRule
}

func newLayout(s *Schema) *layout {
	l := &layout{schema: s, missing: newMissingSet(s.CSV.Missing)}
	for i := range s.Fields {
		f := &s.Fields[i]
		c := l.column(f.Column, fieldForm(f))
		c.fields = append(c.fields, i)
	}
	for i := range s.Labels {
		want := numberForm
		if len(s.Labels[i].Positive) > 0 {
			want = textForm
		}
		c := l.column(s.Labels[i].Column, want)
		c.labels = append(c.labels, i)
		l.label = append(l.label, newLabelRule(&s.Labels[i]))
	}
	if s.User != "" {
		l.column(s.User, textForm).user = true
	}
	if s.Item != "" {
		l.column(s.Item, textForm).item = true
	}
	if s.Timestamp != "" {
		l.column(s.Timestamp, instantForm).time = true
	}
	if g := s.GroupColumn(); g != "" {
		l.column(g, textForm).group = true
	}
	if s.Weight != "" {
		l.column(s.Weight, numberForm).weight = true
	}
	if s.Propensity.Column != "" {
		l.column(s.Propensity.Column, numberForm).propensity = true
	}
	return l
}

func fieldForm(f *Field) form {
	switch {
	case f.Ragged():
		return listForm
	case f.Kind == Numeric:
		return numberForm
	}
	return textForm
}

// column finds or adds a column that somebody wants in a form.
func (l *layout) column(name string, want form) *column {
	for i := range l.columns {
		c := &l.columns[i]
		if c.name != name {
			continue
		}
		if c.form != want {
			c.mixed = c.mixed || c.form == listForm || want == listForm
			c.form = textForm
		}
		return c
	}
	l.columns = append(l.columns, column{name: name, form: want})
	return &l.columns[len(l.columns)-1]
}

// names lists the columns' names.
func (l *layout) names() []string {
	out := make([]string, len(l.columns))
	for i := range l.columns {
		out[i] = l.columns[i].name
	}
	return out
}

// arrowSchema is the canonical schema over the columns that keep keeps.
func (l *layout) arrowSchema(keep func(c *column) bool) *arrow.Schema {
	var fields []arrow.Field
	for i := range l.columns {
		if c := &l.columns[i]; keep(c) {
			fields = append(fields, arrow.Field{Name: c.name, Type: c.form.dataType(), Nullable: true})
		}
	}
	return arrow.NewSchema(fields, nil)
}

// RecordSchema is the canonical Arrow schema of the records that readers, the daemon and the server make for s: categorical utf8, numeric float64, multi and sequence list<utf8>, labels by their rule (utf8 for Positive, else float64),
// timestamp int64, user and item utf8, group utf8, weight float64; a column that is read in two of these forms is utf8. Without labels (serving) only the fields' columns stand in it.
func (s *Schema) RecordSchema(withLabels bool) *arrow.Schema {
	return newLayout(s).arrowSchema(func(c *column) bool { return withLabels || c.needed() })
}
