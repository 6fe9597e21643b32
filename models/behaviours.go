package models

import (
	"fmt"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/millrace/millrace/core/graph"
	"github.com/millrace/millrace/core/nn"
	"github.com/millrace/millrace/features"
)

// Groups are lists of fields that describe one kind of behaviour: [[item, category]] joins the two, [item, category] makes each a kind of its own.
type Groups [][]string

// UnmarshalYAML reads a name, a list of names, or a list of lists. An empty name stands for no field.
func (g *Groups) UnmarshalYAML(n *yaml.Node) error {
	*g = nil
	if n.Kind == yaml.ScalarNode {
		*g = Groups{{n.Value}}
		return nil
	}
	if n.Kind != yaml.SequenceNode {
		return fmt.Errorf("want field names")
	}
	for _, c := range n.Content {
		var names NameList
		if c.Kind == yaml.SequenceNode {
			for _, e := range c.Content {
				if e.Tag == "!!null" {
					e.Value = ""
				}
				names = append(names, e.Value)
			}
		} else {
			names = NameList{strings.Trim(c.Value, "()")}
			if strings.Contains(names[0], ",") { // (item, category), FuxiCTR's tuple pasted as it is
				names = strings.FieldsFunc(names[0], func(r rune) bool { return r == ',' || r == ' ' })
			}
		}
		*g = append(*g, names)
	}
	return nil
}

// BehaviourGroup is sequences of equal lengths that describe the same behaviours: Sequence[i] is compared with the candidate's field Target[i], or with a learned
// vector where that is empty.
type BehaviourGroup struct{ Target, Sequence []string }

// Behaviours pairs the sequences of the model file's keys <model>_sequence_field with <model>_target_field. Without the keys all sequences form one group, each paired with the
// field it shares ids with.
func Behaviours(s *features.Schema, model string, targets, sequences Groups) ([]BehaviourGroup, error) {
	if len(sequences) == 0 {
		if len(targets) > 0 {
			return nil, fmt.Errorf("%s_target_field is given without %[1]s_sequence_field", model)
		}
		var u BehaviourGroup
		for i := range s.Fields {
			if f := &s.Fields[i]; f.Kind == features.Sequence {
				u.Sequence = append(u.Sequence, f.Name)
				u.Target = append(u.Target, counterpart(s, f))
			}
		}
		if len(u.Sequence) == 0 {
			return nil, fmt.Errorf("the schema has no sequence field: %s needs a history", strings.ToUpper(model))
		}
		return []BehaviourGroup{u}, u.check(s, model)
	}
	if len(targets) > len(sequences) {
		return nil, fmt.Errorf("%s_target_field has %d entries, %[1]s_sequence_field %d", model, len(targets), len(sequences))
	}
	var groups []BehaviourGroup
	for i, names := range sequences {
		u := BehaviourGroup{Sequence: names, Target: make([]string, len(names))}
		if i < len(targets) {
			if len(targets[i]) > len(names) {
				return nil, fmt.Errorf("%s_target_field %v has more fields than %[1]s_sequence_field %v", model, targets[i], names)
			}
			copy(u.Target, targets[i])
		} else if err := CheckFields(s, model+"_sequence_field", names); err == nil {
			for k, n := range names {
				u.Target[k] = counterpart(s, &s.Fields[s.Field(n)])
			}
		}
		if err := u.check(s, model); err != nil {
			return nil, err
		}
		groups = append(groups, u)
	}
	return groups, nil
}

// counterpart is the field of the candidate whose ids a sequence shares, or empty.
func counterpart(s *features.Schema, f *features.Field) string {
	if i := s.Field(f.Shares); f.Shares != "" && i >= 0 && s.Fields[i].Kind == features.Categorical {
		return f.Shares
	}
	return ""
}

func (u *BehaviourGroup) check(s *features.Schema, model string) error {
	if err := CheckFields(s, model+"_sequence_field", u.Sequence); err != nil {
		return err
	}
	for i, name := range u.Sequence {
		if f := &s.Fields[s.Field(name)]; f.Kind != features.Sequence {
			return fmt.Errorf("%s_sequence_field: field %s is %s, want a sequence", model, name, f.Kind)
		}
		t := u.Target[i]
		if t == "" {
			continue
		}
		if err := CheckFields(s, model+"_target_field", []string{t}); err != nil {
			return err
		}
		if k := s.Fields[s.Field(t)].Kind; k == features.Sequence {
			return fmt.Errorf("%s_target_field: field %s is a sequence, want a field of the candidate", model, t)
		}
	}
	for _, t := range u.Target {
		if t != "" {
			return nil
		}
	}
	return fmt.Errorf("the sequences %s have no counterpart in the candidate: let one share a field's ids, or name %s_target_field", strings.Join(u.Sequence, ", "), model)
}

// Ungrouped lists the schema's fields that are in no group's sequences.
func Ungrouped(s *features.Schema, groups []BehaviourGroup) []features.Field {
	grouped := map[string]bool{}
	for _, g := range groups {
		for _, f := range g.Sequence {
			grouped[f] = true
		}
	}
	var fields []features.Field
	for _, f := range s.Fields {
		if !grouped[f.Name] {
			fields = append(fields, f)
		}
	}
	return fields
}

// Inputs adds the group's behaviours k [T, H], ragged, and the candidate's q [B, H] beside which they are seen, H = dim·(sequences of the group). A sequence without a field of the
// candidate has a learned vector there, name/candidate/<sequence>.
func (u *BehaviourGroup) Inputs(net *nn.Net, s *features.Schema, in *Inputs, name string, dim int) (k *graph.Node, r *graph.Ragged, q *graph.Node) {
	var candidate []*graph.Node
	for i, f := range u.Sequence {
		if t := u.Target[i]; t != "" {
			candidate = append(candidate, in.Field(t))
		} else {
			candidate = append(candidate, graph.Repeat(net.Param(name+"/candidate/"+f, 1, dim, nn.Normal(1e-4)), in.Node))
		}
	}
	k, r = u.Sequences(net, s, dim)
	return k, r, graph.Concat(candidate...)
}

// Sequences adds the group's behaviours alone, k [T, H], ragged.
func (u *BehaviourGroup) Sequences(net *nn.Net, s *features.Schema, dim int) (k *graph.Node, r *graph.Ragged) {
	var sequence []nn.EmbedField
	for _, f := range u.Sequence {
		sequence = append(sequence, EmbedField(&s.Fields[s.Field(f)], nn.PoolRagged, false))
	}
	return net.EmbedSequence("emb", sequence, dim)
}

// Longest is how many behaviours of the group a row has at most.
func (u *BehaviourGroup) Longest(s *features.Schema) int {
	n := 1
	for _, f := range u.Sequence {
		n = max(n, s.Fields[s.Field(f)].Max)
	}
	return n
}

// Numbered is the name of group i of n, counted from 1 where there are several.
func Numbered(name string, i, n int) string {
	if n > 1 {
		name += strconv.Itoa(i + 1)
	}
	return name
}
