package features

import (
	"fmt"
	"io"
	"math"

	"github.com/apache/arrow/go/v15/arrow"
)

// Fit makes one pass over the training rows: numeric statistics and the vocabulary by minimum counts.
func Fit(s *Schema, files []string, part *Part, o ReadOptions, progress func(share float64)) (*Stats, Vocabulary, error) {
	f, err := newFitter(s)
	if err != nil {
		return nil, nil, err
	}
	if err := f.read(s, files, part, o, progress); err != nil {
		return nil, nil, err
	}
	return f.stats(), f.vocabulary(), nil
}

// read adds all rows.
func (f *fitter) read(s *Schema, files []string, part *Part, o ReadOptions, progress func(share float64)) error {
	r, err := openPart(s, files, part, o)
	if err != nil {
		return err
	}
	defer r.Close()
	for {
		rec, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		err = f.add(rec)
		rec.Release()
		if err != nil {
			return err
		}
		if progress != nil {
			progress(r.Progress())
		}
	}
	if f.rows == 0 {
		return emptyPart(part, files)
	}
	return nil
}

func emptyPart(part *Part, files []string) error {
	if part == nil {
		return &DataError{File: files[0], Reason: "no usable rows"}
	}
	return &DataError{File: files[0], Reason: fmt.Sprintf("the %s part of the split is empty", part.Name)}
}

// fitter gathers statistics record by record.
type fitter struct {
	encoder *Encoder
	batch   Batch
	rows    int64
	moments []moments // one a field
	tables  map[string]*counter
	fields  []*counter // one a field, nil without ids
}

func newFitter(s *Schema) (*fitter, error) {
	e, err := NewEncoder(s, nil)
	if err != nil {
		return nil, err
	}
	f := &fitter{encoder: e, moments: make([]moments, len(s.Fields)), tables: map[string]*counter{}, fields: make([]*counter, len(s.Fields))}
	for i := range s.Fields {
		field := &s.Fields[i]
		if !field.HasIDs() {
			continue
		}
		t := f.tables[field.Table()]
		if t == nil {
			t = newCounter(s.Fields[s.FieldOfTable(field.Table())].MinCount)
			f.tables[field.Table()] = t
		}
		f.fields[i] = t
	}
	return f, nil
}

func (f *fitter) add(rec arrow.Record) error {
	if err := f.encoder.EncodeInto(&f.batch, rec); err != nil {
		return err
	}
	f.rows += rec.NumRows()
	for i := range f.encoder.fields {
		fe := &f.encoder.fields[i]
		if t := f.fields[i]; t != nil {
			t.addAll(f.batch.Columns[i].IDs)
			continue
		}
		at := indexOf(rec.Schema(), fe.field.Column)
		m := &f.moments[i]
		if err := eachNumber(rec.Column(at), fe.field.Name, func(_ int, v float64, ok bool) error {
			if ok {
				if fe.field.Log {
					v = signedLog(v)
				}
				m.add(v)
			}
			return nil
		}); err != nil {
			return err
		}
	}
	return nil
}

func (f *fitter) stats() *Stats {
	st := &Stats{Rows: f.rows, Numeric: map[string]NumericStats{}}
	for i := range f.encoder.fields {
		if field := f.encoder.fields[i].field; !field.HasIDs() {
			m := &f.moments[i]
			st.Numeric[field.Name] = NumericStats{Mean: m.mean, Std: m.std(), Count: m.n}
		}
	}
	return st
}

func (f *fitter) vocabulary() Vocabulary {
	v := Vocabulary{}
	for name, t := range f.tables {
		v[name] = t.kept()
	}
	return v
}

// moments is Welford's running mean and sum of squared deviations.
type moments struct {
	n        int64
	mean, m2 float64
}

func (m *moments) add(v float64) {
	m.n++
	d := v - m.mean
	m.mean += d / float64(m.n)
	m.m2 += d * (v - m.mean)
}

// std is the population's deviation. One that is rounding only, as of a constant column, is 0.
func (m *moments) std() float64 {
	if m.n == 0 {
		return 0
	}
	s := math.Sqrt(m.m2 / float64(m.n))
	if s <= 1e-12*math.Abs(m.mean) {
		return 0
	}
	return s
}

// counter gathers the distinct ids of a table in order of first appearance, and their counts where a minimum asks for them.
type counter struct {
	least  int
	at     map[uint64]uint32 // id → place in order
	order  []uint64
	counts []uint32 // nil where every id is kept
}

func newCounter(least int) *counter {
	return &counter{least: least, at: map[uint64]uint32{}}
}

func (c *counter) addAll(ids []uint64) {
	for _, id := range ids {
		k, ok := c.at[id]
		if !ok {
			k = uint32(len(c.order))
			c.at[id] = k
			c.order = append(c.order, id)
			if c.least > 1 {
				c.counts = append(c.counts, 0)
			}
		}
		if c.counts != nil && c.counts[k] < math.MaxUint32 {
			c.counts[k]++
		}
	}
}

func (c *counter) kept() []uint64 {
	if c.least <= 1 {
		return c.order
	}
	out := make([]uint64, 0, len(c.order))
	for k, id := range c.order {
		if int(c.counts[k]) >= c.least {
			out = append(out, id)
		}
	}
	return out
}
