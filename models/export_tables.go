package models

import (
	"bufio"
	"fmt"
	"slices"

	"github.com/millrace/millrace/core/nn"
	"github.com/millrace/millrace/core/onnx"
	"github.com/millrace/millrace/core/snapshot"
	"github.com/millrace/millrace/core/table"
)

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
		if !slices.ContainsFunc(e.lookups, func(l *nn.Lookup) bool { return l.Table == spec.Name && l.Fixed == 0 }) {
			continue
		}
		t := e.of.Tables[spec.Name]
		if t == nil {
			return fmt.Errorf("there is no table %s", spec.Name)
		}
		s := sortTable(t)
		k := slices.IndexFunc(all, func(k *keys) bool { return k.vocabulary == spec.Vocabulary && slices.Equal(k.sorted.ids, s.ids) })
		if k < 0 {
			k = len(all)
			all = append(all, &keys{table: spec.Name, vocabulary: spec.Vocabulary, sorted: s})
		}
		s.ids = all[k].sorted.ids
		for _, l := range e.lookups {
			if l.Table == spec.Name && l.Fixed == 0 && !slices.Contains(all[k].fields, l.Field) {
				all[k].fields = append(all[k].fields, l.Field)
			}
		}
		rows := e.g.Tensor(spec.Name, onnx.Float32, &onnx.Data{Size: int64(len(s.ids)) * int64(spec.Dim) * 4, Write: s.writeRows}, int64(len(s.ids)), int64(spec.Dim))
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
		onnx.IntsAt("keys_int64s", len(s.ids), func(i int) int64 { return int64(s.ids[i]) }),
		onnx.IntsAt("values_int64s", len(s.ids), func(i int) int64 { return int64(i) }),
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

func floats(values []float32) *onnx.Data {
	return &onnx.Data{Size: int64(len(values)) * 4, Write: func(w *bufio.Writer) error {
		_, err := w.Write(snapshot.Bytes(values))
		return err
	}}
}

// sortedTable is a table's rows in the order of their ids: the unknown row, of id 0, first.
type sortedTable struct {
	t   *table.Table
	ids []uint64
}

func sortTable(t *table.Table) *sortedTable {
	s := &sortedTable{t, make([]uint64, 0, t.Rows())}
	for slot := range uint32(t.Len()) {
		if id := t.ID(slot); slot == 0 || id != table.UnknownID {
			s.ids = append(s.ids, id)
		}
	}
	slices.Sort(s.ids)
	return s
}

// writeRows writes every row; one that is not finite is an error.
func (s *sortedTable) writeRows(w *bufio.Writer) error {
	return s.each(func(row []float32) error {
		_, err := w.Write(snapshot.Bytes(row))
		return err
	})
}

// each visits the rows in order; one that is not finite is an error.
func (s *sortedTable) each(visit func(row []float32) error) error {
	slots := make([]uint32, sortedRows)
	for lo := 0; lo < len(s.ids); lo += sortedRows {
		ids := s.ids[lo:min(lo+sortedRows, len(s.ids))]
		s.t.Resolve(slots[:len(ids)], ids)
		for i, slot := range slots[:len(ids)] {
			row := s.t.Row(slot)
			for _, x := range row {
				if x-x != 0 {
					return fmt.Errorf("table %s: the row of id %d has a value %g", s.t.Name(), ids[i], x)
				}
			}
			if err := visit(row); err != nil {
				return err
			}
		}
	}
	return nil
}

// sortedRows is how many rows are looked up at a time.
const sortedRows = 1024

// exportedTables lists the checkpoint's tables that are in an export.
func (c *Checkpoint) exportedTables(in func(name string) bool) []ExportedTable {
	var out []ExportedTable
	for _, spec := range c.Program.tables {
		if t := c.Tables[spec.Name]; t != nil && in(spec.Name) {
			out = append(out, ExportedTable{spec.Name, spec.Vocabulary, t.Rows(), spec.Dim})
		}
	}
	return out
}
