package graph

import (
	"fmt"

	"github.com/millrace/millrace/core/kernel"
	"gorgonia.org/gorgonia"
)

// AppendRows adds a row of q at the end of each segment of k: k [T, cols], q [B, cols] → [T + B, cols] and its boundaries, each segment one row longer.
// The new Ragged follows r from run to run by itself; nobody else sets it. A transformer over behaviours takes the candidate in this way.
func AppendRows(k, q *Node, r *Ragged) (*Node, *Ragged) {
	sameCols("AppendRows", k, q)
	longer := &Ragged{}
	return apply(appendRowsOp{r, longer}, []shape{free(k.Cols)}, k, q), longer
}

type appendRowsOp struct{ r, longer *Ragged }

func (appendRowsOp) String() string { return "append rows" }

// rows also sets the new boundaries, for the operations after this one.
func (o appendRowsOp) rows(e *env, in []*Tensor, out []int) error {
	s, to := e.segments(o.r), e.segments(o.longer)
	if err := s.fits(in[1], nil); err != nil {
		return err
	}
	if err := s.fitsOnce(in[0]); err != nil {
		return err
	}
	offsets := s.offsets()
	to.own, to.bound = resized(to.own, len(offsets)), true
	for b, x := range offsets {
		to.own[b] = x + int32(b)
	}
	out[0] = to.total()
	return nil
}

func (appendRowsOp) differentiable(int) []bool { return all(2) }

func (o appendRowsOp) grads(d *derivation) []*gorgonia.Node {
	return d.apply(appendRowsGrad{r: o.r}, d.in, d.in[0], d.in[1], d.grad)
}

func (o appendRowsOp) runner(e *env) runner {
	s, to := e.segments(o.r), e.segments(o.longer)
	if len(to.own) == 0 { // what a plan checks before its first run
		to.own, to.bound = []int32{0}, true
	}
	return pick(e, appendRows[float32](s), appendRows[float64](s))
}

func appendRows[T kernel.Float](s *segments) runner {
	var k, q, y []T
	var offsets []int32
	var cols int
	part := func(lo, hi int) {
		for b := lo; b < hi; b++ {
			from, n := int(offsets[b]), int(offsets[b+1]-offsets[b])
			to := (from + b) * cols
			if s.shared {
				from = 0
			}
			copy(y[to:to+n*cols], k[from*cols:(from+n)*cols])
			copy(y[to+n*cols:to+(n+1)*cols], q[b*cols:(b+1)*cols])
		}
	}
	return func(in, out []*Tensor) {
		k, q, y = data[T](in[0]), data[T](in[1]), data[T](out[0])
		offsets, cols = s.offsets(), in[0].Cols
		kernel.Parallel(in[1].Rows, segmentGrain(in[1].Rows, len(y)), part)
	}
}

// appendRowsGrad: (k, q, dy) → dk, dq: the rows that went in.
type appendRowsGrad struct {
	backward
	r *Ragged
}

func (appendRowsGrad) String() string { return "append rows gradient" }

func (o appendRowsGrad) rows(e *env, in []*Tensor, out []int) error {
	sameRows(in, out, 0, 1)
	return e.segments(o.r).differentiable()
}

func (o appendRowsGrad) runner(e *env) runner {
	s := e.segments(o.r)
	return pick(e, appendRowsBackward[float32](s), appendRowsBackward[float64](s))
}

func appendRowsBackward[T kernel.Float](s *segments) runner {
	var dy, dk, dq []T
	var offsets []int32
	var cols int
	part := func(lo, hi int) {
		for b := lo; b < hi; b++ {
			from, end := int(offsets[b]), int(offsets[b+1])
			if dk != nil {
				copy(dk[from*cols:end*cols], dy[(from+b)*cols:(end+b)*cols])
			}
			if dq != nil {
				copy(dq[b*cols:(b+1)*cols], dy[(end+b)*cols:(end+b+1)*cols])
			}
		}
	}
	return func(in, out []*Tensor) {
		dy, dk, dq = data[T](in[2]), dataOrNil[T](out[0]), dataOrNil[T](out[1])
		offsets, cols = s.offsets(), in[2].Cols
		kernel.Parallel(in[1].Rows, segmentGrain(in[1].Rows, len(dy)), part)
	}
}

