package graph

import (
	"fmt"

	"github.com/millrace/millrace/core/kernel"
	"gorgonia.org/gorgonia"
)

// FieldAttention is multi-head self-attention among the fields of each batch row (AutoInt, CIKM 2019, equations 5 to 7): q, k, v [B·fields, heads·d],
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
// before dropout, row (b, m) and column (h, n) the weight of field n for field m: to be read, it has no gradient.
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
	o := fieldAttentionOp{fields: fields, heads: heads, width: width, scale: scale, rate: rate}
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
type fieldAttentionOp struct {
	fields, heads, width int
	scale, rate          float64
	position             uint64
}

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

// fieldAttention is the work of both passes; parts of the batch have scratch of their own.
type fieldAttention[T kernel.Float] struct {
	fieldAttentionOp
	env   *env
	coins coins[T]
	key   uint64

	p, x, alpha, y, dy, dp []T
	rows, ld, parts        int // rows of the batch, columns of p
	space                  []T // [parts, 2·fields·fields]
}

func newFieldAttention[T kernel.Float](o fieldAttentionOp, e *env) *fieldAttention[T] {
	return &fieldAttention[T]{fieldAttentionOp: o, env: e, coins: newCoins[T](o.rate)}
}

// attentionParts is into how many ranges the batch is cut at most.
const attentionParts = 32

func (a *fieldAttention[T]) run(rows, cols int, part func(lo, hi int)) {
	a.rows, a.ld, a.key = rows/a.fields, cols, a.env.key(a.position)
	a.parts = max(min(a.rows*a.fields*cols/elementGrain, attentionParts), 1)
	a.space = resized(a.space, a.parts*2*a.fields*a.fields)
	kernel.Parallel(a.parts, 1, part)
}

// mask multiplies the fields·fields weights at the given place of α by their dropout factors.
func (a *fieldAttention[T]) mask(dst, x []T, row, head int) {
	m := a.fields
	for i := range m {
		for j := range m {
			dst[i*m+j] = x[i*m+j] * a.coins.factor(a.key, ((row*m+i)*a.heads+head)*m+j)
		}
	}
}

func (a *fieldAttention[T]) forward() runner {
	dropping := a.rate > 0 && a.env.training
	part := func(first, last int) {
		m, w, d, wide := a.fields, a.width, a.width/a.heads, a.heads*a.fields
		for i := first; i < last; i++ {
			s := a.space[i*2*m*m : i*2*m*m+m*m]
			lo, hi := chunk(i, a.parts, a.rows)
			for r := lo; r < hi; r++ {
				a.addResidual(r)
				for h := range a.heads {
					at, to := r*m*a.ld+h*d, r*m*w+h*d
					kernel.Gemm(false, true, m, m, d, a.p[at:], a.ld, a.p[at+w:], a.ld, false, s, m)
					kernel.Scale(T(a.scale), s)
					for f := range m {
						kernel.SoftmaxRow(s[f*m:(f+1)*m], s[f*m:(f+1)*m])
						if a.alpha != nil {
							copy(a.alpha[(r*m+f)*wide+h*m:], s[f*m:(f+1)*m])
						}
					}
					if dropping {
						a.mask(s, s, r, h)
					}
					if a.y != nil {
						kernel.Gemm(false, false, m, d, m, s, m, a.p[at+2*w:], a.ld, true, a.y[to:], w)
					}
				}
			}
		}
	}
	return func(in, out []*Tensor) {
		a.p, a.x = data[T](in[0]), nil
		if len(in) > 1 {
			a.x = data[T](in[1])
		}
		a.y, a.alpha = dataOrNil[T](out[0]), dataOrNil[T](out[1])
		a.run(in[0].Rows, in[0].Cols, part)
	}
}

// addResidual starts the result of a batch row with its residual.
func (a *fieldAttention[T]) addResidual(r int) {
	if a.y == nil {
		return
	}
	m, w := a.fields, a.width
	y := a.y[r*m*w : (r+1)*m*w]
	switch {
	case a.x != nil:
		copy(y, a.x[r*m*w:])
	case a.ld == 4*w:
		for f := range m {
			copy(y[f*w:(f+1)*w], a.p[(r*m+f)*a.ld+3*w:])
		}
	default:
		clear(y)
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

// With α' the weights after dropout: dv = α'T·dy, dα = mask∘(dy·vT), ds = scale·α∘(dα − Σ α∘dα), dq = ds·k, dk = dsT·q; the residual's is dy.
func (a *fieldAttention[T]) backward() runner {
	part := func(first, last int) {
		m, w, d, wide := a.fields, a.width, a.width/a.heads, a.heads*a.fields
		for i := first; i < last; i++ {
			alpha := a.space[i*2*m*m : i*2*m*m+m*m]
			ds := a.space[i*2*m*m+m*m : (i+1)*2*m*m]
			lo, hi := chunk(i, a.parts, a.rows)
			for r := lo; r < hi; r++ {
				if a.ld == 4*w {
					for f := range m {
						copy(a.dp[(r*m+f)*a.ld+3*w:][:w], a.dy[(r*m+f)*w:])
					}
				}
				for h := range a.heads {
					at, dy := r*m*a.ld+h*d, a.dy[r*m*w+h*d:]
					for f := range m {
						copy(alpha[f*m:(f+1)*m], a.alpha[(r*m+f)*wide+h*m:])
					}
					dropped := alpha
					if a.rate > 0 {
						a.mask(ds, alpha, r, h)
						dropped = ds
					}
					kernel.Gemm(true, false, m, d, m, dropped, m, dy, w, false, a.dp[at+2*w:], a.ld)
					kernel.Gemm(false, true, m, m, d, dy, w, a.p[at+2*w:], a.ld, false, ds, m)
					if a.rate > 0 {
						a.mask(ds, ds, r, h)
					}
					for f := range m {
						ar, dr := alpha[f*m:(f+1)*m], ds[f*m:(f+1)*m]
						dot := kernel.Dot(ar, dr)
						for c, x := range ar {
							dr[c] = T(a.scale) * x * (dr[c] - dot)
						}
					}
					kernel.Gemm(false, false, m, d, m, ds, m, a.p[at+w:], a.ld, false, a.dp[at:], a.ld)
					kernel.Gemm(true, false, m, d, m, ds, m, a.p[at:], a.ld, false, a.dp[at+w:], a.ld)
				}
			}
		}
	}
	return func(in, out []*Tensor) {
		a.p, a.alpha, a.dy, a.dp = data[T](in[0]), data[T](in[1]), data[T](in[2]), data[T](out[0])
		a.run(in[0].Rows, in[0].Cols, part)
	}
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
