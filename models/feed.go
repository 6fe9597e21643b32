package models

import (
	"fmt"
	"slices"

	"github.com/millrace/millrace/core/graph"
	"github.com/millrace/millrace/core/nn"
	"github.com/millrace/millrace/features"
)

// feed fills the input nodes of one plan from batches. It keeps its buffers from batch to batch.
type feed struct {
	schema *features.Schema
	inputs []*inputNode
	tables []*tableFeed
	dense  []denseFeed
	ragged []*raggedFeed
	codes  []*codeFeed
	gather gatherJob
}

// inputNode is an input of the graph with the tensor bound to it.
type inputNode struct {
	node   *graph.Node
	tensor *graph.Tensor
}

// tableFeed lists what reads one table.
type tableFeed struct {
	spec    TableSpec
	lookups []*lookupFeed
}

// lookupFeed is one lookup with the rows it resolved to in this batch: an index into whatever source the rows come from.
type lookupFeed struct {
	*nn.Lookup
	column int
	input  *inputNode
	ragged *raggedFeed // of a PoolRagged lookup
	rows   []uint32
	fixed  []uint64 // of a lookup of a fixed id: that id again and again
}

// ids are those to look up: all of the column, or those of one row where all rows share its behaviours.
func (l *lookupFeed) ids(b *features.Batch) []uint64 {
	if l.Fixed != 0 {
		for len(l.fixed) < b.Rows {
			l.fixed = append(l.fixed, l.Fixed)
		}
		return l.fixed[:b.Rows]
	}
	c := &b.Columns[l.column]
	if l.ragged != nil && l.ragged.shared {
		return c.IDs[:c.Offsets[1]]
	}
	return c.IDs
}

type denseFeed struct {
	columns []int
	input   *inputNode
}

// raggedFeed names the columns whose behaviours share boundaries.
type raggedFeed struct {
	ragged  *graph.Ragged
	columns []int
	shared  bool // in this batch all rows have the same behaviours: one user's candidates
}

func newFeed(p *Program, net *nn.Net) *feed {
	f := &feed{schema: p.schema}
	for _, t := range p.tables {
		f.tables = append(f.tables, &tableFeed{spec: t})
	}
	for _, l := range net.Lookups {
		k := slices.IndexFunc(f.tables, func(t *tableFeed) bool { return t.spec.Name == l.Table })
		lookup := &lookupFeed{Lookup: l, column: p.schema.Field(l.Field), input: f.input(l.Node)}
		if l.Pool == nn.PoolRagged {
			lookup.ragged = f.raggedOf(l.Ragged, lookup.column)
		}
		f.tables[k].lookups = append(f.tables[k].lookups, lookup)
	}
	for _, d := range net.Dense {
		var columns []int
		for _, name := range d.Fields {
			columns = append(columns, p.schema.Field(name))
		}
		f.dense = append(f.dense, denseFeed{columns, f.input(d.Node)})
	}
	f.addCodes(net)
	f.gather.body = f.gather.blocks
	return f
}

func (f *feed) input(n *graph.Node) *inputNode {
	for _, in := range f.inputs {
		if in.node == n {
			return in
		}
	}
	in := &inputNode{node: n, tensor: graph.NewTensor(0, n.Cols)}
	f.inputs = append(f.inputs, in)
	return in
}

func (f *feed) raggedOf(r *graph.Ragged, column int) *raggedFeed {
	k := slices.IndexFunc(f.ragged, func(o *raggedFeed) bool { return o.ragged == r })
	if k < 0 {
		k = len(f.ragged)
		f.ragged = append(f.ragged, &raggedFeed{ragged: r})
	}
	if o := f.ragged[k]; !slices.Contains(o.columns, column) {
		o.columns = append(o.columns, column)
	}
	return f.ragged[k]
}

// bind gives the plan its input tensors.
func (f *feed) bind(plan *graph.Plan) {
	for _, in := range f.inputs {
		plan.Bind(in.node, in.tensor)
	}
}

