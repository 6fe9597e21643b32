package features

import (
	"errors"
	"fmt"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/millrace/millrace/internal/strict"
)

// ParseSchema reads a schema from YAML; every error names the key or field, an unknown key the nearest known one.
func ParseSchema(data []byte) (*Schema, error) {
	s := new(Schema)
	if err := strict.Decode(data, s, "a schema"); err != nil {
		var e *strict.Error
		if errors.As(err, &e) {
			return nil, &SchemaError{Line: e.Line, Reason: e.Reason}
		}
		return nil, err
	}
	if err := s.Complete(); err != nil {
		var se *SchemaError
		if errors.As(err, &se) && se.Line == 0 {
			se.Line = lineOf(data, se.Reason)
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

// lineOf returns the line where the field or label begins that a message names first, the last of that name, or 0.
func lineOf(data []byte, reason string) int {
	var doc struct {
		Fields []yaml.Node `yaml:"fields"`
		Labels []yaml.Node `yaml:"labels"`
	}
	line := 0
	if yaml.Unmarshal(data, &doc) != nil {
		return line
	}
	for kind, nodes := range map[string][]yaml.Node{"field ": doc.Fields, "label ": doc.Labels} {
		rest, ok := strings.CutPrefix(reason, kind)
		if !ok {
			continue
		}
		name, _, _ := strings.Cut(rest, ":")
		name = strings.Trim(name, `"`)
		for _, n := range nodes {
			var entry struct {
				Name string `yaml:"name"`
			}
			if n.Decode(&entry) == nil && entry.Name == name {
				line = n.Line
			}
		}
	}
	return line
}
