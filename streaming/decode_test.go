package streaming

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/millrace/millrace/features"
)

const goodImpression = `{"v":1,"impression_id":"i1","ts_ms":1767571200000,"user_id":"u1","item_id":"x1","position":3,"context":{"hour":9}}`

func TestDecodeImpression(t *testing.T) {
	d := newDecoder(parsedSchema(t), 4096)
	d.latest = 1_767_571_200_000 + 1000
	f := func(key, value, want string) {
		t.Helper()
		if _, got := d.impression([]byte(key), []byte(value)); got != want {
			t.Errorf("%s %s: %q, want %q", key, value, got, want)
		}
	}
	with := func(old, new string) string {
		t.Helper()
		if !strings.Contains(goodImpression, old) {
			t.Fatalf("no %s", old)
		}
		return strings.Replace(goodImpression, old, new, 1)
	}
	f("u1", goodImpression, "")
	f("u1", "  "+goodImpression+"\n", "")
	f("u1", with(`"v":1`, `"v":1,"propensity":0.1,"score":1e-3,"version":"w","request_id":"r","later":{"a":[1]}`), "")
	f("u1", with(`"v":1`, `"v":1,"propensity":null,"request_id":null`), "")
	f("u1", with(`{"hour":9}`, "null"), "")
	f("u1", with(`,"context":{"hour":9}`, ""), "")
	f("u1", with(`"position":3,`, ""), "")
	f("u1", with(`"u1"`, `"\u00751"`), "")
	f("u1", "", ReasonEmptyValue)
	f("u1", "{}", ReasonMissingField)
	f("u1", strings.Repeat(" ", 5000)+goodImpression, ReasonTooLarge)
	f("u1", with("x1", "x\xff"), ReasonNotUTF8)
	f("u1", "no json", ReasonNotJSON)
	f("u1", "["+goodImpression+"]", ReasonNotJSON)
	f("u1", goodImpression+goodImpression, ReasonNotJSON)
	f("u1", goodImpression[:60], ReasonNotJSON)
	f("u1", with(`"position":3`, `"position":3,`), ReasonNotJSON)
	f("u1", with(`"v":1`, `"v":2`), ReasonUnsupportedVersion)
	f("u1", with(`"v":1,`, ``), ReasonMissingField)
	f("u1", with(`"v":1`, `"v":"1"`), ReasonWrongType)
	f("u1", with(`"i1"`, "null"), ReasonMissingField)
	f("u1", with(`"item_id":"x1",`, ""), ReasonMissingField)
	f("u1", with(`"x1"`, "7"), ReasonWrongType)
	f("u1", with("1767571200000", `"1767571200000"`), ReasonWrongType)
	f("u1", with("1767571200000", "1767571200000.5"), ReasonWrongType)
	f("u1", with("1767571200000", "-1"), ReasonBadTimestamp)
	f("u1", with("1767571200000", "1767571200"), ReasonBadTimestamp)
	f("u1", with("1767571200000", "1767571201001"), ReasonBadTimestamp)
	f("u1", with("1767571200000", "99999999999999999999"), ReasonBadTimestamp)
	f("u1", with(`"x1"`, `""`), ReasonEmptyID)
	f("u1", with(`"position":3`, `"position":"3"`), ReasonWrongType)
	f("u1", with(`"position":3`, `"position":3.5`), ReasonWrongType)
	f("u1", with(`{"hour":9}`, `"x"`), ReasonWrongType)
	f("u1", with(`{"hour":9}`, `[]`), ReasonWrongType)
	f("u1", with(`{"hour":9}`, `{"hour":"nine"}`), ReasonWrongType)
	f("u1", with(`{"hour":9}`, `{"hour":[9]}`), ReasonWrongType)
	f("u1", with(`{"hour":9}`, `{"hour":1e999}`), ReasonWrongType)
	f("u1", with(`{"hour":9}`, `{"hour":null,"tags":null,"imp":null}`), "")
	f("u1", with(`{"hour":9}`, `{"hour":1.5e0,"tags":["a",1,true],"imp":7,"other":{"x":[]}}`), "")
	f("u1", with(`{"hour":9}`, `{"tags":[["a"]]}`), ReasonWrongType)
	f("u1", with(`{"hour":9}`, `{"imp":{}}`), ReasonWrongType)
	f("u2", goodImpression, ReasonKeyMismatch)
	f("", goodImpression, ReasonKeyMismatch)

	i, reason := d.impression([]byte("u1"), []byte(goodImpression))
	if reason != "" || i.id != "i1" || i.user != "u1" || i.item != "x1" || i.t != 1_767_571_200_000 || i.context != `{"hour":9}` {
		t.Errorf("decoded %+v, %s", i, reason)
	}
}

