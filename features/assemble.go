package features

import "github.com/apache/arrow/go/v15/arrow"

// Values are features of a user, an item or a context by name, as decoded from JSON with UseNumber: string, json.Number, bool, nil, []any of these.
type Values map[string]any

// Behaviour is one past action of a user: the item, when, the action's type, and what else is remembered of it (the item's features that sequence fields ask for, a rating).
type Behaviour struct {
	Item       string `json:"item"`
	TimeMS     int64  `json:"ts_ms"`
	Action     string `json:"action"`
	Attributes Values `json:"attributes,omitempty"`
}

// History is a user's behaviours, oldest first, at most Max of them.
type History []Behaviour

// Push appends b in time order (ties after), keeps the newest max, and returns the history. Behaviours older than all kept ones in a full history are dropped.
func (h History) Push(b Behaviour, max int) History { panic("contract") }

// Before returns the behaviours strictly earlier than t.
func (h History) Before(t int64) History { panic("contract") }

// Row is one impression or candidate to encode.
type Row struct {
	User, Item                          string
	UserFeatures, ItemFeatures, Context Values
	History                             History
	TimeMS                              int64
	Labels                              map[string]float64 // by label name; absent: missing. Only with labels.
	Weight                              float64            // 0: 1
}

// Assembler builds records of RecordSchema from rows: the one code by which the daemon and the server make what the encoder reads.
type Assembler struct{}

// NewAssembler returns an assembler for s.
func NewAssembler(s *Schema, withLabels bool) *Assembler { panic("contract") }

// Append adds a row; an error names the field whose value has the wrong type, and leaves the record as it was.
func (a *Assembler) Append(r *Row) error { panic("contract") }

// Len is the number of rows since the last Record.
func (a *Assembler) Len() int { panic("contract") }

// Record returns the rows so far as a record, which the caller releases, and starts anew.
func (a *Assembler) Record() arrow.Record { panic("contract") }

// BehaviourOf returns what a user's history keeps of an action on an item: the attributes that the schema's sequence fields ask for, taken from the item's features and the context.
func (s *Schema) BehaviourOf(item string, itemFeatures, context Values, t int64, action string) Behaviour {
	panic("contract")
}
