package training

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/millrace/millrace/models"
	"gopkg.in/yaml.v3"
)

// Trial is one choice and how far its training is.
type Trial struct {
	Trial   int       `json:"trial"` // the first is 1
	Params  paramList `json:"params"`
	State   string    `json:"state"` // waiting, paused, done, stopped or failed
	Reason  string    `json:"reason,omitempty"`
	Epochs  int       `json:"epochs"`
	Monitor Figure    `json:"monitor"` // the best so far, larger being better
	Rounds  []Figure  `json:"rounds"`  // the monitor after each round behind it; null where it failed
	Seconds float64   `json:"seconds"`
	Figures

	file []byte
	spec *models.Spec
	tidy bool // nothing of it is left to remove
}

// States of a trial.
const (
	trialWaiting = "waiting"
	trialPaused  = "paused"
	trialDone    = "done"
	trialStopped = "stopped"
	trialFailed  = "failed"
)

// paramList is a choice, in the order of the grid.
type paramList []param

type param struct {
	Name  string
	Value string // as in a model file
}

// MarshalJSON writes an object of values as a model file has them, in the grid's order.
func (l paramList) MarshalJSON() ([]byte, error) {
	var b strings.Builder
	b.WriteByte('{')
	for i, p := range l {
		var value any
		if err := yaml.Unmarshal([]byte(p.Value), &value); err != nil {
			return nil, fmt.Errorf("key %s: %w", p.Name, err)
		}
		name, err := json.Marshal(p.Name)
		if err != nil {
			return nil, err
		}
		text, err := json.Marshal(value)
		if err != nil {
			return nil, fmt.Errorf("key %s: %w", p.Name, err)
		}
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "%s:%s", name, text)
	}
	b.WriteByte('}')
	return []byte(b.String()), nil
}

// UnmarshalJSON accepts what MarshalJSON wrote; the choices themselves are drawn anew, equal, from the grid.
func (l *paramList) UnmarshalJSON([]byte) error { return nil }

func (l paramList) String() string {
	var out []string
	for _, p := range l {
		out = append(out, p.Name+" "+p.Value)
	}
	return strings.Join(out, ", ")
}

// flow is a value on one line.
func flow(n *yaml.Node, text []byte) string {
	if n.Kind == yaml.ScalarNode {
		return strings.TrimSpace(string(text))
	}
	var parts []string
	for _, c := range n.Content {
		parts = append(parts, flow(c, []byte(c.Value)))
	}
	return "[" + strings.Join(parts, ", ") + "]"
}
