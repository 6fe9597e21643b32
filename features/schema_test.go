package features

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func TestSchemaErrors(t *testing.T) {
	f := func(text string, want ...string) {
		t.Helper()
		_, err := ParseSchema([]byte(text))
		var se *SchemaError
		if err == nil || !errors.As(err, &se) || !IsInput(err) {
			t.Errorf("%s: %v; want a *SchemaError", text, err)
			return
		}
		for _, w := range want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s:\n  %v\n  want %s", text, err, w)
			}
		}
	}
	f("", "empty")
	f("# only a comment\n", "empty")
	f("[1, 2]", "a schema must be keys with values")
	f("a: [", "not YAML")
	f("fields: [{name: a}]\n---\nfields: []", "second YAML document")
	f("name: x\nfeilds: []", "line 2", `unknown key "feilds"`, `"fields"`)
	f("fields:\n  - {name: a}\n  - name: b\n    tpye: numeric", "line 4", `"tpye"`, "fields[1]", `"type"`)
	f("csv: {delimeter: ';'}\nfields: [{name: a}]", `"delimeter"`, "in csv", `"delimiter"`)
	f("labels: [{name: a, positiv: [x]}]", "labels[0]", `"positive"`)
	f("name: a\nname: b", "line 2", "stands twice")
	f("fields: {name: a}", "fields must be a list")
	f("fields: [{name: a, max: many}]", "fields[0].max", `"many"`, "a whole number")
	f("fields: [{name: a, log: 3}]", "true or false")
	f("fields: [{name: a, type: numeric, buckets: [a]}]", "a list of numbers")
	f("labels: [{name: y}]", "no fields")
	f("fields: [{type: numeric}]", "fields[0]: no name")
	f("fields:\n  - {name: a}\n  - {name: a}", `field "a"`, "twice", "line 3")
	f("fields: [{name: a, type: numric}]", `field "a"`, `"numric"`, `"numeric"`)
	f("fields: [{name: a, from: histroy}]", `"histroy"`, `"history"`)
	f("fields: [{name: a, from: history}]", "needs type sequence or multi")
	f("fields: [{name: a, shares: itme}, {name: item}]", `shares "itme"`, `"item"`)
	f("fields: [{name: a, shares: a}]", "shares itself")
	f("fields: [{name: a, shares: b}, {name: b, shares: c}, {name: c}]", `itself shares "c"`)
	f("fields: [{name: a, shares: b}, {name: b, type: numeric}]", "has no ids")
	f("fields:\n  - {name: b}\n  - {name: h, type: sequence}", `field "h"`, "needs max", "line 3")
	f("fields: [{name: a, type: sequence, max: -1}]", "max is -1")
	f("fields: [{name: a, max: 3}]", "max is for multi and sequence")
	f("fields: [{name: a, min_count: -1}]", "min_count is -1")
	f("fields: [{name: a, unknown: none}]", `"none"`, "shared, zero")
	f("fields: [{name: a, log: true}]", "for numeric fields")
	f("fields: [{name: a, type: numeric, buckets: [1, 1]}]", "rise")
	f("fields: [{name: a, type: numeric, buckets: [.nan]}]", "finite")
	f("fields: [{name: a, type: numeric, buckets: [1], log: true}]", "exclude")
	f("fields: [{name: a, type: numeric, min_count: 2}]", "without buckets")
	f("fields: [{name: a, attribute: x}]", "attribute is for fields from history")
	f("fields: [{name: a}, {name: b, shares: a, min_count: 3}]", "min_count 3 differs")
	f("labels: [{above: 3}]\nfields: [{name: a}]", "labels[0]: no name and no column")
	f("labels: [{name: y}, {name: y}]\nfields: [{name: a}]", `label "y"`, "twice")
	f("labels: [{name: y, above: 1, positive: [x]}]\nfields: [{name: a}]", "exclude")
	f("csv: {format: svm}\nfields: [{name: a}]", `"svm"`)
	f("csv: {header: false}\nfields: [{name: a}]", "needs names")
	f("csv: {names: [b, c]}\nfields: [{name: a}]", `column "a" is not among csv.names`)
	f("csv: {names: [a, a]}\nfields: [{name: a}]", "given twice")
	f("csv: {delimiter: '|'}\nfields: [{name: a}]", "both")
	f("csv: {delimiter: '\"'}\nfields: [{name: a}]", "quotes")
	f("fields: [{name: a}, {name: b, type: multi, column: a}]", `column "a" is read both`)
	f("history: {max: -2}\nfields: [{name: a}]", "history.max")
	f("a: &a [*a]\nfields: [{name: a}]")
}