func TestDecodeAction(t *testing.T) {
	d := newDecoder(parsedSchema(t), 4096)
	var a action
	const good = `{"v":1,"action_id":"a1","impression_id":"i1","ts_ms":1767571200000,"user_id":"u1","type":"click"}`
	f := func(value, want string) {
		t.Helper()
		if got := d.action([]byte("u1"), []byte(value), &a); got != want {
			t.Errorf("%s: %q, want %q", value, got, want)
		}
	}
	f(good, "")
	if a != (action{id: "a1", impression: "i1", user: "u1", kind: "click", t: 1_767_571_200_000}) {
		t.Errorf("decoded %+v", a)
	}
	f(strings.Replace(good, `"type":"click"`, `"kind":"click"`, 1), ReasonMissingField)
	f(strings.Replace(good, `"click"`, `""`, 1), ReasonEmptyID)
	f(strings.Replace(good, `"u1"`, `"u2"`, 1), ReasonKeyMismatch)
	f(strings.Replace(good, `"a1"`, `["a1"]`, 1), ReasonWrongType)
}

func TestDecodeEntity(t *testing.T) {
	d := newDecoder(parsedSchema(t), 4096)
	f := func(value []byte, want string) entityEvent {
		t.Helper()
		e, got := d.entity([]byte("u1"), value, &d.user)
		if got != want {
			t.Errorf("%s: %q, want %q", value, got, want)
		}
		return e
	}
	if e := f([]byte(`{"v":1,"id":"u1","ts_ms":1767571200000,"features":{"age":30}}`), ""); e.id != "u1" || e.features != `{"age":30}` || e.deleted {
		t.Errorf("decoded %+v", e)
	}
	if e := f(nil, ""); e.id != "u1" || !e.deleted {
		t.Errorf("decoded %+v", e)
	}
	f([]byte{}, ReasonEmptyValue)
	f([]byte(`{"v":1,"id":"u1","ts_ms":1767571200000}`), ReasonMissingField)
	f([]byte(`{"v":1,"id":"u1","ts_ms":1767571200000,"features":[]}`), ReasonWrongType)
	f([]byte(`{"v":1,"id":"u1","ts_ms":1767571200000,"features":{"age":"old"}}`), ReasonWrongType)
	f([]byte(`{"v":1,"id":"u2","ts_ms":1767571200000,"features":{}}`), ReasonKeyMismatch)
	if _, got := d.entity(nil, nil, &d.user); got != ReasonEmptyID {
		t.Errorf("a deletion without a key: %q", got)
	}
}

// FuzzDecoder: nothing panics; what is accepted is what the library reads, and a row can hold it.
func FuzzDecoder(f *testing.F) {
	f.Add([]byte("u1"), []byte(goodImpression))
	for k, s := range spoilers {
		f.Add([]byte("u1"), s.spoil([]byte(goodImpression), k))
	}
	for _, c := range []string{`{"hour":"9"}`, `{"tags":"a|b"}`, `{"tags":[null]}`, `{"tags":[true,1.50]}`, `{"imp":1e400}`, `{"hour":-0}`, `{"hour":"0x1"}`, `{"\u0068our":[]}`} {
		f.Add([]byte("u1"), []byte(strings.Replace(goodImpression, `{"hour":9}`, c, 1)))
	}
	schema, err := features.ParseSchema([]byte(testSchema))
	if err != nil {
		f.Fatal(err)
	}
	d := newDecoder(schema, 1<<20)
	asm := features.NewAssembler(schema, true)
	f.Fuzz(func(t *testing.T, key, value []byte) {
		var a action
		if r := d.action(key, value, &a); r != "" && !slices.Contains(Reasons, r) {
			t.Fatalf("unknown reason %q", r)
		}
		if _, r := d.entity(key, value, &d.item); r != "" && !slices.Contains(Reasons, r) {
			t.Fatalf("unknown reason %q", r)
		}
		got, reason := d.impression(key, value)
		if reason != "" {
			if !slices.Contains(Reasons, reason) {
				t.Fatalf("unknown reason %q", reason)
			}
			return
		}
		want := map[string]any{}
		dec := json.NewDecoder(bytes.NewReader(value))
		dec.UseNumber()
		if err := dec.Decode(&want); err != nil || !utf8.Valid(value) {
			t.Fatalf("accepted %q, which the library does not read: %v", value, err)
		}
		if want["impression_id"] != got.id || want["user_id"] != got.user || want["item_id"] != got.item || fmt.Sprint(want["ts_ms"]) != fmt.Sprint(got.t) || got.user != string(key) {
			t.Fatalf("%q was read as %+v", value, got)
		}
		r := features.Row{User: got.user, Item: got.item, TimeMS: got.t, Context: values(got.context), Labels: map[string]float64{"click": 1}}
		if err := asm.Append(&r); err != nil {
			t.Fatalf("accepted %q, which no row can hold: %v", value, err)
		}
		asm.Record().Release()
	})
}

func BenchmarkDecodeImpression(b *testing.B) {
	d := newDecoder(parsedSchema(b), 1<<20)
	value := []byte(`{"v":1,"impression_id":"r123456-7","ts_ms":1767571200000,"user_id":"user-012345","item_id":"item-04321","request_id":"r123456","position":7,"propensity":0.1,"score":0.0312,"version":"1234-567890","context":{"hour":9,"imp":"phone","tags":["a","b"]}}`)
	b.SetBytes(int64(len(value)))
	b.ReportAllocs()
	for b.Loop() {
		if _, r := d.impression([]byte("user-012345"), value); r != "" {
			b.Fatal(r)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}
