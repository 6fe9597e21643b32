package models

import (
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/millrace/millrace/core/graph"
	"github.com/millrace/millrace/core/nn"
	"github.com/millrace/millrace/core/onnx"
	"github.com/millrace/millrace/core/table"
	"github.com/millrace/millrace/features"
)

var batchDim = onnx.Dim{Name: "batch"}

// onnxExport is the writing of one model.
type onnxExport struct {
	of      *Checkpoint
	outside bool
	needed  map[*graph.Node][]bool // the columns that the outputs are computed from, and of them
	lookups []*nn.Lookup
	dense   []*nn.Dense
	codes   []*nn.Code
	g       *onnx.Graph
	x       *graph.ONNX
	inputs  []ExportedInput
	rows    onnx.Value // an input with a row for each of the batch

	owner   map[string]string     // of a list field: the field whose lengths it has
	lengths map[string]onnx.Value // by owner
	ids     map[string]onnx.Value // by field, int64
	numbers map[string][2]onnx.Value
	vectors map[string]onnx.Value // by table and field: rows given from outside
	indices map[string]onnx.Value // by keys and field: rows of a table
	tables  map[string]*exportedTable
}

// exportedTable is a table in the graph.
type exportedTable struct {
	rows onnx.Value
	keys string // the table whose keys it has: the first of its vocabulary with the same ids
}

func newONNXExport(c *Checkpoint, net *nn.Net, o ONNXOptions, needed map[*graph.Node][]bool) *onnxExport {
	name := o.Name
	if name == "" {
		name = c.Spec.Name
	}
	e := &onnxExport{
		of: c, needed: needed, outside: o.Outside, g: onnx.NewGraph(name),
		owner: map[string]string{}, lengths: map[string]onnx.Value{}, ids: map[string]onnx.Value{}, numbers: map[string][2]onnx.Value{},
		vectors: map[string]onnx.Value{}, indices: map[string]onnx.Value{}, tables: map[string]*exportedTable{},
	}
	e.x = graph.NewONNX(e.g)
	for _, l := range net.Lookups {
		if e.reads(l.Node, l.Col, l.Col+l.Dim) {
			e.lookups = append(e.lookups, l)
		}
	}
	for _, d := range net.Dense {
		if needed[d.Node] != nil {
			e.dense = append(e.dense, d)
		}
	}
	for _, c := range net.Codes {
		if needed[c.Node] != nil {
			e.codes = append(e.codes, c)
		}
	}
	e.shareLengths()
	return e
}

// shareLengths finds, for each list field, the first field of the schema whose lists are as long.
func (e *onnxExport) shareLengths() {
	for i := range e.of.Schema.Fields {
		if f := &e.of.Schema.Fields[i]; f.Ragged() {
			e.owner[f.Name] = f.Name
		}
	}
	place := e.of.Schema.Field
	for _, group := range e.of.Program.groups {
		first := group[0]
		for _, f := range group {
			if place(e.owner[f]) < place(e.owner[first]) {
				first = f
			}
		}
		to := e.owner[first]
		for _, f := range group {
			was := e.owner[f]
			for k, o := range e.owner {
				if o == was {
					e.owner[k] = to
				}
			}
		}
	}
}

// input adds an input of the model.
func (e *onnxExport) input(in ExportedInput, doc string, t onnx.Type, dims ...onnx.Dim) onnx.Value {
	v := e.g.Input(in.Name, doc, t, dims...)
	in.Name, in.Type = string(v), t.String()
	for _, d := range dims {
		size := d.Name
		if size == "" {
			size = strconv.FormatInt(d.Size, 10)
		}
		in.Shape = append(in.Shape, size)
	}
	e.inputs = append(e.inputs, in)
	if dims[0] == batchDim {
		e.rows = v
	}
	return v
}

