package features

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// SchemaError says what is wrong with a schema, or with a request that names its columns. Line is 0 where there is none.
type SchemaError struct {
	Line   int
	Reason string
}

func (e *SchemaError) Error() string {
	if e.Line > 0 {
		return fmt.Sprintf("schema line %d: %s", e.Line, e.Reason)
	}
	return "schema: " + e.Reason
}

// DataError names the file, the line (1 is the first, the header included; a record number in Parquet and Arrow), and the field and value where there is one.
type DataError struct {
	File   string
	Line   int64
	Record bool // Line is a record's number
	Field  string
	Value  string
	Reason string
}

func (e *DataError) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		unit := " line "
		if e.Record {
			unit = " record "
		}
		b.WriteString(unit + strconv.FormatInt(e.Line, 10))
	}
	describe(&b, e.Field, e.Value)
	b.WriteString(": " + e.Reason)
	return strings.TrimPrefix(b.String(), ": ")
}

// RowError says which row of a record could not be used and why.
type RowError struct {
	Row    int // within the record
	Field  string
	Value  string
	Reason string
}

func (e *RowError) Error() string {
	var b strings.Builder
	b.WriteString("row " + strconv.Itoa(e.Row))
	describe(&b, e.Field, e.Value)
	return b.String() + ": " + e.Reason
}

func describe(b *strings.Builder, field, value string) {
	if field != "" {
		b.WriteString(", field " + strconv.Quote(field))
	}
	if value != "" {
		b.WriteString(", value " + strconv.Quote(clip(value)))
	}
}

// clip shortens a value for a message.
func clip(v string) string {
	const most = 60
	if len(v) <= most {
		return v
	}
	cut := most
	for cut > most-utf8.UTFMax && !utf8.RuneStart(v[cut]) {
		cut--
	}
	return v[:cut] + "…"
}

// IsInput reports whether err says that the request is wrong (its schema or its data), not that something failed.
func IsInput(err error) bool {
	var s *SchemaError
	var d *DataError
	var r *RowError
	return errors.As(err, &s) || errors.As(err, &d) || errors.As(err, &r)
}
