package training

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/models"
)

// Grid is a model file in which keys may hold a choice: a list of values, {range: [LOW, HIGH]} or {log: [LOW, HIGH]}, each with an optional step for a range.
// All else stays as it is. Keys of whole numbers get whole numbers.
type Grid struct {
	fixed []gridKey
	vary  []gridKey
}

// gridKey is one key with its value, or its choice.
type gridKey struct {
	name      string
	value     *yaml.Node   // fixed
	list      []*yaml.Node // one of these, or
	low, high float64
	log       bool
	step      float64 // 0: any number
	whole     bool
}

// ParseGrid reads a grid for a schema; base, where there is one, is a model file whose keys it changes. Choices may also stand by themselves under the key grid.
func ParseGrid(text, base []byte, s *features.Schema) (*Grid, error) {
	keys, err := gridKeys(text)
	if err != nil {
		return nil, fmt.Errorf("grid: %w", err)
	}
	if base != nil {
		under, err := gridKeys(base)
		if err != nil {
			return nil, fmt.Errorf("model file: %w", err)
		}
		for _, k := range under {
			if !slices.ContainsFunc(keys, func(o gridKey) bool { return o.name == k.name }) {
				keys = append(keys, k)
			}
		}
	}
	if !slices.ContainsFunc(keys, func(k gridKey) bool { return k.name == "model" }) {
		return nil, errors.New("grid: key \"model\" is missing: name the model in the grid, or give a model file")
	}
	g := &Grid{}
	for _, k := range keys {
		if k.value.Kind == yaml.ScalarNode {
			g.fixed = append(g.fixed, k)
			continue
		}
		if err := k.read(); err != nil {
			return nil, fmt.Errorf("grid line %d: key %q: %w", k.value.Line, k.name, err)
		}
		g.vary = append(g.vary, k)
	}
	if err := g.settle(s); err != nil {
		return nil, err
	}
	if len(g.vary) == 0 {
		return nil, errors.New("grid: no key holds a choice; one is a list of values, {range: [LOW, HIGH]} or {log: [LOW, HIGH]}")
	}
	return g, nil
}

// gridKeys lists the keys of a mapping; those under the key grid stand for themselves.
func gridKeys(text []byte) ([]gridKey, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return nil, err
	}
	if len(doc.Content) == 0 || doc.Content[0].Kind != yaml.MappingNode {
		return nil, errors.New("want keys and values")
	}
	var out []gridKey
	var add func(n *yaml.Node, inner bool) error
	add = func(n *yaml.Node, inner bool) error {
		for i := 0; i+1 < len(n.Content); i += 2 {
			name, value := n.Content[i].Value, n.Content[i+1]
			if value.Kind == yaml.AliasNode {
				value = value.Alias
			}
			if (name == "grid" || name == "tuner_space") && !inner && value.Kind == yaml.MappingNode {
				if err := add(value, true); err != nil {
					return err
				}
				continue
			}
			if slices.ContainsFunc(out, func(k gridKey) bool { return k.name == name }) {
				return fmt.Errorf("line %d: key %q is given twice", n.Content[i].Line, name)
			}
			out = append(out, gridKey{name: name, value: value})
		}
		return nil
	}
	return out, add(doc.Content[0], false)
}

// read makes a choice of the key's value.
func (k *gridKey) read() error {
	if k.value.Kind == yaml.SequenceNode {
		if k.list = k.value.Content; len(k.list) == 0 {
			return errors.New("the list is empty")
		}
		return nil
	}
	var c struct {
		Range  []float64   `yaml:"range"`
		Log    []float64   `yaml:"log"`
		Step   float64     `yaml:"step"`
		Choice []yaml.Node `yaml:"choice"`
	}
	text, err := yaml.Marshal(k.value)
	if err != nil {
		return err
	}
	dec := yaml.NewDecoder(bytes.NewReader(text))
	dec.KnownFields(true)
	if err := dec.Decode(&c); err != nil {
		return errors.New("want a list of values, {range: [LOW, HIGH]}, {range: [LOW, HIGH], step: S} or {log: [LOW, HIGH]}")
	}
	given := 0
	for _, n := range []int{len(c.Range), len(c.Log), len(c.Choice)} {
		if n > 0 {
			given++
		}
	}
	ends := append(c.Range, c.Log...)
	switch {
	case given != 1:
		return errors.New("want one of a list of values, range and log")
	case c.Choice != nil:
		for i := range c.Choice {
			k.list = append(k.list, &c.Choice[i])
		}
		return nil
	case len(ends) != 2 || !(ends[0] < ends[1]) || math.IsInf(ends[0], 0) || math.IsInf(ends[1], 0):
		return fmt.Errorf("its ends are %v, want two numbers, the lower first", ends)
	case c.Log != nil && !(ends[0] > 0):
		return fmt.Errorf("log from %g: want more than 0", ends[0])
	case c.Step < 0 || c.Step > 0 && c.Log != nil || c.Step > ends[1]-ends[0]:
		return fmt.Errorf("step %g: want one that fits a range", c.Step)
	}
	k.low, k.high, k.log, k.step = ends[0], ends[1], c.Log != nil, c.Step
	return nil
}

