package training

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/apache/arrow/go/v15/arrow"

	"github.com/millrace/millrace/core/nn"
	"github.com/millrace/millrace/core/table"
	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/models"
)

// ExplainOptions say which rows are explained.
type ExplainOptions struct {
	From    int // rows passed over first
	Rows    int // how many are explained
	SkipBad int64
}

// Explained is why a checkpoint scores rows as it does.
type Explained struct {
	Model   string         `json:"model"`
	Version string         `json:"version"`
	Rows    []ExplainedRow `json:"rows"`
	BadRows int64          `json:"bad_rows"`
}

// ExplainedRow is one row: its scores, what the score owes to each field, and what the model itself has to say.
type ExplainedRow struct {
	Row        int64               `json:"row"` // number of the input row, from 0, usable rows alone counted
	User       string              `json:"user,omitempty"`
	Item       string              `json:"item,omitempty"`
	Labels     []ExplainedLabel    `json:"labels"`
	Attention  []FieldAttention    `json:"attention,omitempty"`
	Gates      []FieldGates        `json:"gates,omitempty"`
	Behaviours []BehaviourWeights  `json:"behaviours,omitempty"`
	Values     map[string][]string `json:"values"` // by field, as they stand in the data
}

// ExplainedLabel is a label's score z and what it owes to each field: z as it is and with the field's value unknown, and the logit of a row of which nothing
// is known with and without the field's value. Where fields act by themselves the two are equal, and their sum is logit − baseline; Interactions is what is left over.
type ExplainedLabel struct {
	Label        string   `json:"label"`
	Actual       Figure   `json:"actual"` // null: not in the data
	Score        Figure   `json:"score"`
	Logit        Figure   `json:"logit"`
	Baseline     Figure   `json:"baseline"` // logit with every field unknown
	Effects      []Effect `json:"effects"`  // the largest first
	Interactions Figure   `json:"interactions"`
}

// Effect is what a field does to a logit. Unknown stands for the unknown id, no behaviours, the mean of a number.
type Effect struct {
	Fields string `json:"fields"` // several where they describe the same behaviours and can only be unknown together
	Value  string `json:"value"`
	// Without is the logit less that with the field unknown; Alone is the logit with this field alone known less the baseline.
	Without Figure `json:"without"`
	Alone   Figure `json:"alone"`
}

// FieldAttention is one layer's attention: Weights[head][m][n] is the weight of field n for field m.
type FieldAttention struct {
	Name    string       `json:"name"`
	Fields  []string     `json:"fields"`
	Weights [][][]Figure `json:"weights"`
}

// FieldGates are a stream's gates, the mean over each field's columns; 1 leaves a field as it is.
type FieldGates struct {
	Name   string   `json:"name"`
	Fields []string `json:"fields"`
	Gates  []Figure `json:"gates"`
}

// BehaviourWeights are the weights of a history's behaviours, oldest first.
type BehaviourWeights struct {
	Name    string   `json:"name"`
	Fields  []string `json:"fields"`
	Weights []Figure `json:"weights"`
}

// Explain explains the scores of rows of data files.
func Explain(ctx context.Context, c *models.Checkpoint, paths []string, o ExplainOptions) (out *Explained, err error) {
	files, err := expandInOrder(paths)
	if err != nil {
		return nil, err
	}
	x := &explaining{checkpoint: c, groups: importanceGroups(c), out: &Explained{Model: c.Spec.Name, Version: c.Weights.Version, Rows: []ExplainedRow{}}}
	if x.encoder, err = c.NewEncoder(); err != nil {
		return nil, err
	}
	if x.explainer, err = c.Program.NewExplainer(); err != nil {
		return nil, err
	}
	reader, err := features.Open(c.Schema, files, features.ReadOptions{BatchRows: 1024, SkipBad: o.SkipBad, Context: ctx})
	if err != nil {
		return nil, err
	}
	defer func() {
		if cerr := reader.Close(); err == nil {
			err = cerr
		}
	}()
	for at := 0; len(x.out.Rows) < o.Rows; {
		rec, err := reader.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		n := int(rec.NumRows())
		if at+n > o.From {
			err = x.record(rec, at, max(o.From-at, 0), o.Rows)
		}
		at += n
		rec.Release()
		if err != nil {
			return nil, err
		}
	}
	if len(x.out.Rows) == 0 {
		return nil, refuse("there are no rows to explain after the first %d", o.From)
	}
	x.out.BadRows = reader.BadRows()
	return x.out, nil
}

type explaining struct {
	checkpoint *models.Checkpoint
	groups     [][]int
	encoder    *features.Encoder
	explainer  *models.Explainer
	batch      features.Batch
	variants   features.Batch
	scores     [][]float32
	out        *Explained
}

