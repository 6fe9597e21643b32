package world

import (
	"math/rand/v2"
)

// Click is a user's reaction to one shown item.
type Click struct {
	Position int
	Item     int
	DelayMS  int64 // after the impression
}

// React returns what a user clicks of the items shown, in order of position. The answer depends only on the seed, the request's number and the items shown.
func (w *World) React(r *Request, shown []int) []Click {
	var clicks []Click
	rng := rand.New(rand.NewPCG(w.cfg.Seed^0x72_65_61_63_74, uint64(r.Number)))
	for p, item := range shown {
		u, delay := rng.Float64(), rng.ExpFloat64()
		if u < w.Probability(r.Visit, item, p) {
			clicks = append(clicks, Click{Position: p, Item: item, DelayMS: 100 + min(int64(delay*200), 800)})
		}
	}
	return clicks
}

// RandomPropensity is the chance that a random request shows a given candidate at a given position.
func (w *World) RandomPropensity() float64 { return 1 / float64(w.cfg.Shown) }
