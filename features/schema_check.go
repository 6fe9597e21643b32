package features

import (
	"fmt"
	"math"
	"slices"

	"github.com/millrace/millrace/internal/strict"
)

const defaultMultiMax = 50

// Complete fills in the defaults and checks the schema; ParseSchema does it, code that builds a schema calls it. Errors are *SchemaError.
func (s *Schema) Complete() error {
	s.dropEmptyLists()
	if err := s.CSV.complete(); err != nil {
		return err
	}
	if len(s.Fields) == 0 {
		return &SchemaError{Reason: "no fields"}
	}
	if err := s.Propensity.complete(); err != nil {
		return err
	}
	if err := s.completeLabels(); err != nil {
		return err
	}
	seen := map[string]bool{}
	for i := range s.Fields {
		f := &s.Fields[i]
		if f.Name == "" {
			return &SchemaError{Reason: fmt.Sprintf("fields[%d]: no name", i)}
		}
		if seen[f.Name] {
			return fieldError(f, "the name is given twice")
		}
		seen[f.Name] = true
		if err := s.completeField(f); err != nil {
			return err
		}
	}
	if err := s.checkShares(); err != nil {
		return err
	}
	if err := s.completeHistory(); err != nil {
		return err
	}
	return s.checkColumns()
}

// dropEmptyLists makes a list that is written down as empty equal to one that is left out, wherever both mean the same: everywhere but in csv.missing.
func (s *Schema) dropEmptyLists() {
	s.CSV.Names, s.History.Actions, s.Labels = nilIfEmpty(s.CSV.Names), nilIfEmpty(s.History.Actions), nilIfEmpty(s.Labels)
	for i := range s.Labels {
		s.Labels[i].Positive = nilIfEmpty(s.Labels[i].Positive)
	}
	for i := range s.Fields {
		s.Fields[i].Buckets = nilIfEmpty(s.Fields[i].Buckets)
	}
}

func nilIfEmpty[T any](list []T) []T {
	if len(list) == 0 {
		return nil
	}
	return list
}

func fieldError(f *Field, format string, args ...any) error {
	return &SchemaError{Reason: fmt.Sprintf("field %q: ", f.Name) + fmt.Sprintf(format, args...)}
}

func (d *Dialect) complete() error {
	if d.Format == "" {
		d.Format = "csv"
	}
	if formats := []string{"csv", "libfm"}; !slices.Contains(formats, d.Format) {
		return &SchemaError{Reason: fmt.Sprintf("csv.format: unknown %q%s", d.Format, strict.Meant(d.Format, formats))}
	}
	if d.Encoding == "" {
		d.Encoding = "utf-8"
	}
	if encodings := []string{"utf-8", "latin1", "windows-1252"}; !slices.Contains(encodings, d.Encoding) {
		return &SchemaError{Reason: fmt.Sprintf("csv.encoding: unknown %q%s", d.Encoding, strict.Meant(d.Encoding, encodings))}
	}
	if d.Delimiter == `\t` {
		d.Delimiter = "\t"
	}
	if d.ListSeparator == "" {
		d.ListSeparator = "|"
	}
	if d.Missing == nil {
		d.Missing = []string{""}
	}
	for _, c := range d.Delimiter {
		if c == '"' || c == '\n' || c == '\r' {
			return &SchemaError{Reason: fmt.Sprintf("csv.delimiter: %q cannot hold quotes or line ends", d.Delimiter)}
		}
	}
	if d.Delimiter != "" && d.Delimiter == d.ListSeparator {
		return &SchemaError{Reason: fmt.Sprintf("csv: delimiter and list_separator are both %q", d.Delimiter)}
	}
	seen := map[string]bool{}
	for _, n := range d.Names {
		if seen[n] {
			return &SchemaError{Reason: fmt.Sprintf("csv.names: %q is given twice", n)}
		}
		seen[n] = true
	}
	if d.Format == "csv" && d.Header != nil && !*d.Header && len(d.Names) == 0 {
		return &SchemaError{Reason: "csv: header: false needs names, one a column"}
	}
	if d.hasHeader() && len(d.Names) > 0 && d.Header != nil {
		return &SchemaError{Reason: "csv: names are for files without a header; say header: false"}
	}
	return nil
}