// record explains rows of a record from one on, until there are enough; the record's first row is number at.
func (x *explaining) record(rec arrow.Record, at, from, enough int) error {
	if err := x.encoder.EncodeInto(&x.batch, rec); err != nil {
		return fmt.Errorf("rows from %d on: %w", at, err)
	}
	for r := from; r < x.batch.Rows && len(x.out.Rows) < enough; r++ {
		row := ExplainedRow{Row: int64(at + r), Values: map[string][]string{}}
		s := x.checkpoint.Schema
		row.User, row.Item = textOf(rec, s.User, r), textOf(rec, s.Item, r)
		for i := range s.Fields {
			row.Values[s.Fields[i].Name] = valuesOf(rec, &s.Fields[i], r)
		}
		if err := x.explain(&row, rec, r); err != nil {
			return fmt.Errorf("row %d: %w", at+r, err)
		}
		x.out.Rows = append(x.out.Rows, row)
	}
	return nil
}

// explain scores the row as it is, unknown altogether, and with each group of fields unknown and known alone.
func (x *explaining) explain(row *ExplainedRow, rec arrow.Record, r int) error {
	x.variants.Reset()
	x.add(r, func(int) bool { return true })
	x.add(r, func(int) bool { return false })
	for _, group := range x.groups {
		x.add(r, func(column int) bool { return !slices.Contains(group, column) })
		x.add(r, func(column int) bool { return slices.Contains(group, column) })
	}
	c := x.checkpoint
	var said []models.Explanation
	var err error
	if x.scores, said, err = x.explainer.Explain(&x.variants, c.Weights, models.TableRows(c.Tables), x.scores); err != nil {
		return err
	}
	for i, l := range c.Schema.Labels {
		z := x.explainer.Logits(i)
		e := ExplainedLabel{
			Label: l.Name, Actual: Figure(math.NaN()), Score: Figure(x.scores[i][0]), Logit: Figure(z[0]), Baseline: Figure(z[1]), Effects: []Effect{},
		}
		if columnOf(rec, l.Column) != nil && i < len(x.batch.Labels) && r < len(x.batch.Labels[i]) {
			e.Actual = Figure(x.batch.Labels[i][r])
		}
		e.Interactions = e.Logit - e.Baseline
		for g, group := range x.groups {
			var names, values []string
			for _, column := range group {
				name := c.Schema.Fields[column].Name
				names, values = append(names, name), append(values, strings.Join(row.Values[name], "|"))
			}
			effect := Effect{strings.Join(names, ", "), strings.Join(values, " · "), Figure(z[0] - z[2+2*g]), Figure(z[3+2*g] - z[1])}
			e.Interactions -= effect.Without
			e.Effects = append(e.Effects, effect)
		}
		slices.SortStableFunc(e.Effects, func(a, b Effect) int {
			return cmp.Compare(math.Abs(float64(b.Without)), math.Abs(float64(a.Without)))
		})
		row.Labels = append(row.Labels, e)
	}
	for _, s := range said {
		x.say(row, &s)
	}
	return nil
}

// add appends row r with the columns that known names as they are and the others unknown.
func (x *explaining) add(r int, known func(column int) bool) {
	b := &x.variants
	first := b.Rows == 0
	b.Append(&x.batch, r)
	for i := range b.Columns {
		if known(i) {
			continue
		}
		c, f := &b.Columns[i], &x.checkpoint.Schema.Fields[i]
		switch {
		case f.Ragged():
			last := len(c.Offsets) - 1
			c.Offsets[last] = 0
			if !first {
				c.Offsets[last] = c.Offsets[last-1]
			}
			c.IDs = c.IDs[:c.Offsets[last]]
		case models.IsNumber(f):
			last := len(c.Values) - 1
			c.Values[last], c.Missing[last] = 0, 0
			if stats := x.checkpoint.Stats; stats != nil && !f.Standardise {
				c.Values[last] = float32(stats.Numeric[f.Name].Mean)
			}
		default:
			c.IDs[len(c.IDs)-1] = table.UnknownID
		}
	}
}

// say takes the first row's part of an explanation.
func (x *explaining) say(row *ExplainedRow, e *models.Explanation) {
	n := len(e.Fields)
	switch e.Kind {
	case nn.FieldAttention:
		a := FieldAttention{Name: e.Name, Fields: e.Fields}
		for h := range e.Cols / n {
			head := make([][]Figure, n)
			for m := range n {
				for k := range n {
					head[m] = append(head[m], Figure(e.Values[k*e.Cols+h*n+m]))
				}
			}
			a.Weights = append(a.Weights, head)
		}
		row.Attention = append(row.Attention, a)
	case nn.FieldGates:
		g := FieldGates{Name: e.Name, Fields: e.Fields}
		d := e.Cols / n
		for f := range n {
			var sum float64
			for _, v := range e.Values[f*d : (f+1)*d] {
				sum += float64(v)
			}
			g.Gates = append(g.Gates, Figure(sum/float64(d)))
		}
		row.Gates = append(row.Gates, g)
	case nn.BehaviourWeights:
		column := x.checkpoint.Schema.Field(e.Fields[0])
		w := BehaviourWeights{Name: e.Name, Fields: e.Fields, Weights: []Figure{}}
		for _, v := range e.Values[:x.variants.Columns[column].Offsets[1]] {
			w.Weights = append(w.Weights, Figure(v))
		}
		row.Behaviours = append(row.Behaviours, w)
	}
}
