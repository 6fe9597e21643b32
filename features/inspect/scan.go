package inspect

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"

	"github.com/millrace/millrace/features"
)

// Options tune File.
type Options struct {
	Label   string // the label's column; empty: the likeliest by name and values
	Rows    int64  // rows to read; 0: all
	SkipBad int64  // unusable rows that are passed over
}

// labelValues is how many values a label column may have.
const labelValues = 64

// survey is all that a pass over a file finds out.
type survey struct {
	path     string
	dialect  features.Dialect
	text     bool
	columns  []*profile
	label    *profile // nil while unknown
	values   []string // the label's, in order of first sight; profiles count rows by their places
	place    map[string]int
	sample   sample
	labels   []int8 // of the sampled rows
	rows     int64
	bad      int64
	whole    bool // the file was read to its end
	notes    []string
	tooMany  bool
	rowLabel []int
}

// look sniffs the file and reads it once.
func look(ctx context.Context, path string, o Options, progress func(share float64, rows int64)) (*survey, error) {
	kind, err := features.KindOf(path)
	if err != nil {
		return nil, err
	}
	s := &survey{path: path, text: kind == features.TextFile, place: map[string]int{}}
	var names []string
	var lists map[string]bool
	if s.text {
		s.dialect, names, s.notes, err = sniff(path)
	} else {
		names, lists, s.notes, err = typedColumns(path, kind)
	}
	if err != nil {
		return nil, err
	}
	for i, n := range names {
		if n == "" {
			s.notes = append(s.notes, fmt.Sprintf("column %d has no name and is left out", i+1))
			continue
		}
		s.columns = append(s.columns, newProfile(n, lists[n]))
	}
	if s.dialect.Format == "libfm" {
		s.columns = append([]*profile{newProfile("label", false)}, s.columns...)
	}
	name := o.Label
	if name == "" {
		name, err = s.guessLabel()
		if err != nil {
			return nil, err
		}
	} else if s.column(name) == nil {
		return nil, &features.SchemaError{Reason: fmt.Sprintf("no column %q to be the label; the columns are %s", name, strings.Join(names, ", "))}
	}
	s.label = s.column(name)
	return s, s.read(ctx, o, progress)
}

func (s *survey) column(name string) *profile {
	for _, c := range s.columns {
		if c.name == name {
			return c
		}
	}
	return nil
}

// schema reads every column as texts, lists as lists.
func (s *survey) schema() (*features.Schema, error) {
	out := &features.Schema{CSV: s.dialect}
	for i, c := range s.columns {
		if s.dialect.Format == "libfm" && i == 0 {
			out.Labels = []features.Label{{Name: c.name, Positive: []string{"1"}}}
			continue
		}
		f := features.Field{Name: c.name, Kind: features.Categorical, From: features.FromContext}
		if c.list {
			f.Kind, f.Max = features.Multi, 1<<20
		}
		out.Fields = append(out.Fields, f)
	}
	return out, out.Complete()
}

func (s *survey) read(ctx context.Context, o Options, progress func(float64, int64)) error {
	schema, err := s.schema()
	if err != nil {
		return err
	}
	r, err := features.Open(schema, []string{s.path}, features.ReadOptions{SkipBad: o.SkipBad, Labels: s.dialect.Format == "libfm"})
	if err != nil {
		return err
	}
	defer r.Close()
	for o.Rows == 0 || s.rows < o.Rows {
		if err := ctx.Err(); err != nil {
			return err
		}
		rec, err := r.Next()
		if errors.Is(err, io.EOF) {
			s.whole = true
			break
		}
		if err != nil {
			return err
		}
		err = s.take(rec)
		rec.Release()
		if err != nil {
			return err
		}
		if progress != nil {
			progress(r.Progress(), s.rows)
		}
	}
	s.bad = r.BadRows()
	if s.rows == 0 {
		return &features.DataError{File: s.path, Reason: "the file has no rows"}
	}
	return nil
}

// take adds a record's rows to the profiles.
func (s *survey) take(rec arrow.Record) error {
	n := int(rec.NumRows())
	columns := make([]func(r int) (string, bool), len(s.columns))
	for i, c := range s.columns {
		at := rec.Schema().FieldIndices(c.name)
		if len(at) != 1 {
			return &features.DataError{File: s.path, Field: c.name, Reason: "no such column"}
		}
		columns[i] = texts(rec.Column(at[0]))
	}
	s.rowLabel = s.rowLabel[:0]
	for r := range n {
		s.rowLabel = append(s.rowLabel, s.labelOf(columns, r))
	}
	for r := range n {
		label := s.rowLabel[r]
		sampled := s.sample.add(s.rows, func(stay []int) {
			for _, c := range s.columns {
				c.compact(stay)
			}
			for to, i := range stay {
				s.labels[to] = s.labels[i]
			}
			s.labels = s.labels[:len(stay)]
		})
		if sampled {
			s.labels = append(s.labels, int8(label))
		}
		for i, c := range s.columns {
			v, present := columns[i](r)
			c.add(v, present, label, sampled)
		}
		s.rows++
	}
	return nil
}

// labelOf numbers the row's label value, -1 where it is missing or beyond what a label may have.
func (s *survey) labelOf(columns []func(int) (string, bool), r int) int {
	if s.label == nil {
		return -1
	}
	for i, c := range s.columns {
		if c != s.label {
			continue
		}
		v, present := columns[i](r)
		if !present || isMissing(v) {
			return -1
		}
		at, ok := s.place[v]
		if !ok {
			if len(s.values) == labelValues {
				s.tooMany = true
				return -1
			}
			v = strings.Clone(v)
			at = len(s.values)
			s.place[v] = at
			s.values = append(s.values, v)
		}
		return at
	}
	return -1
}

// texts reads a column's values as texts: a list by its elements.
func texts(a arrow.Array) func(r int) (string, bool) {
	switch a := a.(type) {
	case *array.String:
		return func(r int) (string, bool) { return a.Value(r), a.IsValid(r) }
	case *array.List:
		values, ok := a.ListValues().(*array.String)
		if !ok {
			break
		}
		return func(r int) (string, bool) {
			from, to := a.ValueOffsets(r)
			var b strings.Builder
			for e := from; e < to; e++ {
				if b.Len() > 0 {
					b.WriteByte('|')
				}
				b.WriteString(values.Value(int(e)))
			}
			return b.String(), a.IsValid(r) && to > from
		}
	}
	return func(r int) (string, bool) { return a.ValueStr(r), a.IsValid(r) }
}

// isDate reports whether the readers of training take a text for a date and time.
func isDate(s string) bool {
	if len(s) < 10 || s[4] != '-' {
		return false
	}
	for _, form := range []string{"2006-01-02 15:04:05", time.RFC3339, "2006-01-02T15:04:05", time.DateOnly, "2006-01-02 15:04:05Z07:00"} {
		if _, err := time.Parse(form, s); err == nil {
			return true
		}
	}
	return false
}
