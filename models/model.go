// Package models holds the interface of CTR models, their registry and settings, and the program that runs one:
// a model is written once, as a function that builds a graph over a batch's inputs; training, scoring and serving derive from it.
//
// A Program is immutable and may be shared. Each Step and each Scorer has a graph, a plan and buffers of its own and belongs to one goroutine.
package models

import (
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/millrace/millrace/core/graph"
	"github.com/millrace/millrace/core/nn"
	"github.com/millrace/millrace/features"

	"github.com/millrace/millrace/internal/strict"
)

// Model is one architecture with its settings, as read from a model file.
type Model interface {
	// Build adds the model to the net and returns one logit node [B, 1] a label of the schema, in the schema's order.
	// It is called once for every plan that is made, and must add the same things each time.
	Build(net *nn.Net, s *features.Schema) ([]*graph.Node, error)
}

// Config holds the keys of one kind of model: a pointer to a struct whose yaml tags name them, with the defaults filled in.
type Config interface {
	// Model checks the keys against the schema and returns the architecture. An error names the key.
	Model(s *features.Schema, set *Settings) (Model, error)
}

// registry maps canonical names to what makes a Config; model packages fill it when they are linked in.
var registry = map[string]func() Config{}

// Register makes a model known under a name; it is called from the init functions of model packages.
func Register(name string, config func() Config) {
	name = Canonical(name)
	if registry[name] != nil {
		panic("BUG: two models are called " + name)
	}
	registry[name] = config
}

// Names lists the registered models.
func Names() []string {
	var names []string
	for name := range registry {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Canonical is a model's name without case and punctuation: AutoInt+ is autointplus.
func Canonical(name string) string {
	name = strings.ReplaceAll(name, "+", "plus")
	name = strings.ReplaceAll(name, "&", "")
	return strings.Map(func(r rune) rune {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			return -1
		}
		return unicode.ToLower(r)
	}, name)
}

// newConfig returns the defaults of a named model.
func newConfig(name string) (Config, error) {
	if f := registry[Canonical(name)]; f != nil {
		return f(), nil
	}
	return nil, fmt.Errorf("model %q is not known; the nearest is %q, all are: %s", name, strict.Nearest(Canonical(name), Names()), strings.Join(Names(), " "))
}
