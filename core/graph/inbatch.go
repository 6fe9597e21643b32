package graph

import (
	"math"

	"github.com/millrace/millrace/core/kernel"
	"gorgonia.org/gorgonia"
)

// InBatchSoftmax returns, as a scalar, the mean over the rows of label·weight times −ln(exp(s_ii)/Σ_j exp(s_ij)), s_ij = scale·⟨u_i, v_j⟩ − logq_j: every row's v is a candidate for each row's u. With the logarithm logq
// of how frequent a row's candidate is among rows, the sum estimates that over all candidates, of which the frequent ones are met more often (Yi and others, RecSys 2019, equations 3 to 5): so ⟨u, v⟩ learns the logarithm of how
// likely v is for u, but for a constant of u. A candidate that several rows have is met several times, as logq says.
// u, v [B, d], labels, logq [B, 1], weights [B, 1] or nil; the mean divides by the sum of label·weight. A row without a label, or of label 0, asks for nothing and is a candidate all the same.
func InBatchSoftmax(u, v, labels, weights, logq *Node, scale float64) *Node {
	sameCols("InBatchSoftmax", u, v)
	ins := []*Node{u, v, labels, logq}
	if weights != nil {
		ins = append(ins, weights)
	}
	for _, n := range ins[2:] {
		if n.Cols != 1 {
			fail("InBatchSoftmax: %d columns, want 1", n.Cols)
		}
	}
	return apply(inBatchOp{scale}, []shape{scalar, free(1)}, ins...)
}

// inBatchOp: (u, v, y, logq, [w]) → loss, and ln Σ_j exp(s_ij) of each row that asks.
type inBatchOp struct{ scale float64 }

func (inBatchOp) String() string { return "in-batch softmax" }

func (inBatchOp) rows(_ *env, in []*Tensor, out []int) error {
	out[0], out[1] = 1, in[0].Rows
	return equalRows(in...)
}

func (inBatchOp) differentiable(inputs int) []bool {
	d := make([]bool, inputs)
	d[0], d[1] = true, true
	return d
}

func (o inBatchOp) grads(d *derivation) []*gorgonia.Node {
	grads := make([]*gorgonia.Node, len(d.in))
	copy(grads, d.apply(inBatchGrad{of: o}, d.in[:2], append(gorgonia.Nodes{d.grad, d.aux(1)}, d.in...)...))
	return grads
}

func (o inBatchOp) runner(e *env) runner {
	return pick(e, newInBatch[float32](o).forward(), newInBatch[float64](o).forward())
}

const (
	inBatchBlock = 64 // rows of a block of scores
	inBatchParts = 8  // that run at once, each with a block of its own: the cut does not depend on the threads
)

// inBatch is the work of both passes. A product of rows [scale·u, −1, −lse] and [v, logq, 1] is a score less its row's logarithm of the sum, so that all of a block's exponentials are taken at once.
type inBatch[T kernel.Float] struct {
	inBatchOp

	y, w, lse, du, dv []T
	cols, wide        int     // d, and d with the columns beside it
	asking            []int32 // rows of which the loss is
	place             []int32 // of each row among them, or −1
	asked, given      []T     // [asking rows, wide] of u, [B, wide] of v
	share             []T     // label·weight of each asking row
	total             float64

	n, width, blocks, parts int
	space                   []T
	losses                  []float64 // of each block
}

func newInBatch[T kernel.Float](o inBatchOp) *inBatch[T] {
	return &inBatch[T]{inBatchOp: o}
}

// take reads the inputs; with lse, of each row that asks, the scores come less it.
func (b *inBatch[T]) take(in []*Tensor, lse []T) {
	u, v, logq := data[T](in[0]), data[T](in[1]), data[T](in[3])
	b.y, b.w, b.cols = data[T](in[2]), nil, in[0].Cols
	if len(in) > 4 {
		b.w = data[T](in[4])
	}
	d, rows := b.cols, len(b.y)
	b.wide, b.total = d+2, 0
	b.asking, b.asked, b.share = b.asking[:0], b.asked[:0], b.share[:0]
	b.place, b.given = resized(b.place, rows), resized(b.given, rows*b.wide)
	for i, y := range b.y {
		to := b.given[i*b.wide:][:b.wide]
		copy(to, v[i*d:(i+1)*d])
		to[d], to[d+1] = logq[i], 1
		b.place[i] = -1
		if w := weight(y, b.w, i); w != 0 && y != 0 {
			b.place[i] = int32(len(b.asking))
			b.asking = append(b.asking, int32(i))
			b.share = append(b.share, T(w*float64(y)))
			b.total += w * float64(y)
			at := len(b.asked)
			b.asked = append(append(b.asked, u[i*d:(i+1)*d]...), -1, 0)
			kernel.Scale(T(b.scale), b.asked[at:at+d])
			if lse != nil {
				b.asked[at+d+1] = -lse[i]
			}
		}
	}
}

// each runs body, made by visit, over blocks of n rows with scratch [inBatchBlock, width].
func (b *inBatch[T]) each(n, width int, body func(first, last int)) {
	b.n, b.width, b.blocks = n, width, (n+inBatchBlock-1)/inBatchBlock
	b.parts = min(b.blocks, inBatchParts)
	b.space = resized(b.space, b.parts*inBatchBlock*(width+b.cols))
	kernel.Parallel(b.parts, 1, body)
}

