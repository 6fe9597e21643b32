package models

import (
	"errors"
	"fmt"
	"slices"

	"github.com/millrace/millrace/core/graph"
	"github.com/millrace/millrace/core/nn"
	"github.com/millrace/millrace/core/snapshot"
	"github.com/millrace/millrace/core/table"
	"github.com/millrace/millrace/features"
)

// TableSpec is an embedding table a model reads: its name ("emb/item"), the vocabulary its ids come from ("item") and the width of a row.
type TableSpec struct {
	Name       string
	Vocabulary string
	Dim        int
	// Zero says that ids without a row stand for zeros: the unknown row is zero and does not train.
	Zero bool
}

// Program is a model's graph, built once for a schema. It is immutable after New and may be shared; Steps and Scorers made from it belong to one goroutine each.
type Program struct {
	spec    *Spec
	schema  *features.Schema
	own     *features.Schema // what the model itself sees of it
	seed    uint64
	tables  []TableSpec
	params  []paramSpec
	vectors []string   // by name
	groups  [][]string // fields whose behaviours are the same ones, from the net's ragged lookups
}

// paramSpec is a dense parameter or buffer.
type paramSpec struct {
	name       string
	rows, cols int
	buffer     bool
}

// NewProgram builds the graph; seed fixes the initial values.
func NewProgram(spec *Spec, s *features.Schema, seed uint64) (*Program, error) {
	p := &Program{spec: spec, schema: s, seed: seed}
	var err error
	if p.own, err = spec.Settings.modelSchema(s); err != nil {
		return nil, fmt.Errorf("build model %s: %w", spec.Name, err)
	}
	a, err := p.assemble(graph.Float32)
	if err != nil {
		return nil, err
	}
	for _, v := range a.net.Params {
		p.params = append(p.params, paramSpec{v.Name, v.Value.Rows, v.Value.Cols, v.Buffer})
	}
	if err := errors.Join(p.collectTables(a.net), checkCodes(s, a.net)); err != nil {
		return nil, fmt.Errorf("build model %s: %w", spec.Name, err)
	}
	p.collectGroups(a.net)
	for _, v := range a.net.Vectors {
		p.vectors = append(p.vectors, v.Name)
	}
	return p, nil
}

// Schema is the schema the program was built for.
func (p *Program) Schema() *features.Schema { return p.schema }

// Spec is the model file the program was built from.
func (p *Program) Spec() *Spec { return p.spec }

// Tables lists the embedding tables in the order in which the model first asks for them.
func (p *Program) Tables() []TableSpec { return p.tables }

// SequenceGroups lists, for each ragged input of the model, the fields that must have equal lengths in a row.
func (p *Program) SequenceGroups() [][]string { return p.groups }

// Parameters counts trainable numbers: dense ones, and rows·dim of the tables when given. Padding is how many more FuxiCTR would count: one padding row a table.
func (p *Program) Parameters(tables map[string]*table.Table) (count, padding int) {
	for _, v := range p.params {
		if !v.buffer {
			count += v.rows * v.cols
		}
	}
	if tables == nil {
		return count, 0
	}
	for _, t := range p.tables {
		count += tables[t.Name].Len() * t.Dim
		padding += t.Dim
	}
	return count, padding
}

// NewTables returns empty tables for training with the model file's optimizer. Every id of the vocabulary, where there is one, has its row from the start.
func (p *Program) NewTables(v features.Vocabulary) (map[string]*table.Table, error) {
	tables := map[string]*table.Table{}
	for _, t := range p.tables {
		o := p.tableOptions(t, true)
		o.Rows = len(v[t.Vocabulary]) + 1
		made, err := table.New(t.Name, o)
		if err != nil {
			return nil, fmt.Errorf("make table %s: %w", t.Name, err)
		}
		if t.Zero {
			clear(made.Row(0))
		}
		for _, id := range v[t.Vocabulary] {
			made.Admit(id)
		}
		tables[t.Name] = made
	}
	return tables, nil
}

func (p *Program) tableOptions(t TableSpec, state bool) table.Options {
	o := table.Options{Dim: t.Dim, Seed: p.seed, InitStd: p.spec.Settings.EmbeddingInitializerStd}
	if state {
		o.State = p.spec.Settings.Optim().StateSize(t.Dim)
	}
	return o
}

// assembly is the model's graph once more, for one plan.
type assembly struct {
	net     *nn.Net
	logits  []*graph.Node
	labels  []*graph.Node
	weights *graph.Node // nil without a weight column
	groups  *graph.Node // nil where the loss compares no rows
	loss    *graph.Node

	positions []*graph.Node // logits of the position tower, one a label; nil without one, and in scoring
}

