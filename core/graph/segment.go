package graph

import (
	"fmt"
	"math"

	"github.com/millrace/millrace/core/kernel"
	"gorgonia.org/gorgonia"
)

// RepeatSegments copies row b of x [B, cols] to each row of segment b: [T, cols].
func RepeatSegments(x *Node, r *Ragged) *Node {
	return apply(repeatSegmentsOp{r}, []shape{free(x.Cols)}, x)
}

type repeatSegmentsOp struct{ r *Ragged }

func (repeatSegmentsOp) String() string { return "repeat segments" }

func (o repeatSegmentsOp) rows(e *env, in []*Tensor, out []int) error {
	s := e.segments(o.r)
	if err := s.fits(in[0], nil); err != nil {
		return err
	}
	out[0] = s.total()
	return nil
}

func (o repeatSegmentsOp) differentiable(int) []bool { return all(1) }

func (o repeatSegmentsOp) grads(d *derivation) []*gorgonia.Node {
	return d.apply(segmentSumOp(o), d.in, d.grad)
}

func (o repeatSegmentsOp) runner(e *env) runner {
	s := e.segments(o.r)
	return pick(e, repeatSegments[float32](s), repeatSegments[float64](s))
}

func repeatSegments[T kernel.Float](s *segments) runner {
	var x, y []T
	var cols int
	part := func(lo, hi int) {
		offsets := s.offsets()
		for b := lo; b < hi; b++ {
			for t := int(offsets[b]); t < int(offsets[b+1]); t++ {
				copy(y[t*cols:(t+1)*cols], x[b*cols:(b+1)*cols])
			}
		}
	}
	return func(in, out []*Tensor) {
		x, y, cols = data[T](in[0]), data[T](out[0]), in[0].Cols
		kernel.Parallel(in[0].Rows, segmentGrain(in[0].Rows, len(y)), part)
	}
}

// segmentGrain is elementGrain in segments, for a total number of elements over so many segments.
func segmentGrain(segments, elements int) int {
	return max(elementGrain*segments/max(elements, 1), 1)
}

// SegmentWeightedSum returns v_b = Σ_{t in b} a_t·k_t: a [T, 1] (nil: all ones), k [T, H] → [B, H]; an empty segment gives zeros.
func SegmentWeightedSum(a, k *Node, r *Ragged) *Node {
	if a == nil {
		return apply(segmentSumOp{r}, []shape{free(k.Cols)}, k)
	}
	if a.Cols != 1 {
		fail("SegmentWeightedSum: weights have %d columns", a.Cols)
	}
	return apply(weightedSumOp{r}, []shape{free(k.Cols)}, a, k)
}

type segmentSumOp struct{ r *Ragged }

func (segmentSumOp) String() string { return "segment sum" }

func (o segmentSumOp) rows(e *env, in []*Tensor, out []int) error {
	s := e.segments(o.r)
	out[0] = len(s.offsets()) - 1
	return s.fitsOnce(in[0])
}

func (o segmentSumOp) differentiable(int) []bool { return all(1) }

func (o segmentSumOp) grads(d *derivation) []*gorgonia.Node {
	return d.apply(repeatSegmentsOp(o), d.in, d.grad)
}

func (o segmentSumOp) runner(e *env) runner {
	s := e.segments(o.r)
	return pick(e, segmentSum[float32](s), segmentSum[float64](s))
}

func segmentSum[T kernel.Float](s *segments) runner {
	var k, v []T
	var cols int
	part := func(lo, hi int) {
		offsets := s.offsets()
		for b := lo; b < hi; b++ {
			vb := v[b*cols : (b+1)*cols]
			clear(vb)
			for t := int(offsets[b]); t < int(offsets[b+1]); t++ {
				kernel.Add(vb, vb, k[t*cols:(t+1)*cols])
			}
		}
	}
	return func(in, out []*Tensor) {
		k, v, cols = data[T](in[0]), data[T](out[0]), in[0].Cols
		if s.shared {
			for b := range s.batch {
				kernel.ColSums(v[b*cols:(b+1)*cols], k, s.length, cols, cols, false)
			}
			return
		}
		kernel.Parallel(out[0].Rows, segmentGrain(out[0].Rows, len(k)), part)
	}
}

type weightedSumOp struct{ r *Ragged }

func (weightedSumOp) String() string { return "segment weighted sum" }

func (o weightedSumOp) rows(e *env, in []*Tensor, out []int) error {
	s := e.segments(o.r)
	out[0] = len(s.offsets()) - 1
	if err := s.fits(nil, in[0]); err != nil {
		return err
	}
	return s.fitsOnce(in[1])
}

func (o weightedSumOp) differentiable(int) []bool { return all(2) }

func (o weightedSumOp) grads(d *derivation) []*gorgonia.Node {
	return d.apply(weightedSumGrad{r: o.r}, d.in, d.in[0], d.in[1], d.grad)
}

func (o weightedSumOp) runner(e *env) runner {
	s := e.segments(o.r)
	return pick(e, weightedSum[float32](s), weightedSum[float64](s))
}

func weightedSum[T kernel.Float](s *segments) runner {
	var a, k, v []T
	var cols int
	part := func(lo, hi int) {
		offsets := s.offsets()
		for b := lo; b < hi; b++ {
			vb := v[b*cols : (b+1)*cols]
			clear(vb)
			for t := int(offsets[b]); t < int(offsets[b+1]); t++ {
				kernel.Axpy(a[t], k[t*cols:(t+1)*cols], vb)
			}
		}
	}
	return func(in, out []*Tensor) {
		a, k, v, cols = data[T](in[0]), data[T](in[1]), data[T](out[0]), in[1].Cols
		if s.shared {
			kernel.Gemm(false, false, s.batch, cols, s.length, a, s.length, k, cols, false, v, cols)
			return
		}
		kernel.Parallel(out[0].Rows, segmentGrain(out[0].Rows, len(k)), part)
	}
}

