package inspect

import (
	"slices"
	"strings"

	"github.com/millrace/millrace/features"
)

// historyWords are parts of names by which a list says that it is of a user's past.
var historyWords = []string{"hist", "history", "past", "seq", "sequence"}

// historyLength is how many of the newest behaviours a proposed history keeps.
const historyLength = 50

// histories makes lists that are named as histories sequences, which share the rows of the field that they are histories of: hist_item those of item.
func (p *proposal) histories() {
	for i := range p.entries {
		e := &p.entries[i]
		if e.out || e.field.Kind != features.Multi || !hasWord(e.field.Name, historyWords) {
			continue
		}
		e.field.Kind, e.field.From, e.field.Max = features.Sequence, features.FromHistory, historyLength
		e.why = join("a history by its name, taken to be the oldest first", e.why)
		of := historyOf(e.field.Name)
		if slices.ContainsFunc(p.entries, func(o entry) bool {
			return !o.out && o.field.Name == of && o.field.Kind == features.Categorical
		}) {
			e.field.Shares = of
		}
	}
}

// historyOf is the name without the word of history: item of hist_item and item_history.
func historyOf(name string) string {
	var parts []string
	for _, w := range strings.FieldsFunc(name, func(r rune) bool { return r == '_' || r == '-' || r == '.' }) {
		if !slices.Contains(historyWords, strings.ToLower(w)) {
			parts = append(parts, w)
		}
	}
	return strings.Join(parts, "_")
}
