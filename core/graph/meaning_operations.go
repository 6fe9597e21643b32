package graph

import "fmt"

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
