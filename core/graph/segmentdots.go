package graph

import (
	"github.com/millrace/millrace/core/kernel"
	"gorgonia.org/gorgonia"
)

// SegmentDots returns ⟨q_b, k_t⟩ for each row t of segment b: q [B, H], k [T, H] → [T, 1].
func SegmentDots(q, k *Node, r *Ragged) *Node {
	sameCols("SegmentDots", q, k)
	return apply(segmentDotsOp{r}, []shape{free(1)}, q, k)
}

type segmentDotsOp struct{ r *Ragged }

func (segmentDotsOp) String() string { return "segment dots" }

func (o segmentDotsOp) rows(e *env, in []*Tensor, out []int) error {
	s := e.segments(o.r)
	out[0] = s.total()
	if err := s.fits(in[0], nil); err != nil {
		return err
	}
	return s.fitsOnce(in[1])
}

func (segmentDotsOp) differentiable(int) []bool { return all(2) }

func (o segmentDotsOp) grads(d *derivation) []*gorgonia.Node {
	return d.apply(segmentDotsGrad{r: o.r}, d.in, d.in[0], d.in[1], d.grad)
}

func (o segmentDotsOp) runner(e *env) runner {
	s := e.segments(o.r)
	return pick(e, segmentDots[float32](s), segmentDots[float64](s))
}

func segmentDots[T kernel.Float](s *segments) runner {
	var q, k, y []T
	var h int
	part := func(lo, hi int) {
		offsets := s.offsets()
		for b := lo; b < hi; b++ {
			for t := int(offsets[b]); t < int(offsets[b+1]); t++ {
				y[t] = kernel.Dot(q[b*h:(b+1)*h], k[t*h:(t+1)*h])
			}
		}
	}
	return func(in, out []*Tensor) {
		q, k, y, h = data[T](in[0]), data[T](in[1]), data[T](out[0]), in[0].Cols
		if s.shared {
			kernel.Gemm(false, true, s.batch, s.length, h, q, h, k, h, false, y, s.length)
			return
		}
		kernel.Parallel(in[0].Rows, segmentGrain(in[0].Rows, len(k)), part)
	}
}

// segmentDotsGrad: (q, k, dy) → dq_b = Σ_t dy_t·k_t, dk_t = dy_t·q_b.
type segmentDotsGrad struct {
	backward
	r *Ragged
}

func (segmentDotsGrad) String() string { return "segment dots gradient" }

func (o segmentDotsGrad) rows(e *env, in []*Tensor, out []int) error {
	sameRows(in, out, 0, 1)
	return e.segments(o.r).differentiable()
}

func (o segmentDotsGrad) runner(e *env) runner {
	s := e.segments(o.r)
	return pick(e, segmentDotsBackward[float32](s), segmentDotsBackward[float64](s))
}

func segmentDotsBackward[T kernel.Float](s *segments) runner {
	var q, k, dy, dq, dk []T
	var h int
	part := func(lo, hi int) {
		offsets := s.offsets()
		if dq != nil {
			clear(dq[lo*h : hi*h])
		}
		for b := lo; b < hi; b++ {
			for t := int(offsets[b]); t < int(offsets[b+1]); t++ {
				if dq != nil {
					kernel.Axpy(dy[t], k[t*h:(t+1)*h], dq[b*h:(b+1)*h])
				}
				if dk != nil {
					copy(dk[t*h:(t+1)*h], q[b*h:(b+1)*h])
					kernel.Scale(dy[t], dk[t*h:(t+1)*h])
				}
			}
		}
	}
	return func(in, out []*Tensor) {
		q, k, dy, h = data[T](in[0]), data[T](in[1]), data[T](in[2]), in[0].Cols
		dq, dk = dataOrNil[T](out[0]), dataOrNil[T](out[1])
		kernel.Parallel(in[0].Rows, segmentGrain(in[0].Rows, len(k)), part)
	}
}
