package features

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"

	"gopkg.in/yaml.v3"
)

// ParseSchema reads a schema from YAML; every error names the key or field, an unknown key the nearest known one.
func ParseSchema(data []byte) (*Schema, error) {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, more yaml.Node
	if err := dec.Decode(&doc); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, &SchemaError{Reason: "the file is empty"}
		}
		return nil, yamlError(err)
	}
	if err := dec.Decode(&more); err == nil {
		return nil, &SchemaError{Line: more.Line, Reason: "a second YAML document; a schema is one"}
	} else if !errors.Is(err, io.EOF) {
		return nil, yamlError(err)
	}
	s := new(Schema)
	w := walk{lines: map[string]int{}}
	if len(doc.Content) == 0 {
		return nil, &SchemaError{Reason: "the file is empty"}
	}
	if err := w.value(doc.Content[0], reflect.ValueOf(s).Elem(), ""); err != nil {
		return nil, err
	}
	if err := s.Complete(); err != nil {
		var se *SchemaError
		if errors.As(err, &se) && se.Line == 0 {
			se.Line = w.lineOf(s, se.Reason)
		}
		return nil, err
	}
	return s, nil
}

// Marshal writes the schema as YAML that ParseSchema reads back to an equal schema.
func (s *Schema) Marshal() ([]byte, error) {
	b, err := yaml.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("write schema as YAML: %w", err)
	}
	return b, nil
}

func yamlError(err error) error {
	reason := strings.TrimPrefix(err.Error(), "yaml: ")
	return &SchemaError{Reason: "not YAML: " + reason}
}

// walk fills structs from YAML nodes, strictly. lines remembers where fields and labels begin.
type walk struct{ lines map[string]int }

func (w *walk) value(n *yaml.Node, v reflect.Value, path string) error {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	switch {
	case v.Kind() == reflect.Struct:
		return w.mapping(n, v, path)
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Struct:
		if n.Kind != yaml.SequenceNode {
			return &SchemaError{Line: n.Line, Reason: fmt.Sprintf("%s must be a list", path)}
		}
		for i, e := range n.Content {
			item := reflect.New(v.Type().Elem()).Elem()
			if err := w.value(e, item, fmt.Sprintf("%s[%d]", path, i)); err != nil {
				return err
			}
			if name := item.FieldByName("Name"); name.IsValid() {
				w.lines[name.String()] = e.Line
			}
			v.Set(reflect.Append(v, item))
		}
		return nil
	}
	if err := n.Decode(v.Addr().Interface()); err != nil {
		return &SchemaError{Line: n.Line, Reason: fmt.Sprintf("%s: %q is not %s", path, clip(n.Value), wanted(v.Type()))}
	}
	return nil
}

func (w *walk) mapping(n *yaml.Node, v reflect.Value, path string) error {
	if n.Kind != yaml.MappingNode {
		if path == "" {
			path = "a schema"
		}
		return &SchemaError{Line: n.Line, Reason: fmt.Sprintf("%s must be keys with values", path)}
	}
	known := map[string]int{}
	var names []string
	for i := range v.NumField() {
		name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("yaml"), ",")
		known[name] = i
		names = append(names, name)
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		at, ok := known[key.Value]
		full := strings.TrimPrefix(path+"."+key.Value, ".")
		if !ok || key.Kind != yaml.ScalarNode {
			return &SchemaError{Line: key.Line, Reason: fmt.Sprintf("unknown key %q%s%s", key.Value, inside(path), meant(key.Value, names))}
		}
		if seen[key.Value] {
			return &SchemaError{Line: key.Line, Reason: fmt.Sprintf("key %q stands twice%s", key.Value, inside(path))}
		}
		seen[key.Value] = true
		if err := w.value(n.Content[i+1], v.Field(at), full); err != nil {
			return err
		}
	}
	return nil
}

func inside(path string) string {
	if path == "" {
		return ""
	}
	return " in " + path
}

func wanted(t reflect.Type) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Int:
		return "a whole number"
	case reflect.Float64:
		return "a number"
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Float64 {
			return "a list of numbers"
		}
		return "a list of texts"
	}
	return "a text"
}

// lineOf returns the line of the field or label that a message names first, or 0.
func (w *walk) lineOf(s *Schema, reason string) int {
	for _, kind := range []string{"field ", "label "} {
		if rest, ok := strings.CutPrefix(reason, kind); ok {
			name, _, _ := strings.Cut(rest, ":")
			return w.lines[strings.Trim(name, `"`)]
		}
	}
	return 0
}
