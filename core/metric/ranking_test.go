package metric

import (
	"math"
	"math/rand/v2"
	"testing"
)

func TestRanking(t *testing.T) {
	f := func(scores, labels []float32, groups []uint64, k int, ndcg, recall float64) {
		t.Helper()
		var r Rows
		r.Add(scores, labels, nil, groups)
		got := r.Ranking(k)[0]
		near(t, "NDCG", got.NDCG, ndcg, 1e-15)
		near(t, "recall", got.Recall, recall, 1e-15)
	}
	one := []uint64{7, 7, 7, 7}
	l2, l3 := 1/math.Log2(3), 1/math.Log2(4)
	f([]float32{.9, .8, .2, .1}, []float32{1, 0, 0, 0}, one, 1, 1, 1)
	f([]float32{.9, .8, .2, .1}, []float32{0, 1, 0, 0}, one, 1, 0, 0)
	f([]float32{.9, .8, .2, .1}, []float32{0, 1, 0, 0}, one, 3, l2, 1)
	f([]float32{.9, .8, .2, .1}, []float32{0, 1, 1, 0}, one, 2, l2/(1+l2), .5)
	f([]float32{.9, .8, .2, .1}, []float32{0, 1, 1, 0}, one, 9, (l2+l3)/(1+l2), 1)
	f([]float32{.9, .8, .2, .1}, []float32{1, 1, 1, 1}, one, 2, 1, .5)
	f([]float32{.9, .8, .2, .1}, []float32{0, 0, 0, 0}, one, 2, nan, nan)                         // nobody to find
	f([]float32{.9, .8, .2, .1}, []float32{1, 0, 0, 0}, nil, 2, nan, nan)                         // no groups
	f([]float32{.5, .5, .2, .1}, []float32{1, 0, 0, 0}, one, 1, .5, .5)                           // a tie: either is first as often
	f([]float32{.5, .5, .5, .1}, []float32{1, 1, 0, 0}, one, 2, 2./3, 2./3)                       // each place holds a positive two times out of three
	f([]float32{.9, .1, .1, .9}, []float32{1, 0, 1, 0}, []uint64{1, 1, 2, 2}, 1, .5, .5)          // the mean of groups
	f([]float32{.9, .1, .1, .9}, []float32{1, 0, 0, 0}, []uint64{1, 1, 2, 2}, 1, 1, 1)            // a group without positives counts nowhere
	f([]float32{.9, .1, .1, .9}, []float32{1, 0, 1, float32(nan)}, []uint64{1, 1, 2, 2}, 1, 1, 1) // nor a row without a label

	m := func(scores, labels []float32, k int, mrr float64) {
		t.Helper()
		var r Rows
		r.Add(scores, labels, nil, one[:len(scores)])
		near(t, "MRR", r.Ranking(k)[0].MRR, mrr, 1e-15)
	}
	m([]float32{.9, .8, .2, .1}, []float32{1, 1, 0, 0}, 9, 1)
	m([]float32{.9, .8, .2, .1}, []float32{0, 0, 1, 1}, 9, 1./3)
	m([]float32{.9, .8, .2, .1}, []float32{0, 0, 1, 1}, 2, 0)
	m([]float32{.9, .8, .2, .1}, []float32{0, 0, 0, 0}, 2, nan)
	m([]float32{.9, .2, .2, .2}, []float32{0, 0, 1, 0}, 9, (1./2+1./3+1./4)/3) // a tie of one positive
	m([]float32{.9, .2, .2, .2}, []float32{0, 0, 1, 0}, 3, (1./2+1./3)/3)
	m([]float32{.2, .2, .2, .2}, []float32{0, 1, 1, 1}, 9, 3./4+1./4/2)
	m([]float32{.2, .2, .2, .2}, []float32{1, 1, 1, 1}, 9, 1)

	var r Rows
	r.Add([]float32{.9, .5, .1}, []float32{0, 1, 0}, []float32{0, 3, 1}, []uint64{1, 1, 1})
	near(t, "NDCG where the first row weighs nothing", r.Ranking(1)[0].NDCG, 1, 0)
	if got := r.Ranking(0)[0]; got.NDCG != 0 || got.Recall != 0 {
		t.Errorf("cutoff 0: %+v, want nothing found", got)
	}
}

// TestRankingTiesAreMeansOverOrders breaks ties at random, many times, and compares with the closed form.
func TestRankingTiesAreMeansOverOrders(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	scores := []float32{.3, .3, .3, .3, .6, .6, .1}
	labels := []float32{1, 0, 0, 1, 1, 0, 1}
	groups := make([]uint64, len(scores))
	var r Rows
	r.Add(scores, labels, nil, groups)
	const draws = 60_000
	var ndcg, recall, mrr float64
	s := make([]float32, len(scores))
	for range draws {
		for i := range s {
			s[i] = scores[i] + rng.Float32()*1e-3
		}
		var o Rows
		o.Add(s, labels, nil, groups)
		got := o.Ranking(3)[0]
		ndcg, recall, mrr = ndcg+got.NDCG/draws, recall+got.Recall/draws, mrr+got.MRR/draws
	}
	want := r.Ranking(3)[0]
	near(t, "NDCG@3", want.NDCG, ndcg, 3e-3)
	near(t, "recall@3", want.Recall, recall, 3e-3)
	near(t, "MRR@3", want.MRR, mrr, 3e-3)
}

func TestRelativeFigures(t *testing.T) {
	near(t, "RelaImpr", RelaImpr(.75, .7), .25, 1e-12)
	near(t, "RelaImpr", RelaImpr(.7, .7), 0, 0)
	near(t, "RelaImpr", RelaImpr(.4, .6), -2, 1e-12)
	near(t, "RelaImpr over chance", RelaImpr(.7, .5), nan, 0)
	var r Rows
	near(t, "calibration of nothing", r.CalibrationRatio(), nan, 0)
	r.Add([]float32{.5, .25, .25, .5}, []float32{0, 1, 0, 0}, nil, nil)
	near(t, "calibration", r.CalibrationRatio(), 1.5, 1e-15)

	// ECE in two bins of equal counts: |0.25−0.5| and |0.5−0|, each of half the rows.
	near(t, "ECE", r.ECE(2), .375, 1e-15)
	// NE: the rate is 1/4, its entropy 0.5623…; logloss of the rows by hand.
	logloss := (3*math.Log(2) - math.Log(.75) - math.Log(.25) - math.Log(2)) / 4
	near(t, "NE", r.NormalizedEntropy(), logloss/(-.25*math.Log(.25)-.75*math.Log(.75)), 1e-14)
}

func TestHolm(t *testing.T) {
	got := Holm([]float64{.01, .04, nan, .03})
	for i, want := range []float64{.03, .06, nan, .06} {
		near(t, "adjusted p", got[i], want, 1e-15)
	}
}
