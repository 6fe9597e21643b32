package graph

import (
	"fmt"

	"github.com/millrace/millrace/core/kernel"
	"gorgonia.org/gorgonia"
)

// FieldAttention, an operation by itself, is what the parts of InteractingLayer are tested with: multi-head self-attention among the fields of each batch row (AutoInt, CIKM 2019, equations 5 to 7): q, k, v [B·fields, heads·d],
// a batch row's fields consecutive. For each head, α = softmax over the fields of scale·⟨q_m, k_n⟩ and the result is Σ_n α_mn·v_n, heads side by side.
// rate is the dropout of α in training.
func FieldAttention(q, k, v *Node, fields, heads int, scale, rate float64) *Node {
	sameCols("FieldAttention", q, k)
	sameCols("FieldAttention", q, v)
	y, _ := FieldAttentionOf(Concat(q, k, v), nil, q.Cols, fields, heads, scale, rate)
	return y
}

// FieldAttentionOf is FieldAttention of queries, keys and values side by side, as one product gives them, plus a residual: p [B·fields, 3·width] or, with the
// residual as a fourth block, [B·fields, 4·width]; or the residual is x [B·fields, width]; or x is nil and there is none. It also returns α [B·fields, heads·fields]
// before dropout, row (b, n) and column (h, m) the weight of field n for field m: to be read, it has no gradient.
func FieldAttentionOf(p, x *Node, width, fields, heads int, scale, rate float64) (y, alpha *Node) {
	if fields < 1 || heads < 1 || width < 1 || width%heads != 0 {
		fail("FieldAttention: %d fields, %d heads, %d columns", fields, heads, width)
	}
	if p.Cols != 3*width && (p.Cols != 4*width || x != nil) {
		fail("FieldAttention: %d columns are not the blocks of width %d", p.Cols, width)
	}
	if rate < 0 || rate >= 1 {
		fail("FieldAttention: dropout rate %g is not in [0, 1)", rate)
	}
	o := fieldAttentionOp{attentionShape{fields: fields, heads: heads, width: width, scale: scale, rate: rate}}
	if rate > 0 {
		p.g.dropouts++
		o.position = p.g.dropouts
	}
	inputs := []*Node{p}
	if x != nil {
		if x.Cols != width {
			fail("FieldAttention: a residual of %d columns, want %d", x.Cols, width)
		}
		inputs = append(inputs, x)
	}
	return applyTwo(o, []shape{{p.rows, width, false}, {p.rows, heads * fields, false}}, inputs...)
}

// fieldAttentionOp: (p, [x]) → result, α [B·fields, heads·fields] before dropout.
type fieldAttentionOp struct{ attentionShape }

func (o fieldAttentionOp) String() string {
	return fmt.Sprintf("attention among %d fields", o.fields)
}

func (o fieldAttentionOp) rows(_ *env, in []*Tensor, out []int) error {
	if in[0].Rows%o.fields != 0 {
		return fmt.Errorf("%d rows are not rows of %d fields", in[0].Rows, o.fields)
	}
	out[0], out[1] = in[0].Rows, in[0].Rows
	return equalRows(in...)
}

func (o fieldAttentionOp) differentiable(inputs int) []bool { return all(inputs) }

func (o fieldAttentionOp) grads(d *derivation) []*gorgonia.Node {
	grads := d.apply(fieldAttentionGrad{of: o}, d.in[:1], d.in[0], d.aux(1), d.grad)
	if len(d.in) > 1 {
		grads = append(grads, d.grad)
	}
	return grads
}

func (o fieldAttentionOp) runner(e *env) runner {
	return pick(e, newFieldAttention[float32](o, e).forward(), newFieldAttention[float64](o, e).forward())
}

// fieldAttention is the forward and the backward operation: the batch is cut into parts for the threads.
type fieldAttention[T kernel.Float] struct {
	attentionRows[T]
	env   *env
	all   attentionBlock[T] // the whole batch
	parts int
	space []T // [parts, spaceSize()]
}

func newFieldAttention[T kernel.Float](o fieldAttentionOp, e *env) *fieldAttention[T] {
	return &fieldAttention[T]{attentionRows: newAttentionRows[T](o.attentionShape), env: e}
}

func (a *fieldAttention[T]) run(rows, cols int, part func(lo, hi int)) {
	a.all.rows, a.ld = rows/a.fields, cols
	a.key, a.drops = a.env.key(a.position), a.rate > 0 && a.env.training
	a.parts = max(min(rows*cols/elementGrain, attentionParts), 1)
	a.space = resized(a.space, a.parts*a.spaceSize())
	kernel.Parallel(a.parts, 1, part)
}

// each calls body for the rows of each of the parts.
func (a *fieldAttention[T]) each(body func(*attentionSpace[T], attentionBlock[T])) func(first, last int) {
	return func(first, last int) {
		for i := first; i < last; i++ {
			s := a.spaceOf(a.space[i*a.spaceSize() : (i+1)*a.spaceSize()])
			lo, hi := chunk(i, a.parts, a.all.rows)
			body(&s, a.cut(&a.all, lo, hi))
		}
	}
}

func (a *fieldAttention[T]) forward() runner {
	part := a.each(a.forwardRows)
	return func(in, out []*Tensor) {
		a.all = attentionBlock[T]{p: data[T](in[0]), y: dataOrNil[T](out[0]), alpha: dataOrNil[T](out[1])}
		if len(in) > 1 {
			a.all.x = data[T](in[1])
		}
		a.run(in[0].Rows, in[0].Cols, part)
	}
}

// fieldAttentionGrad: (p, α, dy) → dp.
type fieldAttentionGrad struct {
	backward
	of fieldAttentionOp
}

func (o fieldAttentionGrad) String() string { return o.of.String() + " gradient" }

func (o fieldAttentionGrad) rows(_ *env, in []*Tensor, out []int) error {
	return sameRows(in, out, 0)
}

func (o fieldAttentionGrad) runner(e *env) runner {
	return pick(e, newFieldAttention[float32](o.of, e).backward(), newFieldAttention[float64](o.of, e).backward())
}

func (a *fieldAttention[T]) backward() runner {
	part := a.each(a.backwardRows)
	return func(in, out []*Tensor) {
		a.all = attentionBlock[T]{p: data[T](in[0]), alpha: data[T](in[1]), dy: data[T](in[2]), dp: data[T](out[0])}
		a.run(in[0].Rows, in[0].Cols, part)
	}
}
