package models

import (
	"fmt"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/millrace/millrace/features"

	"github.com/millrace/millrace/internal/strict"
)

// Units is a list of layer widths; one number is a list of one.
type Units []int

// UnmarshalYAML reads a number or a list of numbers.
func (u *Units) UnmarshalYAML(n *yaml.Node) error { return oneOrMany(n, (*[]int)(u)) }

// Check refuses widths that no layer can have; key names them in the error.
func (u Units) Check(key string) error {
	for _, x := range u {
		if x < 1 || x > 1<<16 {
			return fmt.Errorf("%s: a layer of %d units, want 1 to %d", key, x, 1<<16)
		}
	}
	return nil
}

// Rates are dropout rates: one for all layers, or one a layer.
type Rates []float64

// UnmarshalYAML reads a number or a list of numbers.
func (r *Rates) UnmarshalYAML(n *yaml.Node) error { return oneOrMany(n, (*[]float64)(r)) }

// CheckRate refuses a rate of dropout outside [0, 1).
func CheckRate(key string, x float64) error {
	if !(x >= 0 && x < 1) {
		return fmt.Errorf("%s is %g, want at least 0 and less than 1", key, x)
	}
	return nil
}

// Check refuses rates outside [0, 1) and a list that does not fit the layers.
func (r Rates) Check(key string, layers int) error {
	for _, x := range r {
		if err := CheckRate(key, x); err != nil {
			return err
		}
	}
	if len(r) > 1 && len(r) != layers {
		return fmt.Errorf("%s has %d rates for %d layers", key, len(r), layers)
	}
	return nil
}

// NameList is a list of names; one name is a list of one.
type NameList []string

// UnmarshalYAML reads a name or a list of names; an empty text is no name.
func (l *NameList) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode && n.Value == "" {
		*l = nil
		return nil
	}
	return oneOrMany(n, (*[]string)(l))
}

// Activation is the activation of all hidden layers, given once or once a layer.
type Activation string

// UnmarshalYAML reads a name or a list of equal names.
func (a *Activation) UnmarshalYAML(n *yaml.Node) error {
	var names []string
	if err := oneOrMany(n, &names); err != nil {
		return err
	}
	for _, name := range names {
		if !strings.EqualFold(name, names[0]) {
			return fmt.Errorf("layers with different activations (%s and %s) are not supported", names[0], name)
		}
		*a = Activation(strings.ToLower(name))
	}
	return nil
}

// Check refuses an unknown activation.
func (a Activation) Check(key string) error {
	known := []string{"relu", "sigmoid", "tanh", "prelu", "dice", "identity"}
	for _, k := range known {
		if string(a) == k {
			return nil
		}
	}
	return fmt.Errorf("%s is %q; the nearest known activation is %q", key, string(a), strict.Nearest(string(a), known))
}

// CheckDim refuses an impossible embedding width.
func CheckDim(dim int) error {
	if dim < 1 || dim > 4096 {
		return fmt.Errorf("embedding_dim is %d, want 1 to 4096", dim)
	}
	return nil
}

func oneOrMany[T any](n *yaml.Node, list *[]T) error {
	if n.Kind == yaml.ScalarNode {
		var x T
		if err := n.Decode(&x); err != nil {
			return err
		}
		*list = []T{x}
		return nil
	}
	return n.Decode(list)
}

// CheckFields refuses a name that is no field of the schema; key names the list.
func CheckFields(s *features.Schema, key string, names []string) error {
	var known []string
	for i := range s.Fields {
		known = append(known, s.Fields[i].Name)
	}
	for _, n := range names {
		if s.Field(n) < 0 {
			return fmt.Errorf("%s: the schema has no field %q; the nearest is %q", key, n, strict.Nearest(n, known))
		}
	}
	return nil
}
