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
	if fields < 1 || heads < 1 || q.Cols%heads != 0 {
		fail("FieldAttention: %d fields, %d heads, %d columns", fields, heads, q.Cols)
	}
	if rate < 0 || rate >= 1 {
		fail("FieldAttention: dropout rate %g is not in [0, 1)", rate)
	}
	o := fieldAttentionOp{fields: fields, heads: heads, scale: scale, rate: rate}
	if rate > 0 {
		q.g.dropouts++
		o.position = q.g.dropouts
	}
	return apply(o, []shape{{q.rows, q.Cols, false}, {q.rows, heads * fields, false}}, q, k, v)
}

// fieldAttentionOp: (q, k, v) → result, α [B·fields, heads·fields] before dropout.
type fieldAttentionOp struct {
	fields, heads int
	scale, rate   float64
	position      uint64
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

func (o fieldAttentionOp) differentiable(int) []bool { return all(3) }

func (o fieldAttentionOp) grads(d *derivation) []*gorgonia.Node {
	return d.apply(fieldAttentionGrad{of: o}, d.in, d.in[0], d.in[1], d.in[2], d.aux(1), d.grad)
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

	q, k, v, alpha, y, dy, dq, dk, dv []T
	rows, cols, parts                 int // rows of the batch, columns of q
	space                             []T // [parts, 2·fields·fields]
}

func newFieldAttention[T kernel.Float](o fieldAttentionOp, e *env) *fieldAttention[T] {
	return &fieldAttention[T]{fieldAttentionOp: o, env: e, coins: newCoins[T](o.rate)}
}

// attentionParts is into how many ranges the batch is cut at most.
const attentionParts = 32

func (a *fieldAttention[T]) run(rows, cols int, part func(lo, hi int)) {
	a.rows, a.cols, a.key = rows/a.fields, cols, a.env.key(a.position)
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
		m, d, wide := a.fields, a.cols/a.heads, a.heads*a.fields
		for i := first; i < last; i++ {
			s := a.space[i*2*m*m : i*2*m*m+m*m]
			lo, hi := chunk(i, a.parts, a.rows)
			for r := lo; r < hi; r++ {
				for h := range a.heads {
					at := r*m*a.cols + h*d
					kernel.Gemm(false, true, m, m, d, a.q[at:], a.cols, a.k[at:], a.cols, false, s, m)
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
						kernel.Gemm(false, false, m, d, m, s, m, a.v[at:], a.cols, false, a.y[at:], a.cols)
					}
				}
			}
		}
	}
	return func(in, out []*Tensor) {
		a.q, a.k, a.v = data[T](in[0]), data[T](in[1]), data[T](in[2])
		a.y, a.alpha = dataOrNil[T](out[0]), dataOrNil[T](out[1])
		a.run(in[0].Rows, in[0].Cols, part)
	}
}

// fieldAttentionGrad: (q, k, v, α, dy) → dq, dk, dv.
type fieldAttentionGrad struct {
	backward
	of fieldAttentionOp
}

func (o fieldAttentionGrad) String() string { return o.of.String() + " gradient" }

func (o fieldAttentionGrad) rows(_ *env, in []*Tensor, out []int) error {
	return sameRows(in, out, 0, 1, 2)
}

func (o fieldAttentionGrad) runner(e *env) runner {
	return pick(e, newFieldAttention[float32](o.of, e).backward(), newFieldAttention[float64](o.of, e).backward())
}

// With α' the weights after dropout: dv = α'T·dy, dα = mask∘(dy·vT), ds = scale·α∘(dα − Σ α∘dα), dq = ds·k, dk = dsT·q.
func (a *fieldAttention[T]) backward() runner {
	part := func(first, last int) {
		m, d, wide := a.fields, a.cols/a.heads, a.heads*a.fields
		for i := first; i < last; i++ {
			alpha := a.space[i*2*m*m : i*2*m*m+m*m]
			ds := a.space[i*2*m*m+m*m : (i+1)*2*m*m]
			lo, hi := chunk(i, a.parts, a.rows)
			for r := lo; r < hi; r++ {
				for h := range a.heads {
					at := r*m*a.cols + h*d
					for f := range m {
						copy(alpha[f*m:(f+1)*m], a.alpha[(r*m+f)*wide+h*m:])
					}
					if a.dv != nil {
						dropped := alpha
						if a.rate > 0 {
							a.mask(ds, alpha, r, h)
							dropped = ds
						}
						kernel.Gemm(true, false, m, d, m, dropped, m, a.dy[at:], a.cols, false, a.dv[at:], a.cols)
					}
					if a.dq == nil && a.dk == nil {
						continue
					}
					kernel.Gemm(false, true, m, m, d, a.dy[at:], a.cols, a.v[at:], a.cols, false, ds, m)
					if a.rate > 0 {
						a.mask(ds, ds, r, h)
					}
					for f := range m {
						ar, dr := alpha[f*m:(f+1)*m], ds[f*m:(f+1)*m]
						dot := kernel.Dot(ar, dr)
						for c, w := range ar {
							dr[c] = T(a.scale) * w * (dr[c] - dot)
						}
					}
					if a.dq != nil {
						kernel.Gemm(false, false, m, d, m, ds, m, a.k[at:], a.cols, false, a.dq[at:], a.cols)
					}
					if a.dk != nil {
						kernel.Gemm(true, false, m, d, m, ds, m, a.q[at:], a.cols, false, a.dk[at:], a.cols)
					}
				}
			}
		}
	}
	return func(in, out []*Tensor) {
		a.q, a.k, a.v, a.alpha, a.dy = data[T](in[0]), data[T](in[1]), data[T](in[2]), data[T](in[3]), data[T](in[4])
		a.dq, a.dk, a.dv = dataOrNil[T](out[0]), dataOrNil[T](out[1]), dataOrNil[T](out[2])
		a.run(in[0].Rows, in[0].Cols, part)
	}
}