func TestSchemaDefaults(t *testing.T) {
	s := mustSchema(t, onlineSchema)
	f := func(name string, from Source, column, table string) {
		t.Helper()
		got := &s.Fields[s.Field(name)]
		if got.From != from || got.Column != column || got.Table() != table {
			t.Errorf("%s: from %s, column %s, table %s; want %s, %s, %s", name, got.From, got.Column, got.Table(), from, column, table)
		}
	}
	f("uid", FromUser, "uid", "uid")
	f("iid", FromItem, "iid", "iid")
	f("hour", FromContext, "hour", "hour")
	f("h_item", FromHistory, "h_item", "iid")
	f("genre", FromItem, "main_genre", "genre")
	if i := s.Field("h_item"); s.Fields[i].Attribute != "iid" || s.Fields[i].MinCount != 1 {
		t.Errorf("h_item: attribute %s, min_count %d", s.Fields[i].Attribute, s.Fields[i].MinCount)
	}
	if s.Fields[s.Field("tags")].Max != 50 || s.Fields[s.Field("uid")].MinCount != 2 || s.Fields[s.Field("uid")].Unknown != "shared" {
		t.Error("defaults of max, min_count or unknown")
	}
	if s.Field("nothing") != -1 || s.GroupColumn() != "uid" || s.History.Max != 4 || s.History.Actions[0] != "click" || s.Labels[0].Column != "click" {
		t.Error("defaults of group, history or label")
	}
}

func TestSchemaRoundTrip(t *testing.T) {
	f := func(s *Schema) {
		t.Helper()
		b, err := s.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseSchema(b)
		if err != nil {
			t.Fatalf("%v\n%s", err, b)
		}
		if !reflect.DeepEqual(s, again) {
			t.Errorf("%+v\n%+v\n%s", s, again, b)
		}
	}
	f(mustSchema(t, onlineSchema))
	f(mustSchema(t, `{csv: {delimiter: "\\t", header: false, names: [a, y], quotes: false, trim: true, missing: []}, labels: [{name: y, above: 0}], fields: [{name: a, unknown: zero}]}`))
	f(mustSchema(t, `{csv: {missing: ["", "?", " "]}, labels: [{name: y, positive: [" 50000+.", "1", "true", "~"]}], fields: [{name: "yes"}, {name: "1"}, {name: "a: b"}]}`))
	f(mustSchema(t, `{csv: {names: []}, history: {actions: []}, labels: [{name: y, positive: []}], fields: [{name: a, buckets: []}]}`))
	f(mustSchema(t, `{csv: {missing: []}, labels: [], fields: [{name: a}]}`))
	paths, err := filepath.Glob("../examples/*/schema.yaml")
	if err != nil || len(paths) == 0 {
		t.Fatal(paths, err)
	}
	for _, p := range paths {
		b, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		s, err := ParseSchema(b)
		if err != nil {
			t.Errorf("%s: %v", p, err)
			continue
		}
		f(s)
	}
}

func FuzzParseSchema(f *testing.F) {
	f.Add([]byte(onlineSchema))
	f.Add([]byte("fields: [{name: a, type: numeric, buckets: [1, 2]}]"))
	f.Add([]byte("a: &a [*a, *a]\nfields: *a"))
	f.Add([]byte("fields: &f [{name: a}]\nlabels: *f"))
	f.Add([]byte("? {a: b}\n: c"))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := ParseSchema(data)
		if err != nil {
			if !IsInput(err) {
				t.Errorf("%v is no *SchemaError", err)
			}
			return
		}
		b, err := s.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseSchema(b)
		if err != nil {
			t.Fatalf("%v\n%s", err, b)
		}
		if !reflect.DeepEqual(s, again) {
			t.Errorf("%+v\n%+v", s, again)
		}
	})
}
