package streaming

import (
	"bytes"
	"encoding/json"
	"strconv"

	"github.com/millrace/millrace/features"
)

// shownAs adds to an impression's context what the schema reads of the impression's own values: its position, where a field of the context has that name, and
// its propensity, where that is the schema's.
type shownAs struct {
	position   bool
	propensity []byte // the column as a JSON text; nil: none
}

// positionName is what a field of the context is called that holds the impression's position.
const positionName = "position"

func newShownAs(s *features.Schema) (w shownAs) {
	for i := range s.Fields {
		f := &s.Fields[i]
		if f.From == features.FromContext && (f.Name == positionName || f.Column == positionName) && !f.Ragged() {
			w.position = true
		}
	}
	if name := s.Propensity.Column; name != "" {
		w.propensity, _ = json.Marshal(name) // a text can always be written
	}
	return w
}

// add writes a context with the values. A position that the context names itself wins over the impression's; a propensity is the impression's or none, and one that is no
// probability is refused.
func (w shownAs) add(position, propensity span, context []byte) ([]byte, string) {
	withPosition := w.position && position.kind == kindNumber
	if !withPosition && w.propensity == nil {
		return context, ""
	}
	inner := bytes.TrimSpace(context)
	if len(inner) > 1 {
		inner = bytes.TrimSpace(inner[1 : len(inner)-1])
	}
	out := []byte{'{'}
	member := func(parts ...[]byte) {
		if len(out) > 1 {
			out = append(out, ',')
		}
		for _, p := range parts {
			out = append(out, p...)
		}
	}
	if withPosition {
		member([]byte(`"`+positionName+`":`), position.value)
	}
	if len(inner) > 0 {
		member(inner)
	}
	if w.propensity != nil {
		value := []byte("null")
		if propensity.kind == kindNumber {
			value = propensity.value
			if p, err := strconv.ParseFloat(string(value), 64); err != nil || !(p > 0 && p <= 1) {
				return nil, ReasonWrongType
			}
		}
		member(w.propensity, []byte{':'}, value)
	}
	return append(out, '}'), ""
}
