package training

import (
	"math"
	"testing"
)

// TestPlacesAmongEquals: an item among n of equal score is at each of their places as often.
func TestPlacesAmongEquals(t *testing.T) {
	f := func(scores []float32, at, k int, recall, mrr float64) {
		t.Helper()
		s := finder{options: RetrievalOptions{Cutoffs: []int{k}}, hits: make([]float64, 1)}
		s.count(scores, at)
		if math.Abs(s.hits[0]-recall) > 1e-12 || math.Abs(s.reciprocal-mrr) > 1e-12 {
			t.Errorf("%v at %d: recall@%d %g and MRR %g, want %g and %g", scores, at, k, s.hits[0], s.reciprocal, recall, mrr)
		}
	}
	nan := float32(math.NaN())
	f([]float32{3, 2, 1}, 0, 1, 1, 1)
	f([]float32{3, 2, 1}, 1, 1, 0, .5)
	f([]float32{3, 2, 1}, 2, 3, 1, 1./3)
	f([]float32{2, 2, 2, 1}, 1, 1, 1./3, (1+1./2+1./3)/3)
	f([]float32{3, 2, 2}, 2, 2, .5, (1./2+1./3)/2)
	f([]float32{1, 1}, 0, 5, 1, .75)
	f([]float32{1, nan, 2}, 1, 2, 0, 1./4)
}
