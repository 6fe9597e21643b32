package streaming

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"
	"unicode/utf8"
)

var jsonSeeds = []string{
	`{}`, ` { "a" : 1 } `, `{"a":[1,2,{"b":null}],"c":"x\u00e9\n"}`, `{"a":-0.5e+10,"b":true,"c":false}`, `{"a":01}`, `{"a":1,}`, `{"a" 1}`, `{"a":"\x"}`,
	`{"a":"` + "\n" + `"}`, `[]`, `{"a":1}{"b":2}`, `{"a":1e}`, `{"a":-}`, `{"a":.5}`, `{"a":tru}`, `{"":{"":""}}`, `{"a":"\ud800"}`, `{"\u0061":1}`, `{"a":[]`, `{"a":[1 2]}`, `"x"`, ``,
}

// FuzzScanner holds the scanner against the library: the same objects are valid, and decoding them gives the same values.
func FuzzScanner(f *testing.F) {
	for _, s := range jsonSeeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if !utf8.Valid(b) {
			return
		}
		s := scanner{b: b}
		kind, value, ok := s.value(0)
		ok = ok && s.end() && kind == kindObject
		trimmed := bytes.TrimLeft(b, " \t\r\n")
		want := json.Valid(b) && len(trimmed) > 0 && trimmed[0] == '{'
		if ok != want {
			if want && bytes.Count(b, []byte("["))+bytes.Count(b, []byte("{")) > maxDepth {
				return
			}
			t.Fatalf("scan of %q: %v; the library says %v", b, ok, want)
		}
		if !ok {
			return
		}
		dec := json.NewDecoder(bytes.NewReader(b))
		dec.UseNumber()
		var all map[string]any
		if err := dec.Decode(&all); err != nil {
			t.Fatal(err)
		}
		if got := map[string]any(values(string(value))); !reflect.DeepEqual(plain(got), plain(all)) {
			t.Fatalf("values of %q: %v; the library gives %v", b, got, all)
		}
	})
}

// plain turns the library's nested maps and ours into one form.
func plain(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for k, e := range v {
			out[k] = plain(e)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = plain(e)
		}
		return out
	}
	return v
}

func TestInteger(t *testing.T) {
	f := func(in string, want int64, wantOK, wantBig bool) {
		t.Helper()
		if n, ok, big := integer([]byte(in)); n != want || ok != wantOK || big != wantBig {
			t.Errorf("integer(%s) = %d, %v, %v", in, n, ok, big)
		}
	}
	f("0", 0, true, false)
	f("-17", -17, true, false)
	f("999999999999999999", 999999999999999999, true, false)
	f("9223372036854775808", 0, true, true)
	f("1.5", 0, false, false)
	f("1e3", 0, false, false)
	f("-", 0, false, false)
}