// bindInputs adds the model's inputs, in the schema's order, and what the inputs of the net's graph are made of.
func (e *onnxExport) bindInputs() error {
	for i := range e.of.Schema.Fields {
		e.fieldInputs(&e.of.Schema.Fields[i])
	}
	if !e.outside {
		if err := e.addTables(); err != nil {
			return err
		}
	}
	var order []*graph.Node
	parts := map[*graph.Node][]*nn.Lookup{}
	for _, l := range e.lookups {
		if parts[l.Node] == nil {
			order = append(order, l.Node)
		}
		parts[l.Node] = append(parts[l.Node], l)
		if l.Pool == nn.PoolRagged {
			e.x.BindLengths(l.Ragged, e.lengths[e.owner[l.Field]])
		}
	}
	for _, node := range order {
		list, at := parts[node], 0
		slices.SortFunc(list, func(a, b *nn.Lookup) int { return a.Col - b.Col })
		var columns []graph.Columns
		unread := func(to int) error {
			if e.reads(node, at, to) {
				return fmt.Errorf("columns %d to %d of an input are looked up nowhere", at, to)
			}
			if to > at {
				columns = append(columns, graph.Columns{Cols: to - at})
			}
			return nil
		}
		for _, l := range list {
			if err := unread(l.Col); err != nil {
				return err
			}
			columns = append(columns, graph.Columns{Value: e.lookup(l), Cols: l.Dim})
			at = l.Col + l.Dim
		}
		if err := unread(node.Cols); err != nil {
			return err
		}
		e.x.BindColumns(node, columns)
	}
	for _, d := range e.dense {
		var columns []graph.Columns
		for i, f := range d.Fields {
			n := [2]onnx.Value{}
			if e.reads(d.Node, 2*i, 2*i+2) {
				n = e.numbers[f]
			}
			columns = append(columns, graph.Columns{Value: n[0], Cols: 1}, graph.Columns{Value: n[1], Cols: 1})
		}
		e.x.BindColumns(d.Node, columns)
	}
	for _, c := range e.codes {
		if c.Ragged != nil {
			e.x.BindLengths(c.Ragged, e.lengths[e.owner[c.Field]])
		}
		e.x.Bind(c.Node, e.code(c))
	}
	return nil
}

// reads tells whether the outputs are computed from any of the columns [from, to) of an input.
func (e *onnxExport) reads(n *graph.Node, from, to int) bool {
	columns := e.needed[n]
	return columns != nil && slices.Contains(columns[from:to], true)
}

// fieldInputs adds what the model reads of a field.
func (e *onnxExport) fieldInputs(f *features.Field) {
	var lookups []*nn.Lookup
	for _, l := range e.lookups {
		if l.Field == f.Name && l.Fixed == 0 && !slices.ContainsFunc(lookups, func(o *nn.Lookup) bool { return o.Table == l.Table }) {
			lookups = append(lookups, l)
		}
	}
	dense := slices.ContainsFunc(e.dense, func(d *nn.Dense) bool {
		i := slices.Index(d.Fields, f.Name)
		return i >= 0 && e.reads(d.Node, 2*i, 2*i+2)
	})
	coded := slices.ContainsFunc(e.codes, func(c *nn.Code) bool { return c.Field == f.Name })
	dims, lengths := []onnx.Dim{batchDim}, ""
	if f.Ragged() && (len(lookups) > 0 || coded) {
		owner := e.owner[f.Name]
		if e.lengths[owner] == "" {
			e.lengths[owner] = e.input(ExportedInput{Name: owner + ".lengths", Role: "lengths", Field: owner},
				"how many entries of "+owner+" each row of the batch has", onnx.Int64, batchDim)
		}
		dims, lengths = []onnx.Dim{{Name: owner + ".total"}}, string(e.lengths[owner])
	}
	if e.outside {
		for _, l := range lookups {
			in := ExportedInput{Name: l.Table + "(" + f.Name + ")", Role: "rows", Field: f.Name, Vocabulary: f.Table(), Lengths: lengths, Table: l.Table, Max: f.Max}
			e.vectors[in.Name] = e.input(in, "the rows of table "+l.Table+" for the ids of "+f.Name, onnx.Float32, append(slices.Clone(dims), onnx.Dim{Size: int64(l.Dim)})...)
		}
	}
	switch wanted := coded || len(lookups) > 0 && !e.outside; {
	case wanted && f.Kind != features.Numeric:
		in := ExportedInput{Name: f.Name, Role: "ids", Field: f.Name, Vocabulary: f.Table(), Lengths: lengths, Max: f.Max}
		e.ids[f.Name] = e.input(in, "ids: hashes of categories of "+f.Table(), onnx.Int64, dims...)
	case wanted:
		e.ids[f.Name] = e.bucketIDs(f, e.number(f))
	}
	if dense {
		e.numbers[f.Name] = e.encodeNumber(f, e.number(f))
	}
}

// number adds the input of a numeric field.
func (e *onnxExport) number(f *features.Field) onnx.Value {
	return e.input(ExportedInput{Name: f.Name, Role: "number", Field: f.Name}, "numbers, NaN where missing", onnx.Float64, batchDim)
}

