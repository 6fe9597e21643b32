// Package strict reads YAML into structs and refuses what it does not know: an unknown key, a key that stands twice, a value of the wrong kind, a second document. Errors name the line,
// and an unknown name the known one that was probably meant.
package strict

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// Error says what is wrong with a document, and where; Line is 0 where there is no line to name.
type Error struct {
	Line   int
	Reason string
}

func (e *Error) Error() string {
	if e.Line > 0 {
		return fmt.Sprintf("line %d: %s", e.Line, e.Reason)
	}
	return e.Reason
}

// Decode fills the struct that into points to from the one document in data; what names it in errors ("a recipe"). Keys are those of the `yaml` tags. A text where a list of
// texts is wanted is a list of one. A struct's int field named Line gets the line where its value begins. Errors are *Error.
func Decode(data []byte, into any, what string) error {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, more yaml.Node
	err := dec.Decode(&doc)
	if errors.Is(err, io.EOF) || err == nil && len(doc.Content) == 0 {
		return &Error{Reason: "the file is empty"}
	}
	if err != nil {
		return &Error{Reason: "not YAML: " + strings.TrimPrefix(err.Error(), "yaml: ")}
	}
	if err := dec.Decode(&more); !errors.Is(err, io.EOF) {
		return &Error{Line: more.Line, Reason: fmt.Sprintf("a second YAML document; %s is one", what)}
	}
	return fill(doc.Content[0], reflect.ValueOf(into).Elem(), what, "", 0)
}

// deepest is how far values may nest; an alias that holds itself goes beyond it.
const deepest = 32

// fill sets v from n; path is empty at the top, which what names.
func fill(n *yaml.Node, v reflect.Value, what, path string, depth int) error {
	name := path
	if name == "" {
		name = what
	}
	if depth > deepest {
		return &Error{Line: n.Line, Reason: name + " nests too deeply"}
	}
	if n.Kind == yaml.AliasNode {
		return fill(n.Alias, v, what, path, depth+1)
	}
	t := v.Type()
	_, own := v.Addr().Interface().(yaml.Unmarshaler)
	switch {
	case own:
	case t.Kind() == reflect.Pointer && t.Elem().Kind() == reflect.Struct:
		v.Set(reflect.New(t.Elem()))
		return fill(n, v.Elem(), what, path, depth+1)
	case t.Kind() == reflect.Struct:
		return fillStruct(n, v, what, path, depth)
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Struct:
		return fillList(n, v, what, path, depth)
	case t.Kind() == reflect.Map && t.Elem().Kind() == reflect.Struct:
		return fillMap(n, v, what, path, depth)
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.String && n.Kind == yaml.ScalarNode && n.Tag != "!!null":
		v.Set(reflect.Append(reflect.MakeSlice(t, 0, 1), reflect.ValueOf(n.Value)))
		return nil
	}
	if Truncated(n, t) {
		return &Error{Line: n.Line, Reason: fmt.Sprintf("%s: %s is not %s", name, shown(n), wanted(t))}
	}
	if err := n.Decode(v.Addr().Interface()); err != nil {
		reason := fmt.Sprintf("%s: %s is not %s", name, shown(n), wanted(t))
		if own {
			reason = fmt.Sprintf("%s: %v", name, err)
		}
		return &Error{Line: n.Line, Reason: reason}
	}
	return nil
}

// Truncated reports whether a whole number, or a list of them, is to be read from a number with a fraction, of which the YAML library would drop the fraction.
func Truncated(n *yaml.Node, into reflect.Type) bool {
	switch into.Kind() {
	case reflect.Pointer:
		return Truncated(n, into.Elem())
	case reflect.Slice:
		if n.Kind == yaml.ScalarNode {
			return Truncated(n, into.Elem())
		}
		return slices.ContainsFunc(n.Content, func(e *yaml.Node) bool { return Truncated(e, into.Elem()) })
	case reflect.Int, reflect.Int32, reflect.Int64, reflect.Uint32, reflect.Uint64:
		x, err := strconv.ParseFloat(n.Value, 64)
		return n.Kind == yaml.ScalarNode && n.Tag == "!!float" && err == nil && x != math.Trunc(x)
	}
	return false
}

func fillStruct(n *yaml.Node, v reflect.Value, what, path string, depth int) error {
	name := path
	if name == "" {
		name = what
	}
	if n.Kind != yaml.MappingNode {
		return &Error{Line: n.Line, Reason: name + " must be keys with values"}
	}
	known := map[string]int{}
	var names []string
	for i := range v.NumField() {
		key, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("yaml"), ",")
		if key == "-" || key == "" {
			continue
		}
		known[key] = i
		names = append(names, key)
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		at, ok := known[key.Value]
		switch {
		case !ok || key.Kind != yaml.ScalarNode:
			return &Error{Line: key.Line, Reason: fmt.Sprintf("unknown key %q in %s%s", key.Value, name, Meant(key.Value, names))}
		case seen[key.Value]:
			return &Error{Line: key.Line, Reason: fmt.Sprintf("key %q stands twice in %s", key.Value, name)}
		}
		seen[key.Value] = true
		if err := fill(n.Content[i+1], v.Field(at), what, strings.TrimPrefix(path+"."+key.Value, "."), depth+1); err != nil {
			return err
		}
	}
	if line := v.FieldByName("Line"); line.IsValid() && line.Kind() == reflect.Int {
		line.SetInt(int64(n.Line))
	}
	return nil
}

func fillList(n *yaml.Node, v reflect.Value, what, path string, depth int) error {
	if n.Kind != yaml.SequenceNode {
		return &Error{Line: n.Line, Reason: path + " must be a list"}
	}
	for i, e := range n.Content {
		item := reflect.New(v.Type().Elem()).Elem()
		if err := fill(e, item, what, fmt.Sprintf("%s[%d]", path, i), depth+1); err != nil {
			return err
		}
		v.Set(reflect.Append(v, item))
	}
	return nil
}

func fillMap(n *yaml.Node, v reflect.Value, what, path string, depth int) error {
	if n.Kind != yaml.MappingNode {
		return &Error{Line: n.Line, Reason: path + " must be names with values"}
	}
	v.Set(reflect.MakeMap(v.Type()))
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := reflect.ValueOf(n.Content[i].Value)
		if v.MapIndex(key).IsValid() {
			return &Error{Line: n.Content[i].Line, Reason: fmt.Sprintf("key %q stands twice in %s", key, path)}
		}
		item := reflect.New(v.Type().Elem()).Elem()
		if err := fill(n.Content[i+1], item, what, path+"."+key.String(), depth+1); err != nil {
			return err
		}
		v.SetMapIndex(key, item)
	}
	return nil
}

func shown(n *yaml.Node) string {
	if n.Kind == yaml.ScalarNode {
		return fmt.Sprintf("%.60q", n.Value)
	}
	return "what stands there"
}

func wanted(t reflect.Type) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int64, reflect.Uint64:
		return "a whole number"
	case reflect.Float64:
		return "a number"
	case reflect.Map:
		return "names with values"
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Float64 {
			return "a list of numbers"
		}
		return "a list of texts"
	}
	return "a text"
}
