package models

import (
	"github.com/millrace/millrace/core/graph"
	"github.com/millrace/millrace/core/nn"
	"github.com/millrace/millrace/features"
)

// Inputs are fields turned into vectors of equal width, side by side: categories, pooled lists and bucketed numbers in the schema's order, then plain numbers.
type Inputs struct {
	Node *graph.Node // [B, Dim·len(Fields)]
	Dim  int
	// Fields lists the fields in the order of their columns.
	Fields []string
}

// InputsOptions say which tables the vectors come from and how lists are pooled.
type InputsOptions struct {
	Prefix string // of table names: "emb" gives "emb/item"
	Dim    int
	Lists  nn.Pool // how multi-valued fields and sequences are pooled
	// Own gives each field a table of its own, also where it shares another's vocabulary.
	Own bool
}

// NewInputs adds the vectors of fields to the net.
func NewInputs(net *nn.Net, fields []features.Field, o InputsOptions) *Inputs {
	var embedded []nn.EmbedField
	var numbers []string
	for i := range fields {
		f := &fields[i]
		if IsNumber(f) {
			numbers = append(numbers, f.Name)
			continue
		}
		embedded = append(embedded, EmbedField(f, o.Lists, o.Own))
	}
	in := &Inputs{Dim: o.Dim}
	var nodes []*graph.Node
	if len(embedded) > 0 {
		nodes = append(nodes, net.Embed(o.Prefix, embedded, o.Dim))
		for _, f := range embedded {
			in.Fields = append(in.Fields, f.Field)
		}
	}
	if len(numbers) > 0 {
		nodes = append(nodes, net.Numeric(o.Prefix, numbers, o.Dim))
		in.Fields = append(in.Fields, numbers...)
	}
	in.Node = nodes[0]
	if len(nodes) > 1 {
		in.Node = graph.Concat(nodes...)
	}
	return in
}

// Field returns the vector of one field, [B, Dim], or nil where it is not among the inputs.
func (in *Inputs) Field(name string) *graph.Node {
	for i, f := range in.Fields {
		if f == name {
			return graph.Slice(in.Node, i*in.Dim, (i+1)*in.Dim)
		}
	}
	return nil
}

// EmbedField describes a categorical field to the net.
func EmbedField(f *features.Field, lists nn.Pool, own bool) nn.EmbedField {
	e := nn.EmbedField{Field: f.Name, Table: f.Table(), Pool: nn.PoolOne}
	if own {
		e.Table = f.Name
	}
	if f.Kind == features.Multi || f.Kind == features.Sequence {
		e.Pool = lists
	}
	return e
}

// IsNumber reports whether a field reaches the model as a number and not as a category.
func IsNumber(f *features.Field) bool { return f.Kind == features.Numeric && len(f.Buckets) == 0 }

// Heads adds one linear output a label on top of x.
func Heads(net *nn.Net, name string, x *graph.Node, s *features.Schema) []*graph.Node {
	var out []*graph.Node
	for _, l := range s.Labels {
		head := name
		if len(s.Labels) > 1 {
			head += "/" + l.Name
		}
		out = append(out, net.Linear(head, x, 1, graph.Identity))
	}
	return out
}
