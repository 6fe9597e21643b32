package features

import (
	"fmt"
	"math"
	"sort"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/zeebo/xxh3"
)

// Stats is what encoding learns from the training data: means and deviations of numeric fields, and vocabulary counts. It travels in the checkpoint as JSON.
type Stats struct {
	Rows    int64                   `json:"rows"`
	Numeric map[string]NumericStats `json:"numeric"`
}

// NumericStats are of the value after log, over rows where it is present.
type NumericStats struct {
	Mean  float64 `json:"mean"`
	Std   float64 `json:"std"`
	Count int64   `json:"count"`
}

// Vocabulary holds, for each table name, the ids that reached the field's minimum count, in order of first appearance.
type Vocabulary map[string][]uint64

// Encoder turns Arrow records into batches. It is immutable; EncodeInto may run on several goroutines with distinct batches.
type Encoder struct {
	schema *Schema
	stats  *Stats
	layout *layout
	fields []fieldEncoder
	group  uint64 // seed
}

// fieldEncoder is what encoding one field needs.
type fieldEncoder struct {
	field   *Field
	column  int // of the layout
	seed    uint64
	missing uint64 // id
	buckets []uint64
	mean    float64
	scale   float64 // 1/std where standardised, else 0
	fill    float32 // of a missing number
}

// NewEncoder returns an encoder; st may be nil when no field needs training statistics (streaming from nothing: numeric fields pass unstandardised).
func NewEncoder(s *Schema, st *Stats) (*Encoder, error) {
	e := &Encoder{schema: s, stats: st, layout: newLayout(s), group: seedOf("group")}
	for i := range s.Fields {
		f := &s.Fields[i]
		fe := fieldEncoder{field: f, column: e.layout.at(f.Column), seed: seedOf(f.Table()), missing: MissingID(f.Table())}
		for b := 0; f.Kind == Numeric && len(f.Buckets) > 0 && b <= len(f.Buckets); b++ {
			fe.buckets = append(fe.buckets, ID(f.Table(), fmt.Sprint(b)))
		}
		if st != nil && !f.HasIDs() {
			n, ok := st.Numeric[f.Name]
			if !ok {
				return nil, fieldError(f, "the training statistics do not hold it")
			}
			fe.mean, fe.fill = n.Mean, float32(n.Mean)
			if f.Standardise {
				fe.scale, fe.fill = 1, 0
				if n.Std > 0 {
					fe.scale = 1 / n.Std
				}
			}
		}
		e.fields = append(e.fields, fe)
	}
	return e, nil
}

// Schema returns the encoder's schema.
func (e *Encoder) Schema() *Schema { return e.schema }

// EncodeInto replaces b by the encoding of rec, whose columns are found by name: one a field (Column or Name), labels, weight, group, timestamp. Label and weight columns may be absent (serving).
// Accepted types: utf8, binary, dictionaries, all integers, floats, booleans; lists of these for multi and sequence. An integer and its decimal text are the same category. A *RowError names row, field and value.
func (e *Encoder) EncodeInto(b *Batch, rec arrow.Record) error {
	rows := int(rec.NumRows())
	b.shape(len(e.fields), len(e.schema.Labels))
	b.park()
	b.Rows = rows
	for i := range e.layout.columns {
		c := &e.layout.columns[i]
		at := indexOf(rec.Schema(), c.name)
		if at < 0 && len(c.fields) > 0 {
			// A column may also stand under the field's own name.
			at = indexOf(rec.Schema(), e.schema.Fields[c.fields[0]].Name)
		}
		if at < 0 {
			if e.layout.dispensable(c) {
				if err := e.absent(b, c); err != nil {
					return err
				}
				continue
			}
			if c.needed() {
				return &SchemaError{Reason: fmt.Sprintf("field %q: the record has no column %q", e.layout.fieldName(c), c.name)}
			}
			continue
		}
		if err := e.column(b, c, rec.Column(at)); err != nil {
			return err
		}
	}
	for i := range b.Labels {
		if indexOf(rec.Schema(), e.schema.Labels[i].Column) < 0 {
			b.Labels[i] = resize(b.Labels[i], rows)
			for r := range b.Labels[i] {
				b.Labels[i][r] = missingLabel
			}
		}
	}
	return nil
}