// assemble builds the graph with its loss, for training.
func (p *Program) assemble(dtype graph.DType) (*assembly, error) {
	return p.assembleAs(nn.New(dtype, p.seed), forTraining)
}

// assembleIn builds the graph for scoring.
func (p *Program) assembleIn(net *nn.Net) (*assembly, error) { return p.assembleAs(net, forScoring) }

func (p *Program) assembleAs(net *nn.Net, to purpose) (*assembly, error) {
	a := &assembly{net: net}
	net.PReLUSlope, net.DiceMomentum = p.spec.Settings.PReLUSlope, p.spec.Settings.DiceMomentum
	var modelErr error
	err := graph.Build(func() {
		if a.logits, modelErr = p.spec.Model.Build(a.net, p.own); modelErr != nil {
			return
		}
		if len(a.logits) != len(p.schema.Labels) {
			modelErr = fmt.Errorf("%d logits for %d labels", len(a.logits), len(p.schema.Labels))
			return
		}
		if modelErr = p.addPosition(a, to); modelErr != nil {
			return
		}
		modelErr = p.addLoss(a)
	})
	if err == nil {
		err = modelErr
	}
	if err != nil {
		return nil, fmt.Errorf("build model %s: %w", p.spec.Name, err)
	}
	return a, nil
}

func (p *Program) collectTables(net *nn.Net) error {
	for _, l := range net.Lookups {
		i := p.schema.Field(l.Field)
		if i < 0 {
			return fmt.Errorf("it looks up field %q, which the schema has not", l.Field)
		}
		t := TableSpec{Name: l.Table, Vocabulary: p.schema.Fields[i].Table(), Dim: l.Dim}
		if owner := p.schema.Field(t.Vocabulary); owner >= 0 {
			t.Zero = p.schema.Fields[owner].Unknown == "zero"
		}
		k := slices.IndexFunc(p.tables, func(o TableSpec) bool { return o.Name == t.Name })
		if k < 0 {
			p.tables = append(p.tables, t)
		} else if p.tables[k] != t {
			return fmt.Errorf("table %s is asked for with width %d of vocabulary %s and with width %d of vocabulary %s",
				t.Name, p.tables[k].Dim, p.tables[k].Vocabulary, t.Dim, t.Vocabulary)
		}
	}
	return nil
}

func (p *Program) collectGroups(net *nn.Net) {
	var order []*graph.Ragged
	fields := map[*graph.Ragged][]string{}
	for _, l := range net.Lookups {
		if l.Pool != nn.PoolRagged {
			continue
		}
		if fields[l.Ragged] == nil {
			order = append(order, l.Ragged)
		}
		if !slices.Contains(fields[l.Ragged], l.Field) {
			fields[l.Ragged] = append(fields[l.Ragged], l.Field)
		}
	}
	for _, r := range order {
		p.groups = append(p.groups, fields[r])
	}
}

// Weights are the dense values (parameters and buffers) of one version: immutable, shared by scorers.
type Weights struct {
	Version string
	values  []*graph.Tensor // in the order of Program.params
}

// NewWeights reads dense values from tensors by name; every parameter must be there with its shape.
func (p *Program) NewWeights(version string, dense []snapshot.Tensor) (*Weights, error) {
	w := &Weights{Version: version, values: make([]*graph.Tensor, len(p.params))}
	err := p.readDense(dense, func(i int, values []float32) {
		w.values[i] = &graph.Tensor{Rows: p.params[i].rows, Cols: p.params[i].cols, F32: slices.Clone(values)}
	})
	if err != nil {
		return nil, fmt.Errorf("read dense weights of version %s: %w", version, err)
	}
	return w, nil
}

// readDense finds each parameter's tensor by name and checks its shape.
func (p *Program) readDense(dense []snapshot.Tensor, take func(i int, values []float32)) error {
	if len(dense) != len(p.params) {
		return fmt.Errorf("%d tensors for the %d of model %s", len(dense), len(p.params), p.spec.Name)
	}
	for i, v := range p.params {
		k := slices.IndexFunc(dense, func(t snapshot.Tensor) bool { return t.Name == v.name })
		if k < 0 {
			return fmt.Errorf("tensor %s is missing", v.name)
		}
		t := dense[k]
		values, err := snapshot.Values[float32](t)
		if err != nil {
			return err
		}
		if !slices.Equal(t.Shape, []int{v.rows, v.cols}) || len(values) != v.rows*v.cols {
			return fmt.Errorf("tensor %s has shape %s, want [%d %d]", v.name, fmt.Sprint(t.Shape), v.rows, v.cols)
		}
		take(i, values)
	}
	return nil
}

// Seed fixes initial values and dropout masks.
func (p *Program) Seed() uint64 { return p.seed }
