package models

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"

	"gopkg.in/yaml.v3"

	"github.com/millrace/millrace/core/graph"
	"github.com/millrace/millrace/core/nn"
	"github.com/millrace/millrace/core/onnx"
	"github.com/millrace/millrace/core/snapshot"
	"github.com/millrace/millrace/core/table"
	"github.com/millrace/millrace/features"
)

// ONNXOptions say what an exported model holds.
type ONNXOptions struct {
	Name string // of the model
	// Outside leaves the embedding tables out: the model's inputs are their rows instead of ids.
	Outside bool
}

// ExportedInput is one input of an exported model.
type ExportedInput struct {
	Name  string   `json:"name"`
	Type  string   `json:"type"`
	Shape []string `json:"shape"` // numbers, or names of sizes that differ from run to run
	// Role is ids (hashes of categories), lengths (how many ids each row of the batch has), number (NaN where missing) or rows (of an embedding table).
	Role  string `json:"role"`
	Field string `json:"field"`
	// Vocabulary salts the hash of an id; Table is what rows are of.
	Vocabulary string `json:"vocabulary,omitempty"`
	Lengths    string `json:"lengths,omitempty"` // the input that says how many of the ids or rows belong to each row of the batch
	Table      string `json:"table,omitempty"`
	Max        int    `json:"max,omitempty"` // how many ids of a row the model was trained with at most
}

// Exported says what an export wrote.
type Exported struct {
	Bytes   int64           `json:"bytes"`
	Inputs  []ExportedInput `json:"inputs"`
	Outputs []string        `json:"outputs"`
}

// The metadata of an exported model. Numbers of 64 bits are texts in it.
const (
	MetaModel   = "millrace.model"   // the model file
	MetaSchema  = "millrace.schema"  // the schema
	MetaVersion = "millrace.version" // of the weights
	MetaLabels  = "millrace.labels"  // JSON: the labels, in the order of the outputs
	MetaInputs  = "millrace.inputs"  // JSON: []ExportedInput
	MetaStats   = "millrace.stats"   // JSON: the statistics that numbers are encoded with; the graph has applied them
)

// ExportONNX writes the model as it scores, as one ONNX graph of standard operators: for each label an output of probabilities [batch].
// A model that ONNX cannot hold is an error that wraps onnx.ErrTooLarge, before anything is written.
func (c *Checkpoint) ExportONNX(w io.Writer, o ONNXOptions) (*Exported, error) {
	done, err := c.exportONNX(w, o)
	if err != nil {
		return nil, fmt.Errorf("export model %s: %w", c.Spec.Name, err)
	}
	return done, nil
}

func (c *Checkpoint) exportONNX(w io.Writer, o ONNXOptions) (*Exported, error) {
	net := nn.New(graph.Float32, c.Program.seed)
	net.Scoring = true
	a, err := c.Program.assembleIn(net)
	if err != nil {
		return nil, err
	}
	e := newONNXExport(c, net, o)
	for i, p := range net.Params {
		value := c.Weights.values[i]
		if p.Buffer {
			copy(p.Value.F32, value.F32)
			continue
		}
		e.x.Bind(p.Node, e.g.Tensor(p.Name, onnx.Float32, floats(value.F32), int64(value.Rows), int64(value.Cols)))
	}
	if err := e.bindInputs(); err != nil {
		return nil, err
	}
	logits, err := e.x.Write(a.logits...)
	if err != nil {
		return nil, err
	}
	done := &Exported{Inputs: e.inputs}
	for i, l := range c.Schema.Labels {
		name := "score"
		if len(c.Schema.Labels) > 1 {
			name += "_" + l.Name
		}
		p := e.g.Op("Reshape", e.g.Op("Sigmoid", logits[i]), e.g.Ints(-1))
		done.Outputs = append(done.Outputs, e.g.Output(name, "the probability of "+l.Name, p, onnx.Float32, batchDim))
	}
	m := &onnx.Model{Graph: e.g, Producer: "millrace", Doc: e.describe()}
	if m.Metadata, err = c.metadata(done); err != nil {
		return nil, err
	}
	done.Bytes, err = m.Encode(w)
	return done, err
}

// metadata is what is said of an exported model.
func (c *Checkpoint) metadata(done *Exported) ([]onnx.Property, error) {
	schema, err := yaml.Marshal(c.Schema)
	if err != nil {
		return nil, fmt.Errorf("write the schema: %w", err)
	}
	props := []onnx.Property{{Key: MetaModel, Value: c.Spec.Source}, {Key: MetaSchema, Value: string(schema)}, {Key: MetaVersion, Value: c.Weights.Version}}
	var labels []string
	for _, l := range c.Schema.Labels {
		labels = append(labels, l.Name)
	}
	add := func(key string, v any) error {
		text, err := json.Marshal(v)
		if err != nil {
			return fmt.Errorf("write %s: %w", key, err)
		}
		props = append(props, onnx.Property{Key: key, Value: string(text)})
		return nil
	}
	if err := add(MetaLabels, labels); err != nil {
		return nil, err
	}
	if done != nil {
		if err := add(MetaInputs, done.Inputs); err != nil {
			return nil, err
		}
	}
	return props, add(MetaStats, c.Stats)
}

