package graph

import (
	"github.com/millrace/millrace/core/kernel"
	"gorgonia.org/gorgonia"
)

// AddPositions adds to each row of a segment the vector of its place, counted from the newest, which is last: y_t = x_t + p[min(end−1−t, P−1)];
// x [T, cols], p [P, cols].
func AddPositions(x, p *Node, r *Ragged) *Node {
	sameCols("AddPositions", x, p)
	if p.rows < 1 {
		fail("AddPositions: p has no known rows")
	}
	return apply(addPositionsOp{r}, []shape{{x.rows, x.Cols, false}}, x, p)
}

type addPositionsOp struct{ r *Ragged }

func (addPositionsOp) String() string { return "add positions" }

func (o addPositionsOp) rows(e *env, in []*Tensor, out []int) error {
	out[0] = in[0].Rows
	return e.segments(o.r).fitsOnce(in[0])
}

func (o addPositionsOp) differentiable(int) []bool { return all(2) }

func (o addPositionsOp) grads(d *derivation) []*gorgonia.Node {
	return gorgonia.Nodes{d.grad, d.apply(positionsGrad{r: o.r}, d.in[1:], d.in[1], d.grad)[0]}
}

func (o addPositionsOp) runner(e *env) runner {
	s := e.segments(o.r)
	return pick(e, addPositions[float32](s), addPositions[float64](s))
}

// once is the segments of the flattened rows as they are given: a shared one once.
func (s *segments) once() []int32 {
	if s.shared {
		return s.offsets()[:2]
	}
	return s.offsets()
}

func addPositions[T kernel.Float](s *segments) runner {
	var x, p, y []T
	var offsets []int32
	var cols, places int
	part := func(lo, hi int) {
		for b := lo; b < hi; b++ {
			end := int(offsets[b+1])
			for t := int(offsets[b]); t < end; t++ {
				at := min(end-1-t, places-1) * cols
				kernel.Add(y[t*cols:(t+1)*cols], x[t*cols:(t+1)*cols], p[at:at+cols])
			}
		}
	}
	return func(in, out []*Tensor) {
		x, p, y = data[T](in[0]), data[T](in[1]), data[T](out[0])
		offsets, cols, places = s.once(), in[0].Cols, in[1].Rows
		n := len(offsets) - 1
		kernel.Parallel(n, segmentGrain(n, len(x)), part)
	}
}

// positionsGrad: (p, dy) → dp, the sum of dy over the rows at each place.
type positionsGrad struct {
	backward
	r *Ragged
}

func (positionsGrad) String() string { return "add positions gradient" }

func (o positionsGrad) rows(e *env, in []*Tensor, out []int) error {
	sameRows(in, out, 0)
	return e.segments(o.r).differentiable()
}

func (o positionsGrad) runner(e *env) runner {
	s := e.segments(o.r)
	return pick(e, positionsBackward[float32](s), positionsBackward[float64](s))
}

func positionsBackward[T kernel.Float](s *segments) runner {
	return func(in, out []*Tensor) {
		dp, dy := data[T](out[0]), data[T](in[1])
		offsets, cols, places := s.offsets(), in[1].Cols, in[0].Rows
		clear(dp)
		for b := range len(offsets) - 1 {
			end := int(offsets[b+1])
			for t := int(offsets[b]); t < end; t++ {
				at := min(end-1-t, places-1) * cols
				kernel.Add(dp[at:at+cols], dp[at:at+cols], dy[t*cols:(t+1)*cols])
			}
		}
	}
}
