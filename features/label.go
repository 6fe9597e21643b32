package features

import (
	"math"
	"strings"
)

// labelRule turns a label column's values into 0 and 1.
type labelRule struct {
	name     string
	positive map[string]bool // nil: by number
	above    *float64
}

func newLabelRule(l *Label) labelRule {
	r := labelRule{name: l.Name, above: l.Above}
	if len(l.Positive) > 0 {
		r.positive = map[string]bool{}
		for _, p := range l.Positive {
			r.positive[p] = true
			r.positive[strings.TrimSpace(p)] = true
		}
	}
	return r
}

const outsideLabel = "label outside {0, 1}"

// ofNumber returns the label of a number, or why there is none.
func (r *labelRule) ofNumber(v float64) (float32, string) {
	switch {
	case r.above != nil && v > *r.above, r.above == nil && v == 1:
		return 1, ""
	case r.above != nil, v == 0:
		return 0, ""
	}
	return 0, outsideLabel
}

// ofText returns the label of a text that is not missing, or why there is none.
func (r *labelRule) ofText(s string) (float32, string) {
	if r.positive != nil {
		if r.positive[s] || r.positive[strings.TrimSpace(s)] {
			return 1, ""
		}
		return 0, ""
	}
	v, err := parseNumber(strings.TrimSpace(s))
	if err != nil {
		return 0, err.Error()
	}
	return r.ofNumber(v)
}

var missingLabel = float32(math.NaN())

// labelTexts are values of a label column that stand for every combination of its labels: how a record holds labels known by name.
type labelTexts struct{ candidates []cell }

func newLabelTexts(l *layout, c *column) labelTexts {
	var t labelTexts
	number := func(v float64) {
		t.candidates = append(t.candidates, cell{number: v, text: appendFloat(nil, v, 64)})
	}
	number(0)
	number(1)
	for _, i := range c.labels {
		if a := l.label[i].above; a != nil {
			number(*a)
			number(math.Nextafter(*a, math.Inf(1)))
		}
		for _, p := range l.schema.Labels[i].Positive {
			t.candidates = append(t.candidates, cell{text: []byte(p)})
		}
	}
	return t
}

// label fills a cell with a value that the column's label rules read as the row's labels.
func (a *Assembler) label(c *column, t *labelTexts, r *Row, out *cell) fault {
	known := false
	for _, i := range c.labels {
		v, ok := r.Labels[a.layout.label[i].name]
		known = known || ok && !math.IsNaN(v)
		if ok && !math.IsNaN(v) && v != 0 && v != 1 {
			return fault{a.layout.label[i].name, outsideLabel}
		}
	}
	if !known {
		out.missing = true
		return fault{}
	}
	for k := range t.candidates {
		if a.stands(c, &t.candidates[k], r) {
			out.number, out.text = t.candidates[k].number, t.candidates[k].text
			return fault{}
		}
	}
	return fault{a.layout.fieldName(c), "no value of the column stands for these labels together"}
}

func (a *Assembler) stands(c *column, value *cell, r *Row) bool {
	for _, i := range c.labels {
		rule := &a.layout.label[i]
		want, ok := r.Labels[rule.name]
		if !ok || math.IsNaN(want) {
			continue
		}
		var got float32
		var why string
		if c.form == textForm {
			if a.layout.missing.has(view(value.text)) {
				return false
			}
			got, why = rule.ofText(view(value.text))
		} else {
			got, why = rule.ofNumber(value.number)
		}
		if why != "" || float64(got) != want {
			return false
		}
	}
	return true
}
