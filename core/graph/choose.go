package graph

import (
	"fmt"
	"math"

	"github.com/millrace/millrace/core/kernel"
	"github.com/millrace/millrace/core/onnx"
	"gorgonia.org/gorgonia"
)

// SameCode returns scores for Choose that let those rows of a segment be chosen whose code is the segment's: 0 where k_t = q_b, else −∞. q [B, 1], k [T, 1] → [T, 1]. It has no gradient.
func SameCode(q, k *Node, r *Ragged) *Node {
	if q.Cols != 1 || k.Cols != 1 {
		fail("SameCode: %d and %d columns, want 1", q.Cols, k.Cols)
	}
	return apply(sameCodeOp{r: r}, []shape{free(1)}, q, k)
}

type sameCodeOp struct {
	backward
	r *Ragged
}

func (sameCodeOp) String() string { return "same code" }

func (o sameCodeOp) rows(e *env, in []*Tensor, out []int) error {
	return pairRows(e.segments(o.r), in, out)
}

// pairRows is the rows of an operation on each segment's row of in[0] and its rows in in[1].
func pairRows(s *segments, in []*Tensor, out []int) error {
	if err := s.fits(in[0], nil); err != nil {
		return err
	}
	out[0] = s.total()
	return s.fitsOnce(in[1])
}

func (o sameCodeOp) runner(e *env) runner {
	s := e.segments(o.r)
	return pick(e, sameCode[float32](s), sameCode[float64](s))
}

func sameCode[T kernel.Float](s *segments) runner {
	return func(in, out []*Tensor) {
		q, k, y, offsets := data[T](in[0]), data[T](in[1]), data[T](out[0]), s.offsets()
		for b, code := range q {
			lo, hi := int(offsets[b]), int(offsets[b+1])
			from := k[lo-s.back(b):]
			for t := range y[lo:hi] {
				y[lo+t] = 0
				if from[t] != code {
					y[lo+t] = T(math.Inf(-1))
				}
			}
		}
	}
}

// back is how far before its place in the offsets a segment's rows lie where all share one.
func (s *segments) back(b int) int {
	if s.shared {
		return b * s.length
	}
	return 0
}

func (o sameCodeOp) onnx(x *ONNX, in []onnxInput) onnx.Value {
	same := x.op("Equal", x.take(in[0].Value, 0, x.segments(o.r).segment), in[1].Value)
	return x.op("Where", same, x.number(0), x.number(unchosen))
}

// unchosen is −∞ in ONNX, where masks are finite.
const unchosen = -1e30

// Choose keeps of each segment the rows of the most highest scores, in their order, and returns them with their boundaries: x [T, cols] → [at most B·most, cols]. Of equal scores the later row is kept, and
// a row of score −∞ or of none never; without scores (nil) the last rows are kept. scores [T, 1] get no gradient and x one through the kept rows alone. The new Ragged follows r from run to run by itself.
func Choose(x, scores *Node, r *Ragged, most int) (*Node, *Ragged) {
	if most < 1 {
		fail("Choose: %d rows, want at least 1", most)
	}
	o := chooseOp{r, &Ragged{}, most}
	ins := []*Node{x}
	if scores != nil {
		if scores.Cols != 1 {
			fail("Choose: scores have %d columns, want 1", scores.Cols)
		}
		ins = append(ins, scores)
	}
	return apply(o, []shape{free(x.Cols), free(1)}, ins...), o.chosen
}

// chooseOp: (x, [scores]) → the kept rows, and which they were.
type chooseOp struct {
	r, chosen *Ragged
	most      int
}

func (o chooseOp) String() string { return fmt.Sprintf("choose %d rows", o.most) }

