package strict

import (
	"errors"
	"reflect"
	"strings"
	"testing"
)

type inner struct {
	Line int    `yaml:"-"`
	Name string `yaml:"name"`
	N    int    `yaml:"n"`
}

type outer struct {
	Words []string         `yaml:"words"`
	List  []inner          `yaml:"list"`
	By    map[string]inner `yaml:"by"`
	One   *inner           `yaml:"one"`
	Share float64          `yaml:"share"`
}

func TestDecode(t *testing.T) {
	var got outer
	err := Decode([]byte("words: a\nlist:\n  - {name: x, n: 3}\n  - name: y\nby: {k: {n: 4}}\none: {name: z}\nshare: 0.5\n"), &got, "a test")
	want := outer{[]string{"a"}, []inner{{3, "x", 3}, {4, "y", 0}}, map[string]inner{"k": {5, "", 4}}, &inner{6, "z", 0}, 0.5}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("Decode = %+v, %v; want %+v", got, err, want)
	}
}

func TestDecodeRefuses(t *testing.T) {
	f := func(yaml string, line int, parts ...string) {
		t.Helper()
		var e *Error
		if err := Decode([]byte(yaml), new(outer), "a test"); !errors.As(err, &e) {
			t.Fatalf("Decode(%q) = %v; want an *Error", yaml, err)
		}
		if e.Line != line {
			t.Errorf("Decode(%q) names line %d; want %d", yaml, e.Line, line)
		}
		for _, p := range parts {
			if !strings.Contains(e.Reason, p) {
				t.Errorf("Decode(%q): %q does not contain %q", yaml, e.Reason, p)
			}
		}
	}
	f("", 0, "empty")
	f("a: [", 0, "not YAML")
	f("share: 1\n---\nshare: 2\n", 2, "second YAML document")
	f("wrods: [a]\n", 1, `"wrods"`, `"words"`)
	f("completely_other: 1\n", 1, "words, list, by, one, share")
	f("list:\n  - {nam: x}\n", 2, "list[0]", `"name"`)
	f("by:\n  k: {m: 1}\n", 2, "by.k", `"n"`)
	f("share: 1\nshare: 2\n", 2, "twice")
	f("share: much\n", 1, `"much"`, "a number")
	f("list: {name: x}\n", 1, "list")
	f("one: {n: 5.2}\n", 1, "one.n", "5.2", "a whole number")
	f("- a\n", 1, "a test must be keys")
	f("one: &x {name: a, n: *x}\n", 1)
}

func TestNearest(t *testing.T) {
	f := func(name, want string, known ...string) {
		t.Helper()
		if got := Nearest(name, known); got != want {
			t.Errorf("Nearest(%q, %q) = %q; want %q", name, known, got, want)
		}
	}
	f("fieds", "fields", "labels", "fields")
	f("FIELDS", "fields", "labels", "fields")
	f("x", "a", "a", "b")
	f("x", "")
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte("words: a\nlist:\n  - {name: x, n: 3}\n"))
	f.Add([]byte("by: {k: {n: 4}}\none: &a {name: z}\n"))
	f.Add([]byte("list: &a\n  - *a\n"))
	f.Add([]byte("share: [\n---\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var e *Error
		if err := Decode(data, new(outer), "a test"); err != nil && (!errors.As(err, &e) || e.Reason == "") {
			t.Fatalf("Decode(%q) = %v; want an *Error with a reason", data, err)
		}
	})
}