// encodeNumber writes what features.Encoder does with a number: the value and whether it is missing, each [batch, 1].
func (e *onnxExport) encodeNumber(f *features.Field, v onnx.Value) [2]onnx.Value {
	g := e.g
	var mean, scale, fill float64
	if e.of.Stats != nil {
		n := e.of.Stats.Numeric[f.Name]
		mean, fill = n.Mean, n.Mean
		if f.Standardise {
			scale, fill = 1, 0
			if n.Std > 0 {
				scale = 1 / n.Std
			}
		}
	}
	double := func(x float64) onnx.Value { return g.Doubles([]float64{x}) }
	missing := g.Op("IsNaN", v)
	if f.Log {
		v = g.Op("Mul", g.Op("Sign", v), g.Op("Log", g.Op("Add", double(1), g.Op("Abs", v))))
	}
	if scale > 0 {
		v = g.Op("Mul", g.Op("Sub", v, double(mean)), double(scale))
	}
	v = g.Op("Where", missing, double(fill), v)
	column := func(v onnx.Value) onnx.Value {
		single := g.OpWith("Cast", []onnx.Attribute{onnx.Int("to", int64(onnx.Float32))}, v)
		return g.Op("Unsqueeze", single, g.Ints(1))
	}
	return [2]onnx.Value{column(v), column(missing)}
}

// bucketIDs writes the id of each number's bucket, [batch].
func (e *onnxExport) bucketIDs(f *features.Field, v onnx.Value) onnx.Value {
	g := e.g
	var ids []int64
	for b := range len(f.Buckets) + 1 {
		ids = append(ids, int64(features.ID(f.Table(), strconv.Itoa(b))))
	}
	ids = append(ids, int64(features.MissingID(f.Table())))
	reached := g.Op("GreaterOrEqual", g.Op("Unsqueeze", v, g.Ints(1)), g.Doubles(f.Buckets, 1, int64(len(f.Buckets))))
	count := g.OpWith("Cast", []onnx.Attribute{onnx.Int("to", int64(onnx.Int64))}, reached)
	bucket := g.OpWith("ReduceSum", []onnx.Attribute{onnx.Int("keepdims", 0)}, count, g.Ints(1))
	at := g.Op("Where", g.Op("IsNaN", v), g.Int(int64(len(f.Buckets)+1)), bucket)
	return g.Op("Gather", g.Ints(ids...), at)
}

// lookup writes the columns of one lookup.
func (e *onnxExport) lookup(l *nn.Lookup) onnx.Value {
	if l.Fixed != 0 {
		return e.fixed(l)
	}
	rows := e.vectors[l.Table+"("+l.Field+")"]
	if !e.outside {
		t := e.tables[l.Table]
		rows = e.g.Op("Gather", t.rows, e.indices[t.keys+"("+l.Field+")"])
	}
	switch lengths := e.lengths[e.owner[l.Field]]; l.Pool {
	case nn.PoolMean:
		return e.x.Pool(rows, lengths, l.Dim, graph.PoolMean)
	case nn.PoolSum:
		return e.x.Pool(rows, lengths, l.Dim, graph.PoolSum)
	}
	return rows
}

// fixed writes the row of one id for every row of the batch.
func (e *onnxExport) fixed(l *nn.Lookup) onnx.Value {
	t := e.of.Tables[l.Table]
	slot := t.Find(l.Fixed)
	if slot == table.None {
		slot = 0
	}
	batch := e.g.OpWith("Shape", []onnx.Attribute{onnx.Int("start", 0), onnx.Int("end", 1)}, e.rows)
	shape := e.g.OpWith("Concat", []onnx.Attribute{onnx.Int("axis", 0)}, batch, e.g.Ints(int64(l.Dim)))
	return e.g.Op("Expand", e.g.Floats(t.Row(slot), 1, int64(l.Dim)), shape)
}

// code writes ids as numbers: the remainder by the modulo of the unsigned id, which the signed one of ONNX lacks 2⁶⁴ to where it is negative.
func (e *onnxExport) code(c *nn.Code) onnx.Value {
	g, ids, by := e.g, e.ids[c.Field], uint64(c.Modulo)
	modulo := g.Int(int64(by))
	rest := g.Op("Mod", ids, modulo)
	whole := g.Int(int64((math.MaxUint64%by + 1) % by))
	rest = g.Op("Where", g.Op("Less", ids, g.Int(0)), g.Op("Mod", g.Op("Add", rest, whole), modulo), rest)
	single := g.OpWith("Cast", []onnx.Attribute{onnx.Int("to", int64(onnx.Float32))}, rest)
	return g.Op("Unsqueeze", single, g.Ints(1))
}
