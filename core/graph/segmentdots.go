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
	return pairRows(e.segments(o.r), in, out)
}

func (segmentDotsOp) differentiable(int) []bool { return all(2) }

// The gradients are those of SegmentWeightedSum read backwards: dq_b = Σ_t dy_t·k_t, dk_t = dy_t·q_b.
func (o segmentDotsOp) grads(d *derivation) []*gorgonia.Node {
	q, k := d.in[0], d.in[1]
	dq := d.apply(weightedSumOp(o), gorgonia.Nodes{q}, d.grad, k)
	dk := d.apply(weightedSumGrad{r: o.r}, gorgonia.Nodes{d.grad, k}, d.grad, k, q)
	return []*gorgonia.Node{dq[0], dk[1]}
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
