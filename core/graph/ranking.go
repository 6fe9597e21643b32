package graph

import (
	"fmt"
	"math"

	"github.com/millrace/millrace/core/kernel"
	"gorgonia.org/gorgonia"
)

// PairwiseWithLogits returns, as a scalar, the mean over the positives of ln(1 + exp(z_j − z_i)), itself the mean over the negatives j of positive i's group: RankNet's cost of a pair (Burges and others, ICML 2005,
// equation 3), and what BPR draws from (Rendle and others, UAI 2009) in expectation. logits, labels, groups [B, 1], weights [B, 1] or nil; groups numbers each row's group from 0, in any order of rows. A row of weight 2 counts
// as two rows; one without a label does not count. Groups without a positive or without a negative say nothing about order and have no part in the mean; without any other the loss and its gradient are 0.
func PairwiseWithLogits(logits, labels, weights, groups *Node) *Node {
	return rankLoss(rankOp{negatives: 1}, logits, labels, weights, groups)
}

// ListwiseWithLogits returns, as a scalar, the mean over the positives i of −ln(exp(z_i)/Σ_j exp(z_j)), j over the rows of its group: the softmax cross-entropy of lists (ListNet's top one, Cao and others, ICML 2007).
// Inputs, weights and what counts are as in PairwiseWithLogits. A negative's share of the sum is multiplied by negatives, 1/R where each was kept with probability R.
func ListwiseWithLogits(logits, labels, weights, groups *Node, negatives float64) *Node {
	if !(negatives > 0) || math.IsInf(negatives, 0) {
		fail("ListwiseWithLogits: negatives count %g times, want more than 0", negatives)
	}
	return rankLoss(rankOp{listwise: true, negatives: negatives}, logits, labels, weights, groups)
}

func rankLoss(o rankOp, logits, labels, weights, groups *Node) *Node {
	ins := []*Node{logits, labels, groups}
	if weights != nil {
		ins = append(ins, weights)
	}
	for _, n := range ins {
		if n.Cols != 1 {
			fail("%v: %d columns, want 1", o, n.Cols)
		}
	}
	return apply(o, []shape{scalar, free(1)}, ins...)
}

// rankOp: (z, y, g, [w]) → loss, and its derivative with respect to z.
type rankOp struct {
	listwise  bool
	negatives float64
}

func (o rankOp) String() string {
	if o.listwise {
		return "listwise loss"
	}
	return "pairwise loss"
}

func (o rankOp) rows(_ *env, in []*Tensor, out []int) error {
	out[0], out[1] = 1, in[0].Rows
	if err := equalRows(in...); err != nil {
		return err
	}
	if in[2].F64 != nil {
		return checkGroups(in[2].F64)
	}
	return checkGroups(in[2].F32)
}

// checkGroups refuses what is no number of a group: as many groups as rows there can be, and float32 counts that far.
func checkGroups[T kernel.Float](groups []T) error {
	for r, g := range groups {
		if !(g >= 0 && int(g) < len(groups)) || g != T(int(g)) {
			return fmt.Errorf("row %d has group %v, want a whole number from 0 to %d", r, g, len(groups)-1)
		}
	}
	return nil
}

func (rankOp) differentiable(inputs int) []bool {
	d := make([]bool, inputs)
	d[0] = true
	return d
}

func (rankOp) grads(d *derivation) []*gorgonia.Node {
	grads := make([]*gorgonia.Node, len(d.in))
	grads[0] = d.apply(slopeGrad{}, d.in[:1], d.grad, d.aux(1))[0]
	return grads
}

func (o rankOp) runner(e *env) runner {
	return pick(e, newRanking[float32](o).run, newRanking[float64](o).run)
}

// ranking is the work of one plan: rows sorted by group, in the order they came within each.
type ranking[T kernel.Float] struct {
	rankOp

	z, y, w []T
	starts  []int32 // of each group in order, and their end
	order   []int32
	// Of the rows in order: logits, shares of a positive and of a negative, derivatives.
	logit, positive, negative, slope []float64
	loss, count                      []float64 // of each group
	part                             func(lo, hi int)
}

func newRanking[T kernel.Float](o rankOp) *ranking[T] {
	r := &ranking[T]{rankOp: o}
	r.part = func(lo, hi int) {
		for g := lo; g < hi; g++ {
			r.group(g, int(r.starts[g]), int(r.starts[g+1]))
		}
	}
	return r
}

