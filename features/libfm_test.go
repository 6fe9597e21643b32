package features

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

const libfmSchema = "{csv: {format: libfm}, labels: [{name: y}], fields: [{name: a}, {name: n, type: numeric}]}"

func TestLibfm(t *testing.T) {
	s := mustSchema(t, libfmSchema)
	rows, _, err := rowsOf(t, s, ReadOptions{Labels: true}, written(t, "f.libfm", []byte("1 7:1 8:2.5\r\n0\t9:1  8:-1 \n\n")))
	if err != nil || strings.Join(rows, ";") != "7 2.5 1;9 -1 0" {
		t.Errorf("%q, %v", rows, err)
	}
	f := func(row, field, reason string) {
		t.Helper()
		path := written(t, "f.txt", []byte("1 7:1 8:2\n"+row+"\n1 7:1 8:2\n"))
		_, _, err := rowsOf(t, s, ReadOptions{Labels: true}, path)
		var e *DataError
		if !errors.As(err, &e) || e.Line != 2 || e.Field != field || !strings.Contains(e.Reason, reason) {
			t.Errorf("%q: %v", row, err)
		}
		if rows, bad, err := rowsOf(t, s, ReadOptions{Labels: true, SkipBad: 1}, path); err != nil || bad != 1 || len(rows) != 2 {
			t.Errorf("%q skipped: %q, %d, %v", row, rows, bad, err)
		}
	}
	f("1 7:1", "", "2 columns, want 3")
	f("1 7:1 8:2 9:3", "", "4 columns, want 3")
	f("1 7 8:2", "", "not index:value")
	f("1 7: 8:2", "", "not index:value")
	f("1 7:1 8:x", "n", "not a number")
	f("1 7:x 8:2", "", "not a number")
	f("1 a:1 8:2", "", "not index:value")
	f("3 7:1 8:2", "y", "outside")
	f("1 \xff:1 8:2", "a", "UTF-8")
	g := func(schema, want string) {
		t.Helper()
		_, err := Open(mustSchema(t, schema), []string{written(t, "f.libsvm", []byte("1 7:1\n"))}, ReadOptions{Labels: true})
		if err == nil || !IsInput(err) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", schema, err)
		}
	}
	g("{labels: [{name: y}, {name: z}], fields: [{name: a}]}", "one label")
	g("{labels: [{name: y}], fields: [{name: a, type: multi}]}", "no lists")
	g("{labels: [{name: y}], timestamp: t, fields: [{name: a}]}", "label and the fields only")
}

func FuzzLibfm(f *testing.F) {
	s := mustSchema(f, libfmSchema)
	f.Add([]byte("1 7:1 8:2.5\r\n0\t9:1  8:-1 \n"))
	f.Add([]byte("1 7\n:: ::\n1 2:3:4 5:6"))
	f.Fuzz(func(t *testing.T, data []byte) {
		rows, bad, err := rowsOf(t, s, ReadOptions{SkipBad: 1 << 40, BatchRows: 2}, written(t, "f.libfm", data))
		if err != nil && !IsInput(err) {
			t.Error(err)
		}
		if n := int64(bytes.Count(data, []byte{'\n'}) + 1); int64(len(rows))+bad > n {
			t.Errorf("%d rows and %d bad of %d lines", len(rows), bad, n)
		}
	})
}
