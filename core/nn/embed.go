package nn

import (
	"fmt"
	"strings"

	"github.com/millrace/millrace/core/graph"
)

// Pool says how a field's embedding rows become columns.
type Pool int

const (
	PoolOne    Pool = iota // one id a row: [B, dim]
	PoolMean               // several ids a row: their mean, zeros when there are none
	PoolSum                // several ids a row: their sum
	PoolRagged             // a sequence kept ragged: [T, dim] at the rows of Ragged
)

// Lookup asks whoever runs the net to gather rows of a table into columns [Col, Col+Dim) of an input node before each run, and to
// scatter that node's gradient back. Embedding tables live outside the graph (core/table).
type Lookup struct {
	Table  string // table name, for example "emb/item"
	Dim    int    // row width
	Field  string // schema field whose ids are looked up
	Pool   Pool
	Node   *graph.Node   // the input node that receives the rows
	Col    int           // first column
	Ragged *graph.Ragged // for PoolRagged: offsets are set by the runner
	Fixed  uint64        // where it is not 0, the id that is looked up for every row in place of the field's, with PoolOne
}

// Dense asks the runner to fill an input node from numeric fields: for each field two columns, the value and the missing indicator (columns 2f and 2f+1 of field f).
type Dense struct {
	Fields []string
	Node   *graph.Node // [B, 2·len(Fields)]
}

// EmbedField names one field of Embed.
type EmbedField struct {
	Field string // schema field
	Table string // table it reads (the field's own name, or the one it shares)
	Pool  Pool
}

// Embed adds one input node that gathers a row of dim for each field, side by side: [B, len(fields)·dim], from tables prefix+"/"+table(field).
// table maps a field to the table name it shares; pool tells multi-valued fields apart. Numeric fields are not for Embed.
func (n *Net) Embed(prefix string, fields []EmbedField, dim int) *graph.Node {
	return n.lookups(prefix, fields, dim, nil)
}

// EmbedSequence adds one ragged input node [T, len(fields)·dim] for sequence fields of equal lengths (item, category, rating of the same behaviours) and their shared Ragged.
// The pool of the fields is PoolRagged, whatever they say.
func (n *Net) EmbedSequence(prefix string, fields []EmbedField, dim int) (*graph.Node, *graph.Ragged) {
	r := &graph.Ragged{}
	return n.lookups(prefix, fields, dim, r), r
}

func (n *Net) lookups(prefix string, fields []EmbedField, dim int, r *graph.Ragged) *graph.Node {
	node := n.Graph.Input(n.inputName(prefix, fields), len(fields)*dim)
	for i, f := range fields {
		l := &Lookup{Table: prefix + "/" + f.Table, Dim: dim, Field: f.Field, Pool: f.Pool, Node: node, Col: i * dim, Ragged: r}
		if r != nil {
			l.Pool = PoolRagged
		}
		n.Lookups = append(n.Lookups, l)
	}
	return node
}

// inputName names the input of some fields: "emb(user,item)", and with a number where it is not the first.
func (n *Net) inputName(prefix string, fields []EmbedField) string {
	var names []string
	for _, f := range fields {
		names = append(names, f.Field)
	}
	name := fmt.Sprintf("%s(%s)", prefix, strings.Join(names, ","))
	n.inputs[name]++
	if times := n.inputs[name]; times > 1 {
		return fmt.Sprintf("%s#%d", name, times)
	}
	return name
}

// Numeric adds an input node for numeric fields and a parameter that turns (value, missing) of each into a vector of dim: [B, len(fields)·dim]; e = value·v + missing·u (AutoInt, CIKM 2019, equation 4, and a vector for missing values).
// The parameter prefix+"/numeric" is [2·len(fields), dim]: row 2f is v of field f, drawn xavier-normal as a [1, dim] of its own, row 2f+1 is u, zero.
func (n *Net) Numeric(prefix string, fields []string, dim int) *graph.Node {
	names := make([]EmbedField, len(fields))
	for i, f := range fields {
		names[i].Field = f
	}
	x := n.Graph.Input(n.inputName(prefix+"/numeric", names), 2*len(fields))
	n.Dense = append(n.Dense, &Dense{Fields: fields, Node: x})
	w := n.Param(prefix+"/numeric", 2*len(fields), dim, func(rng func() float64, rows, cols int, dst []float32) {
		for r := 0; r < rows; r += 2 {
			XavierNormal()(rng, 1, cols, dst[r*cols:(r+1)*cols])
		}
	})
	return graph.FieldLinear(x, w, len(fields))
}
