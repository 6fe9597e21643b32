package graph

import (
	"fmt"
	"strings"

	"github.com/millrace/millrace/core/kernel"
)

// UnitLayer is a layer of DIN's attention unit: W [in, out], B [1, out].
type UnitLayer struct {
	W, B *Node
	Act  Activation
}

// AttentionUnit is DIN's attention pooling over behaviours in one operation without gradients, for scoring: q [B, H], k [T, H] → v [B, H], zeros for an empty
// segment (KDD 2018, section 4.3). The first layer is AttentionInput's, over [q; k; q−k; q∘k]; the last has one column, the weight of a behaviour, or with
// softmax what the softmax over the segment takes after multiplying by scale.
//
// One candidate is computed from its first layer to its pooled vector while its activations are in the first-level cache. Its first layer is folded:
// y = [k, 1]·[(Wk−Wd) + diag(q)·Wp; q·(Wq+Wd) + b], which costs a behaviour's worth of arithmetic and saves forming q∘k.
func AttentionUnit(q, k *Node, layers []UnitLayer, r *Ragged, softmax bool, scale float64) *Node {
	sameCols("AttentionUnit", q, k)
	o := attentionUnitOp{r: r, softmax: softmax, scale: scale}
	in, cols := []*Node{q, k}, 4*q.Cols
	for i, l := range layers {
		if l.W.rows != cols {
			fail("AttentionUnit: layer %d has %d rows, want %d", i, l.W.rows, cols)
		}
		cols = l.W.Cols
		rowOf("AttentionUnit", "B", l.B, cols)
		in = append(in, l.W, l.B)
		if i >= len(o.acts) {
			fail("AttentionUnit: %d layers, want at most %d", len(layers), len(o.acts))
		}
		o.acts[i] = l.Act
	}
	if o.layers = len(layers); o.layers == 0 || cols != 1 {
		fail("AttentionUnit: %d layers that end in %d columns, want one column", o.layers, cols)
	}
	return apply(o, []shape{{q.rows, q.Cols, false}}, in...)
}

// MaxUnitLayers is how many layers an AttentionUnit may have.
const MaxUnitLayers = 8

// attentionUnitOp: (q, k, w₀, b₀, …) → v.
type attentionUnitOp struct {
	backward
	r       *Ragged
	layers  int
	acts    [MaxUnitLayers]Activation
	softmax bool
	scale   float64
}

func (o attentionUnitOp) String() string {
	var acts []string
	for _, a := range o.acts[:o.layers] {
		acts = append(acts, a.String())
	}
	return fmt.Sprintf("attention unit %s, softmax %v of %g", strings.Join(acts, " "), o.softmax, o.scale)
}

func (o attentionUnitOp) rows(e *env, in []*Tensor, out []int) error {
	s := e.segments(o.r)
	if err := s.fits(in[0], nil); err != nil {
		return err
	}
	out[0] = in[0].Rows
	return s.fitsOnce(in[1])
}

func (o attentionUnitOp) runner(e *env) runner {
	s := e.segments(o.r)
	return pick(e, newAttentionUnit[float32](o, s).run, newAttentionUnit[float64](o, s).run)
}

// unitLanes is how many columns fill a vector of the widest kernels.
const unitLanes = 16

// unitParts is into how many ranges the candidates are cut at most.
const unitParts = 16

// unitWeights are a layer's weights with its bias as a last row, [in+1, out], and zeros around: rows and columns as the layers' activations are laid out.
type unitWeights[T kernel.Float] struct {
	w                []T
	in, cols, stride int // rows, columns computed, width of a row of activations, in which column out is one
}

// attentionUnit is the work of one plan; each range of candidates has scratch of its own.
type attentionUnit[T kernel.Float] struct {
	attentionUnitOp
	s *segments

	q, k, v           []T
	layer             [MaxUnitLayers]unitWeights[T]
	widths            [MaxUnitLayers]int // of the layers as given
	forQ, forK, first []T                // [H, out], [H, out], [B, out]
	wp                []T
	h, batch, longest int
	parts             int
	scratch           []unitScratch[T]
	part              func(lo, hi int)
}

// unitScratch belongs to one range of candidates: the behaviours with a column of ones [L, H+1], the folded first layer [H+1, out], two
// layers' activations and the weights [L].
type unitScratch[T kernel.Float] struct {
	keys, folded, x, y, alpha []T
	segment                   int // whose behaviours keys has, or −1
}

func newAttentionUnit[T kernel.Float](o attentionUnitOp, s *segments) *attentionUnit[T] {
	u := &attentionUnit[T]{attentionUnitOp: o, s: s}
	u.part = u.ranges
	return u
}