func (r *ranking[T]) run(in, out []*Tensor) {
	r.z, r.y, r.w = data[T](in[0]), data[T](in[1]), nil
	if len(in) > 3 {
		r.w = data[T](in[3])
	}
	groups := r.sort(data[T](in[2]))
	kernel.Parallel(groups, segmentGrain(groups, 16*len(r.z)), r.part)
	var loss, count float64
	for g := range groups {
		loss, count = loss+r.loss[g], count+r.count[g]
	}
	scale := 0.
	if count > 0 {
		scale = 1 / count
	}
	if to := dataOrNil[T](out[0]); to != nil {
		to[0] = T(loss * scale)
	}
	if to := dataOrNil[T](out[1]); to != nil {
		for i, row := range r.order {
			to[row] = T(scale * r.slope[i])
		}
	}
}

// sort puts the rows in the order of their groups and returns how many groups there are.
func (r *ranking[T]) sort(groups []T) int {
	n, rows := 0, len(groups)
	for _, g := range groups {
		n = max(n, int(g)+1)
	}
	r.starts, r.order = resized(r.starts, n+1), resized(r.order, rows)
	for _, x := range []*[]float64{&r.logit, &r.positive, &r.negative, &r.slope} {
		*x = resized(*x, rows)
	}
	r.loss, r.count = resized(r.loss, n), resized(r.count, n)
	clear(r.starts)
	for _, g := range groups {
		r.starts[int(g)+1]++
	}
	for g := range n {
		r.starts[g+1] += r.starts[g]
	}
	for row, g := range groups { // each start moves to its group's end
		r.order[r.starts[int(g)]] = int32(row)
		r.starts[int(g)]++
	}
	copy(r.starts[1:], r.starts[:n])
	r.starts[0] = 0
	return n
}

// group computes the loss, the positives and the derivatives of one group, rows lo to hi in order.
func (r *ranking[T]) group(g, lo, hi int) {
	z, p, n, slope := r.logit[lo:hi], r.positive[lo:hi], r.negative[lo:hi], r.slope[lo:hi]
	clear(slope)
	r.loss[g], r.count[g] = 0, 0
	var positives, negatives float64
	for i, row := range r.order[lo:hi] {
		y, w := float64(r.y[row]), weight(r.y[row], r.w, int(row))
		z[i], p[i], n[i] = float64(r.z[row]), 0, 0
		if w != 0 {
			p[i], n[i] = w*y, w*(1-y)
		}
		positives, negatives = positives+p[i], negatives+n[i]
	}
	if positives <= 0 || negatives <= 0 {
		return
	}
	r.count[g] = positives
	if r.listwise {
		r.loss[g] = listLoss(z, p, n, slope, positives, r.negatives)
	} else {
		r.loss[g] = pairLoss(z, p, n, slope, negatives)
	}
}

// pairLoss returns Σ_i p_i·Σ_j n_j/N·ln(1 + exp(z_j − z_i)) and adds its derivatives to slope.
func pairLoss(z, p, n, slope []float64, negatives float64) (loss float64) {
	for i, pi := range p {
		if pi == 0 {
			continue
		}
		zi, pull, sum := z[i], 0., 0.
		for j, nj := range n {
			if nj == 0 {
				continue
			}
			d := z[j] - zi
			e := math.Exp(-math.Abs(d))
			s := e / (1 + e) // sigmoid of −|d|
			if d > 0 {
				s = 1 - s
			}
			sum += nj * (max(d, 0) + math.Log1p(e))
			pull += nj * s
			slope[j] += pi * nj / negatives * s
		}
		loss += pi / negatives * sum
		slope[i] -= pi / negatives * pull
	}
	return loss
}

// listLoss returns P·ln Σ_j c_j·exp(z_j) − Σ_i p_i·z_i with c = p + scale·n, and sets slope to its derivatives.
func listLoss(z, p, n, slope []float64, positives, scale float64) (loss float64) {
	top := math.Inf(-1)
	for j := range z {
		if p[j]+n[j] != 0 {
			top = max(top, z[j])
		}
	}
	sum := 0.
	for j := range z {
		if c := p[j] + scale*n[j]; c != 0 {
			slope[j] = c * math.Exp(z[j]-top)
			sum += slope[j]
			loss -= p[j] * (z[j] - top)
		}
	}
	for j := range z {
		slope[j] = positives*slope[j]/sum - p[j]
	}
	return loss + positives*math.Log(sum)
}

// slopeGrad: (dloss, slope) → dz = dloss·slope, of a loss whose forward pass leaves its derivative.
type slopeGrad struct{ backward }

func (slopeGrad) String() string { return "loss gradient" }

func (slopeGrad) rows(_ *env, in []*Tensor, out []int) error { return sameRows(in, out, 1) }

func (slopeGrad) runner(e *env) runner { return pick(e, slopeTimes[float32], slopeTimes[float64]) }

func slopeTimes[T kernel.Float](in, out []*Tensor) {
	g, slope, dz := data[T](in[0])[0], data[T](in[1]), data[T](out[0])
	for i, s := range slope {
		dz[i] = g * s
	}
}
