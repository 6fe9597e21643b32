package graph

import (
	"github.com/millrace/millrace/core/kernel"
	"gorgonia.org/gorgonia"
)

// AttentionInput is the first layer of DIN's unit, linear(concat[q; k; q−k; q∘k]) + b without building the concatenation: q [B, H] repeated over its segment, k [T, H], w [4H, out], b [1, out] → [T, out].
// Computed as q·(Wq+Wd) once a candidate, k·(Wk−Wd) once a behaviour and (q∘k)·Wp.
func AttentionInput(q, k, w, b *Node, r *Ragged) *Node {
	return AttentionInputAct(q, k, w, b, r, Identity)
}

// AttentionInputAct is act of AttentionInput in one operation.
func AttentionInputAct(q, k, w, b *Node, r *Ragged, act Activation) *Node {
	sameCols("AttentionInput", q, k)
	act.onlyFromOutput("AttentionInput")
	if w.rows != 4*q.Cols {
		fail("AttentionInput: w has %d rows, want 4·%d", w.rows, q.Cols)
	}
	rowOf("AttentionInput", "b", b, w.Cols)
	return apply(attentionInputOp{r, act}, []shape{free(w.Cols), free(k.Cols)}, q, k, w, b)
}

// attentionInputOp: (q, k, w, b) → y, m with m = q∘k.
type attentionInputOp struct {
	r   *Ragged
	act Activation
}

func (o attentionInputOp) String() string { return "attention input " + o.act.String() }

func (o attentionInputOp) rows(e *env, in []*Tensor, out []int) error {
	s := e.segments(o.r)
	out[0] = s.total()
	out[1] = in[1].Rows
	if err := s.fits(in[0], nil); err != nil {
		return err
	}
	return s.fitsOnce(in[1])
}

func (o attentionInputOp) differentiable(int) []bool { return all(4) }

func (o attentionInputOp) grads(d *derivation) []*gorgonia.Node {
	return d.apply(attentionInputGrad{r: o.r, act: o.act}, d.in, d.in[0], d.in[1], d.in[2], d.in[3], d.aux(1), d.out, d.grad)
}

func (o attentionInputOp) runner(e *env) runner {
	s := e.segments(o.r)
	return pick(e, attentionInput[float32](s, o.act), attentionInput[float64](s, o.act))
}

func attentionInput[T kernel.Float](s *segments, act Activation) runner {
	var q, k, y, m, forQ, forK, first []T // first [B, out]: q·(Wq+Wd) + b
	var h, cols int
	products := func(lo, hi int) {
		offsets := s.offsets()
		for b := lo; b < hi; b++ {
			for t := int(offsets[b]); t < int(offsets[b+1]); t++ {
				kernel.Mul(m[t*h:(t+1)*h], k[t*h:(t+1)*h], q[b*h:(b+1)*h])
				copy(y[t*cols:(t+1)*cols], first[b*cols:(b+1)*cols])
			}
		}
	}
	var wp []T
	var rows, n int
	finish := func(from, to int) {
		for i := from; i < to; i++ {
			lo, hi := chunk(i, n, rows)
			kernel.Gemm(false, false, hi-lo, cols, h, k[lo*h:], h, forK, cols, true, y[lo*cols:], cols)
			kernel.Gemm(false, false, hi-lo, cols, h, m[lo*h:], h, wp, cols, true, y[lo*cols:], cols)
			if act != Identity {
				activate(act, y[lo*cols:hi*cols], y[lo*cols:hi*cols])
			}
		}
	}
	shared := newSharedAttention[T](s, act)
	return func(in, out []*Tensor) {
		batch := in[0].Rows
		rows, h, cols = s.total(), in[0].Cols, in[2].Cols
		q, k = data[T](in[0]), data[T](in[1])
		w, bias := data[T](in[2]), data[T](in[3])
		size := h * cols
		wq, wk, wd := w[:size], w[size:2*size], w[2*size:3*size]
		wp = w[3*size:]
		forQ, forK, first = resized(forQ, size), resized(forK, size), resized(first, batch*cols)
		kernel.Add(forQ, wq, wd)
		kernel.Sub(forK, wk, wd)
		for b := range batch {
			copy(first[b*cols:(b+1)*cols], bias)
		}
		kernel.Gemm(false, false, batch, cols, h, q, h, forQ, cols, true, first, cols)
		if s.shared {
			shared.run(q, k, forK, wp, first, data[T](out[0]), h, cols)
			return
		}
		y = own(y, out[0], rows*cols)
		m = own(m, out[1], rows*h)
		kernel.Parallel(batch, segmentGrain(batch, rows*(h+cols)), products)
		n = chunks(rows)
		kernel.Parallel(n, 1, finish)
	}
}