// Pooling says which one row stands for a segment.
type Pooling int

const (
	PoolLast Pooling = iota // its last row
	PoolMean                // the mean of its rows
	PoolSum                 // the sum of its rows
)

// SegmentPool makes one row of each segment, zeros where it is empty: x [T, cols] → [B, cols].
func SegmentPool(x *Node, r *Ragged, kind Pooling) *Node {
	return apply(segmentPoolOp{r, kind}, []shape{free(x.Cols)}, x)
}

type segmentPoolOp struct {
	r    *Ragged
	kind Pooling
}

func (o segmentPoolOp) String() string {
	return fmt.Sprintf("%s of segments", [...]string{"last row", "mean", "sum"}[o.kind])
}

func (o segmentPoolOp) rows(e *env, in []*Tensor, out []int) error {
	s := e.segments(o.r)
	out[0] = len(s.offsets()) - 1
	return s.fitsOnce(in[0])
}

func (segmentPoolOp) differentiable(int) []bool { return all(1) }

func (o segmentPoolOp) grads(d *derivation) []*gorgonia.Node {
	return d.apply(segmentPoolGrad{of: o}, d.in, d.in[0], d.grad)
}

func (o segmentPoolOp) runner(e *env) runner {
	s := e.segments(o.r)
	return pick(e, segmentPool[float32](s, o.kind), segmentPool[float64](s, o.kind))
}

// pooled returns the rows of segment b that count and the factor of each.
func pooled(offsets []int32, b int, kind Pooling) (lo, hi int, factor float64) {
	lo, hi = int(offsets[b]), int(offsets[b+1])
	switch {
	case kind == PoolLast:
		return max(lo, hi-1), hi, 1
	case kind == PoolMean && hi > lo:
		return lo, hi, 1 / float64(hi-lo)
	}
	return lo, hi, 1
}

func segmentPool[T kernel.Float](s *segments, kind Pooling) runner {
	var x, y []T
	var offsets []int32
	var cols int
	part := func(first, last int) {
		for b := first; b < last; b++ {
			lo, hi, factor := pooled(offsets, b, kind)
			yr := y[b*cols : (b+1)*cols]
			clear(yr)
			for t := lo; t < hi; t++ {
				kernel.Axpy(T(factor), x[t*cols:(t+1)*cols], yr)
			}
		}
	}
	return func(in, out []*Tensor) {
		x, y, offsets, cols = data[T](in[0]), data[T](out[0]), s.offsets(), in[0].Cols
		if s.shared { // what one segment has stands for all
			part(0, 1)
			fillRows(y, y[:cols])
			return
		}
		kernel.Parallel(out[0].Rows, segmentGrain(out[0].Rows, len(x)), part)
	}
}

// segmentPoolGrad: (x, dy) → dx.
type segmentPoolGrad struct {
	backward
	of segmentPoolOp
}

func (o segmentPoolGrad) String() string { return o.of.String() + " gradient" }

func (o segmentPoolGrad) rows(e *env, in []*Tensor, out []int) error {
	sameRows(in, out, 0)
	return e.segments(o.of.r).differentiable()
}

func (o segmentPoolGrad) runner(e *env) runner {
	s := e.segments(o.of.r)
	return pick(e, segmentPoolBackward[float32](s, o.of.kind), segmentPoolBackward[float64](s, o.of.kind))
}

func segmentPoolBackward[T kernel.Float](s *segments, kind Pooling) runner {
	var dy, dx []T
	var offsets []int32
	var cols int
	part := func(first, last int) {
		clear(dx[int(offsets[first])*cols : int(offsets[last])*cols])
		for b := first; b < last; b++ {
			lo, hi, factor := pooled(offsets, b, kind)
			for t := lo; t < hi; t++ {
				kernel.Axpy(T(factor), dy[b*cols:(b+1)*cols], dx[t*cols:(t+1)*cols])
			}
		}
	}
	return func(in, out []*Tensor) {
		dy, dx, offsets, cols = data[T](in[1]), data[T](out[0]), s.offsets(), in[0].Cols
		kernel.Parallel(in[1].Rows, segmentGrain(in[1].Rows, len(dx)), part)
	}
}
