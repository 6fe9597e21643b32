package graph

import (
	"github.com/millrace/millrace/core/kernel"
	"gorgonia.org/gorgonia"
)

// AttentionInput is the first layer of DIN's unit, linear(concat[q; k; q−k; q∘k]) + b without building the concatenation: q [B, H] repeated over its segment, k [T, H], w [4H, out], b [1, out] → [T, out].
// Computed as q·(Wq+Wd) once a candidate, k·(Wk−Wd) once a behaviour and (q∘k)·Wp.
func AttentionInput(q, k, w, b *Node, r *Ragged) *Node {
	sameCols("AttentionInput", q, k)
	if w.rows != 4*q.Cols {
		fail("AttentionInput: w has %d rows, want 4·%d", w.rows, q.Cols)
	}
	rowOf("AttentionInput", "b", b, w.Cols)
	return apply(attentionInputOp{r}, []shape{free(w.Cols), free(k.Cols)}, q, k, w, b)
}

// attentionInputOp: (q, k, w, b) → y, m with m = q∘k.
type attentionInputOp struct{ r *Ragged }

func (attentionInputOp) String() string { return "attention input" }

func (o attentionInputOp) rows(e *env, in []*Tensor, out []int) error {
	out[0], out[1] = in[1].Rows, in[1].Rows
	return e.segments(o.r).fits(in[0], in[1])
}

func (o attentionInputOp) differentiable(int) []bool { return all(4) }

func (o attentionInputOp) grads(d *derivation) []*gorgonia.Node {
	return d.apply(attentionInputGrad{r: o.r}, d.in, d.in[0], d.in[1], d.in[2], d.in[3], d.aux(1), d.grad)
}

func (o attentionInputOp) runner(e *env) runner {
	s := e.segments(o.r)
	return pick(e, attentionInput[float32](s), attentionInput[float64](s))
}

func attentionInput[T kernel.Float](s *segments) runner {
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
	return func(in, out []*Tensor) {
		batch, rows := in[0].Rows, in[1].Rows
		h, cols = in[0].Cols, in[2].Cols
		q, k = data[T](in[0]), data[T](in[1])
		w, bias := data[T](in[2]), data[T](in[3])
		y = own(y, out[0], rows*cols)
		m = own(m, out[1], rows*h)
		n := h * cols
		wq, wk, wd, wp := w[:n], w[n:2*n], w[2*n:3*n], w[3*n:]
		forQ, forK, first = resized(forQ, n), resized(forK, n), resized(first, batch*cols)
		kernel.Add(forQ, wq, wd)
		kernel.Sub(forK, wk, wd)
		for b := range batch {
			copy(first[b*cols:(b+1)*cols], bias)
		}
		kernel.Gemm(false, false, batch, cols, h, q, h, forQ, cols, true, first, cols)
		kernel.Parallel(batch, segmentGrain(batch, rows*(h+cols)), products)
		kernel.Gemm(false, false, rows, cols, h, k, h, forK, cols, true, y, cols)
		kernel.Gemm(false, false, rows, cols, h, m, h, wp, cols, true, y, cols)
	}
}

// attentionInputGrad: (q, k, w, b, m, dy) → dq, dk, dw, db.
type attentionInputGrad struct {
	backward
	r *Ragged
}

func (attentionInputGrad) String() string { return "attention input gradient" }

func (o attentionInputGrad) rows(_ *env, in []*Tensor, out []int) error {
	return sameRows(in, out, 0, 1, 2, 3)
}

func (o attentionInputGrad) runner(e *env) runner {
	s := e.segments(o.r)
	return pick(e, attentionInputBackward[float32](s), attentionInputBackward[float64](s))
}

// With g = Σ dy over each segment: dWq = qT·g, dWk = kT·dy, dWd = dWq − dWk, dWp = mT·dy, db = Σ g,
// dm = dy·WpT, dk = dy·(Wk−Wd)T + q∘dm, dq = g·(Wq+Wd)T + Σ k∘dm over the segment.
func attentionInputBackward[T kernel.Float](s *segments) runner {
	var q, k, dy, forQ, forK, g, dm, dq, dk []T
	var h, cols int
	sums := newColSums[T]()
	segmentSums := func(lo, hi int) {
		offsets := s.offsets()
		for b := lo; b < hi; b++ {
			gb := g[b*cols : (b+1)*cols]
			clear(gb)
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
					dt := dk[t*h : (t+1)*h]
					for c, v := range mt {
						dt[c] += v * qb[c]
					}
				}
				if dq != nil {
					db := dq[b*h : (b+1)*h]
					for c, v := range mt {
						db[c] += v * kt[c]
					}
				}
			}
		}
	}
	return func(in, out []*Tensor) {
		batch, rows := in[0].Rows, in[1].Rows
		h, cols = in[0].Cols, in[2].Cols
		q, k, dy = data[T](in[0]), data[T](in[1]), data[T](in[5])
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
