package features

import "github.com/apache/arrow/go/v15/arrow"

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
type Encoder struct{}

// NewEncoder returns an encoder; st may be nil when no field needs training statistics (streaming from nothing: numeric fields pass unstandardised).
func NewEncoder(s *Schema, st *Stats) (*Encoder, error) { panic("contract") }

// Schema returns the encoder's schema.
func (e *Encoder) Schema() *Schema { panic("contract") }

// EncodeInto replaces b by the encoding of rec, whose columns are found by name: one a field (Column or Name), labels, weight, group, timestamp. Label and weight columns may be absent (serving).
// Accepted types: utf8, binary, dictionaries, all integers, floats, booleans; lists of these for multi and sequence. An integer and its decimal text are the same category. A *RowError names row, field and value.
func (e *Encoder) EncodeInto(b *Batch, rec arrow.Record) error { panic("contract") }

// RowError says which row of a record could not be used and why.
type RowError struct {
	Row    int // within the record
	Field  string
	Value  string
	Reason string
}

func (e *RowError) Error() string { panic("contract") }

// RecordSchema is the canonical Arrow schema of the records that readers, the daemon and the server make for s: categorical utf8, numeric float64, multi and sequence list<utf8>, labels by their rule (utf8 for Positive, else float64),
// timestamp int64, user and item utf8, group utf8, weight float64. withLabels is false in serving.
func (s *Schema) RecordSchema(withLabels bool) *arrow.Schema { panic("contract") }
