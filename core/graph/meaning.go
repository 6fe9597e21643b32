package graph

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/zeebo/xxh3"
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
	case fieldAttentionOp:
		return fmt.Sprintf("attention of %d heads", op.heads)
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

// output applies the rule of an operation. The further outputs are for gradients and for people.
func (t *tracer) output(o *output, in []*traced, cols int) *traced {
	if o.index > 0 {
		return t.opaque(o.op, in, cols)
	}
	x := in[0]
	switch op := o.op.(type) {
	case addOp, subOp, mulOp, gateOp, crossOp, productLogitOp, addRowOp, preluOp, appendRowsOp:
		for _, y := range in[1:] {
			t.same(x.cols, y.cols)
		}
		return &traced{cols: x.cols, parts: partsOf(in)}
	case scaleOp, shiftOp, activationOp, dropoutOp, rowSoftmaxOp, unitRowsOp, segmentSoftmaxOp, segmentPoolOp, repeatOp, repeatSegmentsOp, chooseOp:
		return &traced{cols: x.cols, parts: x.parts}
	case concatOp:
		y := &traced{parts: partsOf(in)}
		for _, v := range in {
			y.cols = append(y.cols, v.cols...)
		}
		return y
	case sliceOp:
		return &traced{cols: x.cols[op.from : op.from+op.cols], parts: x.parts}
	case linearOp:
		w := in[1]
		if w.rows == nil {
			break
		}
		t.same(w.rows, x.cols)
		bias, slopes, residual := op.place()
		for _, i := range []int{bias, slopes, residual} {
			if i > 0 {
				t.same(w.cols, in[i].cols)
			}
		}
		return &traced{cols: w.cols, parts: x.parts}
	case layerNormOp, batchNormOp, diceOp:
		for _, p := range in[1:] {
			t.same(x.cols, p.cols)
		}
		switch op := op.(type) {
		case batchNormOp:
			t.keep(op.stats, x.cols, useOf(op))
		case diceOp:
			t.keep(op.stats, x.cols, useOf(op))
		}
		return &traced{cols: x.cols, parts: x.parts}
	case reshapeOp:
		return t.reshape(op, x)
	case weightedSumOp:
		return &traced{cols: in[1].cols}
	case segmentAttentionOp:
		return &traced{cols: in[2].cols}
	case addPositionsOp:
		t.same(x.cols, in[1].cols)
		for i, r := range in[1].rows {
			t.same([]int{r}, []int{t.make(fmt.Sprintf("place %d", i))})
		}
		return &traced{cols: x.cols}
	case attentionInputOp:
		return t.attentionInput(x.cols, in[1].cols, in[2], in[3])
	case fieldAttentionOp:
		y := &traced{cols: x.cols[2*op.width : 3*op.width], parts: x.parts}
		if len(x.cols) > 3*op.width {
			t.same(y.cols, x.cols[3*op.width:])
		}
		if len(in) > 1 {
			t.same(in[1].cols, y.cols)
		}
		return y
	case interactingOp:
		return t.interacting(op, x, in)
	case mixtureOp:
		y := &traced{}
		for c := range cols {
			y.cols = append(y.cols, t.make("mixture", x.cols[c]))
		}
		return y
	case rowSumOp, fmOp:
		return &traced{cols: []int{t.make(useOf(op))}, parts: x.parts}
	case crossVectorOp:
		t.same(x.cols, in[1].cols, in[2].rows, in[3].cols)
		return &traced{cols: x.cols}
	default:
		if y := t.fields(o.op, in, cols); y != nil {
			return y
		}
	}
	return t.opaque(o.op, in, cols)
}

// keep notes what running statistics are of.
func (t *tracer) keep(s *Stats, cols []int, use string) {
	t.stats[s.Mean], t.stats[s.Var] = statistics{cols, use + " mean"}, statistics{cols, use + " variance"}
}

func partsOf(in []*traced) []int {
	for _, v := range in {
		if v.parts != nil {
			return v.parts
		}
	}
	return nil
}

// interacting is a layer of queries, keys and values side by side, and of the residual, with a norm after it.
func (t *tracer) interacting(op interactingOp, x *traced, in []*traced) *traced {
	w := in[1]
	t.same(w.rows, x.cols)
	y := &traced{cols: w.cols[2*op.width : 3*op.width], parts: x.parts}
	if len(w.cols) > 3*op.width {
		t.same(y.cols, w.cols[3*op.width:])
	}
	if op.residual {
		t.same(x.cols, y.cols)
	}
	if op.bias {
		t.same(w.cols, in[2].cols)
	}
	for _, p := range in[op.norm():] {
		t.same(y.cols, p.cols)
	}
	return y
}

