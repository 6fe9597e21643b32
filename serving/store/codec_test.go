package store

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/millrace/millrace/features"
)

var someHistory = features.History{
	{Item: "i1", TimeMS: 1_700_000_000_000, Action: "click", Attributes: features.Values{"category": "shoes", "price": json.Number("12.50")}},
	{Item: "", TimeMS: -5, Action: ""},
	{Item: "ü", TimeMS: 1 << 62, Action: "buy", Attributes: features.Values{"tags": []any{"a", nil, true, false, []any{json.Number("1")}}}},
}

func TestHistoryForm(t *testing.T) {
	f := func(h features.History) {
		t.Helper()
		b, err := encodeHistory(h)
		if err != nil {
			t.Fatal(err)
		}
		got, err := decodeHistory(string(b))
		if err != nil || !reflect.DeepEqual(got, h) {
			t.Fatalf("%v, %v, want %v", got, err, h)
		}
		for n := range b {
			if _, err := decodeHistory(string(b[:n])); err == nil {
				t.Fatalf("the first %d bytes of %d are a history", n, len(b))
			}
		}
		if _, err := decodeHistory(string(b) + "x"); err == nil {
			t.Fatal("a byte too many is no error")
		}
	}
	f(nil)
	f(someHistory)
	f(someHistory[1:2])
}

func TestValuesForm(t *testing.T) {
	f := func(in, want any) {
		t.Helper()
		b, err := encodeValues(features.Values{"x": in})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := decodeValues(string(b)); err != nil || !reflect.DeepEqual(got["x"], want) {
			t.Fatalf("%#v, %v, want %#v", got, err, want)
		}
	}
	f("text", "text")
	f(nil, nil)
	f(json.Number("18446744073709551615"), json.Number("18446744073709551615"))
	f(0.1, json.Number("0.1"))
	f(float32(0.5), json.Number("0.5"))
	f(-3, json.Number("-3"))
	f(uint64(1<<63), json.Number("9223372036854775808"))
	f([]string{"a", "b"}, []any{"a", "b"})
	for _, bad := range []any{struct{}{}, map[string]any{}, []any{[]any{[]any{[]any{[]any{[]any{[]any{[]any{[]any{[]any{}}}}}}}}}}} {
		if _, err := encodeValues(features.Values{"x": bad}); err == nil {
			t.Errorf("%v has a form", bad)
		}
	}
}

func FuzzHistoryForm(f *testing.F) {
	b, err := encodeHistory(someHistory)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte{codecVersion, 0})
	f.Add([]byte{codecVersion, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01})
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := decodeHistory(string(b))
		if err != nil {
			return
		}
		again, err := encodeHistory(h)
		if err != nil {
			t.Fatal(err)
		}
		got, err := decodeHistory(string(again))
		if err != nil || !reflect.DeepEqual(got, h) {
			t.Fatalf("%v, %v, want %v", got, err, h)
		}
	})
}

func BenchmarkDecodeHistory(b *testing.B) {
	var h features.History
	for i := range 100 {
		h = append(h, features.Behaviour{Item: "item-123456", TimeMS: 1_700_000_000_000 + int64(i)*60_000, Action: "click", Attributes: features.Values{"category": "c12"}})
	}
	text, err := encodeHistory(h)
	if err != nil {
		b.Fatal(err)
	}
	s := string(text)
	b.ReportAllocs()
	b.SetBytes(int64(len(s)))
	for b.Loop() {
		if _, err := decodeHistory(s); err != nil {
			b.Fatal(err)
		}
	}
}
