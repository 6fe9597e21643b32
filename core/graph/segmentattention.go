package graph

import (
	"fmt"

	"github.com/millrace/millrace/core/kernel"
	"gorgonia.org/gorgonia"
)

// SegmentAttention is multi-head self-attention among the rows of each segment: q, k, v [T, heads·d]. For each head, α = softmax over the segment of
// scale·⟨q_s, k_t⟩ and the result is Σ_t α_st·v_t, heads side by side (Vaswani and others, NeurIPS 2017, section 3.2). Nothing is padded, so nothing is masked.
func SegmentAttention(q, k, v *Node, r *Ragged, heads int, scale float64) *Node {
	sameCols("SegmentAttention", q, k)
	sameCols("SegmentAttention", q, v)
	if heads < 1 || q.Cols%heads != 0 {
		fail("SegmentAttention: %d heads for %d columns", heads, q.Cols)
	}
	return apply(segmentAttentionOp{r, heads, scale}, []shape{{q.rows, q.Cols, false}}, q, k, v)
}

type segmentAttentionOp struct {
	r     *Ragged
	heads int
	scale float64
}

func (o segmentAttentionOp) String() string {
	return fmt.Sprintf("segment attention of %d heads, scale %g", o.heads, o.scale)
}

func (o segmentAttentionOp) rows(e *env, in []*Tensor, out []int) error {
	out[0] = in[0].Rows
	if err := equalRows(in...); err != nil {
		return err
	}
	return e.segments(o.r).fitsOnce(in[0])
}

func (o segmentAttentionOp) differentiable(int) []bool { return all(3) }

func (o segmentAttentionOp) grads(d *derivation) []*gorgonia.Node {
	return d.apply(segmentAttentionGrad{of: o}, d.in, d.in[0], d.in[1], d.in[2], d.grad)
}

func (o segmentAttentionOp) runner(e *env) runner {
	return pick(e, newSegmentAttention[float32](o, e).forward(), newSegmentAttention[float64](o, e).forward())
}

// segmentAttention is the work of both passes; parts of the batch have scratch of their own.
type segmentAttention[T kernel.Float] struct {
	segmentAttentionOp
	s *segments

	q, k, v, y, dy, dq, dk, dv []T
	offsets                    []int32
	cols, longest, parts       int
	space                      []T // [parts, 2·longest²]
}

// attentionParts is into how many ranges the batch is cut at most.
const attentionParts = 32

func newSegmentAttention[T kernel.Float](o segmentAttentionOp, e *env) *segmentAttention[T] {
	return &segmentAttention[T]{segmentAttentionOp: o, s: e.segments(o.r)}
}

func (a *segmentAttention[T]) run(rows, cols int, part func(lo, hi int)) {
	a.offsets, a.cols, a.longest = a.s.offsets(), cols, 0
	if a.s.shared {
		a.offsets = a.offsets[:2] // one user's behaviours attend to each other once
	}
	for b := 1; b < len(a.offsets); b++ {
		a.longest = max(a.longest, int(a.offsets[b]-a.offsets[b-1]))
	}
	n := len(a.offsets) - 1
	a.parts = max(min(n, rows*cols*max(a.longest, 1)/elementGrain, attentionParts), 1)
	a.space = resized(a.space, a.parts*2*a.longest*a.longest)
	kernel.Parallel(a.parts, 1, part)
}

// weights writes α of a segment's head to s [m, m].
func (a *segmentAttention[T]) weights(s []T, at, m int) {
	d := a.cols / a.heads
	kernel.Gemm(false, true, m, m, d, a.q[at:], a.cols, a.k[at:], a.cols, false, s, m)
	kernel.Scale(T(a.scale), s)
	for i := range m {
		kernel.SoftmaxRow(s[i*m:(i+1)*m], s[i*m:(i+1)*m])
	}
}

// each visits the heads of the segments of parts first to last with two squares of scratch.
func (a *segmentAttention[T]) each(first, last int, visit func(at, m int, s, t []T)) {
	d, square := a.cols/a.heads, a.longest*a.longest
	for i := first; i < last; i++ {
		space := a.space[2*i*square:]
		lo, hi := chunk(i, a.parts, len(a.offsets)-1)
		for b := lo; b < hi; b++ {
			start, m := int(a.offsets[b]), int(a.offsets[b+1]-a.offsets[b])
			if m == 0 {
				continue
			}
			for h := range a.heads {
				visit(start*a.cols+h*d, m, space[:m*m], space[square:square+m*m])
			}
		}
	}
}

func (a *segmentAttention[T]) forward() runner {
	head := func(at, m int, s, _ []T) {
		a.weights(s, at, m)
		kernel.Gemm(false, false, m, a.cols/a.heads, m, s, m, a.v[at:], a.cols, false, a.y[at:], a.cols)
	}
	part := func(first, last int) { a.each(first, last, head) }
	return func(in, out []*Tensor) {
		a.q, a.k, a.v, a.y = data[T](in[0]), data[T](in[1]), data[T](in[2]), data[T](out[0])
		a.run(in[0].Rows, in[0].Cols, part)
	}
}

// segmentAttentionGrad: (q, k, v, dy) → dq, dk, dv. α is computed again: it would take a square of memory for each segment.
type segmentAttentionGrad struct {
	backward
	of segmentAttentionOp
}

func (o segmentAttentionGrad) String() string { return o.of.String() + " gradient" }

func (o segmentAttentionGrad) rows(e *env, in []*Tensor, out []int) error {
	sameRows(in, out, 0, 1, 2)
	return e.segments(o.of.r).differentiable()
}

func (o segmentAttentionGrad) runner(e *env) runner {
	return pick(e, newSegmentAttention[float32](o.of, e).backward(), newSegmentAttention[float64](o.of, e).backward())
}

// dv = αT·dy, dα = dy·vT, ds = scale·α∘(dα − Σ α∘dα), dq = ds·k, dk = dsT·q.
func (a *segmentAttention[T]) backward() runner {
	head := func(at, m int, alpha, ds []T) {
		d := a.cols / a.heads
		a.weights(alpha, at, m)
		if a.dv != nil {
			kernel.Gemm(true, false, m, d, m, alpha, m, a.dy[at:], a.cols, false, a.dv[at:], a.cols)
		}
		if a.dq == nil && a.dk == nil {
			return
		}
		kernel.Gemm(false, true, m, m, d, a.dy[at:], a.cols, a.v[at:], a.cols, false, ds, m)
		for i := range m {
			ai, di := alpha[i*m:(i+1)*m], ds[i*m:(i+1)*m]
			dot := kernel.Dot(ai, di)
			for t, w := range ai {
				di[t] = T(a.scale) * w * (di[t] - dot)
			}
		}
		if a.dq != nil {
			kernel.Gemm(false, false, m, d, m, ds, m, a.k[at:], a.cols, false, a.dq[at:], a.cols)
		}
		if a.dk != nil {
			kernel.Gemm(true, false, m, d, m, ds, m, a.q[at:], a.cols, false, a.dk[at:], a.cols)
		}
	}
	part := func(first, last int) { a.each(first, last, head) }
	return func(in, out []*Tensor) {
		a.q, a.k, a.v, a.dy = data[T](in[0]), data[T](in[1]), data[T](in[2]), data[T](in[3])
		a.dq, a.dk, a.dv = dataOrNil[T](out[0]), dataOrNil[T](out[1]), dataOrNil[T](out[2])
		a.run(in[0].Rows, in[0].Cols, part)
	}
}
