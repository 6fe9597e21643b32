package training

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/millrace/millrace/features"
)

func TestSlicer(t *testing.T) {
	f := func(name string, field *features.Field, top int, json string, want ...string) {
		t.Helper()
		var dtype arrow.DataType = arrow.BinaryTypes.String
		switch {
		case strings.HasPrefix(name, "list"):
			dtype = arrow.ListOf(arrow.BinaryTypes.String)
		case strings.HasPrefix(name, "number"):
			dtype = arrow.PrimitiveTypes.Float64
		}
		alloc := memory.NewCheckedAllocator(memory.DefaultAllocator)
		defer alloc.AssertSize(t, 0)
		schema := arrow.NewSchema([]arrow.Field{{Name: name, Type: dtype, Nullable: true}}, nil)
		s := &slicer{name: name, column: name, field: field, known: map[string]uint32{}}
		for half := range 2 { // in two records
			rec, _, err := array.RecordFromJSON(alloc, schema, strings.NewReader(json))
			if err != nil {
				t.Fatal(err)
			}
			n := rec.NumRows() / 2
			part := rec.NewSlice(int64(half)*n, int64(half)*n+n+int64(half)*(rec.NumRows()%2))
			if err := s.add(part); err != nil {
				t.Fatal(err)
			}
			part.Release()
			rec.Release()
		}
		var got []string
		for _, x := range s.slices(top) {
			got = append(got, fmt.Sprint(x.name, x.rows))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	column := func(name string, values ...string) string {
		var rows []string
		for _, v := range values {
			rows = append(rows, fmt.Sprintf(`{%q:%s}`, name, v))
		}
		return "[" + strings.Join(rows, ",") + "]"
	}
	category := &features.Field{Name: "text", Kind: features.Categorical}
	f("text", category, 5, column("text", `"a"`, `"b"`, `"b"`, "null", `"b"`), "b[1 2 4]", "(missing)[3]", "a[0]")
	f("text", category, 1, column("text", `"a"`, `"b"`, `"b"`, `"c"`, `"b"`), "b[1 2 4]", "(2 others)[0 3]")
	f("text", category, 2, column("text", `"a"`, `"b"`, `"b"`, `"c"`, `"b"`), "b[1 2 4]", "a[0]", "c[3]") // one other is told by its name
	f("text", category, 1, column("text", `"3"`, `"1"`, `"2"`), "1[1]", "(2 others)[0 2]")                // the schema says categories
	f("text", nil, 2, column("text", `"3"`, `"1"`, `"2"`, `"10"`), "1[1]", "2[2]", "3[0]", "10[3]")       // a column of numbers
	f("text", nil, 1, column("text", `"3"`, `"x"`, `"3"`), "3[0 2]", "x[1]")
	f("number", nil, 9, column("number", "2.5", "1", "null", "1"), "1[1 3]", "2.5[0]", "(missing)[2]")
	var many, ranges []string
	for i := range 20 {
		many = append(many, fmt.Sprint(i*7%20))
	}
	for i := range 10 {
		ranges = append(ranges, fmt.Sprintf("%d to %d", 2*i, 2*i+1))
	}
	s := &slicer{}
	for _, v := range many {
		s.numbers = append(s.numbers, atof(t, v))
	}
	cuts := s.slices(5)
	for i, x := range cuts {
		if x.name != ranges[i] || len(x.rows) != 2 {
			t.Errorf("bin %d: %s with %d rows, want %s with 2", i, x.name, len(x.rows), ranges[i])
		}
	}
	f("list", &features.Field{Kind: features.Multi}, 9, column("list", `["a","b","a"]`, `["b"]`, "null", "[]"), "(missing)[2 3]", "b[0 1]", "a[0]")
	f("list", &features.Field{Kind: features.Multi}, 1, column("list", `["a","b","c"]`, `["a"]`, `["c"]`, `["b"]`), "a[0 1]", "(2 others)[0 2 3]")
	f("list", &features.Field{Kind: features.Sequence}, 9, column("list", `["a","b","a"]`, `["b"]`, "null", `["x"]`), "0[2]", "1[1 3]", "3[0]")
}

func atof(t *testing.T, s string) float64 {
	t.Helper()
	var x float64
	if _, err := fmt.Sscan(s, &x); err != nil {
		t.Fatal(err)
	}
	return x
}

func TestSlicerNames(t *testing.T) {
	s := &features.Schema{Fields: []features.Field{{Name: "age", Column: "years", Kind: features.Numeric}}}
	got, err := newSlicers(s, []string{"age", "city"})
	if err != nil || got[0].column != "years" || got[1].field != nil || len(withColumns(s, got).Fields) != 2 {
		t.Errorf("slicers %+v, %v", got, err)
	}
	if _, err := newSlicers(s, []string{"age", "age"}); err == nil {
		t.Error("a field twice is taken")
	}
}
