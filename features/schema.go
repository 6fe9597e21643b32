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
	Name      string      `yaml:"name"`
	User      string      `yaml:"user"`      // column of the user id
	Item      string      `yaml:"item"`      // column of the item id
	Timestamp string      `yaml:"timestamp"` // column of the event time
	Group     string      `yaml:"group"`     // column that groups rows for GAUC; empty: the user column
	Weight    string      `yaml:"weight"`    // column of the row weight
	CSV       Dialect     `yaml:"csv"`
	History   HistorySpec `yaml:"history"`
	Labels    []Label     `yaml:"labels"`
	Fields    []Field     `yaml:"fields"`
}

// Dialect is how text files are written. Format "csv" (default) or "libfm"; for libfm the label comes first, then index:value pairs matched to the fields in order.
type Dialect struct {
	Format        string   `yaml:"format"`
	Delimiter     string   `yaml:"delimiter"`      // default ","; may be several characters, "\t" for tab
	Header        *bool    `yaml:"header"`         // default true
	Names         []string `yaml:"names"`          // column names when there is no header
	Quotes        *bool    `yaml:"quotes"`         // default true: RFC 4180 double quotes
	Trim          bool     `yaml:"trim"`           // trim blanks around values
	ListSeparator string   `yaml:"list_separator"` // default "|"
	Missing       []string `yaml:"missing"`        // values that mean missing; default [""]
}

// HistorySpec says which actions enter a user's history online and how many behaviours are kept.
type HistorySpec struct {
	Actions []string `yaml:"actions"` // default [click]
	Max     int      `yaml:"max"`     // default: the largest Max of the sequence fields
}

// Label is one task's target: the column as 0/1, or positive when its value is in Positive or its number is above Above. A missing label is NaN.
type Label struct {
	Name     string   `yaml:"name"`
	Column   string   `yaml:"column"` // default: Name
	Positive []string `yaml:"positive"`
	Above    *float64 `yaml:"above"`
}

// Field is one input of the models.
type Field struct {
	Name        string    `yaml:"name"`
	Kind        Kind      `yaml:"type"`
	From        Source    `yaml:"from"`
	Column      string    `yaml:"column"`      // offline column where it differs from Name
	Shares      string    `yaml:"shares"`      // field whose ids and embedding rows it shares
	Attribute   string    `yaml:"attribute"`   // for history: what of each behaviour; default: the shared field's name, else Name
	MinCount    int       `yaml:"min_count"`   // ids seen less often in training become the unknown id; default 1
	Unknown     string    `yaml:"unknown"`     // ids outside the vocabulary: "shared" (one learned row, default) or "zero"
	Max         int       `yaml:"max"`         // longest sequence or multi kept; default 50
	Buckets     []float64 `yaml:"buckets"`     // numeric becomes the category of its bucket
	Log         bool      `yaml:"log"`         // numeric: sign(x)·ln(1+|x|)
	Standardise bool      `yaml:"standardise"` // numeric: (x−mean)/std of the training data, after log
}

// Table is the name of the vocabulary and embedding table the field's ids belong to: the shared field's, else its own.
func (f *Field) Table() string { panic("contract") }

// ParseSchema reads a schema from YAML; every error names the key or field, an unknown key the nearest known one.
func ParseSchema(data []byte) (*Schema, error) { panic("contract") }

// Field returns the index of a field by name, or -1.
func (s *Schema) Field(name string) int { panic("contract") }