// attentionInput is a layer over [q; k; q−k; q∘k].
func (t *tracer) attentionInput(q, k []int, w, b *traced) *traced {
	n := len(q)
	for part, how := range []string{"q", "k", "q−k", "q∘k"} {
		for i := range n {
			t.same([]int{w.rows[part*n+i]}, []int{t.make(how, q[i], k[i])})
		}
	}
	t.same(w.cols, b.cols)
	return &traced{cols: w.cols}
}

// reshape cuts rows into several or joins several.
func (t *tracer) reshape(op reshapeOp, x *traced) *traced {
	if op.join == 1 {
		n := op.split
		d := len(x.cols) / n
		y := &traced{parts: t.blocks(x.cols, n)}
		for c := range d {
			first, all := x.cols[c], []int{}
			one := true
			for f := range n {
				all = append(all, x.cols[f*d+c])
				one = one && t.find(x.cols[f*d+c]) == t.find(first)
			}
			if !one {
				first = t.make(fmt.Sprintf("%s%d of %d", splitColumn, c, d), all...)
			}
			y.cols = append(y.cols, first)
		}
		return y
	}
	n := op.join
	parts := x.parts
	if len(parts) != n {
		parts = nil
		for f := range n {
			parts = append(parts, t.make(fmt.Sprintf("part %d of %d", f, n)))
		}
	}
	y := &traced{}
	for _, p := range parts {
		for _, c := range x.cols {
			y.cols = append(y.cols, t.make("join", p, c))
		}
	}
	return y
}

// splitColumn begins how a column of rows that were cut is made: it stands for a place within a field where the pieces are different fields.
const splitColumn = "split column "

// blocks returns a class for each of n blocks of columns: the field, where the columns are one's.
func (t *tracer) blocks(cols []int, n int) []int {
	var out []int
	d := len(cols) / n
	for f := range n {
		out = append(out, t.make("block", cols[f*d]))
	}
	return out
}

// fields applies the rules of operations over blocks of columns, nil for others.
func (t *tracer) fields(op operation, in []*traced, cols int) *traced {
	x := in[0]
	y := &traced{}
	switch op := op.(type) {
	case fieldSumOp:
		y.cols = t.blocks(x.cols, op.fields)
	case fieldScaleOp:
		t.same(t.blocks(x.cols, len(in[1].cols)), in[1].cols)
		y.cols = x.cols
	case fieldLinearOp:
		w := in[1]
		t.same(w.rows, x.cols)
		for _, f := range t.blocks(x.cols, op.fields) {
			for _, c := range w.cols {
				y.cols = append(y.cols, t.make("field", f, c))
			}
		}
	case pairDotsOp:
		t.pairs(x.cols, op.fields, func(f, g int) { y.cols = append(y.cols, t.make(unordered+"dot", f, g)) })
	case bilinearPairsOp:
		t.bilinear(op, x, in[1], y)
	case cinOp:
		w := in[2]
		maps, fields := t.blocks(x.cols, op.maps), t.blocks(in[1].cols, op.fields)
		for i, m := range maps {
			for j, f := range fields {
				t.same([]int{w.cols[i*op.fields+j]}, []int{t.make("map by field", m, f)})
			}
		}
		t.same(w.rows, in[3].cols)
		for _, h := range w.rows {
			for c := range op.d {
				y.cols = append(y.cols, t.make(fmt.Sprintf("map column %d of %d", c, op.d), h))
			}
		}
	case bilinearOp:
		w, p, q := in[2], len(x.cols)/op.heads, len(in[1].cols)/op.heads
		for i, r := range w.rows {
			j, a, b := i/(p*q), i/q%p, i%q
			t.same([]int{r}, []int{t.make("product", x.cols[j*p+a], in[1].cols[j*q+b])})
		}
		y.cols = []int{t.make("bilinear fusion")}
	default:
		return nil
	}
	return y
}

// unordered begins how a column is made of two that may stand in either order.
const unordered = "unordered "

