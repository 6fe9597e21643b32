package features

import "sort"

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
// What a slice taken from h earlier shows never changes, so rows may keep it while the history goes on.
func (h History) Push(b Behaviour, max int) History {
	if max <= 0 {
		return nil
	}
	at := sort.Search(len(h), func(i int) bool { return h[i].TimeMS > b.TimeMS })
	if drop := len(h) - max + 1; drop > 0 {
		if at < drop {
			return h[drop-1:]
		}
		h, at = h[drop:], at-drop
	}
	if at == len(h) && len(h) < cap(h) {
		return append(h, b)
	}
	out := make(History, len(h)+1, min(len(h)+1+len(h)/4+3, max+max/4+3))
	copy(out, h[:at])
	out[at] = b
	copy(out[at+1:], h[at:])
	return out
}

// Before returns the behaviours strictly earlier than t.
func (h History) Before(t int64) History {
	return h[:sort.Search(len(h), func(i int) bool { return h[i].TimeMS >= t })]
}

type remember uint8

const (
	rememberAttribute remember = iota
	rememberItem
	rememberAction
)

// remembered says what of a behaviour a history field reads: the item itself, the action's type, or an attribute.
func (s *Schema) remembered(f *Field) remember {
	if f.Attribute == "item" || f.Attribute == s.Item {
		return rememberItem
	}
	if i := s.Field(f.Attribute); i >= 0 {
		if of := &s.Fields[i]; s.Item != "" && of.Column == s.Item {
			return rememberItem
		}
		return rememberAttribute
	}
	if f.Attribute == "action" {
		return rememberAction
	}
	return rememberAttribute
}

// BehaviourOf returns what a user's history keeps of an action on an item: the attributes that the schema's sequence fields ask for, taken from the item's features and the context.
// Of a list its first element is kept.
func (s *Schema) BehaviourOf(item string, itemFeatures, context Values, t int64, action string) Behaviour {
	b := Behaviour{Item: item, TimeMS: t, Action: action}
	for i := range s.Fields {
		f := &s.Fields[i]
		if f.From != FromHistory || s.remembered(f) != rememberAttribute {
			continue
		}
		v, ok := itemFeatures[f.Attribute]
		if !ok {
			v, ok = context[f.Attribute]
		}
		if !ok {
			continue
		}
		if v = scalar(v); v == nil {
			continue
		}
		if b.Attributes == nil {
			b.Attributes = Values{}
		}
		b.Attributes[f.Attribute] = v
	}
	return b
}