func indexOf(s *arrow.Schema, name string) int {
	if at := s.FieldIndices(name); len(at) > 0 {
		return at[0]
	}
	return -1
}

// absent encodes a column that the record has not got as missing in every row.
func (e *Encoder) absent(b *Batch, c *column) error {
	none := array.MakeArrayOfNull(e.layout.allocator(), c.form.dataType(), b.Rows)
	defer none.Release()
	return e.column(b, c, none)
}

// column gives a column to all who read it.
func (e *Encoder) column(b *Batch, c *column, arr arrow.Array) error {
	if !arrow.TypeEqual(arr.DataType(), c.form.dataType()) {
		canonical, bad := e.layout.normalise(c, arr, e.layout.allocator(), false)
		if bad != nil {
			return bad
		}
		defer canonical.Release()
		arr = canonical
	}
	for _, i := range c.fields {
		if err := e.encodeField(&b.Columns[i], &e.fields[i], c, arr); err != nil {
			return err
		}
	}
	for _, i := range c.labels {
		b.Labels[i] = resize(b.Labels[i], b.Rows)
		if err := e.encodeLabel(b.Labels[i], &e.layout.label[i], arr); err != nil {
			return err
		}
	}
	if c.group {
		b.Groups = resize(b.groups, b.Rows)
		e.encodeGroups(b.Groups, arr)
	}
	if c.time {
		b.Times = resize(b.times, b.Rows)
		if err := encodeTimes(b.Times, c, arr); err != nil {
			return err
		}
	}
	if c.weight {
		err := weigh(b, arr, c.name, func(_ int, v float64) (float64, error) { return v, nil })
		if err != nil {
			return err
		}
	}
	if c.propensity {
		return weigh(b, arr, c.name, func(r int, v float64) (float64, error) {
			if !isPropensity(v) {
				return 0, &RowError{Row: r, Field: c.name, Value: fmt.Sprint(v), Reason: noPropensity}
			}
			return e.schema.Propensity.weight(v), nil
		})
	}
	return nil
}

// weigh multiplies the rows' weights by what a column's numbers stand for; a missing one leaves a weight as it is.
func weigh(b *Batch, arr arrow.Array, name string, by func(r int, v float64) (float64, error)) error {
	if b.Weights == nil {
		b.Weights = resize(b.weights, b.Rows)
		for r := range b.Weights {
			b.Weights[r] = 1
		}
	}
	return eachNumber(arr, name, func(r int, v float64, ok bool) error {
		if !ok {
			return nil
		}
		w, err := by(r, v)
		b.Weights[r] *= float32(w)
		return err
	})
}

func (e *Encoder) encodeField(out *Column, f *fieldEncoder, c *column, arr arrow.Array) error {
	switch {
	case f.field.Ragged():
		e.encodeList(out, f, arr.(*array.List))
		return nil
	case f.field.Kind == Categorical:
		out.IDs = resize(out.IDs, arr.Len())
		e.encodeTexts(out.IDs, f, arr.(*array.String))
		return nil
	case f.buckets != nil:
		out.IDs = resize(out.IDs, arr.Len())
		return eachNumber(arr, f.field.Name, func(r int, v float64, ok bool) error {
			out.IDs[r] = f.missing
			if ok {
				out.IDs[r] = f.buckets[bucket(f.field.Buckets, v)]
			}
			return nil
		})
	}
	out.Values, out.Missing = resize(out.Values, arr.Len()), resize(out.Missing, arr.Len())
	return eachNumber(arr, f.field.Name, func(r int, v float64, ok bool) error {
		if !ok {
			out.Values[r], out.Missing[r] = f.fill, 1
			return nil
		}
		if f.field.Log {
			v = signedLog(v)
		}
		if f.scale > 0 {
			v = (v - f.mean) * f.scale
		}
		if !(math.Abs(v) <= math.MaxFloat32) {
			return &RowError{Row: r, Field: f.field.Name, Value: fmt.Sprint(v), Reason: "number out of float32's range"}
		}
		out.Values[r], out.Missing[r] = float32(v), 0
		return nil
	})
}

