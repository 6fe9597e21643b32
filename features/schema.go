// Package features turns raw data into model inputs, the same way offline and online: a YAML schema, readers of CSV, libfm,
// Parquet and Arrow IPC files into Arrow records, the encoder from records to id batches, and the assembler that builds the
// same records from users, histories, items and contexts in the daemon and the server.
package features

// Kind is what a field holds.
type Kind string

const (
	Categorical Kind = "categorical" // one string or integer
	Numeric     Kind = "numeric"     // one number
	Multi       Kind = "multi"       // several categories, unordered
	Sequence    Kind = "sequence"    // categories in time order, oldest first; the newest Max are kept
)

// Source says where a field comes from online; offline it is the column of the field's name.
type Source string

const (
	FromUser    Source = "user"    // features of the user (users topic), or the user id itself when the field is the schema's user column
	FromItem    Source = "item"    // features of the candidate, or its id
	FromContext Source = "context" // the request's or impression's context
	FromHistory Source = "history" // the user's past behaviours; Attribute says what of each
)

// Schema describes the columns of a data set and what they mean. Unknown keys in YAML are errors.
type Schema struct {
	Name       string      `yaml:"name,omitempty"`
	User       string      `yaml:"user,omitempty"`       // column of the user id
	Item       string      `yaml:"item,omitempty"`       // column of the item id
	Timestamp  string      `yaml:"timestamp,omitempty"`  // column of the event time
	Group      string      `yaml:"group,omitempty"`      // column that groups rows for GAUC; empty: the user column
	Weight     string      `yaml:"weight,omitempty"`     // column of the row weight
	Propensity Propensity  `yaml:"propensity,omitempty"` // weights from the probabilities with which rows were shown
	CSV        Dialect     `yaml:"csv,omitempty"`
	History    HistorySpec `yaml:"history,omitempty"`
	Labels     []Label     `yaml:"labels,omitempty"`
	Fields     []Field     `yaml:"fields,omitempty"`
}

// Dialect is how text files are written. Format "csv" (default) or "libfm"; for libfm the label comes first, then index:value pairs matched to the fields in order.
type Dialect struct {
	Format        string   `yaml:"format,omitempty"`
	Delimiter     string   `yaml:"delimiter,omitempty"`      // default ","; may be several characters, "\t" for tab
	Header        *bool    `yaml:"header,omitempty"`         // default true
	Names         []string `yaml:"names,omitempty"`          // column names when there is no header
	Quotes        *bool    `yaml:"quotes,omitempty"`         // default true: RFC 4180 double quotes
	Trim          bool     `yaml:"trim,omitempty"`           // trim blanks around values
	Encoding      string   `yaml:"encoding,omitempty"`       // utf-8 (default), latin1 or windows-1252
	ListSeparator string   `yaml:"list_separator,omitempty"` // default "|"
	Missing       []string `yaml:"missing"`                  // values that mean missing; default [""]
}

// HistorySpec says which actions enter a user's history online and how many behaviours are kept.
type HistorySpec struct {
	Actions []string `yaml:"actions,omitempty"` // default [click]
	Max     int      `yaml:"max,omitempty"`     // default: the largest Max of the sequence fields
}

// Label is one task's target: the column as 0/1, or positive when its value is in Positive or its number is above Above. A missing label is NaN.
type Label struct {
	Name     string   `yaml:"name,omitempty"`
	Column   string   `yaml:"column,omitempty"` // default: Name
	Positive []string `yaml:"positive,omitempty"`
	Above    *float64 `yaml:"above,omitempty"`
}

// Field is one input of the models.
type Field struct {
	Name        string    `yaml:"name,omitempty"`
	Kind        Kind      `yaml:"type,omitempty"`
	From        Source    `yaml:"from,omitempty"`
	Column      string    `yaml:"column,omitempty"`      // offline column where it differs from Name
	Shares      string    `yaml:"shares,omitempty"`      // field whose ids and embedding rows it shares
	Attribute   string    `yaml:"attribute,omitempty"`   // for history: what of each behaviour; default: the shared field's name, else Name
	MinCount    int       `yaml:"min_count,omitempty"`   // ids seen less often in training become the unknown id; default 1
	Unknown     string    `yaml:"unknown,omitempty"`     // ids outside the vocabulary: "shared" (one learned row, default) or "zero"
	Max         int       `yaml:"max,omitempty"`         // longest sequence or multi kept; a sequence must say it, a multi's default is 50
	Buckets     []float64 `yaml:"buckets,omitempty"`     // numeric becomes the category of its bucket
	Log         bool      `yaml:"log,omitempty"`         // numeric: sign(x)·ln(1+|x|)
	Standardise bool      `yaml:"standardise,omitempty"` // numeric: (x−mean)/std of the training data, after log

	optional bool // see Schema.MayLack
}

// Table is the name of the vocabulary and embedding table the field's ids belong to: the shared field's, else its own.
func (f *Field) Table() string {
	if f.Shares != "" {
		return f.Shares
	}
	return f.Name
}

// HasIDs reports whether the field gives ids: every kind but a numeric field without buckets.
func (f *Field) HasIDs() bool { return f.Kind != Numeric || len(f.Buckets) > 0 }

// Ragged reports whether a row of the field holds any number of ids: multi and sequence.
func (f *Field) Ragged() bool { return f.Kind == Multi || f.Kind == Sequence }

// Field returns the index of a field by name, or -1.
func (s *Schema) Field(name string) int {
	for i := range s.Fields {
		if s.Fields[i].Name == name {
			return i
		}
	}
	return -1
}

// GroupColumn is the column that groups rows for GAUC: group, else user; it may be empty.
func (s *Schema) GroupColumn() string {
	if s.Group != "" {
		return s.Group
	}
	return s.User
}

// IsItem reports whether a field holds the item's id.
func (s *Schema) IsItem(f *Field) bool {
	return s.Item != "" && (f.Name == s.Item || f.Column == s.Item)
}

// FieldOfTable returns the index of the field that owns a table, whose minimum count and unknown policy hold for all that share it, or -1.
func (s *Schema) FieldOfTable(name string) int { return s.Field(name) }