// pairs calls f for all pairs of blocks, in the order of PairDots.
func (t *tracer) pairs(cols []int, fields int, f func(one, two int)) {
	blocks := t.blocks(cols, fields)
	for i, one := range blocks {
		for _, two := range blocks[i+1:] {
			f(one, two)
		}
	}
}

func (t *tracer) bilinear(op bilinearPairsOp, x, w, y *traced) {
	d := len(w.cols)
	matrix := 0
	row := func(a int, of ...int) {
		t.same([]int{w.rows[matrix*d+a]}, []int{t.make(fmt.Sprintf("matrix row %d of %d", a, d), of...)})
	}
	if op.each {
		for _, f := range t.blocks(x.cols, op.fields)[:op.fields-1] {
			for a := range d {
				row(a, f)
			}
			matrix++
		}
	}
	t.pairs(x.cols, op.fields, func(f, g int) {
		for c := range d {
			y.cols = append(y.cols, t.make(fmt.Sprintf("bilinear %d of %d", c, d), f, g))
			if op.pair {
				row(c, f, g)
			}
		}
		matrix++
	})
}

// opaque stands for an operation whose rule is not known: its outputs, and the parameters it reads, stand for the whole of its inputs.
func (t *tracer) opaque(op operation, in []*traced, cols int) *traced {
	var of []int
	for _, v := range in {
		if v.param == nil {
			of = append(of, v.cols...)
		}
	}
	y := &traced{parts: partsOf(in)}
	for c := range cols {
		y.cols = append(y.cols, t.make(fmt.Sprintf("%s output %d of %d", useOf(op), c, cols), of...))
	}
	for i, v := range in {
		if v.param == nil {
			continue
		}
		for k, c := range v.cols {
			t.same([]int{c}, []int{t.make(fmt.Sprintf("%s input %d column %d", useOf(op), i, k), of...)})
		}
	}
	return y
}

// places are what an axis stands for. Places that would be equal are told apart by their order.
func (t *tracer) places(axis []int) []Place {
	out := make([]Place, len(axis))
	times := map[uint64]int{}
	for i, c := range axis {
		p := t.place(c)
		if n := times[p.Key]; n > 0 {
			times[p.Key]++
			p.Key = t.hash(fmt.Sprintf("again %d", n), p.Key)
		} else {
			times[p.Key] = 1
		}
		out[i] = p
	}
	return out
}

// place computes what a class stands for, once.
func (t *tracer) place(i int) Place {
	i = t.find(i)
	c := &t.classes[i]
	switch {
	case c.known:
		return c.place
	case c.open: // made of itself
		return Place{Key: t.hash("itself")}
	}
	c.open = true
	var p Place
	switch {
	case len(c.origins) > 0:
		p = t.original(c.origins)
	case c.made != "":
		p = t.derived(c.made, c.of)
	default:
		p.Key = t.hash(c.axis, uint64(c.at))
	}
	t.classes[i].known, t.classes[i].place = true, p
	return p
}

func (t *tracer) original(origins []Origin) Place {
	var names, fields []string
	for _, o := range origins {
		names, fields = append(names, o.Name), append(fields, o.Field)
	}
	slices.Sort(names)
	return Place{t.hash("origin\x00" + strings.Join(slices.Compact(names), "\x00")), joinFields(fields)}
}

func (t *tracer) derived(how string, of []int) Place {
	var keys []uint64
	var fields []string
	for _, c := range of {
		p := t.place(c)
		keys, fields = append(keys, p.Key), append(fields, p.Field)
	}
	switch {
	case strings.HasPrefix(how, splitColumn):
		if slices.ContainsFunc(fields, func(f string) bool { return f != "" }) {
			return Place{Key: t.hash(how)}
		}
		return Place{Key: keys[0]}
	case strings.HasPrefix(how, unordered):
		slices.Sort(keys)
	}
	return Place{t.hash(how, keys...), joinFields(fields)}
}

// joinFields lists names once each, sorted.
func joinFields(fields []string) string {
	var all []string
	for _, f := range fields {
		if f != "" {
			all = append(all, strings.Split(f, ", ")...)
		}
	}
	slices.Sort(all)
	return strings.Join(slices.Compact(all), ", ")
}

func (t *tracer) hash(text string, keys ...uint64) uint64 {
	b := append(t.buffer[:0], text...)
	b = append(b, 0)
	for _, k := range keys {
		b = binary.LittleEndian.AppendUint64(b, k)
	}
	t.buffer = b
	return xxh3.Hash(b)
}
