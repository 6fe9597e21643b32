package prepare

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/millrace/millrace/features"
)

// RecipeError says what is wrong with a recipe, and where; Line is 0 where there is no line to name.
type RecipeError struct {
	Line   int
	Reason string
}

func (e *RecipeError) Error() string {
	if e.Line > 0 {
		return fmt.Sprintf("recipe line %d: %s", e.Line, e.Reason)
	}
	return "recipe: " + e.Reason
}

// parseStrict fills the struct that into points to from one YAML document; a key it has no field for is an error.
func parseStrict(data []byte, into any) error {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, more yaml.Node
	err := dec.Decode(&doc)
	if errors.Is(err, io.EOF) || err == nil && len(doc.Content) == 0 {
		return &RecipeError{Reason: "the file is empty"}
	}
	if err != nil {
		return &RecipeError{Reason: "not YAML: " + strings.TrimPrefix(err.Error(), "yaml: ")}
	}
	if err := dec.Decode(&more); !errors.Is(err, io.EOF) {
		return &RecipeError{Line: more.Line, Reason: "a second YAML document; a recipe is one"}
	}
	return fill(doc.Content[0], reflect.ValueOf(into).Elem(), "the recipe", 0)
}

// deepest is how far values may nest; an alias that holds itself goes beyond it.
const deepest = 32

func fill(n *yaml.Node, v reflect.Value, path string, depth int) error {
	if depth > deepest {
		return &RecipeError{Line: n.Line, Reason: path + " nests too deeply"}
	}
	if n.Kind == yaml.AliasNode {
		return fill(n.Alias, v, path, depth+1)
	}
	t := v.Type()
	switch {
	case t.Kind() == reflect.Pointer && t.Elem().Kind() == reflect.Struct:
		v.Set(reflect.New(t.Elem()))
		return fill(n, v.Elem(), path, depth+1)
	case t.Kind() == reflect.Struct:
		return fillStruct(n, v, path, depth)
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Struct:
		return fillList(n, v, path, depth)
	case t.Kind() == reflect.Map && t.Elem().Kind() == reflect.Struct:
		return fillMap(n, v, path, depth)
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.String && n.Kind == yaml.ScalarNode && n.Tag != "!!null":
		v.Set(reflect.Append(reflect.MakeSlice(t, 0, 1), reflect.ValueOf(n.Value)))
		return nil
	}
	if err := n.Decode(v.Addr().Interface()); err != nil {
		return &RecipeError{Line: n.Line, Reason: fmt.Sprintf("%s: %s is not %s", path, shown(n), wanted(t))}
	}
	return nil
}

func fillStruct(n *yaml.Node, v reflect.Value, path string, depth int) error {
	if n.Kind != yaml.MappingNode {
		return &RecipeError{Line: n.Line, Reason: path + " must be keys with values"}
	}
	known := map[string]int{}
	var names []string
	for i := range v.NumField() {
		name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("yaml"), ",")
		if name == "-" {
			continue
		}
		known[name] = i
		names = append(names, name)
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		at, ok := known[key.Value]
		switch {
		case !ok || key.Kind != yaml.ScalarNode:
			return &RecipeError{Line: key.Line, Reason: fmt.Sprintf("unknown key %q in %s%s", key.Value, path, meant(key.Value, names))}
		case seen[key.Value]:
			return &RecipeError{Line: key.Line, Reason: fmt.Sprintf("key %q stands twice in %s", key.Value, path)}
		}
		seen[key.Value] = true
		if err := fill(n.Content[i+1], v.Field(at), key.Value, depth+1); err != nil {
			return err
		}
	}
	if line := v.FieldByName("Line"); line.IsValid() {
		line.SetInt(int64(n.Line))
	}
	return nil
}

func fillList(n *yaml.Node, v reflect.Value, path string, depth int) error {
	if n.Kind != yaml.SequenceNode {
		return &RecipeError{Line: n.Line, Reason: path + " must be a list"}
	}
	for i, e := range n.Content {
		item := reflect.New(v.Type().Elem()).Elem()
		if err := fill(e, item, fmt.Sprintf("%s[%d]", path, i), depth+1); err != nil {
			return err
		}
		v.Set(reflect.Append(v, item))
	}
	return nil
}

func fillMap(n *yaml.Node, v reflect.Value, path string, depth int) error {
	if n.Kind != yaml.MappingNode {
		return &RecipeError{Line: n.Line, Reason: path + " must be names with values"}
	}
	v.Set(reflect.MakeMap(v.Type()))
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := reflect.ValueOf(n.Content[i].Value)
		if v.MapIndex(key).IsValid() {
			return &RecipeError{Line: n.Content[i].Line, Reason: fmt.Sprintf("key %q stands twice in %s", key, path)}
		}
		item := reflect.New(v.Type().Elem()).Elem()
		if err := fill(n.Content[i+1], item, path+"."+key.String(), depth+1); err != nil {
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
	if t.Kind() == reflect.Pointer {
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

// meant is the end of a message about an unknown name.
func meant(name string, known []string) string {
	if n := features.Nearest(name, known); n != "" {
		return fmt.Sprintf("; did you mean %q?", n)
	}
	if len(known) == 0 || len(known) > 40 {
		return ""
	}
	return "; known: " + strings.Join(known, ", ")
}