// sharedAttention computes the layer where every candidate has the same behaviours. For each candidate the products are folded into one matrix,
// y_b = [k, 1]·[(Wk−Wd) + diag(q_b)·Wp; first_b], which costs a behaviour's worth of arithmetic and saves forming q∘k.
type sharedAttention[T kernel.Float] struct {
	s                     *segments
	act                   Activation
	q, forK, wp, first, y []T
	ones, folded          []T // [L, H+1]: k and a column of ones; [parts, H+1, out]
	h, cols, parts, batch int
	part                  func(lo, hi int)
}

// sharedParts is into how many ranges the candidates are cut, each with a folded matrix of its own.
const sharedParts = 16

func newSharedAttention[T kernel.Float](s *segments, act Activation) *sharedAttention[T] {
	a := &sharedAttention[T]{s: s, act: act}
	a.part = a.candidates
	return a
}

func (a *sharedAttention[T]) run(q, k, forK, wp, first, y []T, h, cols int) {
	a.q, a.forK, a.wp, a.first, a.y, a.h, a.cols, a.batch = q, forK, wp, first, y, h, cols, a.s.batch
	a.parts = min(a.batch, sharedParts)
	a.ones = resized(a.ones, a.s.length*(h+1))
	a.folded = resized(a.folded, a.parts*(h+1)*cols)
	for t := range a.s.length {
		copy(a.ones[t*(h+1):], k[t*h:(t+1)*h])
		a.ones[t*(h+1)+h] = 1
	}
	kernel.Parallel(a.parts, 1, a.part)
}

func (a *sharedAttention[T]) candidates(from, to int) {
	h, cols, length := a.h, a.cols, a.s.length
	for i := from; i < to; i++ {
		folded := a.folded[i*(h+1)*cols : (i+1)*(h+1)*cols]
		lo, hi := chunk(i, a.parts, a.batch)
		for b := lo; b < hi; b++ {
			foldCandidate(folded, a.forK, a.first[b*cols:(b+1)*cols], a.q[b*h:(b+1)*h], a.wp)
			y := a.y[b*length*cols : (b+1)*length*cols]
			kernel.Gemm(false, false, length, cols, h+1, a.ones, h+1, folded, cols, false, y, cols)
			if a.act != Identity {
				activate(a.act, y, y)
			}
		}
	}
}

// foldCandidate writes the layer of one candidate q [H], [forK + diag(q)·Wp; first]: [H+1, out].
func foldCandidate[T kernel.Float](dst, forK, first, q, wp []T) {
	cols := len(first)
	copy(dst[copy(dst, forK):], first)
	for c, v := range q {
		kernel.Axpy(v, wp[c*cols:(c+1)*cols], dst[c*cols:(c+1)*cols])
	}
}

// attentionInputGrad: (q, k, w, b, m, y, dy) → dq, dk, dw, db.
type attentionInputGrad struct {
	backward
	r   *Ragged
	act Activation
}

func (attentionInputGrad) String() string { return "attention input gradient" }

func (o attentionInputGrad) rows(e *env, in []*Tensor, out []int) error {
	sameRows(in, out, 0, 1, 2, 3)
	return e.segments(o.r).differentiable()
}

