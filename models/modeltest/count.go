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

// FrappeParameters compares the number of parameters with what the benchmark's logs count for the same model file on Frappe.
func FrappeParameters(t *testing.T, model string, want int) {
	t.Helper()
	var text strings.Builder
	text.WriteString("labels: [{name: y}]\nfields:\n")
	v := features.Vocabulary{}
	for _, f := range frappe {
		fmt.Fprintf(&text, "  - {name: %s}\n", f.field)
		for id := range f.ids - 1 {
			v[f.field] = append(v[f.field], uint64(id+1))
		}
	}
	p := Program(t, text.String(), model)
	tables, err := p.NewTables(v)
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := p.Parameters(tables); got != want {
		t.Errorf("%d parameters, want %d", got, want)
	}
}