// bucket counts the bounds at or below v.
func bucket(bounds []float64, v float64) int {
	return sort.Search(len(bounds), func(i int) bool { return bounds[i] > v })
}

func (e *Encoder) encodeTexts(out []uint64, f *fieldEncoder, arr *array.String) {
	nulls := arr.NullN() > 0
	for r := range out {
		if nulls && arr.IsNull(r) {
			out[r] = f.missing
			continue
		}
		out[r] = e.idOf(f, arr.Value(r))
	}
}

func (e *Encoder) idOf(f *fieldEncoder, v string) uint64 {
	if e.layout.missing.has(v) {
		return f.missing
	}
	return hashText(v, f.seed)
}

func (e *Encoder) encodeList(out *Column, f *fieldEncoder, arr *array.List) {
	rows := arr.Len()
	out.Offsets = resize(out.Offsets, rows+1)
	out.IDs, out.Offsets[0] = out.IDs[:0], 0
	values := arr.ListValues().(*array.String)
	for r := range rows {
		if !arr.IsNull(r) {
			from, to := arr.ValueOffsets(r)
			if longest := int64(f.field.Max); longest > 0 && to-from > longest {
				if f.field.Kind == Sequence {
					from = to - longest
				} else {
					to = from + longest
				}
			}
			for i := int(from); i < int(to); i++ {
				if values.IsNull(i) {
					out.IDs = append(out.IDs, f.missing)
				} else {
					out.IDs = append(out.IDs, e.idOf(f, values.Value(i)))
				}
			}
		}
		out.Offsets[r+1] = int32(len(out.IDs))
	}
}

func (e *Encoder) encodeLabel(out []float32, rule *labelRule, arr arrow.Array) error {
	for r := range out {
		if arr.IsNull(r) {
			out[r] = missingLabel
			continue
		}
		var why, text string
		switch a := arr.(type) {
		case *array.Float64:
			if out[r], why = rule.ofNumber(a.Value(r)); why != "" {
				text = fmt.Sprint(a.Value(r))
			}
		case *array.String:
			if e.layout.missing.has(a.Value(r)) {
				out[r] = missingLabel
				continue
			}
			if out[r], why = rule.ofText(a.Value(r)); why != "" {
				text = a.Value(r)
			}
		}
		if why != "" {
			return &RowError{Row: r, Field: rule.name, Value: text, Reason: why}
		}
	}
	return nil
}

func (e *Encoder) encodeGroups(out []uint64, arr arrow.Array) {
	for r := range out {
		text := missingText
		if !arr.IsNull(r) {
			text = canonicalText(arr, r)
		}
		if text == missingText {
			out[r] = nonZero(xxh3.HashStringSeed(text, e.group))
		} else {
			out[r] = hashText(text, e.group)
		}
	}
}

func encodeTimes(out []int64, c *column, arr arrow.Array) error {
	for r := range out {
		out[r] = 0
		if arr.IsNull(r) {
			continue
		}
		switch a := arr.(type) {
		case *array.Int64:
			out[r] = a.Value(r)
		case *array.String:
			v, err := parseInstant(a.Value(r))
			if err != nil {
				return &RowError{Row: r, Field: c.name, Value: a.Value(r), Reason: err.Error()}
			}
			out[r] = v
		}
	}
	return nil
}

// eachNumber visits a canonical column's numbers; ok is false where one is missing.
func eachNumber(arr arrow.Array, name string, visit func(r int, v float64, ok bool) error) error {
	for r := range arr.Len() {
		v, ok := 0.0, false
		if !arr.IsNull(r) {
			ok = true
			switch a := arr.(type) {
			case *array.Float64:
				v = a.Value(r)
				ok = !math.IsNaN(v)
			case *array.String:
				n, err := parseNumber(a.Value(r))
				if err != nil {
					return &RowError{Row: r, Field: name, Value: a.Value(r), Reason: err.Error()}
				}
				v = n
			}
			if math.IsInf(v, 0) {
				return &RowError{Row: r, Field: name, Value: fmt.Sprint(v), Reason: "not a finite number"}
			}
		}
		if err := visit(r, v, ok); err != nil {
			return err
		}
	}
	return nil
}
