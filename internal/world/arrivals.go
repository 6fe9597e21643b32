package world

import (
	"container/heap"
	"math/rand/v2"
	"sort"
)

// Request is a page a user asks for: the candidates to rank, and whether the ranking is to be random (so that the log holds more than the server's own choices).
type Request struct {
	Number     int64
	Visit      Visit
	Random     bool
	Candidates []int // distinct items; a random request has exactly as many as it shows
}

// Arrivals yields requests in event-time order: users come in sessions of a few pages. Not safe for concurrent use.
type Arrivals struct {
	w        *World
	rng      *rand.Rand
	now      float64 // ms
	number   int64
	sessions sessionHeap
	seen     map[int]bool
}

type session struct {
	at     float64
	order  int64
	left   int
	user   int
	device int
	intent int
}

type sessionHeap []session

func (h sessionHeap) Len() int { return len(h) }
func (h sessionHeap) Less(i, j int) bool {
	return h[i].at < h[j].at || h[i].at == h[j].at && h[i].order < h[j].order
}
func (h sessionHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *sessionHeap) Push(x any)   { *h = append(*h, x.(session)) }
func (h *sessionHeap) Pop() any {
	old := *h
	x := old[len(old)-1]
	*h = old[:len(old)-1]
	return x
}

const (
	meanPages   = 4.0
	thinkTimeMS = 8_000.0
	warmUpMS    = 120_000 // sessions that began before the start are under way at it
)

// Arrivals starts the stream of requests at the world's start; stream tells several streams of one world apart.
func (w *World) Arrivals(stream uint64) *Arrivals {
	return &Arrivals{w: w, rng: rand.New(rand.NewPCG(w.cfg.Seed, 0x61_72_72+stream)), now: float64(w.cfg.StartMS - warmUpMS), seen: map[int]bool{}}
}

// Next returns the next request. New sessions arrive so that pages come at the configured rate.
func (a *Arrivals) Next() Request {
	for {
		if r := a.next(); r.Visit.TimeMS >= a.w.cfg.StartMS {
			return r
		}
	}
}

func (a *Arrivals) next() Request {
	gap := 1000 * meanPages / a.w.cfg.Rate
	for {
		if len(a.sessions) > 0 && a.sessions[0].at <= a.now {
			s := a.sessions[0]
			r := a.request(s)
			s.left--
			if s.left > 0 {
				s.at += thinkTimeMS * (0.3 + a.rng.ExpFloat64())
				a.sessions[0] = s
				heap.Fix(&a.sessions, 0)
			} else {
				heap.Pop(&a.sessions)
			}
			return r
		}
		at := a.now + a.rng.ExpFloat64()*gap
		a.number++
		user := pick(a.rng, a.w.activity)
		heap.Push(&a.sessions, session{at: at, order: a.number, left: 1 + geometric(a.rng, meanPages), user: user, device: a.rng.IntN(len(devices)), intent: a.w.intent(a.rng, user)})
		a.now = at
	}
}

func (a *Arrivals) request(s session) Request {
	a.number++
	r := Request{Number: a.number, Visit: Visit{User: s.user, TimeMS: int64(s.at), Device: s.device, intent: s.intent}, Random: a.rng.Float64() < a.w.cfg.Random}
	n := a.w.cfg.Candidates
	if r.Random {
		n = a.w.cfg.Shown
	}
	clear(a.seen)
	for len(r.Candidates) < n {
		var i int
		if r.Random || len(r.Candidates)%2 == 0 {
			i = a.rng.IntN(a.w.cfg.Items)
		} else {
			i = pick(a.rng, a.w.popular)
		}
		if !a.seen[i] {
			a.seen[i] = true
			r.Candidates = append(r.Candidates, i)
		}
	}
	return r
}

// intent draws what a session is after: one of the user's favourite categories.
func (w *World) intent(rng *rand.Rand, user int) int {
	return w.favourites[user][rng.IntN(len(w.favourites[user]))]
}

// pick draws an index by its cumulative weights.
func pick(rng *rand.Rand, cumulative []float64) int {
	x := rng.Float64() * cumulative[len(cumulative)-1]
	return min(sort.SearchFloat64s(cumulative, x), len(cumulative)-1)
}

// geometric draws the number of further pages so that a session has mean pages in all.
func geometric(rng *rand.Rand, mean float64) int {
	n := 0
	for rng.Float64() < 1-1/mean {
		n++
	}
	return n
}