// prepare checks the batch, sizes the inputs and fills what does not come from tables. With share, behaviours that all rows have in common go in once.
func (f *feed) prepare(b *features.Batch, plan *graph.Plan, share bool) error {
	if len(b.Columns) != len(f.schema.Fields) {
		return fmt.Errorf("the batch has %d columns, the schema %d fields", len(b.Columns), len(f.schema.Fields))
	}
	for _, t := range f.tables {
		for _, l := range t.lookups {
			c := &b.Columns[l.column]
			switch l.Pool {
			case nn.PoolOne:
				if l.Fixed == 0 && len(c.IDs) != b.Rows {
					return fmt.Errorf("field %s has %d ids for %d rows", l.Field, len(c.IDs), b.Rows)
				}
			default:
				if len(c.Offsets) != b.Rows+1 || c.Offsets[0] != 0 || int(c.Offsets[b.Rows]) != len(c.IDs) {
					return fmt.Errorf("field %s has %d offsets and %d ids for %d rows", l.Field, len(c.Offsets), len(c.IDs), b.Rows)
				}
			}
			l.input.tensor.Resize(b.Rows, l.Node.Cols)
		}
	}
	for _, r := range f.ragged {
		first := b.Columns[r.columns[0]].Offsets
		for _, c := range r.columns[1:] {
			if o := b.Columns[c].Offsets; !slices.Equal(o, first) {
				return f.unequal(b, r.columns[0], c)
			}
		}
		if r.shared = share && b.Rows > 1 && r.common(b); r.shared {
			plan.BindShared(r.ragged, b.Rows, int(first[1]))
		} else {
			plan.BindOffsets(r.ragged, first)
		}
	}
	for _, t := range f.tables {
		for _, l := range t.lookups {
			if l.ragged != nil {
				l.input.tensor.Resize(len(l.ids(b)), l.Node.Cols)
			}
		}
	}
	for _, c := range f.codes {
		if err := c.fill(b); err != nil {
			return err
		}
	}
	for _, d := range f.dense {
		d.input.tensor.Resize(b.Rows, 2*len(d.columns))
		dst, stride := d.input.tensor.F32, 2*len(d.columns)
		for k, c := range d.columns {
			values, missing := b.Columns[c].Values, b.Columns[c].Missing
			if len(values) != b.Rows || len(missing) != b.Rows {
				return fmt.Errorf("field %s has %d values for %d rows", f.schema.Fields[c].Name, len(values), b.Rows)
			}
			for r := range b.Rows {
				dst[r*stride+2*k], dst[r*stride+2*k+1] = values[r], missing[r]
			}
		}
	}
	return nil
}

// common reports whether every row has the first one's behaviours.
func (r *raggedFeed) common(b *features.Batch) bool {
	for _, column := range r.columns {
		c := &b.Columns[column]
		first := c.IDs[:c.Offsets[1]]
		for i := 1; i < b.Rows; i++ {
			if !slices.Equal(c.IDs[c.Offsets[i]:c.Offsets[i+1]], first) {
				return false
			}
		}
	}
	return true
}

func (f *feed) unequal(b *features.Batch, one, two int) error {
	x, y := b.Columns[one].Offsets, b.Columns[two].Offsets
	for r := range b.Rows {
		if n, m := x[r+1]-x[r], y[r+1]-y[r]; n != m {
			return fmt.Errorf("row %d of the batch: sequence %s has %d entries and %s has %d, want equal lengths: both describe the same behaviours",
				r, f.schema.Fields[one].Name, n, f.schema.Fields[two].Name, m)
		}
	}
	return fmt.Errorf("sequences %s and %s have different lengths", f.schema.Fields[one].Name, f.schema.Fields[two].Name)
}

// spread writes the rows of lookups into their inputs: source gives the values that an index in a lookup's rows stands for.
func (f *feed) spread(lookups []*lookupFeed, b *features.Batch, source rowSource) {
	g := &f.gather
	g.jobs, g.rows = g.jobs[:0], b.Rows
	for _, l := range lookups {
		g.add(l, b, source)
	}
	g.run()
}