// hasHeader: names alone mean that the file has none.
func (d *Dialect) hasHeader() bool {
	if d.Header != nil {
		return *d.Header
	}
	return len(d.Names) == 0
}

func (d *Dialect) hasQuotes() bool { return d.Quotes == nil || *d.Quotes }

func (s *Schema) completeLabels() error {
	seen := map[string]bool{}
	for i := range s.Labels {
		l := &s.Labels[i]
		if l.Name == "" {
			l.Name = l.Column
		}
		if l.Column == "" {
			l.Column = l.Name
		}
		if l.Name == "" {
			return &SchemaError{Reason: fmt.Sprintf("labels[%d]: no name and no column", i)}
		}
		if seen[l.Name] {
			return &SchemaError{Reason: fmt.Sprintf("label %q: the name is given twice", l.Name)}
		}
		seen[l.Name] = true
		if l.Above != nil && len(l.Positive) > 0 {
			return &SchemaError{Reason: fmt.Sprintf("label %q: positive and above exclude each other", l.Name)}
		}
		if l.Above != nil && (math.IsNaN(*l.Above) || math.IsInf(*l.Above, 0)) {
			return &SchemaError{Reason: fmt.Sprintf("label %q: above must be a finite number", l.Name)}
		}
	}
	return nil
}

func (s *Schema) completeField(f *Field) error {
	if f.Kind == "" {
		f.Kind = Categorical
	}
	kinds := []string{string(Categorical), string(Numeric), string(Multi), string(Sequence)}
	if !slices.Contains(kinds, string(f.Kind)) {
		return fieldError(f, "unknown type %q%s", f.Kind, strict.Meant(string(f.Kind), kinds))
	}
	if f.Column == "" {
		f.Column = f.Name
	}
	if f.From == "" {
		f.From = s.source(f)
	}
	sources := []string{string(FromUser), string(FromItem), string(FromContext), string(FromHistory)}
	if !slices.Contains(sources, string(f.From)) {
		return fieldError(f, "unknown from %q%s", f.From, strict.Meant(string(f.From), sources))
	}
	if f.From == FromHistory && !f.Ragged() {
		return fieldError(f, "from: history needs type sequence or multi, it is %s", f.Kind)
	}
	if f.Attribute != "" && f.From != FromHistory {
		return fieldError(f, "attribute is for fields from history")
	}
	if f.From == FromHistory && f.Attribute == "" {
		f.Attribute = f.Table()
	}
	policies := []string{"shared", "zero"}
	if f.Unknown != "" && !slices.Contains(policies, f.Unknown) {
		return fieldError(f, "unknown policy %q of unknown%s", f.Unknown, strict.Meant(f.Unknown, policies))
	}
	return checkField(f)
}

func checkField(f *Field) error {
	switch {
	case f.MinCount < 0:
		return fieldError(f, "min_count is %d; want 1 or more", f.MinCount)
	case f.Max < 0:
		return fieldError(f, "max is %d; want 1 or more", f.Max)
	case f.Kind == Sequence && f.Max == 0:
		return fieldError(f, "a sequence needs max, how many of the newest are kept")
	case !f.Ragged() && f.Max > 0:
		return fieldError(f, "max is for multi and sequence, it is %s", f.Kind)
	case f.Kind != Numeric && (len(f.Buckets) > 0 || f.Log || f.Standardise):
		return fieldError(f, "buckets, log and standardise are for numeric fields, it is %s", f.Kind)
	case len(f.Buckets) > 0 && (f.Log || f.Standardise):
		return fieldError(f, "buckets and log or standardise exclude each other")
	case !f.HasIDs() && (f.Shares != "" || f.MinCount > 1 || f.Unknown != ""):
		return fieldError(f, "shares, min_count and unknown are for fields with ids, it is numeric without buckets")
	}
	for i, b := range f.Buckets {
		if math.IsNaN(b) || math.IsInf(b, 0) || i > 0 && b <= f.Buckets[i-1] {
			return fieldError(f, "buckets must be finite and rise, %v does not", b)
		}
	}
	if f.Kind == Multi && f.Max == 0 {
		f.Max = defaultMultiMax
	}
	return nil
}