// visit makes a body of each: block visits block i, rows lo to hi, with scratch for their scores and for their gradients.
func (b *inBatch[T]) visit(block func(i, lo, hi int, s, t []T)) func(first, last int) {
	return func(first, last int) {
		for p := first; p < last; p++ {
			space := b.space[p*inBatchBlock*(b.width+b.cols):][:inBatchBlock*(b.width+b.cols)]
			from, to := chunk(p, b.parts, b.blocks)
			for i := from; i < to; i++ {
				lo, hi := i*inBatchBlock, min((i+1)*inBatchBlock, b.n)
				block(i, lo, hi, space[:(hi-lo)*b.width], space[inBatchBlock*b.width:][:(hi-lo)*b.cols])
			}
		}
	}
}

// scores writes those of the asking rows lo to hi to s.
func (b *inBatch[T]) scores(s []T, lo, hi int) {
	rows := len(b.y)
	kernel.Gemm(false, true, hi-lo, rows, b.wide, b.asked[lo*b.wide:], b.wide, b.given, b.wide, false, s, rows)
}

func (b *inBatch[T]) forward() runner {
	part := b.visit(func(i, lo, hi int, s, _ []T) {
		rows, sum := len(b.y), 0.
		b.scores(s, lo, hi)
		for k := lo; k < hi; k++ {
			row, at := s[(k-lo)*rows:][:rows], b.asking[k]
			own, top := float64(row[at]), row[at]
			for _, x := range row {
				if x > top {
					top = x
				}
			}
			for j := range row {
				row[j] -= top
			}
			kernel.Exp(row, row)
			lse := float64(top) + math.Log(kernel.Sum(row))
			if b.lse != nil {
				b.lse[at] = T(lse)
			}
			sum += float64(b.share[k]) * (lse - own)
		}
		b.losses[i] = sum
	})
	return func(in, out []*Tensor) {
		b.take(in, nil)
		b.lse = dataOrNil[T](out[1])
		clear(b.lse)
		b.losses = resized(b.losses, len(b.asking)/inBatchBlock+1)
		b.each(len(b.asking), len(b.y), part)
		loss := 0.
		for _, x := range b.losses[:b.blocks] {
			loss += x
		}
		if b.total != 0 {
			loss /= b.total
		}
		if to := dataOrNil[T](out[0]); to != nil {
			to[0] = T(loss)
		}
	}
}

// inBatchGrad: (dloss, lse, u, v, y, logq, [w]) → du_i = scale·Σ_j g_ij·v_j and dv_j = scale·Σ_i g_ij·u_i, g_ij = dloss·share_i/total·(exp(s_ij − lse_i) − [i = j]). The scores are computed again, block by block.
type inBatchGrad struct {
	backward
	of inBatchOp
}

func (o inBatchGrad) String() string { return o.of.String() + " gradient" }

func (inBatchGrad) rows(_ *env, in []*Tensor, out []int) error { return sameRows(in, out, 2, 3) }

func (o inBatchGrad) runner(e *env) runner {
	return pick(e, newInBatch[float32](o.of).backward(), newInBatch[float64](o.of).backward())
}

func (b *inBatch[T]) backward() runner {
	forU := b.visit(func(_, lo, hi int, s, t []T) {
		rows := len(b.y)
		b.scores(s, lo, hi)
		kernel.Exp(s, s)
		for k := lo; k < hi; k++ {
			s[(k-lo)*rows+int(b.asking[k])]--
		}
		kernel.Gemm(false, false, hi-lo, b.cols, rows, s, rows, b.given, b.wide, false, t, b.cols)
		for k := lo; k < hi; k++ {
			to := b.du[int(b.asking[k])*b.cols:][:b.cols]
			copy(to, t[(k-lo)*b.cols:])
			kernel.Scale(T(b.scale)*b.share[k], to)
		}
	})
	forV := b.visit(func(_, lo, hi int, s, _ []T) {
		n := len(b.asking)
		kernel.Gemm(false, true, hi-lo, n, b.wide, b.given[lo*b.wide:], b.wide, b.asked, b.wide, false, s, n)
		kernel.Exp(s, s)
		for j := lo; j < hi; j++ {
			row := s[(j-lo)*n:][:n]
			if k := b.place[j]; k >= 0 {
				row[k]--
			}
			kernel.Mul(row, row, b.share)
		}
		kernel.Gemm(false, false, hi-lo, b.cols, n, s, n, b.asked, b.wide, false, b.dv[lo*b.cols:], b.cols)
	})
	return func(in, out []*Tensor) {
		b.take(in[2:], data[T](in[1]))
		b.du, b.dv = dataOrNil[T](out[0]), dataOrNil[T](out[1])
		clear(b.du)
		if len(b.asking) == 0 {
			clear(b.dv)
			return
		}
		kernel.Scale(T(float64(data[T](in[0])[0])/b.total), b.share)
		if b.dv != nil {
			b.each(len(b.y), len(b.asking), forV)
		}
		if b.du != nil {
			b.each(len(b.asking), len(b.y), forU)
		}
	}
}