// rows also sets the new boundaries, for the operations after this one.
func (o chooseOp) rows(e *env, in []*Tensor, out []int) error {
	s, to := e.segments(o.r), e.segments(o.chosen)
	if err := s.fitsOnce(in[0]); err != nil {
		return err
	}
	if s.shared && len(in) == 1 {
		to.share(s.batch, min(s.length, o.most))
		out[0], out[1] = to.length, to.length
		return nil
	}
	offsets := s.offsets()
	if to.shared {
		to.own, to.shared = nil, false
	}
	to.own, to.bound = resized(to.own, len(offsets)), true
	to.own[0] = 0
	for b := 1; b < len(offsets); b++ {
		to.own[b] = to.own[b-1] + int32(min(int(offsets[b]-offsets[b-1]), o.most))
	}
	if len(in) > 1 {
		if in[1].Rows != s.total() {
			return fmt.Errorf("%d scores for %d rows", in[1].Rows, s.total())
		}
		if in[1].F64 != nil {
			countChosen(to.own, offsets, in[1].F64, o.most)
		} else {
			countChosen(to.own, offsets, in[1].F32, o.most)
		}
	}
	out[0], out[1] = to.total(), to.total()
	return nil
}

// countChosen sets the boundaries that scores leave.
func countChosen[T kernel.Float](to, offsets []int32, scores []T, most int) {
	for b := 1; b < len(offsets); b++ {
		n := 0
		for _, v := range scores[offsets[b-1]:offsets[b]] {
			if candidate(v) {
				n++
			}
		}
		to[b] = to[b-1] + int32(min(n, most))
	}
}

// candidate reports whether a row of the score may be chosen.
func candidate[T kernel.Float](score T) bool { return score >= -math.MaxFloat32 }

func (chooseOp) differentiable(inputs int) []bool { return []bool{true, false}[:inputs] }

func (o chooseOp) grads(d *derivation) []*gorgonia.Node {
	grads := make([]*gorgonia.Node, len(d.in))
	grads[0] = d.apply(chooseGrad{of: o}, d.in[:1], d.in[0], d.aux(1), d.grad)[0]
	return grads
}

func (o chooseOp) runner(e *env) runner {
	s, to := e.segments(o.r), e.segments(o.chosen)
	if len(to.own) == 0 { // what a plan checks before its first run
		to.own, to.bound = []int32{0}, true
	}
	return pick(e, choose[float32](s, to), choose[float64](s, to))
}

func choose[T kernel.Float](s, to *segments) runner {
	var x, scores, y, which, space []T
	var cols int
	var scored bool
	part := func(lo, hi int) {
		offsets, chosen := s.once(), to.once()
		if scored {
			offsets, chosen = s.offsets(), to.offsets()
		}
		for b := lo; b < hi; b++ {
			start, end, at := int(offsets[b]), int(offsets[b+1]), int(chosen[b])
			n := int(chosen[b+1]) - at
			put := func(t int) {
				if y != nil {
					copy(y[at*cols:(at+1)*cols], x[(t-s.back(b))*cols:])
				}
				if which != nil {
					which[at] = T(t)
				}
				at++
			}
			if !scored {
				for t := end - n; t < end; t++ {
					put(t)
				}
				continue
			}
			if n == 0 {
				continue
			}
			least, spare := leastChosen(space[start:end], scores[start:end], n)
			for t := start; t < end; t++ {
				switch v := scores[t]; {
				case v > least:
					put(t)
				case v == least:
					if spare == 0 {
						put(t)
					} else {
						spare--
					}
				}
			}
		}
	}
	return func(in, out []*Tensor) {
		x, y, which, scores, cols = data[T](in[0]), dataOrNil[T](out[0]), dataOrNil[T](out[1]), nil, in[0].Cols
		n := len(s.once()) - 1
		if scored = len(in) > 1; scored {
			scores = data[T](in[1])
			space = resized(space, len(scores))
			n = len(s.offsets()) - 1
		}
		kernel.Parallel(n, segmentGrain(n, 4*len(scores)+len(x)), part)
	}
}

