package graph

import (
	"github.com/millrace/millrace/core/kernel"
	"gorgonia.org/gorgonia"
)

// ButFirst returns the rows of each segment but its first, ButLast all but its last: [T, cols] → [T − segments that are not empty, cols]. Row i of the one is what follows row i of the other.
func ButFirst(x *Node, r *Ragged) *Node {
	return apply(segmentCutOp{r, 1}, []shape{free(x.Cols)}, x)
}

// ButLast is described at ButFirst.
func ButLast(x *Node, r *Ragged) *Node {
	return apply(segmentCutOp{r, 0}, []shape{free(x.Cols)}, x)
}

// segmentCutOp leaves out a row of each segment: what is kept starts at row from.
type segmentCutOp struct {
	r    *Ragged
	from int
}

func (o segmentCutOp) String() string {
	return [...]string{"all but the last rows", "all but the first rows"}[o.from]
}

func (o segmentCutOp) rows(e *env, in []*Tensor, out []int) error {
	s := e.segments(o.r)
	if err := s.fitsOnce(in[0]); err != nil {
		return err
	}
	out[0] = 0
	offsets := s.once()
	for b := range len(offsets) - 1 {
		out[0] += max(int(offsets[b+1]-offsets[b])-1, 0)
	}
	return nil
}

func (segmentCutOp) differentiable(int) []bool { return all(1) }

func (o segmentCutOp) grads(d *derivation) []*gorgonia.Node {
	return d.apply(segmentCutGrad{of: o}, d.in, d.in[0], d.grad)
}

func (o segmentCutOp) runner(e *env) runner {
	s := e.segments(o.r)
	return pick(e, segmentCut[float32](s, o.from), segmentCut[float64](s, o.from))
}

func segmentCut[T kernel.Float](s *segments, from int) runner {
	return func(in, out []*Tensor) {
		x, y, cols, at := data[T](in[0]), data[T](out[0]), in[0].Cols, 0
		offsets := s.once()
		for b := range len(offsets) - 1 {
			if lo, hi := int(offsets[b]), int(offsets[b+1]); hi > lo {
				at += copy(y[at:], x[(lo+from)*cols:(hi-1+from)*cols])
			}
		}
	}
}

// segmentCutGrad: (x, dy) → dx, zero in the rows left out.
type segmentCutGrad struct {
	backward
	of segmentCutOp
}

func (o segmentCutGrad) String() string { return o.of.String() + " gradient" }

func (o segmentCutGrad) rows(e *env, in []*Tensor, out []int) error {
	sameRows(in, out, 0)
	return e.segments(o.of.r).differentiable()
}

func (o segmentCutGrad) runner(e *env) runner {
	s := e.segments(o.of.r)
	return pick(e, segmentCutBackward[float32](s, o.of.from), segmentCutBackward[float64](s, o.of.from))
}

func segmentCutBackward[T kernel.Float](s *segments, from int) runner {
	return func(in, out []*Tensor) {
		dy, dx, cols, at := data[T](in[1]), data[T](out[0]), in[0].Cols, 0
		offsets := s.offsets()
		for b := range len(offsets) - 1 {
			lo, hi := int(offsets[b])*cols, int(offsets[b+1])*cols
			if hi == lo {
				continue
			}
			kept := dx[lo+from*cols : hi-cols+from*cols]
			copy(kept, dy[at:])
			at += len(kept)
			if from == 1 {
				clear(dx[lo : lo+cols])
			} else {
				clear(dx[hi-cols : hi])
			}
		}
	}
}
