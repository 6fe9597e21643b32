package features

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/memory"
)

const onlineSchema = `
user: uid
item: iid
timestamp: ts
weight: w
labels:
  - {name: click}
  - {name: like, column: rating, above: 3}
  - {name: love, column: rating, above: 4}
  - {name: kind, positive: ["yes", " sure "]}
history: {max: 4}
fields:
  - {name: uid, min_count: 2}
  - {name: iid, from: item}
  - {name: country, from: user}
  - {name: age, type: numeric, from: user, standardise: true, log: true}
  - {name: income, type: numeric, from: user, buckets: [10, 20.5, 1000]}
  - {name: genres, type: multi, from: item, max: 3}
  - {name: price, type: numeric, from: item}
  - {name: hour}
  - {name: tags, type: multi}
  - {name: h_item, type: sequence, shares: iid, max: 4}
  - {name: h_genre, type: sequence, shares: genre, max: 3}
  - {name: genre, from: item, column: main_genre}
  - {name: h_rating, type: sequence, attribute: stars, max: 4}
`

func mustSchema(t testing.TB, text string) *Schema {
	t.Helper()
	s, err := ParseSchema([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// randomRow draws a row whose values take all the forms JSON can give them.
func randomRow(r *rand.Rand) *Row {
	scalars := []any{nil, "", "a", "b c", `q"uote`, "x,y", "line\nbreak", json.Number("5044"), json.Number("5044.0"), json.Number("5.044e3"), "5044", json.Number("-0.5"),
		json.Number("18446744073709551615"), json.Number("-9223372036854775808"), true, false, "ünï", " lead", json.Number("1e300"), "7.0"}
	pick := func() any { return scalars[r.IntN(len(scalars))] }
	number := func() any {
		return []any{nil, json.Number("3"), json.Number("3.25"), json.Number("-1e3"), "12.5", json.Number("20.5"), json.Number("0.1"), true, json.Number("123456.789")}[r.IntN(9)]
	}
	list := func() any {
		switch r.IntN(5) {
		case 0:
			return nil
		case 1:
			return "one"
		}
		l := []any{}
		for range r.IntN(6) {
			if v := pick(); v != "x|y" {
				l = append(l, v)
			}
		}
		return l
	}
	row := &Row{
		User: strconv.Itoa(r.IntN(50)), Item: fmt.Sprintf("i%d", r.IntN(20)), TimeMS: r.Int64N(1e12), Weight: float64(r.IntN(3)),
		UserFeatures: Values{"country": pick(), "age": number(), "income": number()},
		ItemFeatures: Values{"genres": list(), "price": number(), "genre": pick()},
		Context:      Values{"hour": pick(), "tags": list()},
		Labels:       map[string]float64{},
	}
	if r.IntN(4) > 0 {
		row.Labels["click"] = float64(r.IntN(2))
	}
	if r.IntN(4) > 0 {
		k := r.IntN(3)
		row.Labels["like"], row.Labels["love"] = float64(min(k, 1)), float64(k/2)
	}
	if r.IntN(4) > 0 {
		row.Labels["kind"] = float64(r.IntN(2))
	}
	for range r.IntN(7) {
		row.History = append(row.History, Behaviour{Item: fmt.Sprintf("i%d", r.IntN(20)), Attributes: Values{"genre": pick(), "stars": pick()}})
	}
	return row
}

// writable reports whether CSV can hold the row's lists: a list of one missing element is written as an empty one.
func writable(rec arrow.Record) bool {
	for c := range int(rec.NumCols()) {
		for r := range int(rec.NumRows()) {
			if rec.Schema().Field(c).Type.ID() == arrow.LIST && !rec.Column(c).IsNull(r) && csvText(rec.Column(c), r) == "" {
				return false
			}
		}
	}
	return true
}

// TestOfflineEqualsOnline: rows through the assembler encode as the same rows written to CSV, Parquet and Arrow files and read back.
func TestOfflineEqualsOnline(t *testing.T) {
	alloc := memory.NewCheckedAllocator(memory.NewGoAllocator())
	defer alloc.AssertSize(t, 0)
	s := mustSchema(t, onlineSchema)
	random := rand.New(rand.NewPCG(1, 2))
	st := &Stats{Numeric: map[string]NumericStats{"age": {Mean: 1.5, Std: 2}, "price": {Mean: 7}}}
	e, err := NewEncoder(s, st)
	if err != nil {
		t.Fatal(err)
	}
	a := NewAssemblerIn(alloc, s, true)
	defer a.Release()
	var records []arrow.Record
	for len(records) < 300 {
		if err := a.Append(randomRow(random)); err != nil {
			t.Fatal(err)
		}
		rec := a.Record()
		if !writable(rec) {
			rec.Release()
			continue
		}
		records = append(records, rec)
	}
	defer func() {
		for _, r := range records {
			r.Release()
		}
	}()
	var online Batch
	for _, rec := range records {
		var one Batch
		if err := e.EncodeInto(&one, rec); err != nil {
			t.Fatal(err)
		}
		online.Append(&one, 0)
	}
	for _, name := range []string{"rows.csv", "rows.parquet"} {
		path := filepath.Join(t.TempDir(), name)
		i := 0
		n, err := Write(path, s.RecordSchema(true), func() (arrow.Record, error) {
			if i == len(records) {
				return nil, io.EOF
			}
			i++
			records[i-1].Retain()
			return records[i-1], nil
		})
		if err != nil || n != int64(len(records)) {
			t.Fatal(n, err)
		}
		r, err := Open(s, []string{path}, ReadOptions{Labels: true, BatchRows: 7, Allocator: alloc})
		if err != nil {
			t.Fatal(err)
		}
		var offline Batch
		for {
			rec, err := r.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			var part Batch
			err = e.EncodeInto(&part, rec)
			rec.Release()
			if err != nil {
				t.Fatal(err)
			}
			for k := range part.Rows {
				offline.Append(&part, k)
			}
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		if diff := difference(s, &online, &offline); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// difference says where two batches differ, or "".
func difference(s *Schema, a, b *Batch) string {
	if a.Rows != b.Rows {
		return fmt.Sprintf("%d rows, want %d", b.Rows, a.Rows)
	}
	for i := range a.Columns {
		x, y := &a.Columns[i], &b.Columns[i]
		name := s.Fields[i].Name
		switch {
		case !slices.Equal(x.Offsets, y.Offsets):
			return fmt.Sprintf("%s: offsets %v, want %v", name, y.Offsets, x.Offsets)
		case !slices.Equal(x.IDs, y.IDs):
			return fmt.Sprintf("%s: ids differ", name)
		case !slices.Equal(x.Values, y.Values) || !slices.Equal(x.Missing, y.Missing):
			return fmt.Sprintf("%s: values %v, want %v", name, y.Values, x.Values)
		}
	}
	same := func(x, y float32) bool { return x == y || math.IsNaN(float64(x)) && math.IsNaN(float64(y)) }
	for i := range a.Labels {
		if !slices.EqualFunc(a.Labels[i], b.Labels[i], same) {
			return fmt.Sprintf("label %s: %v, want %v", s.Labels[i].Name, b.Labels[i], a.Labels[i])
		}
	}
	if !slices.Equal(a.Weights, b.Weights) || !slices.Equal(a.Groups, b.Groups) || !slices.Equal(a.Times, b.Times) {
		return "weights, groups or times differ"
	}
	return ""
}

func TestIntegersAgree(t *testing.T) {
	s := mustSchema(t, "fields: [{name: a}]")
	id := func(v any) uint64 {
		t.Helper()
		a := NewAssembler(s, false)
		if err := a.Append(&Row{Context: Values{"a": v}}); err != nil {
			t.Fatal(err)
		}
		e, err := NewEncoder(s, nil)
		if err != nil {
			t.Fatal(err)
		}
		rec := a.Record()
		defer rec.Release()
		var b Batch
		if err := e.EncodeInto(&b, rec); err != nil {
			t.Fatal(err)
		}
		return b.Columns[0].IDs[0]
	}
	f := func(text string, v any) {
		t.Helper()
		if id(v) != ID("a", text) {
			t.Errorf("%v (%T) is not %s", v, v, text)
		}
	}
	f("5044", json.Number("5044"))
	f("5044", json.Number("5044.0"))
	f("5044", json.Number("5.044e3"))
	f("5044", json.Number("504400e-2"))
	f("5044", "5044")
	f("5044", "5044.0")
	f("5044", 5044)
	f("5044", 5044.0)
	f("0", json.Number("-0"))
	f("0", json.Number("0e9"))
	f("0.1", json.Number("0.10"))
	f("0.1", json.Number("1e-1"))
	f("0.1", float32(0.1))
	f("18446744073709551615", json.Number("18446744073709551615"))
	f("18446744073709551615", json.Number("1.8446744073709551615e19"))
	f("-9223372036854775808", json.Number("-9223372036854775808.0"))
	f("007", "007")
	f("1.10", "1.10")
	if id("1.10") == id("1.1") {
		t.Error("texts 1.10 and 1.1 are one category")
	}
	if id(nil) != MissingID("a") || id("") != MissingID("a") || id(missingSpelt) == MissingID("a") {
		t.Error("missing is not an id of its own")
	}
}

const missingSpelt = "missing"

func TestAssemblerErrors(t *testing.T) {
	s := mustSchema(t, onlineSchema)
	a := NewAssembler(s, true)
	f := func(r *Row, want string) {
		t.Helper()
		err := a.Append(r)
		if err == nil || !strings.Contains(err.Error(), want) || !IsInput(err) {
			t.Errorf("%v; want %s", err, want)
		}
	}
	f(&Row{UserFeatures: Values{"age": "old"}}, `field "age"`)
	f(&Row{UserFeatures: Values{"age": []any{1}}}, `field "age"`)
	f(&Row{ItemFeatures: Values{"price": json.Number("1e39")}}, `field "price"`)
	f(&Row{ItemFeatures: Values{"genre": map[string]any{}}}, `field "genre"`)
	f(&Row{Context: Values{"tags": []any{[]any{}}}}, `field "tags"`)
	f(&Row{Context: Values{"hour": "\xff"}}, `field "hour"`)
	f(&Row{Labels: map[string]float64{"click": 2}}, `field "click"`)
	f(&Row{Labels: map[string]float64{"like": 0, "love": 1}}, "no value")
	if a.Len() != 0 {
		t.Errorf("%d rows after errors", a.Len())
	}
}
