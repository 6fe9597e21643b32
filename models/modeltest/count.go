package modeltest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/millrace/millrace/features"
)

// Frappe is the benchmark's set: its fields and how many ids each has, one for all unknown ids included (reczoo/BARS, Frappe_x1, 5,389 ids).
var frappe = []struct {
	field string
	ids   int
}{
	{"user", 955}, {"item", 4083}, {"daytime", 8}, {"weekday", 8}, {"isweekend", 3},
	{"homework", 4}, {"cost", 3}, {"weather", 10}, {"country", 81}, {"city", 234},
}

// Parameters counts the parameters of a model whose tables have so many ids beside the unknown one, by the fields they are of, and the padding rows that FuxiCTR would count with them.
func Parameters(t *testing.T, schema, model string, ids map[string]int) (parameters, padding int) {
	t.Helper()
	v := features.Vocabulary{}
	for field, n := range ids {
		v[field] = []uint64{}
		for id := range n {
			v[field] = append(v[field], uint64(id+1))
		}
	}
	p := Program(t, schema, model)
	tables, err := p.NewTables(v)
	if err != nil {
		t.Fatal(err)
	}
	return p.Parameters(tables)
}

// FrappeParameters compares the number of parameters with what the benchmark's logs count for the same model file on Frappe.
func FrappeParameters(t *testing.T, model string, want int) {
	t.Helper()
	var text strings.Builder
	text.WriteString("labels: [{name: y}]\nfields:\n")
	ids := map[string]int{}
	for _, f := range frappe {
		fmt.Fprintf(&text, "  - {name: %s}\n", f.field)
		ids[f.field] = f.ids - 1
	}
	if got, _ := Parameters(t, text.String(), model, ids); got != want {
		t.Errorf("%d parameters, want %d", got, want)
	}
}
