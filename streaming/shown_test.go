package streaming

import (
	"strings"
	"testing"

	"github.com/millrace/millrace/features"
)

// TestShownAs: position and propensity of an impression reach the training row where the schema reads them, and only there.
func TestShownAs(t *testing.T) {
	const fields = "user: user\nitem: item\nlabels: [{name: click}]\nfields: [{name: item}, {name: hour, from: context}"
	decoded := func(schema, old, new string) (features.Values, string) {
		t.Helper()
		s, err := features.ParseSchema([]byte(schema))
		if err != nil {
			t.Fatal(err)
		}
		d := newDecoder(s, 4096)
		d.latest = 1_767_571_200_000 + 1000
		i, reason := d.impression([]byte("u1"), []byte(strings.Replace(goodImpression, old, new, 1)))
		if reason != "" {
			return nil, reason
		}
		v := values(i.context)
		a := features.NewAssembler(s, true)
		if err := a.Append(&features.Row{User: i.user, Item: i.item, Context: v, Labels: map[string]float64{"click": 1}}); err != nil {
			t.Error(err)
		}
		a.Record().Release()
		return v, ""
	}
	f := func(schema, old, new string, position, propensity any) {
		t.Helper()
		v, reason := decoded(schema, old, new)
		if reason != "" {
			t.Errorf("%s → %s: %s", old, new, reason)
		}
		text := func(x any) string {
			if n, ok := x.(interface{ String() string }); ok {
				return n.String()
			}
			s, _ := x.(string)
			return s
		}
		if text(v["position"]) != text(position) || text(v["propensity"]) != text(propensity) {
			t.Errorf("%s → %s: position %v, propensity %v; want %v, %v", old, new, v["position"], v["propensity"], position, propensity)
		}
	}
	plain, both := fields+"]", fields+", {name: position, from: context}]\npropensity: {column: propensity}"
	f(plain, "", "", nil, nil)
	f(plain, `"v":1`, `"v":1,"propensity":0.25`, nil, nil)
	f(both, `"v":1`, `"v":1,"propensity":0.25`, "3", "0.25")
	f(both, "", "", "3", nil)
	f(both, `"position":3,`, "", nil, nil)
	f(both, `{"hour":9}`, "{ }", "3", nil)
	f(both, `{"hour":9}`, "null", "3", nil)
	f(both, `{"hour":9}`, `{"position":7,"propensity":"x"}`, "7", nil) // a context's own propensity is not the impression's
	f(fields+", {name: place, column: position, from: context}]", "", "", "3", nil)
	f(fields+", {name: position, from: item}]", "", "", nil, nil)

	refused := func(propensity string) {
		t.Helper()
		if _, reason := decoded(both, `"v":1`, `"v":1,"propensity":`+propensity); reason != ReasonWrongType {
			t.Errorf("propensity %s: %q", propensity, reason)
		}
		if _, reason := decoded(plain, `"v":1`, `"v":1,"propensity":`+propensity); reason != "" {
			t.Errorf("propensity %s where nobody reads it: %q", propensity, reason)
		}
	}
	refused("0")
	refused("-0.1")
	refused("1.01")
	refused("1e400")
}