// weightedSumGrad: (a, k, dv) → da, dk with da_t = ⟨dv_b, k_t⟩ and dk_t = a_t·dv_b.
type weightedSumGrad struct {
	backward
	r *Ragged
}

func (weightedSumGrad) String() string { return "segment weighted sum gradient" }

func (o weightedSumGrad) rows(e *env, in []*Tensor, out []int) error {
	sameRows(in, out, 0, 1)
	return e.segments(o.r).differentiable()
}

func (o weightedSumGrad) runner(e *env) runner {
	s := e.segments(o.r)
	return pick(e, weightedSumBackward[float32](s), weightedSumBackward[float64](s))
}

func weightedSumBackward[T kernel.Float](s *segments) runner {
	var a, k, dv, da, dk []T
	var cols int
	part := func(lo, hi int) {
		offsets := s.offsets()
		for b := lo; b < hi; b++ {
			g := dv[b*cols : (b+1)*cols]
			for t := int(offsets[b]); t < int(offsets[b+1]); t++ {
				if da != nil {
					da[t] = kernel.Dot(g, k[t*cols:(t+1)*cols])
				}
				if dk != nil {
					dt := dk[t*cols : (t+1)*cols]
					copy(dt, g)
					kernel.Scale(a[t], dt)
				}
			}
		}
	}
	return func(in, out []*Tensor) {
		a, k, dv, cols = data[T](in[0]), data[T](in[1]), data[T](in[2]), in[1].Cols
		da, dk = dataOrNil[T](out[0]), dataOrNil[T](out[1])
		kernel.Parallel(in[2].Rows, segmentGrain(in[2].Rows, len(k)), part)
	}
}

// SegmentSoftmax is the softmax of a [T, 1] over each segment, after multiplying by scale; an empty segment yields nothing.
func SegmentSoftmax(a *Node, r *Ragged, scale float64) *Node {
	if a.Cols != 1 {
		fail("SegmentSoftmax: %d columns", a.Cols)
	}
	return apply(segmentSoftmaxOp{r, scale}, []shape{free(1)}, a)
}

type segmentSoftmaxOp struct {
	r     *Ragged
	scale float64
}

func (o segmentSoftmaxOp) String() string { return fmt.Sprintf("segment softmax of %g", o.scale) }

func (o segmentSoftmaxOp) rows(e *env, in []*Tensor, out []int) error {
	out[0] = in[0].Rows
	return e.segments(o.r).fits(nil, in[0])
}

func (o segmentSoftmaxOp) differentiable(int) []bool { return all(1) }

func (o segmentSoftmaxOp) grads(d *derivation) []*gorgonia.Node {
	return d.apply(segmentSoftmaxGrad{r: o.r, scale: o.scale}, d.in, d.out, d.grad)
}

func (o segmentSoftmaxOp) runner(e *env) runner {
	s := e.segments(o.r)
	return pick(e, segmentSoftmax[float32](s, o.scale), segmentSoftmax[float64](s, o.scale))
}

func segmentSoftmax[T kernel.Float](s *segments, scale float64) runner {
	var a, y []T
	part := func(from, to int) {
		offsets := s.offsets()
		for b := from; b < to; b++ {
			lo, hi := offsets[b], offsets[b+1]
			if lo == hi {
				continue
			}
			softmaxOf(y[lo:hi], a[lo:hi], scale)
		}
	}
	return func(in, out []*Tensor) {
		a, y = data[T](in[0]), data[T](out[0])
		n := len(s.offsets()) - 1
		kernel.Parallel(n, segmentGrain(n, 8*len(a)), part)
	}
}

// softmaxOf sets y to the softmax of scale·a.
func softmaxOf[T kernel.Float](y, a []T, scale float64) {
	top := math.Inf(-1)
	for _, v := range a {
		top = max(top, scale*float64(v))
	}
	for t, v := range a {
		y[t] = T(scale*float64(v) - top)
	}
	kernel.Exp(y, y)
	kernel.Scale(T(1/kernel.Sum(y)), y)
}

// segmentSoftmaxGrad: (y, dy) → da = scale·y·(dy − Σ y·dy).
type segmentSoftmaxGrad struct {
	backward
	r     *Ragged
	scale float64
}

func (segmentSoftmaxGrad) String() string { return "segment softmax gradient" }

func (o segmentSoftmaxGrad) rows(_ *env, in []*Tensor, out []int) error {
	return sameRows(in, out, 0)
}

func (o segmentSoftmaxGrad) runner(e *env) runner {
	s := e.segments(o.r)
	return pick(e, segmentSoftmaxBackward[float32](s, o.scale), segmentSoftmaxBackward[float64](s, o.scale))
}

func segmentSoftmaxBackward[T kernel.Float](s *segments, scale float64) runner {
	var y, dy, da []T
	part := func(from, to int) {
		offsets := s.offsets()
		for b := from; b < to; b++ {
			lo, hi := offsets[b], offsets[b+1]
			var dot float64
			for t := lo; t < hi; t++ {
				dot += float64(y[t]) * float64(dy[t])
			}
			for t := lo; t < hi; t++ {
				da[t] = T(scale * float64(y[t]) * (float64(dy[t]) - dot))
			}
		}
	}
	return func(in, out []*Tensor) {
		y, dy, da = data[T](in[0]), data[T](in[1]), data[T](out[0])
		n := len(s.offsets()) - 1
		kernel.Parallel(n, segmentGrain(n, 4*len(y)), part)
	}
}
