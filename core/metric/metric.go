// Package metric holds exact offline metrics in float64: AUC with ties, GAUC, logloss, normalised entropy, calibration, ROC.
// Accumulators can be merged, and their results do not depend on the order of rows, to the last bit.
package metric

import (
	"math"
	"slices"
)

// Rows collects (score, label, weight, group) of a binary task. The zero value is ready. It takes 8 bytes a row, 16 with groups,
// and 8 more once a result has been asked for. It is for one goroutine.
//
// A weight counts a row that many times in every metric. A NaN score, or a weight that is negative or not finite, makes every metric NaN.
type Rows struct {
	keys   []uint64 // see pack
	groups []uint64 // nil where no row has had a group
	sorted []uint64 // keys in order, nil when out of date
	bad    int
}

// pack makes one sortable word of a row: score, then label, then weight, so that rows in order of their words have one order only.
// Scores sort as signed numbers; a weight is not negative and needs no sign bit.
func pack(score float32, positive bool, weight float32) uint64 {
	s := math.Float32bits(score + 0) // −0 becomes 0
	if s>>31 == 1 {
		s = ^s
	} else {
		s |= 1 << 31
	}
	k := uint64(s)<<32 | uint64(math.Float32bits(weight+0)&^(1<<31))
	if positive {
		k |= 1 << 31
	}
	return k
}

func unpack(k uint64) (score float64, positive bool, weight float64) {
	s := uint32(k >> 32)
	if s>>31 == 1 {
		s &^= 1 << 31
	} else {
		s = ^s
	}
	return float64(math.Float32frombits(s)), k>>31&1 == 1, float64(math.Float32frombits(uint32(k) &^ (1 << 31)))
}

// Add appends rows; weights and groups may be nil (weight 1, no groups; among rows with groups, the rows without are one group, 0).
// A label above 0.5 is positive; a NaN label is a missing label and is dropped. A score is a probability.
func (r *Rows) Add(scores, labels, weights []float32, groups []uint64) {
	r.sorted = nil
	if groups != nil && r.groups == nil {
		r.groups = make([]uint64, len(r.keys), len(r.keys)+len(scores))
	}
	labels = labels[:len(scores)]
	for i, s := range scores {
		y, w := labels[i], float32(1)
		if y != y {
			continue
		}
		if weights != nil {
			w = weights[i]
		}
		if s != s || !(w >= 0 && w <= math.MaxFloat32) {
			r.bad++
			continue
		}
		r.keys = append(r.keys, pack(s, y > 0.5, w))
		if groups != nil {
			r.groups = append(r.groups, groups[i])
		} else if r.groups != nil {
			r.groups = append(r.groups, 0)
		}
	}
}

// Merge appends another accumulator's rows.
func (r *Rows) Merge(o *Rows) {
	r.sorted = nil
	switch {
	case o.groups != nil && r.groups == nil:
		r.groups = append(make([]uint64, len(r.keys), len(r.keys)+len(o.keys)), o.groups...)
	case o.groups != nil:
		r.groups = append(r.groups, o.groups...)
	case r.groups != nil:
		r.groups = append(r.groups, make([]uint64, len(o.keys))...)
	}
	r.keys = append(r.keys, o.keys...)
	r.bad += o.bad
}

// Len is the number of rows held.
func (r *Rows) Len() int { return len(r.keys) + r.bad }

// Reset drops all rows and keeps the memory.
func (r *Rows) Reset() {
	r.keys, r.sorted, r.bad = r.keys[:0], nil, 0
	r.groups = nil
}

// order returns the rows' words in order, or nil when there is nothing to measure.
func (r *Rows) order() []uint64 {
	if r.bad > 0 || len(r.keys) == 0 {
		return nil
	}
	if r.sorted == nil {
		r.sorted = slices.Clone(r.keys)
		slices.Sort(r.sorted)
	}
	return r.sorted
}

// AUC is the rank-sum AUC with average ranks for ties, NaN when one class is absent.
func (r *Rows) AUC() float64 {
	auc, _ := auc(r.order())
	return auc
}