// leastChosen returns the n-th highest of the scores, and how many of the first rows with that very score are left out. space is scratch of as many elements.
func leastChosen[T kernel.Float](space, scores []T, n int) (least T, spare int) {
	v := space[:0]
	for _, s := range scores {
		if candidate(s) {
			v = append(v, s)
		}
	}
	lo, hi, k := 0, len(v)-1, n-1 // the k-th of falling order lies in [lo, hi]
	for lo < hi {
		pivot := max(min(v[lo], v[hi]), min(max(v[lo], v[hi]), v[(lo+hi)/2]))
		i, j := lo, hi
		for i <= j {
			for v[i] > pivot {
				i++
			}
			for v[j] < pivot {
				j--
			}
			if i <= j {
				v[i], v[j] = v[j], v[i]
				i, j = i+1, j-1
			}
		}
		if k <= j {
			hi = j
		} else if k >= i {
			lo = i
		} else {
			break
		}
	}
	least = v[k]
	above, equal := 0, 0
	for _, s := range scores {
		if s > least {
			above++
		} else if s == least {
			equal++
		}
	}
	return least, above + equal - n
}

// chooseGrad: (x, which, dy) → dx, zero but for the kept rows.
type chooseGrad struct {
	backward
	of chooseOp
}

func (o chooseGrad) String() string { return o.of.String() + " gradient" }

func (o chooseGrad) rows(e *env, in []*Tensor, out []int) error {
	sameRows(in, out, 0)
	return e.segments(o.of.r).differentiable()
}

func (o chooseGrad) runner(e *env) runner {
	return pick(e, chooseBackward[float32], chooseBackward[float64])
}

func chooseBackward[T kernel.Float](in, out []*Tensor) {
	which, dy, dx, cols := data[T](in[1]), data[T](in[2]), data[T](out[0]), in[0].Cols
	clear(dx)
	for i, t := range which {
		copy(dx[int(t)*cols:][:cols], dy[i*cols:])
	}
}

func (o chooseOp) onnx(x *ONNX, in []onnxInput) onnx.Value {
	s := x.segments(o.r)
	keep := s.mask // bool [B, L]
	if len(in) == 1 {
		from := x.unsqueeze(x.sub(s.lengths, x.to.Int(int64(o.most))), 1)
		places := x.unsqueeze(x.op("Range", x.to.Int(0), x.op("Squeeze", s.longest), x.to.Int(1)), 0)
		keep = x.op("And", keep, x.op("GreaterOrEqual", places, from))
	} else {
		// The least score kept; above it all stay, and of those at it as many of the last as there is room for.
		scores := x.masked(s.mask, x.reshape(x.pad(s, in[1].Value, 1), 0, -1))
		most := x.op("Min", s.longest, x.to.Ints(int64(o.most)))
		top, _ := x.to.OpTwo("TopK", []onnx.Attribute{onnx.Int("axis", 1)}, scores, most)
		least := x.reduce("ReduceMin", top, 1, true)
		above := x.op("Greater", scores, least)
		equal := x.op("Equal", scores, least)
		room := x.sub(most, x.reduce("ReduceSum", x.cast(above, onnx.Int64), 1, true))
		rank := x.to.OpWith("CumSum", []onnx.Attribute{onnx.Int("reverse", 1)}, x.cast(equal, onnx.Int64), x.to.Int(1))
		chosen := x.op("Or", above, x.op("And", equal, x.op("LessOrEqual", rank, room)))
		keep = x.op("And", chosen, x.op("Greater", scores, x.number(unchosen)))
	}
	x.lengths[o.chosen] = x.reduce("ReduceSum", x.cast(keep, onnx.Int64), 1, false)
	at := x.op("NonZero", keep)
	rows := x.add(x.take(s.starts, 0, x.take(at, 0, x.to.Int(0))), x.take(at, 0, x.to.Int(1)))
	return x.take(in[0].Value, 0, rows)
}
