package graph

import (
	"fmt"

	"gorgonia.org/gorgonia"
)

// Interacting describes one interacting layer of AutoInt.
type Interacting struct {
	Fields, Heads int
	Width         int     // columns of queries, keys and values, all heads together
	Scale         float64 // of the scores
	Rate          float64 // dropout of the weights in training
	Residual      bool    // x itself is added, as wide as the result; a residual by projection is a fourth block of w
	Bias          *Node   // [1, columns of w]: the projections are ReLU(x·w + bias); nil: x·w
	Gamma, Beta   *Node   // [1, Width]: layer norm; nil for none
	Eps           float64
	NormLast      bool // the norm is that of the ReLU's result, not of the sum before it
}

// InteractingLayer is one layer of AutoInt (CIKM 2019, equations 5 to 8): x [B·Fields, in], a batch row's fields consecutive, w [in, 3·Width] with the projections to
// queries, keys and values side by side, or [in, 4·Width] with that to the residual. y = ReLU(norm(attention + residual)) [B·Fields, Width], or norm(ReLU(attention + residual)). α
// [B·Fields, Heads·Fields] is before dropout, row (b, n) and column (h, m) the weight of field n for field m: to be read, it has no gradient.
//
// It is a projection, an attention and a norm one after another, but for a few hundred rows at a time, from the projections to the norm and from the
// gradient of the norm to that of the weights, so that what lies between stays in the second-level cache.
func InteractingLayer(x, w *Node, l Interacting) (y, alpha *Node) {
	o := interactingOp{
		attentionShape: attentionShape{fields: l.Fields, heads: l.Heads, width: l.Width, scale: l.Scale, rate: l.Rate},
		residual:       l.Residual, bias: l.Bias != nil, normed: l.Gamma != nil, last: l.NormLast && l.Gamma != nil, eps: l.Eps,
	}
	switch {
	case o.fields < 1 || o.heads < 1 || o.width < 1 || o.width%o.heads != 0:
		fail("InteractingLayer: %d fields, %d heads, %d columns", o.fields, o.heads, o.width)
	case w.rows != x.Cols || w.Cols != 3*o.width && (w.Cols != 4*o.width || o.residual):
		fail("InteractingLayer: x has %d columns, w is [%d, %d], width %d", x.Cols, w.rows, w.Cols, o.width)
	case o.residual && x.Cols != o.width:
		fail("InteractingLayer: a residual of %d columns, want %d", x.Cols, o.width)
	case o.rate < 0 || o.rate >= 1:
		fail("InteractingLayer: dropout rate %g is not in [0, 1)", o.rate)
	}
	if o.rate > 0 {
		x.g.dropouts++
		o.position = x.g.dropouts
	}
	inputs := []*Node{x, w}
	outs := []shape{{x.rows, o.width, false}, {x.rows, o.heads * o.fields, false}, {x.rows, w.Cols, false}}
	if o.bias {
		rowOf("InteractingLayer", "bias", l.Bias, w.Cols)
		inputs = append(inputs, l.Bias)
	}
	if o.normed {
		rowOf("InteractingLayer", "gamma", l.Gamma, o.width)
		rowOf("InteractingLayer", "beta", l.Beta, o.width)
		inputs = append(inputs, l.Gamma, l.Beta)
		outs = append(outs, outs[0], shape{x.rows, 2, false})
	}
	return applyTwo(o, outs, inputs...)
}

// interactingOp: (x, w, [bias], [gamma, beta]) → y, α, the projections p, [what the norm is of, its statistics].
type interactingOp struct {
	attentionShape
	residual, bias, normed, last bool
	eps                          float64
}

func (o interactingOp) String() string { return fmt.Sprintf("interaction of %d fields", o.fields) }

// norm returns where gamma is among the inputs; beta follows it.
func (o interactingOp) norm() int {
	if o.bias {
		return 3
	}
	return 2
}

// act is the norm's activation.
func (o interactingOp) act() Activation {
	if o.last {
		return Identity
	}
	return ReLU
}

func (o interactingOp) rows(_ *env, in []*Tensor, out []int) error {
	if in[0].Rows%o.fields != 0 {
		return fmt.Errorf("%d rows are not rows of %d fields", in[0].Rows, o.fields)
	}
	for i := range out {
		out[i] = in[0].Rows
	}
	return nil
}

func (interactingOp) differentiable(inputs int) []bool { return all(inputs) }

func (o interactingOp) grads(d *derivation) []*gorgonia.Node {
	inputs := append(append(gorgonia.Nodes{}, d.in...), d.out, d.aux(1), d.aux(2))
	if o.normed {
		inputs = append(inputs, d.aux(3), d.aux(4))
	}
	return d.apply(interactingGrad{of: o}, d.in, append(inputs, d.grad)...)
}

func (o interactingOp) runner(e *env) runner {
	return pick(e, newInteracting[float32](o, e).forward(), newInteracting[float64](o, e).forward())
}

// interactingGrad: (x, w, [bias], [gamma, beta], y, α, p, [what the norm is of, statistics], dy) → dx, dw, [dbias], [dgamma, dbeta].
type interactingGrad struct {
	backward
	of interactingOp
}

func (o interactingGrad) String() string { return o.of.String() + " gradient" }

func (o interactingGrad) rows(_ *env, in []*Tensor, out []int) error {
	for i := range out {
		out[i] = in[i].Rows
	}
	return nil
}

func (o interactingGrad) runner(e *env) runner {
	return pick(e, newInteracting[float32](o.of, e).backward(), newInteracting[float64](o.of, e).backward())
}

// applyTwo adds one use of op and returns its first two outputs.
func applyTwo(op operation, outs []shape, inputs ...*Node) (*Node, *Node) {
	first := apply(op, outs, inputs...)
	o := first.expr.Op().(*output)
	exprs := make([]*gorgonia.Node, len(inputs))
	for i, n := range inputs {
		exprs[i] = n.expr
	}
	second := &Node{Cols: outs[1].cols, g: first.g, expr: o.node(1, first.g.forward, exprs), rows: outs[1].rows, scalar: outs[1].scalar}
	first.g.nodes = append(first.g.nodes, second)
	return first, second
}
