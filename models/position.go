package models

import (
	"fmt"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/millrace/millrace/core/graph"
	"github.com/millrace/millrace/core/nn"
	"github.com/millrace/millrace/features"

	"github.com/millrace/millrace/internal/strict"
)

// Ways in which a position's logit joins the model's.
const (
	AddPosition      = "add"      // z + z_p: the position shifts the odds
	MultiplyPosition = "multiply" // σ(z)·σ(z_p): a click is a look times a liking (PAL, RecSys 2019)
)

// PositionBias is a tower over the fields that say how a row was shown: on in training, where it explains what is owed to the place, and off in scoring, which
// needs no such field. The model itself does not see the fields.
type PositionBias struct {
	Field        NameList
	EmbeddingDim int    // default 8
	HiddenUnits  Units  // of the tower, ReLU; none: linear
	Combine      string // default add
	// ScoreAt, where it is given, is the value of the one field at which rows are scored, as if all were shown there; else the tower is left out.
	ScoreAt string
}

// UnmarshalYAML reads {field: F, embedding_dim: N, hidden_units: […], combine: add|multiply, score_at: V}, or the field alone.
func (b *PositionBias) UnmarshalYAML(n *yaml.Node) error {
	*b = PositionBias{EmbeddingDim: 8, Combine: AddPosition}
	if n.Kind != yaml.MappingNode {
		return b.Field.UnmarshalYAML(n)
	}
	keys, err := mapping(n)
	if err != nil {
		return err
	}
	into := map[string]any{"field": &b.Field, "embedding_dim": &b.EmbeddingDim, "hidden_units": &b.HiddenUnits, "combine": &b.Combine, "score_at": &b.ScoreAt}
	for _, k := range keys {
		to := into[k.name]
		if to == nil {
			return fmt.Errorf("unknown key %q; the nearest known one is %q", k.name, strict.Nearest(k.name, []string{"field", "embedding_dim", "hidden_units", "combine", "score_at"}))
		}
		if err := k.value.Decode(to); err != nil {
			return fmt.Errorf("%s: value %q does not fit", k.name, k.value.Value)
		}
	}
	return nil
}

// check refuses an impossible tower.
func (b *PositionBias) check(s *features.Schema) error {
	if len(b.Field) == 0 {
		return fmt.Errorf("field is missing: which field of the schema says how a row was shown?")
	}
	if err := CheckFields(s, "field", b.Field); err != nil {
		return err
	}
	if err := CheckDim(b.EmbeddingDim); err != nil {
		return err
	}
	if err := b.HiddenUnits.Check("hidden_units"); err != nil {
		return err
	}
	if b.Combine != AddPosition && b.Combine != MultiplyPosition {
		return fmt.Errorf("combine is %q, want %s or %s", b.Combine, AddPosition, MultiplyPosition)
	}
	for _, name := range b.Field {
		f := &s.Fields[s.Field(name)]
		if f.Kind == features.Sequence {
			return fmt.Errorf("field %s is a sequence, want what says how one row was shown", name)
		}
		for _, o := range s.Fields {
			if o.Shares == name || f.Shares == o.Name {
				return fmt.Errorf("fields %s and %s share their ids: a position's are its own", name, o.Name)
			}
		}
	}
	if b.ScoreAt != "" && (len(b.Field) > 1 || s.Fields[s.Field(b.Field[0])].Kind != features.Categorical) {
		return fmt.Errorf("score_at is for one categorical field, it is %s", strings.Join(b.Field, ", "))
	}
	return nil
}

// modelSchema is the schema that the model itself sees: without the fields of the position tower.
func (s *Settings) modelSchema(schema *features.Schema) (*features.Schema, error) {
	b := s.Position
	if b == nil {
		return schema, nil
	}
	if err := b.check(schema); err != nil {
		return nil, fmt.Errorf("position_bias: %w", err)
	}
	own := *schema
	own.Fields = slices.DeleteFunc(slices.Clone(schema.Fields), func(f features.Field) bool { return slices.Contains(b.Field, f.Name) })
	if len(own.Fields) == 0 {
		return nil, fmt.Errorf("position_bias: no field is left for the model")
	}
	return &own, nil
}

// purpose is what a graph is built for, where that makes a difference.
type purpose int

const (
	forTraining    purpose = iota
	forScoring             // as rows are served: without their positions
	forObservation         // as rows were shown: what the loss sees
)

// addPosition adds the tower after the model. For training it keeps its logits for the loss; for scoring it leaves nothing that would have to be filled, or, with
// score_at, joins the logits at that value; for observation it joins them.
func (p *Program) addPosition(a *assembly, to purpose) error {
	b := p.spec.Settings.Position
	if b == nil {
		return nil
	}
	if a.net.Objective != nil {
		return fmt.Errorf("position_bias is for losses of logits, not for loss %s", p.spec.Settings.Loss)
	}
	net := a.net
	lookups, dense := len(net.Lookups), len(net.Dense)
	var fields []features.Field
	for _, name := range b.Field {
		fields = append(fields, p.schema.Fields[p.schema.Field(name)])
	}
	x := NewInputs(net, fields, InputsOptions{Prefix: "position", Dim: b.EmbeddingDim, Lists: nn.PoolMean}).Node
	h := net.MLP("position/mlp", x, nn.MLPSpec{Hidden: b.HiddenUnits, Activation: "relu"})
	var towers []*graph.Node
	for i := range p.schema.Labels {
		name := ForLabel(p.schema, "position/out", i)
		var bias *graph.Node
		if b.Combine == MultiplyPosition { // beside a sum the model has a bias of its own
			bias = net.Param(name+"/bias", 1, 1, nn.Zeros())
		}
		towers = append(towers, graph.Linear(h, net.Param(name+"/weight", h.Cols, 1, nn.XavierNormal()), bias, graph.Identity))
	}
	switch {
	case to == forTraining:
		a.positions = towers
		return nil
	case to == forScoring && b.ScoreAt == "":
		net.Lookups, net.Dense = net.Lookups[:lookups], net.Dense[:dense]
		return nil
	case to == forScoring:
		net.Lookups[lookups].Fixed = features.ID(fields[0].Table(), b.ScoreAt)
	}
	for i := range a.logits {
		a.logits[i] = b.join(a.logits[i], towers[i])
	}
	return nil
}

// NewObserver returns a scorer whose probabilities are those of the rows as they were shown: with the position tower, where the model has one. What early stopping watches
// must be what the loss sees: without their positions the best scores for biased clicks are biased ones.
func (p *Program) NewObserver() (*Scorer, error) {
	if p.spec.Settings.Position == nil {
		return p.NewScorer()
	}
	return p.newScorer(forObservation)
}

// join returns the logit of what is clicked from those of what is liked and of the place.
func (b *PositionBias) join(z, position *graph.Node) *graph.Node {
	if b.Combine == MultiplyPosition {
		return graph.ProductLogit(z, position)
	}
	return graph.Add(z, position)
}

// observed is a label's logit as the training rows show it: with the part of their positions, where there is a tower for it.
func (p *Program) observed(a *assembly, label int, z *graph.Node) *graph.Node {
	if a.positions == nil {
		return z
	}
	return p.spec.Settings.Position.join(z, a.positions[label])
}
