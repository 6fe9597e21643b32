package models

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/millrace/millrace/features"

	"github.com/millrace/millrace/internal/strict"
)

// Spec is a parsed model file: the architecture, its settings, the notices about keys accepted but ignored, and the text itself.
type Spec struct {
	Name     string // canonical: lower case without punctuation
	Model    Model
	Settings Settings
	Notices  []string
	Source   string
}

// runOnly are FuxiCTR's keys that say how its own program runs: accepted, with a notice, and without effect.
var runOnly = []string{
	"accumulation_steps", "ckpt_path", "data_block_size", "data_format", "data_root", "dataset_config", "dataset_id", "debug_mode",
	"early_stop", "eval_interval", "eval_steps", "every_x_epochs", "feature_cols", "feature_config", "feature_specs", "gpu", "group_id", "h5_format",
	"label_col", "metrics", "min_categr_count", "model_id", "model_root", "monitor_mode", "num_workers", "params", "partition_block_size",
	"pickle_feature_encoder", "save_best_only", "streaming", "task", "test_data", "train_data", "use_features", "use_hdf5", "valid_data", "verbose",
	"version", "workers",
}

// Parse reads a model file for a schema. Every error names the key, an unknown key the nearest known one.
// FuxiCTR's own layout, one experiment under its name beside an optional Base, is read as well.
func Parse(text []byte, s *features.Schema) (*Spec, error) {
	if len(s.Labels) == 0 {
		return nil, errors.New("the schema has no label: a model needs at least one")
	}
	if len(s.Fields) == 0 {
		return nil, errors.New("the schema has no fields: a model needs at least one")
	}
	keys, err := topLevel(text)
	if err != nil {
		return nil, fmt.Errorf("model file: %w", err)
	}
	spec := &Spec{Settings: defaultSettings(), Source: string(text)}
	var name string
	for _, k := range keys {
		if k.name == "model" {
			if err := k.value.Decode(&name); err != nil {
				return nil, fmt.Errorf("model file line %d: model must be a name", k.value.Line)
			}
		}
	}
	if name == "" {
		return nil, fmt.Errorf("model file: key \"model\" is missing; the models are: %s", strings.Join(Names(), " "))
	}
	config, err := newConfig(name)
	if err != nil {
		return nil, fmt.Errorf("model file: %w", err)
	}
	spec.Name = Canonical(name)
	if err := spec.decode(keys, config); err != nil {
		return nil, fmt.Errorf("model file %w", err)
	}
	if err := errors.Join(spec.Settings.check(), spec.Settings.checkLoss(s)); err != nil {
		return nil, fmt.Errorf("model file: %w", err)
	}
	own, err := spec.Settings.modelSchema(s)
	if err != nil {
		return nil, fmt.Errorf("model file: %w", err)
	}
	if spec.Model, err = config.Model(own, &spec.Settings); err != nil {
		return nil, fmt.Errorf("model file: %s: %w", spec.Name, err)
	}
	return spec, nil
}

// entry is one key of a model file.
type entry struct {
	name  string
	line  int
	value *yaml.Node
}

// topLevel returns the keys of a model file in order; the later of two layers wins.
func topLevel(text []byte) ([]entry, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return nil, err
	}
	if len(doc.Content) == 0 {
		return nil, errors.New("it is empty")
	}
	keys, err := mapping(doc.Content[0])
	if err != nil {
		return nil, err
	}
	var base, experiment []entry
	for _, k := range keys {
		if k.name == "model" || k.value.Kind != yaml.MappingNode || k.name == "monitor" {
			return keys, nil
		}
		inner, err := mapping(k.value)
		if err != nil {
			return nil, err
		}
		if k.name == "Base" {
			base = inner
			continue
		}
		if experiment != nil {
			return nil, fmt.Errorf("line %d: a second experiment, %q; a model file holds one", k.line, k.name)
		}
		experiment = inner
	}
	for _, k := range base {
		if !slices.ContainsFunc(experiment, func(e entry) bool { return e.name == k.name }) {
			experiment = append(experiment, k)
		}
	}
	return experiment, nil
}

func mapping(n *yaml.Node) ([]entry, error) {
	if n.Kind != yaml.MappingNode {
		return nil, fmt.Errorf("line %d: want keys and values", n.Line)
	}
	var keys []entry
	for i := 0; i+1 < len(n.Content); i += 2 {
		k := entry{n.Content[i].Value, n.Content[i].Line, n.Content[i+1]}
		if slices.ContainsFunc(keys, func(e entry) bool { return e.name == k.name }) {
			return nil, fmt.Errorf("line %d: key %q is given twice", k.line, k.name)
		}
		if k.value.Kind == yaml.AliasNode {
			k.value = k.value.Alias
		}
		keys = append(keys, k)
	}
	return keys, nil
}