func (o attentionInputGrad) runner(e *env) runner {
	s := e.segments(o.r)
	return pick(e, attentionInputBackward[float32](s, o.act, e), attentionInputBackward[float64](s, o.act, e))
}

// With dy taken before the activation and g = Σ dy over each segment: dWq = qT·g, dWk = kT·dy, dWd = dWq − dWk, dWp = mT·dy, db = Σ g,
// dm = dy·WpT, dk = dy·(Wk−Wd)T + q∘dm, dq = g·(Wq+Wd)T + Σ k∘dm over the segment.
func attentionInputBackward[T kernel.Float](s *segments, act Activation, e *env) runner {
	var q, k, y, upstream, dy, forQ, forK, g, dm, dq, dk []T
	var h, cols int
	sums := newColSums[T]()
	segmentSums := func(lo, hi int) {
		offsets := s.offsets()
		for b := lo; b < hi; b++ {
			gb := g[b*cols : (b+1)*cols]
			clear(gb)
			if at, end := int(offsets[b])*cols, int(offsets[b+1])*cols; act != Identity {
				deactivate(act, dy[at:end], y[at:end], upstream[at:end])
			}
			for t := int(offsets[b]); t < int(offsets[b+1]); t++ {
				kernel.Add(gb, gb, dy[t*cols:(t+1)*cols])
			}
		}
	}
	products := func(lo, hi int) {
		offsets := s.offsets()
		for b := lo; b < hi; b++ {
			qb := q[b*h : (b+1)*h]
			for t := int(offsets[b]); t < int(offsets[b+1]); t++ {
				kt, mt := k[t*h:(t+1)*h], dm[t*h:(t+1)*h]
				if dk != nil {
					kernel.MulAdd(dk[t*h:(t+1)*h], mt, qb)
				}
				if dq != nil {
					kernel.MulAdd(dq[b*h:(b+1)*h], mt, kt)
				}
			}
		}
	}
	return func(in, out []*Tensor) {
		batch, rows := in[0].Rows, in[1].Rows
		h, cols = in[0].Cols, in[2].Cols
		q, k, y, upstream = data[T](in[0]), data[T](in[1]), data[T](in[5]), data[T](in[6])
		dy = upstream
		if act != Identity {
			dy = scratch[T](e, len(upstream))
		}
		w, m := data[T](in[2]), data[T](in[4])
		n := h * cols
		wq, wk, wd, wp := w[:n], w[n:2*n], w[2*n:3*n], w[3*n:]
		dq, dk = dataOrNil[T](out[0]), dataOrNil[T](out[1])
		g = resized(g, batch*cols)
		kernel.Parallel(batch, segmentGrain(batch, len(dy)), segmentSums)
		if out[2] != nil {
			dw := data[T](out[2])
			kernel.Gemm(true, false, h, cols, batch, q, h, g, cols, false, dw, cols)
			kernel.Gemm(true, false, h, cols, rows, k, h, dy, cols, false, dw[n:], cols)
			kernel.Gemm(true, false, h, cols, rows, m, h, dy, cols, false, dw[3*n:], cols)
			kernel.Sub(dw[2*n:3*n], dw[:n], dw[n:2*n])
		}
		if out[3] != nil {
			sums.run(data[T](out[3]), g, batch, cols)
		}
		if dq == nil && dk == nil {
			return
		}
		forQ, forK, dm = resized(forQ, n), resized(forK, n), resized(dm, rows*h)
		kernel.Add(forQ, wq, wd)
		kernel.Sub(forK, wk, wd)
		kernel.Gemm(false, true, rows, h, cols, dy, cols, wp, cols, false, dm, h)
		if dk != nil {
			kernel.Gemm(false, true, rows, h, cols, dy, cols, forK, cols, false, dk, h)
		}
		if dq != nil {
			kernel.Gemm(false, true, batch, h, cols, g, cols, forQ, cols, false, dq, h)
		}
		kernel.Parallel(batch, segmentGrain(batch, rows*h), products)
	}
}