func (u *attentionUnit[T]) run(in, out []*Tensor) {
	u.q, u.k, u.v = data[T](in[0]), data[T](in[1]), data[T](out[0])
	u.batch, u.h = in[0].Rows, in[0].Cols
	widest := u.lay(in[2:])
	c, w := u.widths[0], data[T](in[2])
	n := u.h * c
	wq, wk, wd := w[:n], w[n:2*n], w[2*n:3*n]
	u.wp = w[3*n:]
	u.forQ, u.forK, u.first = resized(u.forQ, n), resized(u.forK, n), resized(u.first, u.batch*c)
	kernel.Add(u.forQ, wq, wd)
	kernel.Sub(u.forK, wk, wd)
	fillRows(u.first, data[T](in[3]))
	kernel.Gemm(false, false, u.batch, c, u.h, u.q, u.h, u.forQ, c, true, u.first, c)

	offsets := u.s.offsets()
	u.longest = 0
	for b := range u.batch {
		u.longest = max(u.longest, int(offsets[b+1]-offsets[b]))
	}
	u.parts = min(u.batch, unitParts)
	if len(u.scratch) < u.parts {
		u.scratch = append(u.scratch, make([]unitScratch[T], u.parts-len(u.scratch))...)
	}
	for i := range u.scratch[:u.parts] {
		x := &u.scratch[i]
		x.segment = -1
		x.keys, x.folded, x.alpha = resized(x.keys, u.longest*(u.h+1)), resized(x.folded, (u.h+1)*c), resized(x.alpha, u.longest)
		x.x, x.y = resized(x.x, u.longest*widest), resized(x.y, u.longest*widest)
	}
	kernel.Parallel(u.parts, 1, u.part)
}

// lay lays the layers' weights out and returns the greatest stride.
func (u *attentionUnit[T]) lay(in []*Tensor) int {
	widest := 1
	for i := range u.layers {
		l, w := &u.layer[i], in[2*i]
		u.widths[i] = w.Cols
		l.cols, l.stride = w.Cols, w.Cols+1
		if i == u.layers-1 {
			l.stride = 1
		} else if whole := (l.stride + unitLanes - 1) / unitLanes * unitLanes; i > 0 && 5*whole <= 6*l.stride {
			l.cols, l.stride = whole, whole
		}
		widest = max(widest, l.stride)
		if i == 0 {
			continue
		}
		l.in = w.Rows + 1
		if before := &u.layer[i-1]; before.cols == before.stride {
			l.in = before.stride
		}
		l.w = resized(l.w, l.in*l.cols)
		clear(l.w)
		for r := range w.Rows {
			copy(l.w[r*l.cols:], data[T](w)[r*w.Cols:(r+1)*w.Cols])
		}
		copy(l.w[w.Rows*l.cols:], data[T](in[2*i+1]))
	}
	return widest
}

func (u *attentionUnit[T]) ranges(from, to int) {
	for i := from; i < to; i++ {
		lo, hi := chunk(i, u.parts, u.batch)
		for b := lo; b < hi; b++ {
			u.candidate(&u.scratch[i], b)
		}
	}
}

// candidate computes the pooled vector of batch row b.
func (u *attentionUnit[T]) candidate(x *unitScratch[T], b int) {
	h, v := u.h, u.v[b*u.h:(b+1)*u.h]
	segment, lo, length := 0, 0, u.s.length
	if !u.s.shared {
		offsets := u.s.offsets()
		segment, lo, length = b, int(offsets[b]), int(offsets[b+1]-offsets[b])
	}
	if length == 0 {
		clear(v)
		return
	}
	k := u.k[lo*h : (lo+length)*h]
	if x.segment != segment {
		x.segment = segment
		for t := range length {
			copy(x.keys[t*(h+1):], k[t*h:(t+1)*h])
			x.keys[t*(h+1)+h] = 1
		}
	}
	c0 := u.widths[0]
	foldCandidate(x.folded, u.forK, u.first[b*c0:(b+1)*c0], u.q[b*h:(b+1)*h], u.wp)
	y, next, l := x.x, x.y, &u.layer[0]
	kernel.Gemm(false, false, length, l.cols, h+1, x.keys, h+1, x.folded, l.cols, false, y, l.stride)
	u.activate(0, y, length)
	for i := 1; i < u.layers; i++ {
		before := l
		l = &u.layer[i]
		kernel.Gemm(false, false, length, l.cols, l.in, y, before.stride, l.w, l.cols, false, next, l.stride)
		u.activate(i, next, length)
		y, next = next, y
	}
	alpha := y[:length]
	if u.softmax {
		alpha = x.alpha[:length]
		softmaxOf(alpha, y[:length], u.scale)
	}
	kernel.Gemm(false, false, 1, h, length, alpha, length, k, h, false, v, h)
}

// activate applies layer i's activation and sets the column of ones that the next layer's bias is multiplied by.
func (u *attentionUnit[T]) activate(i int, y []T, length int) {
	l := &u.layer[i]
	activate(u.acts[i], y[:length*l.stride], y[:length*l.stride])
	if i == u.layers-1 {
		return
	}
	for at := u.widths[i]; at < length*l.stride; at += l.stride {
		y[at] = 1
	}
}

// fillRows fills dst with copies of row.
func fillRows[T kernel.Float](dst, row []T) {
	for n := copy(dst, row); n < len(dst); {
		n += copy(dst[n:], dst[:n])
	}
}