// decode sorts the keys into settings, the model's own and those without effect.
func (spec *Spec) decode(keys []entry, config Config) error {
	known := fieldsByTag(reflect.ValueOf(&spec.Settings).Elem())
	for name, field := range fieldsByTag(reflect.ValueOf(config).Elem()) {
		known[name] = field
	}
	var ignored []string
	for _, k := range keys {
		name := k.name
		if name == "patience" { // FuxiCTR 1.x
			name = "early_stop_patience"
		}
		if field, ok := known[name]; ok {
			if err := decodeKey(name, k.value, field); err != nil {
				return fmt.Errorf("line %d: %s: %w", k.line, k.name, err)
			}
			continue
		}
		switch {
		case name == "model":
		case name == "loss":
			if err := spec.Settings.parseLoss(k.value.Value); err != nil {
				return fmt.Errorf("line %d: %w", k.line, err)
			}
		case name == "embedding_initializer":
			std, err := initializerStd(k.value)
			if err != nil {
				return fmt.Errorf("line %d: %w", k.line, err)
			}
			spec.Settings.EmbeddingInitializerStd = std
		case slices.Contains(runOnly, name):
			ignored = append(ignored, name)
		default:
			names := append([]string{"model", "loss", "embedding_initializer"}, runOnly...)
			for n := range known {
				names = append(names, n)
			}
			return fmt.Errorf("line %d: unknown key %q for model %s; the nearest known one is %q", k.line, k.name, spec.Name, strict.Nearest(k.name, names))
		}
	}
	if len(ignored) > 0 {
		spec.Notices = append(spec.Notices, "keys without effect here: "+strings.Join(ignored, ", "))
	}
	return nil
}

// fieldsByTag are a struct's fields by their keys, those of an inline struct among them.
func fieldsByTag(v reflect.Value) map[string]reflect.Value {
	fields := map[string]reflect.Value{}
	for i := range v.NumField() {
		switch tag := v.Type().Field(i).Tag.Get("yaml"); tag {
		case "":
		case ",inline":
			maps.Copy(fields, fieldsByTag(v.Field(i)))
		default:
			fields[tag] = v.Field(i)
		}
	}
	return fields
}

// decodeKey reads a value; null keeps the default.
func decodeKey(name string, n *yaml.Node, field reflect.Value) error {
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		return nil
	}
	switch name {
	case "monitor":
		if n.Kind == yaml.MappingNode {
			return decodeMonitor(n, field)
		}
	case "embedding_regularizer", "net_regularizer", "regularizer":
		if n.Kind == yaml.ScalarNode && n.Tag == "!!str" {
			return decodeRegularizer(n.Value, field)
		}
	case "optimizer", "embedding_optimizer":
		field.SetString(strings.ToLower(n.Value))
		return nil
	}
	if strict.Truncated(n, field.Type()) {
		return fmt.Errorf("value %q does not fit: want %s", n.Value, kindName(field.Type()))
	}
	if err := n.Decode(field.Addr().Interface()); err != nil {
		var te *yaml.TypeError
		if errors.As(err, &te) {
			return fmt.Errorf("value %q does not fit: want %s", n.Value, kindName(field.Type()))
		}
		return err
	}
	if f := field; f.Kind() == reflect.Float64 && (math.IsNaN(f.Float()) || math.IsInf(f.Float(), 0)) {
		return fmt.Errorf("value %q is not a finite number", n.Value)
	}
	return nil
}

func kindName(t reflect.Type) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t.Kind() {
	case reflect.Int:
		return "a whole number"
	case reflect.Uint64:
		return "a whole number, not negative"
	case reflect.Float64:
		return "a number"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice:
		return "a list"
	case reflect.Map:
		return "names with numbers"
	}
	return "a text"
}

// decodeMonitor reads FuxiCTR's form {AUC: 1, logloss: -1}.
func decodeMonitor(n *yaml.Node, field reflect.Value) error {
	keys, err := mapping(n)
	if err != nil {
		return err
	}
	var text strings.Builder
	for _, k := range keys {
		switch weight, err := strconv.ParseFloat(k.value.Value, 64); {
		case err == nil && weight == 1:
			text.WriteString("+" + k.name)
		case err == nil && weight == -1:
			text.WriteString("-" + k.name)
		default:
			return fmt.Errorf("weight %q of %s: want 1 or -1", k.value.Value, k.name)
		}
	}
	field.SetString(strings.TrimPrefix(text.String(), "+"))
	return nil
}

var l2Form = regexp.MustCompile(`^l2\(([^()]*)\)$`)

// decodeRegularizer reads a strength written as text: "0.05" or "l2(0.05)".
func decodeRegularizer(text string, field reflect.Value) error {
	number := text
	if m := l2Form.FindStringSubmatch(text); m != nil {
		number = m[1]
	}
	x, err := strconv.ParseFloat(number, 64)
	if err != nil {
		return fmt.Errorf("value %q: want a number or l2(number)", text)
	}
	field.SetFloat(x)
	return nil
}

var stdForm = regexp.MustCompile(`normal_?\b.*\bstd\s*=\s*([0-9.eE+-]+)`)

// initializerStd reads FuxiCTR's "partial(nn.init.normal_, std=1e-4)".
func initializerStd(n *yaml.Node) (float64, error) {
	if m := stdForm.FindStringSubmatch(n.Value); m != nil {
		if x, err := strconv.ParseFloat(m[1], 64); err == nil {
			return x, nil
		}
	}
	return 0, fmt.Errorf("embedding_initializer %q: only normal_ with a std is known; or give embedding_initializer_std", n.Value)
}