func (s *Schema) source(f *Field) Source {
	switch {
	case s.User != "" && (f.Name == s.User || f.Column == s.User):
		return FromUser
	case s.IsItem(f):
		return FromItem
	case f.Kind == Sequence:
		return FromHistory
	}
	return FromContext
}

func (s *Schema) checkShares() error {
	var names []string
	for i := range s.Fields {
		names = append(names, s.Fields[i].Name)
	}
	for i := range s.Fields {
		f := &s.Fields[i]
		if f.Shares == "" {
			if f.HasIDs() {
				f.MinCount = max(f.MinCount, 1)
				if f.Unknown == "" {
					f.Unknown = "shared"
				}
			}
			continue
		}
		at := s.Field(f.Shares)
		switch {
		case at < 0:
			return fieldError(f, "shares %q, which is no field%s", f.Shares, strict.Meant(f.Shares, names))
		case at == i:
			return fieldError(f, "shares itself")
		case s.Fields[at].Shares != "":
			return fieldError(f, "shares %q, which itself shares %q; name that", f.Shares, s.Fields[at].Shares)
		case !s.Fields[at].HasIDs():
			return fieldError(f, "shares %q, which has no ids (numeric without buckets)", f.Shares)
		}
	}
	for i := range s.Fields {
		f := &s.Fields[i]
		if f.Shares == "" {
			continue
		}
		owner := &s.Fields[s.Field(f.Shares)]
		if f.MinCount > 0 && f.MinCount != owner.MinCount {
			return fieldError(f, "min_count %d differs from %d of %q, whose table it shares", f.MinCount, owner.MinCount, owner.Name)
		}
		if f.Unknown != "" && f.Unknown != owner.Unknown {
			return fieldError(f, "unknown %q differs from %q of %q, whose table it shares", f.Unknown, owner.Unknown, owner.Name)
		}
		f.MinCount, f.Unknown = owner.MinCount, owner.Unknown
	}
	return nil
}

func (s *Schema) completeHistory() error {
	if s.History.Max < 0 {
		return &SchemaError{Reason: fmt.Sprintf("history.max is %d; want 1 or more", s.History.Max)}
	}
	longest := 0
	for i := range s.Fields {
		if f := &s.Fields[i]; f.From == FromHistory {
			longest = max(longest, f.Max)
		}
	}
	if longest == 0 {
		return nil
	}
	if s.History.Max == 0 {
		s.History.Max = longest
	}
	if len(s.History.Actions) == 0 {
		s.History.Actions = []string{"click"}
	}
	return nil
}

// checkColumns refuses columns read both as lists and as single values.
func (s *Schema) checkColumns() error {
	names := map[string]bool{}
	for _, n := range s.CSV.Names {
		names[n] = true
	}
	for _, c := range newLayout(s).columns {
		if c.mixed {
			return &SchemaError{Reason: fmt.Sprintf("column %q is read both as a list and as a single value", c.name)}
		}
		if len(names) > 0 && s.CSV.Format == "csv" && !names[c.name] {
			return &SchemaError{Reason: fmt.Sprintf("column %q is not among csv.names%s", c.name, strict.Meant(c.name, s.CSV.Names))}
		}
	}
	return nil
}