// settle finds out by the model itself which flat lists are values, not choices, and which keys take whole numbers; it refuses a grid of which a part can never be a model.
func (g *Grid) settle(s *features.Schema) error {
	for i := 0; i < len(g.vary); i++ {
		k := &g.vary[i]
		if k.list == nil {
			k.whole = models.WholeKey(g.model(), k.name)
			if _, err := g.with(s, k.name, number(k.at(0.4321))); err != nil {
				return fmt.Errorf("grid: with %s %s: %w", k.name, number(k.at(0.4321)).Value, err)
			}
			continue
		}
		var first error
		for _, v := range k.list {
			_, err := g.with(s, k.name, v)
			if err != nil && first == nil {
				first = err
			}
		}
		if first == nil {
			continue
		}
		if !slices.ContainsFunc(k.list, func(v *yaml.Node) bool { return v.Kind != yaml.ScalarNode }) {
			if _, err := g.with(s, k.name, k.value); err == nil { // the list is one value
				g.fixed = append(g.fixed, gridKey{name: k.name, value: k.value})
				g.vary = slices.Delete(g.vary, i, i+1)
				i--
				continue
			}
		}
		return fmt.Errorf("grid: key %q: %w", k.name, first)
	}
	return nil
}

// with parses the model of the choices' first values, one key set to a value.
func (g *Grid) with(s *features.Schema, name string, value *yaml.Node) (*models.Spec, error) {
	var chosen []gridKey
	for _, k := range g.vary {
		v := value
		if k.name != name {
			if v = k.first(); v == nil {
				continue
			}
		}
		chosen = append(chosen, gridKey{name: k.name, value: v})
	}
	text, err := g.file(chosen)
	if err != nil {
		return nil, err
	}
	return models.Parse(text, s)
}

// first is the key's first value where it is a list or the model's name; nil else: the model's default serves.
func (k *gridKey) first() *yaml.Node {
	if k.list == nil || k.list[0].Kind == yaml.ScalarNode && k.name != "model" {
		return nil
	}
	return k.list[0]
}

// model is the model's name, of several the first.
func (g *Grid) model() string {
	for _, k := range slices.Concat(g.fixed, g.vary) {
		if k.name == "model" && k.list == nil {
			return k.value.Value
		}
		if k.name == "model" {
			return k.list[0].Value
		}
	}
	return ""
}

// at is the value at u in [0, 1).
func (k *gridKey) at(u float64) float64 {
	x := k.low + u*(k.high-k.low)
	switch {
	case k.log:
		x = math.Exp(math.Log(k.low) + u*(math.Log(k.high)-math.Log(k.low)))
	case k.step > 0:
		n := math.Floor((k.high-k.low)/k.step + 1e-9)
		x = k.low + k.step*math.Floor(u*(n+1))
	case k.whole:
		x = math.Floor(k.low) + math.Floor(u*(math.Floor(k.high)-math.Floor(k.low)+1))
	}
	if k.whole {
		x = math.Round(x)
	}
	return max(k.low, min(k.high, x))
}

// number writes a value with six digits that count, enough to tell any two trials apart.
func number(x float64) *yaml.Node {
	text := strconv.FormatFloat(x, 'g', 6, 64)
	if x == math.Trunc(x) && math.Abs(x) < 1e15 {
		text = strconv.FormatFloat(x, 'f', -1, 64)
	}
	if strings.Contains(text, "e") && !strings.Contains(text, ".") { // YAML 1.1 readers take 1e-05 for a text
		text = strings.Replace(text, "e", ".0e", 1)
	}
	return &yaml.Node{Kind: yaml.ScalarNode, Value: text}
}

// Size is how many combinations there are; 0 where a key has no end of values.
func (g *Grid) Size() int {
	n := 1
	for i := range g.vary {
		values := g.vary[i].values()
		if values == 0 || n > 1<<30/values {
			return 0
		}
		n *= values
	}
	return n
}

func (k *gridKey) values() int {
	switch {
	case k.list != nil:
		return len(k.list)
	case k.step > 0:
		return int(math.Floor((k.high-k.low)/k.step+1e-9)) + 1
	case k.whole && !k.log && k.high-k.low < 1<<20:
		return int(math.Floor(k.high)-math.Floor(k.low)) + 1
	}
	return 0
}

// value is the i-th of the key's values.
func (k *gridKey) nth(i int) *yaml.Node {
	if k.list != nil {
		return k.list[i]
	}
	return number(k.at((float64(i) + .5) / float64(k.values())))
}

// combination is the i-th of all, the last key running fastest.
func (g *Grid) combination(i int) []gridKey {
	out := make([]gridKey, len(g.vary))
	for k := len(g.vary) - 1; k >= 0; k-- {
		n := g.vary[k].values()
		out[k] = gridKey{name: g.vary[k].name, value: g.vary[k].nth(i % n)}
		i /= n
	}
	return out
}

// draw takes a value of each key by itself.
func (g *Grid) draw(rng *rand.Rand) []gridKey {
	out := make([]gridKey, len(g.vary))
	for i := range g.vary {
		k := &g.vary[i]
		var v *yaml.Node
		if k.list != nil {
			v = k.list[rng.IntN(len(k.list))]
		} else {
			v = number(k.at(rng.Float64()))
		}
		out[i] = gridKey{name: k.name, value: v}
	}
	return out
}

// file is the model file of a choice.
func (g *Grid) file(chosen []gridKey) ([]byte, error) {
	doc := &yaml.Node{Kind: yaml.MappingNode}
	for _, k := range slices.Concat(g.fixed, chosen) {
		doc.Content = append(doc.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: k.name}, k.value)
	}
	text, err := yaml.Marshal(doc)
	if err != nil {
		return nil, fmt.Errorf("write a model file: %w", err)
	}
	return text, nil
}
