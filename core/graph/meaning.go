package graph

import (
	"fmt"
	"slices"
	"strings"

	"gorgonia.org/gorgonia"
)

// Origin says what a column of an input stands for: Name tells it apart from all other columns, Field names what it belongs to, for people.
type Origin struct{ Name, Field string }

// Place is what a row or a column of a parameter stands for: two places of two graphs with equal keys stand for the same.
type Place struct {
	Key   uint64
	Field string // the fields it belongs to, empty where it is none's own
}

// Axes are what a parameter's rows and columns stand for. Use names the operations that read it, with their activations.
type Axes struct {
	Rows, Cols []Place
	Use        string
}

// Meanings are the axes of a graph's parameters and running statistics.
type Meanings struct {
	params map[*Node]Axes
	stats  map[*Tensor]Axes
}

// Param returns a parameter's axes.
func (m *Meanings) Param(n *Node) Axes { return m.params[n] }

// Stats returns the axes of running statistics, which are one row.
func (m *Meanings) Stats(t *Tensor) Axes { return m.stats[t] }

// Meanings finds out what each row and column of the parameters stands for, from what the columns of the inputs stand for. Columns that an operation adds,
// multiplies or otherwise takes element by element are one space: a gate's outputs stand for the fields that they gate. A layer's own units are known
// by the parameter's name, its width and their number; name gives a parameter's name as it is to be compared. What an operation unknown here makes stands for the
// whole of its inputs.
func (g *Graph) Meanings(inputs map[*Node][]Origin, name func(string) string) *Meanings {
	t := &tracer{name: name, params: map[*Node]*traced{}, uses: map[*Node][]string{}, stats: map[*Tensor]statistics{}}
	values := map[*gorgonia.Node]*traced{}
	for _, n := range g.nodes {
		o, ok := n.expr.Op().(*output)
		if !ok {
			values[n.expr] = t.leaf(n, inputs[n])
			continue
		}
		var in []*traced
		for i, c := range children(g.expr, n.expr) {
			v := values[c]
			in = append(in, v)
			if v.param != nil {
				t.uses[v.param] = append(t.uses[v.param], fmt.Sprintf("%s, input %d", useOf(o.op), i))
			}
		}
		values[n.expr] = t.output(o, in, n.Cols)
	}
	m := &Meanings{params: map[*Node]Axes{}, stats: map[*Tensor]Axes{}}
	for n, v := range t.params {
		uses := t.uses[n]
		slices.Sort(uses)
		m.params[n] = Axes{t.places(v.rows), t.places(v.cols), strings.Join(slices.Compact(uses), "; ")}
	}
	one := t.places(t.named("row", "statistics", 1))
	for s, v := range t.stats {
		m.stats[s] = Axes{one, t.places(v.cols), v.use}
	}
	return m
}

// useOf names an operation with what of its configuration changes what its parameters do.
func useOf(op operation) string {
	switch op := op.(type) {
	case linearOp, attentionInputOp, layerNormOp, batchNormOp, segmentAttentionOp, bilinearOp, mixtureOp, attentionUnitOp:
		return op.(fmt.Stringer).String()
	case interactingOp:
		return fmt.Sprintf("interaction of %d heads, projections rectified %v, norm last %v", op.heads, op.bias, op.last)
	}
	return strings.TrimSuffix(strings.TrimPrefix(fmt.Sprintf("%T", op), "graph."), "Op")
}

// traced is what is known of a value: the class of each column, of each row where it is a parameter, and of what the rows of a batch row stand for where there are several.
type traced struct {
	cols, rows, parts []int
	param             *Node
}

type statistics struct {
	cols []int
	use  string
}

// tracer holds classes of columns that stand for the same, as a forest; a root's content is its class's.
type tracer struct {
	name    func(string) string
	classes []class
	params  map[*Node]*traced
	uses    map[*Node][]string
	stats   map[*Tensor]statistics
	buffer  []byte
}

// class is a set of columns. What names it: the inputs' columns among them, else how one of them was made, else the first parameter it is an axis of.
type class struct {
	parent  int
	origins []Origin
	made    string // with of
	of      []int
	axis    string // of a parameter
	at      int

	open, known bool
	place       Place
}

func (t *tracer) add(c class) int {
	c.parent = len(t.classes)
	t.classes = append(t.classes, c)
	return c.parent
}

// named returns the classes of an axis of so many.
func (t *tracer) named(axis, name string, n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = t.add(class{axis: fmt.Sprintf("%s %s of %d", name, axis, n), at: i})
	}
	return out
}

// make returns a class made from others.
func (t *tracer) make(how string, of ...int) int { return t.add(class{made: how, of: of}) }

func (t *tracer) find(c int) int {
	for t.classes[c].parent != c {
		t.classes[c].parent = t.classes[t.classes[c].parent].parent
		c = t.classes[c].parent
	}
	return c
}

// same says that the columns of values stand for the same.
func (t *tracer) same(first []int, more ...[]int) {
	for _, other := range more {
		for i, c := range first {
			a, b := t.find(c), t.find(other[i])
			if a == b {
				continue
			}
			if a > b {
				a, b = b, a
			}
			x, y := &t.classes[a], &t.classes[b]
			y.parent = a
			x.origins = append(x.origins, y.origins...)
			if x.made == "" {
				x.made, x.of = y.made, y.of
			}
			if x.axis == "" {
				x.axis, x.at = y.axis, y.at
			}
		}
	}
}

func (t *tracer) leaf(n *Node, origins []Origin) *traced {
	v := &traced{}
	if n.rows > 0 && len(origins) == 0 {
		v.param = n
		v.rows, v.cols = t.named("row", t.name(n.name), n.rows), t.named("column", t.name(n.name), n.Cols)
		t.params[n] = v
		return v
	}
	for c := range n.Cols {
		o := Origin{Name: fmt.Sprintf("input %s column %d", n.name, c)}
		if c < len(origins) {
			o = origins[c]
		}
		v.cols = append(v.cols, t.add(class{origins: []Origin{o}}))
	}
	return v
}
