package metric

import (
	"math"
	"slices"
)

// Ranking is how well each group's rows are ranked, at one cutoff: means over the groups that hold a positive, every group counting once.
type Ranking struct {
	K      int
	NDCG   float64 // the gain of a positive at place i is 1/log2(i+1), over that of the best order (Järvelin and Kekäläinen 2002)
	Recall float64 // share of the group's positives among its first K rows
	MRR    float64 // 1 over the place of the group's first positive, 0 where that is behind place K
	Groups int     // groups that hold a positive
}

// Ranking measures the rankings within groups at each of the cutoffs; NaN without groups, or where none holds a positive.
// Rows of equal score stand in every order with the same probability: the figures are the means over these orders, in closed form (McSherry and Najork 2008).
// A row of weight 0 is left out, other weights move nothing.
func (r *Rows) Ranking(cutoffs ...int) []Ranking {
	out := make([]Ranking, len(cutoffs))
	for i, k := range cutoffs {
		out[i] = Ranking{K: k, NDCG: math.NaN(), Recall: math.NaN(), MRR: math.NaN()}
	}
	if r.bad > 0 || r.groups == nil || len(cutoffs) == 0 {
		return out
	}
	gains := discounts(slices.Max(cutoffs))
	groups := 0
	ndcg, recall, mrr := make([]float64, len(cutoffs)), make([]float64, len(cutoffs)), make([]float64, len(cutoffs))
	var blocks []tie
	r.eachGroup(func(keys []uint64) {
		var positives int
		if blocks, positives = ties(blocks[:0], keys); positives == 0 {
			return
		}
		groups++
		for i, k := range cutoffs {
			gain, found := 0.0, 0.0
			place := 0
			for _, b := range blocks {
				if place >= k {
					break
				}
				end := min(place+b.rows, k)
				share := float64(b.positives) / float64(b.rows)
				gain += share * (gains[end] - gains[place])
				found += share * float64(end-place)
				place += b.rows
			}
			if best := gains[max(min(positives, k), 0)]; best > 0 {
				ndcg[i] += gain / best
			}
			recall[i] += found / float64(positives)
			mrr[i] += firstFound(blocks, k)
		}
	})
	for i := range out {
		out[i].Groups = groups
		out[i].NDCG, out[i].Recall, out[i].MRR = ndcg[i]/float64(groups), recall[i]/float64(groups), mrr[i]/float64(groups)
	}
	return out
}

// firstFound is the mean of 1 over the place of the first positive, over all orders of equal scores: in a tie of n rows with p positives the first of these is at place 1 with probability
// p/n, and where it is not yet by place i, at the next one with probability p/(n−i).
func firstFound(blocks []tie, k int) (mean float64) {
	place := 0
	for _, b := range blocks {
		if b.positives == 0 {
			place += b.rows
			continue
		}
		none := 1. // the probability that no positive has come
		for i := 0; i <= b.rows-b.positives && place+i < k; i++ {
			here := float64(b.positives) / float64(b.rows-i)
			mean += none * here / float64(place+i+1)
			none *= 1 - here
		}
		break
	}
	return mean
}

// discounts returns the gains of positives at the first places, summed up: element n is that of n places.
func discounts(n int) []float64 {
	sums := make([]float64, max(n, 0)+1)
	for i := 1; i < len(sums); i++ {
		sums[i] = sums[i-1] + 1/math.Log2(float64(i)+1)
	}
	return sums
}

// tie is a run of rows of equal score.
type tie struct{ rows, positives int }

// ties appends the runs of a group's rows to dst, the highest score first.
func ties(dst []tie, keys []uint64) (blocks []tie, positives int) {
	for i := len(keys) - 1; i >= 0; {
		var b tie
		score := keys[i] >> 32
		for ; i >= 0 && keys[i]>>32 == score; i-- {
			_, y, w := unpack(keys[i])
			if w == 0 {
				continue
			}
			b.rows++
			if y {
				b.positives++
			}
		}
		if b.rows > 0 {
			dst, positives = append(dst, b), positives+b.positives
		}
	}
	return dst, positives
}