var batchDim = onnx.Dim{Name: "batch"}

// onnxExport is the writing of one model.
type onnxExport struct {
	of      *Checkpoint
	net     *nn.Net
	outside bool
	g       *onnx.Graph
	x       *graph.ONNX
	inputs  []ExportedInput

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

func newONNXExport(c *Checkpoint, net *nn.Net, o ONNXOptions) *onnxExport {
	name := o.Name
	if name == "" {
		name = c.Spec.Name
	}
	e := &onnxExport{
		of: c, net: net, outside: o.Outside, g: onnx.NewGraph(name),
		owner: map[string]string{}, lengths: map[string]onnx.Value{}, ids: map[string]onnx.Value{}, numbers: map[string][2]onnx.Value{},
		vectors: map[string]onnx.Value{}, indices: map[string]onnx.Value{}, tables: map[string]*exportedTable{},
	}
	e.x = graph.NewONNX(e.g)
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

func (e *onnxExport) field(name string) *features.Field {
	return &e.of.Schema.Fields[e.of.Schema.Field(name)]
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
	for _, l := range e.net.Lookups {
		if parts[l.Node] == nil {
			order = append(order, l.Node)
		}
		parts[l.Node] = append(parts[l.Node], l)
		if l.Pool == nn.PoolRagged {
			e.x.BindLengths(l.Ragged, e.lengths[e.owner[l.Field]])
		}
	}
	for _, node := range order {
		list, col := parts[node], 0
		slices.SortFunc(list, func(a, b *nn.Lookup) int { return a.Col - b.Col })
		var values []onnx.Value
		for _, l := range list {
			if l.Col != col {
				return fmt.Errorf("an input's columns from %d to %d are looked up nowhere", col, l.Col)
			}
			col += l.Dim
			values = append(values, e.lookup(l))
		}
		if col != node.Cols {
			return fmt.Errorf("an input's columns from %d to %d are looked up nowhere", col, node.Cols)
		}
		e.x.Bind(node, e.beside(values))
	}
	for _, d := range e.net.Dense {
		var columns []onnx.Value
		for _, f := range d.Fields {
			n := e.numbers[f]
			columns = append(columns, n[0], n[1])
		}
		e.x.Bind(d.Node, e.beside(columns))
	}
	return nil
}

// beside joins matrices side by side.
func (e *onnxExport) beside(values []onnx.Value) onnx.Value {
	if len(values) == 1 {
		return values[0]
	}
	return e.g.OpWith("Concat", []onnx.Attribute{onnx.Int("axis", 1)}, values...)
}

// fieldInputs adds what the model reads of a field.
func (e *onnxExport) fieldInputs(f *features.Field) {
	var lookups []*nn.Lookup
	for _, l := range e.net.Lookups {
		if l.Field == f.Name && !slices.ContainsFunc(lookups, func(o *nn.Lookup) bool { return o.Table == l.Table }) {
			lookups = append(lookups, l)
		}
	}
	dense := slices.ContainsFunc(e.net.Dense, func(d *nn.Dense) bool { return slices.Contains(d.Fields, f.Name) })
	dims, lengths := []onnx.Dim{batchDim}, ""
	if f.Ragged() && len(lookups) > 0 {
		owner := e.owner[f.Name]
		if e.lengths[owner] == "" {
			e.lengths[owner] = e.input(ExportedInput{Name: owner + ".lengths", Role: "lengths", Field: owner},
				"how many entries of "+owner+" each row of the batch has", onnx.Int64, batchDim)
		}
		dims, lengths = []onnx.Dim{{Name: owner + ".total"}}, string(e.lengths[owner])
	}
	switch {
	case e.outside:
		for _, l := range lookups {
			in := ExportedInput{Name: l.Table + "(" + f.Name + ")", Role: "rows", Field: f.Name, Vocabulary: f.Table(), Lengths: lengths, Table: l.Table, Max: f.Max}
			e.vectors[in.Name] = e.input(in, "the rows of table "+l.Table+" for the ids of "+f.Name, onnx.Float32, append(slices.Clone(dims), onnx.Dim{Size: int64(l.Dim)})...)
		}
	case len(lookups) > 0 && f.Kind != features.Numeric:
		in := ExportedInput{Name: f.Name, Role: "ids", Field: f.Name, Vocabulary: f.Table(), Lengths: lengths, Max: f.Max}
		e.ids[f.Name] = e.input(in, "ids: hashes of categories of "+f.Table(), onnx.Int64, dims...)
	case len(lookups) > 0:
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

// addTables adds every table and the search for its ids.
func (e *onnxExport) addTables() error {
	type keys struct {
		table      string
		vocabulary string
		sorted     *sortedTable
		fields     []string
	}
	var all []*keys
	for _, spec := range e.of.Program.tables {
		t := e.of.Tables[spec.Name]
		if t == nil {
			return fmt.Errorf("there is no table %s", spec.Name)
		}
		s := sortTable(t)
		k := slices.IndexFunc(all, func(k *keys) bool { return k.vocabulary == spec.Vocabulary && k.sorted.sameIDs(s) })
		if k < 0 {
			k = len(all)
			all = append(all, &keys{table: spec.Name, vocabulary: spec.Vocabulary, sorted: s})
		}
		for _, l := range e.net.Lookups {
			if l.Table == spec.Name && !slices.Contains(all[k].fields, l.Field) {
				all[k].fields = append(all[k].fields, l.Field)
			}
		}
		rows := e.g.Tensor(spec.Name, onnx.Float32, &onnx.Data{Size: int64(s.len()) * int64(spec.Dim) * 4, Write: s.writeRows}, int64(s.len()), int64(spec.Dim))
		e.tables[spec.Name] = &exportedTable{rows: rows, keys: all[k].table}
	}
	for _, k := range all {
		e.search(k.table, k.sorted, k.fields)
	}
	return nil
}

// search writes the row of each id of the fields in one search; an id that is not there has row 0.
func (e *onnxExport) search(keys string, s *sortedTable, fields []string) {
	g := e.g
	ids := e.ids[fields[0]]
	if len(fields) > 1 {
		var values []onnx.Value
		for _, f := range fields {
			values = append(values, e.ids[f])
		}
		ids = g.OpWith("Concat", []onnx.Attribute{onnx.Int("axis", 0)}, values...)
	}
	g.Scope(keys)
	defer g.Scope("")
	rows := g.OpIn(onnx.ML, "LabelEncoder", []onnx.Attribute{
		onnx.IntsAt("keys_int64s", s.len(), func(i int) int64 { return int64(s.id(i)) }),
		onnx.IntsAt("values_int64s", s.len(), func(i int) int64 { return int64(i) }),
		onnx.Int("default_int64", 0),
	}, ids)
	if len(fields) == 1 {
		e.indices[keys+"("+fields[0]+")"] = rows
		return
	}
	from := g.Ints(0)
	for _, f := range fields {
		to := g.Op("Add", from, g.Op("Shape", e.ids[f]))
		e.indices[keys+"("+f+")"] = g.Op("Slice", rows, from, to)
		from = to
	}
}

// describe tells a reader of the file what the model takes and gives.
func (e *onnxExport) describe() string {
	how := "Ids are XXH3-64 hashes of a category's text with the seed XXH3-64 of the vocabulary's name, as int64; an id that the model does not know reads the unknown row."
	if e.outside {
		how = "The embedding tables lie outside: inputs are their rows, from the safetensors export of the same checkpoint."
	}
	return fmt.Sprintf("Millrace model %s, version %s. %s Numbers are as they stand in the data, NaN where missing. Lists are end to end, their lengths an input of their own. "+
		"The metadata %s says what each input is.", e.of.Spec.Name, e.of.Weights.Version, how, MetaInputs)
}

func floats(values []float32) *onnx.Data {
	return &onnx.Data{Size: int64(len(values)) * 4, Write: func(w *bufio.Writer) error {
		_, err := w.Write(snapshot.Bytes(values))
		return err
	}}
}

// sortedTable is a table's rows in the order of their ids: the unknown row, of id 0, first.
type sortedTable struct {
	t     *table.Table
	slots []uint32
}

func sortTable(t *table.Table) *sortedTable {
	s := &sortedTable{t: t, slots: make([]uint32, 0, t.Rows())}
	for slot := range uint32(t.Len()) {
		if slot == 0 || t.ID(slot) != table.UnknownID {
			s.slots = append(s.slots, slot)
		}
	}
	slices.SortFunc(s.slots, func(a, b uint32) int {
		x, y := t.ID(a), t.ID(b)
		switch {
		case x < y:
			return -1
		case x > y:
			return 1
		}
		return 0
	})
	return s
}

func (s *sortedTable) len() int        { return len(s.slots) }
func (s *sortedTable) id(i int) uint64 { return s.t.ID(s.slots[i]) }

func (s *sortedTable) sameIDs(o *sortedTable) bool {
	if len(s.slots) != len(o.slots) {
		return false
	}
	for i := range s.slots {
		if s.id(i) != o.id(i) {
			return false
		}
	}
	return true
}

// writeRows writes every row; one that is not finite is an error.
func (s *sortedTable) writeRows(w *bufio.Writer) error {
	for _, slot := range s.slots {
		row := s.t.Row(slot)
		if err := finite(s.t, slot, row); err != nil {
			return err
		}
		if _, err := w.Write(snapshot.Bytes(row)); err != nil {
			return err
		}
	}
	return nil
}

func finite(t *table.Table, slot uint32, row []float32) error {
	for _, x := range row {
		if x-x != 0 || math.IsNaN(float64(x)) {
			return fmt.Errorf("table %s: the row of id %d has a value %g", t.Name(), t.ID(slot), x)
		}
	}
	return nil
}
