package world

import (
	"math/rand/v2"
	"sort"
)

// Popularity is the plain baseline: each item's smoothed click rate so far. Not safe for concurrent use.
type Popularity struct {
	shown, clicked       []float64
	totalShown, totalHit float64
}

// NewPopularity returns a baseline that has seen nothing.
func NewPopularity(items int) *Popularity {
	return &Popularity{shown: make([]float64, items), clicked: make([]float64, items)}
}

// smoothing is how many impressions of the mean rate each item starts with.
const smoothing = 20

// Score is the item's smoothed click rate.
func (p *Popularity) Score(item int) float64 {
	prior := 0.1
	if p.totalShown > 0 {
		prior = (p.totalHit + 1) / (p.totalShown + 10)
	}
	return (p.clicked[item] + smoothing*prior) / (p.shown[item] + smoothing)
}

// Observe counts one impression and whether it was clicked.
func (p *Popularity) Observe(item int, clicked bool) {
	p.shown[item]++
	p.totalShown++
	if clicked {
		p.clicked[item]++
		p.totalHit++
	}
}

// Rank orders candidates by their smoothed click rate, best first, ties in the given order.
func (p *Popularity) Rank(candidates []int) []int {
	out := append([]int(nil), candidates...)
	sort.SliceStable(out, func(i, j int) bool { return p.Score(out[i]) > p.Score(out[j]) })
	return out
}

// Shuffle returns the candidates in an order drawn from the seed and the request's number.
func (w *World) Shuffle(r *Request) []int {
	out := append([]int(nil), r.Candidates...)
	rng := rand.New(rand.NewPCG(w.cfg.Seed^0x73_68_75_66, uint64(r.Number)))
	rng.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}