// auc returns the AUC of words in order and the sum of their weights: the share of pairs of a positive and a negative in which the positive scores
// higher, ties counting half, each pair with the product of its weights.
func auc(keys []uint64) (auc, weight float64) {
	var neg, pos, pairs float64
	for i := 0; i < len(keys); {
		var n, p float64
		score := keys[i] >> 32
		for ; i < len(keys) && keys[i]>>32 == score; i++ {
			if _, y, w := unpack(keys[i]); y {
				p += w
			} else {
				n += w
			}
		}
		pairs += p * (neg + n/2)
		neg, pos = neg+n, pos+p
	}
	if neg == 0 || pos == 0 {
		return math.NaN(), neg + pos
	}
	return pairs / (neg * pos), neg + pos
}

// GAUC is Σ w_u·AUC_u / Σ w_u over groups with both classes, w_u the group's rows (din.md section 8), weighted rows counting by their weight; NaN when there is none.
func (r *Rows) GAUC() float64 {
	if r.bad > 0 || r.groups == nil {
		return math.NaN()
	}
	var sum, weight float64
	r.eachGroup(func(keys []uint64) {
		if a, w := auc(keys); a == a {
			sum, weight = sum+w*a, weight+w
		}
	})
	return sum / weight
}

// eachGroup calls do with the words of every group in turn, in order, ascending by the group's id.
func (r *Rows) eachGroup(do func(keys []uint64)) {
	type row struct{ group, key uint64 }
	rows := make([]row, len(r.keys))
	for i, k := range r.keys {
		rows[i] = row{r.groups[i], k}
	}
	slices.SortFunc(rows, func(a, b row) int {
		switch {
		case a.group < b.group, a.group == b.group && a.key < b.key:
			return -1
		case a == b:
			return 0
		}
		return 1
	})
	var keys []uint64
	for i := 0; i < len(rows); {
		keys = keys[:0]
		for g := rows[i].group; i < len(rows) && rows[i].group == g; i++ {
			keys = append(keys, rows[i].key)
		}
		do(keys)
	}
}

// Logloss is the mean of −y·ln p − (1−y)·ln(1−p), p clipped to [1e-7, 1−1e-7]; NaN when empty.
func (r *Rows) Logloss() float64 {
	var sum, weight float64
	for _, k := range r.order() {
		p, y, w := unpack(k)
		sum, weight = sum+w*loss(p, y), weight+w
	}
	return sum / weight
}

func loss(p float64, positive bool) float64 {
	p = min(max(p, 1e-7), 1-1e-7)
	if positive {
		return -math.Log(p)
	}
	return -math.Log1p(-p)
}

// Rate is the share of positives and Score the mean score; NaN when empty. Their ratio, Score/Rate, is 1 for a calibrated model.
func (r *Rows) Rate() float64  { rate, _ := r.means(); return rate }
func (r *Rows) Score() float64 { _, score := r.means(); return score }

func (r *Rows) means() (rate, score float64) {
	var weight float64
	for _, k := range r.order() {
		p, y, w := unpack(k)
		if y {
			rate += w
		}
		score, weight = score+w*p, weight+w
	}
	return rate / weight, score / weight
}

// CalibrationRatio is the mean score over the rate of positives: 1 for a calibrated model, above it for one that promises too much; NaN when empty, +Inf without positives.
func (r *Rows) CalibrationRatio() float64 {
	rate, score := r.means()
	return score / rate
}

// RelaImpr is the relative improvement of an AUC over a baseline's, (auc − 0.5)/(base − 0.5) − 1 (Yan et al. 2014; DIN, equation 8): 0 for an equal one; NaN for a baseline of chance.
func RelaImpr(auc, base float64) float64 {
	if base == 0.5 {
		return math.NaN()
	}
	return (auc-0.5)/(base-0.5) - 1
}

// NormalizedEntropy is the logloss over the logloss of always predicting the rate of positives (He et al. 2014, equation 1); NaN when one class is absent.
func (r *Rows) NormalizedEntropy() float64 {
	q := r.Rate()
	if !(q > 0 && q < 1) {
		return math.NaN()
	}
	return r.Logloss() / (-q*math.Log(q) - (1-q)*math.Log1p(-q))
}
