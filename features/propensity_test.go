package features

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow"
)

func TestPropensity(t *testing.T) {
	read := func(schema, rows string) (*Batch, error) {
		s := mustSchema(t, schema)
		r, err := Open(s, []string{written(t, "f.csv", []byte(rows))}, ReadOptions{Labels: true})
		if err != nil {
			return nil, err
		}
		defer r.Close()
		var rec arrow.Record
		if rec, err = r.Next(); err != nil {
			return nil, err
		}
		defer rec.Release()
		e, err := NewEncoder(s, nil)
		if err != nil {
			t.Fatal(err)
		}
		b := &Batch{}
		return b, e.EncodeInto(b, rec)
	}
	f := func(keys, rows string, want ...float32) {
		t.Helper()
		b, err := read("labels: [{name: y}]\nfields: [{name: a}]\n"+keys, rows)
		if err != nil {
			t.Fatal(err)
		}
		if len(b.Weights) != len(want) {
			t.Fatalf("%d weights, want %d", len(b.Weights), len(want))
		}
		for i, w := range want {
			if math.Abs(float64(b.Weights[i]-w)) > 1e-6 {
				t.Errorf("%s: weight %d is %g, want %g", keys, i, b.Weights[i], w)
			}
		}
	}
	const rows = "y,a,p,w\n1,x,0.5,1\n0,x,0.01,2\n0,x,,3\n1,x,1,4\n"
	f("propensity: {column: p}", rows, 2, 100, 1, 1)
	f("propensity: {column: p, clip: 20}", rows, 2, 20, 1, 1)
	f("propensity: {column: p, clip: 20}\nweight: w", rows, 2, 40, 3, 4)
	f("propensity: {column: a}", "y,a,w\n1,0.5,1\n0,0.25,2\n", 2, 4) // a field as well: a column that is read in two forms
	f("propensity: {column: a}\nweight: w", "y,a,w\n1,0.5,1\n0,0.25,2\n", 2, 8)

	bad := func(value string) {
		t.Helper()
		_, err := read("labels: [{name: y}]\nfields: [{name: a}]\npropensity: {column: p}", "y,a,p\n1,x,0.5\n1,x,"+value+"\n")
		var d *DataError
		if !errors.As(err, &d) || d.Line != 3 || d.Field != "p" || d.Value != value {
			t.Errorf("propensity %s: %v", value, err)
		}
	}
	bad("0")
	bad("-0.1")
	bad("1.5")
	bad("often")

	wrong := func(keys, want string) {
		t.Helper()
		if _, err := ParseSchema([]byte("fields: [{name: a}]\n" + keys)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", keys, err, want)
		}
	}
	wrong("propensity: {clip: 20}", "no column")
	wrong("propensity: {column: p, clip: 0.5}", "1 or more")
	wrong("propensity: {column: p, clip: .nan}", "1 or more")
	wrong("propensity: {colum: p}", "column")
}
