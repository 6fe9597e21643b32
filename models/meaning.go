package models

import (
	"fmt"
	"slices"
	"strings"

	"github.com/millrace/millrace/core/graph"
	"github.com/millrace/millrace/core/nn"
	"github.com/millrace/millrace/features"
)

// meaning is what a program's weights stand for: it tells which of them another program's weights can be.
type meaning struct {
	params []parameter
	tables []tableMeaning
}

// parameter is a dense parameter or buffer under the name it is compared by, with what its rows and columns stand for.
type parameter struct {
	paramSpec
	compared string
	axes     graph.Axes
}

// tableMeaning is an embedding table under the name it is compared by, with what its ids stand for.
type tableMeaning struct {
	TableSpec
	compared string
	ids      string
}

// meaning finds out what the program's weights stand for. label, where it is not empty, is left out of names: with one label nothing is named after it.
func (p *Program) meaning(label string) (*meaning, error) {
	a, err := p.assemble(graph.Float32)
	if err != nil {
		return nil, err
	}
	name := func(s string) string { return withoutLabel(s, label) }
	m := &meaning{}
	for _, t := range p.tables {
		m.tables = append(m.tables, tableMeaning{t, name(t.Name), idsMeaning(p.schema, t.Vocabulary)})
	}
	found := a.net.Graph.Meanings(p.origins(a.net, name), name)
	for i, v := range a.net.Params {
		q := parameter{paramSpec: p.params[i], compared: name(v.Name)}
		if v.Buffer {
			q.axes = found.Stats(v.Value)
		} else {
			q.axes = found.Param(v.Node)
		}
		m.params = append(m.params, q)
	}
	return m, nil
}

// withoutLabel takes the path element that is a label's name out of a path.
func withoutLabel(path, label string) string {
	if label == "" {
		return path
	}
	parts := strings.Split(path, "/")
	if i := slices.Index(parts, label); i > 0 {
		parts = slices.Delete(parts, i, i+1)
	}
	return strings.Join(parts, "/")
}

// origins names the columns of the inputs.
func (p *Program) origins(net *nn.Net, name func(string) string) map[*graph.Node][]graph.Origin {
	out := map[*graph.Node][]graph.Origin{}
	at := func(n *graph.Node) []graph.Origin {
		if out[n] == nil {
			out[n] = make([]graph.Origin, n.Cols)
		}
		return out[n]
	}
	for _, l := range net.Lookups {
		f := &p.schema.Fields[p.schema.Field(l.Field)]
		pool := [...]string{nn.PoolOne: "mean", nn.PoolMean: "mean", nn.PoolSum: "sum", nn.PoolRagged: "each"}[l.Pool]
		for c := range l.Dim {
			at(l.Node)[l.Col+c] = graph.Origin{
				Name:  fmt.Sprintf("%s of %s (%s) for %s, %s: %d of %d", name(l.Table), f.Table(), idsMeaning(p.schema, f.Table()), l.Field, pool, c, l.Dim),
				Field: l.Field,
			}
		}
	}
	for _, d := range net.Dense {
		for i, field := range d.Fields {
			f := &p.schema.Fields[p.schema.Field(field)]
			for c, what := range []string{"value", "missing"} {
				at(d.Node)[2*i+c] = graph.Origin{Name: fmt.Sprintf("number %s, %s: %s", field, numberMeaning(f), what), Field: field}
			}
		}
	}
	return out
}

// idsMeaning says what the ids of a vocabulary are: texts, or the numbers of buckets.
func idsMeaning(s *features.Schema, vocabulary string) string {
	if i := s.FieldOfTable(vocabulary); i >= 0 && len(s.Fields[i].Buckets) > 0 {
		return fmt.Sprintf("buckets %v", s.Fields[i].Buckets)
	}
	return "texts"
}

// numberMeaning says what is done to a number on its way in.
func numberMeaning(f *features.Field) string {
	text := "as it is"
	if f.Log {
		text = "its logarithm"
	}
	if f.Standardise {
		text += ", standardised"
	}
	return text
}

// fieldMeaning says what a field is to a model; where it differs, what was learned about the field means nothing any longer.
func fieldMeaning(s *features.Schema, f *features.Field) string {
	switch {
	case IsNumber(f):
		return "a number, " + numberMeaning(f)
	case f.Kind == features.Numeric:
		return fmt.Sprintf("a number in buckets %v, table %s", f.Buckets, f.Table())
	}
	return fmt.Sprintf("%s, table %s of %s", f.Kind, f.Table(), idsMeaning(s, f.Table()))
}
