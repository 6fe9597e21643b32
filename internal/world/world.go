// Package world is a simulated audience whose true click probabilities are known, so that every figure of a recommender can be read as a share
// of the best one reachable.
//
// Users belong loosely to archetypes with latent tastes over item categories; they show them only in what they click. Items have a base
// appeal and one that drifts. Users come in sessions with an intent, look at the first positions more than at the last, and react to whatever
// ranking they are shown: the loop is closed. Everything is a function of the seed: probabilities are pure functions, and a reaction depends only on the seed and the
// impression, so requests may be answered concurrently and in any order. Package world emits plain structs and knows no wire format.
package world

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
)

// Config sizes a world. Zero values take the defaults named.
type Config struct {
	Users      int     // default 20,000
	Active     int     // regulars, who come again and again; the others rarely come; default 1,500, at most Users
	Items      int     // default 5,000
	Categories int     // default 20
	Archetypes int     // default 12
	Brands     int     // default 200
	Seed       uint64  // any
	StartMS    int64   // event time of the first request; default 2026-01-05 00:00 UTC
	Rate       float64 // requests a second of event time; default 150
	Random     float64 // share of requests that are ranked at random; default 0.25, at least 0.2
	Shown      int     // impressions a request shows; default 10
	Candidates int     // candidates a ranked request asks scores for; default 30
}

// Defaults fills the zero values and checks the rest.
func (c Config) Defaults() (Config, error) {
	set := func(p *int, x int) {
		if *p == 0 {
			*p = x
		}
	}
	set(&c.Users, 20_000)
	set(&c.Active, min(1_500, c.Users))
	set(&c.Items, 5_000)
	set(&c.Categories, 20)
	set(&c.Archetypes, 12)
	set(&c.Brands, 200)
	set(&c.Shown, 10)
	set(&c.Candidates, 30)
	if c.StartMS == 0 {
		c.StartMS = 1_767_571_200_000
	}
	if c.Rate == 0 {
		c.Rate = 150
	}
	if c.Random == 0 {
		c.Random = 0.25
	}
	switch {
	case c.Users < 10 || c.Active < 1 || c.Active > c.Users || c.Items < 10*c.Shown || c.Categories < 2 || c.Archetypes < 1 || c.Brands < 1 || c.Shown < 1:
		return c, fmt.Errorf("world: %d users, %d items, %d categories, %d archetypes, %d brands, %d shown: too small", c.Users, c.Items, c.Categories, c.Archetypes, c.Brands, c.Shown)
	case c.Candidates < c.Shown || c.Candidates > c.Items:
		return c, fmt.Errorf("world: %d candidates for %d shown of %d items", c.Candidates, c.Shown, c.Items)
	case c.Random < 0.2 || c.Random > 1:
		return c, fmt.Errorf("world: random share %g is outside [0.2, 1]", c.Random)
	case c.Rate <= 0:
		return c, fmt.Errorf("world: rate %g is not positive", c.Rate)
	}
	return c, nil
}

// Item is what is known of an item openly.
type Item struct {
	ID       string
	Category string
	Brand    string
	Price    float64
}

// User is what is known of a user openly. Tastes are not.
type User struct {
	ID      string
	Country string
	Age     int
}

// World is immutable after New and safe for concurrent use; Arrivals are made from it.
type World struct {
	cfg   Config
	items []Item
	users []User

	category   []int       // [items]
	appeal     []float64   // [items] base logit
	drift      []wave      // [items] logit that moves with time
	taste      [][]float32 // [users][categories] logit
	favourites [][]int     // [users] favourite categories, dearest first
	device     []float64   // [devices] logit
	activity   []float64   // [users] cumulative share of sessions
	popular    []float64   // [items] cumulative share in candidate sets
}

type wave struct{ amplitude, period, phase float64 }

// Sizes of the effects, as logits; about one random row in eight is clicked, and the best AUC is about 0.81.
const (
	intercept      = -2.2
	brandStd       = 0.3  // of an item's appeal, what its brand gives
	appealStd      = 0.15 // and what is its own
	driftAmplitude = 0.25
	favouriteCount = 4
	favouriteMean  = 3.0
	favouriteStep  = 0.1
	otherMean      = -0.4
	otherStd       = 0.15
	intentBoost    = 0.3
	poolSize       = 6    // categories an archetype leans to
	strayShare     = 0.15 // of favourites from outside the pool
	biasDecay      = 0.1

	activityExponent = 0.4  // of the regulars' activity by rank
	strangerShare    = 0.04 // of sessions by somebody who rarely comes
)

var devices = []string{"phone", "tablet", "desktop"}

// New makes the world of a configuration.
func New(cfg Config) (*World, error) {
	cfg, err := cfg.Defaults()
	if err != nil {
		return nil, err
	}
	rng := rand.New(rand.NewPCG(cfg.Seed, 0x77_6f_72_6c_64))
	w := &World{cfg: cfg, device: []float64{0, 0.1, -0.15}}
	w.makeItems(rng)
	w.makeUsers(rng)
	return w, nil
}

func (w *World) makeItems(rng *rand.Rand) {
	n := w.cfg.Items
	total := 0.0
	brands := make([]float64, w.cfg.Brands)
	for b := range brands {
		brands[b] = rng.NormFloat64() * brandStd
	}
	for i := range n {
		c, b := rng.IntN(w.cfg.Categories), rng.IntN(w.cfg.Brands)
		w.items = append(w.items, Item{
			ID:       fmt.Sprintf("i%d", i+1),
			Category: fmt.Sprintf("c%d", c+1),
			Brand:    fmt.Sprintf("b%d", b+1),
			Price:    math.Round(math.Exp(rng.NormFloat64()*0.8+3)*100) / 100,
		})
		w.category = append(w.category, c)
		w.appeal = append(w.appeal, brands[b]+rng.NormFloat64()*appealStd)
		w.drift = append(w.drift, wave{
			amplitude: driftAmplitude * math.Abs(rng.NormFloat64()),
			period:    (10 + 50*rng.Float64()) * 60_000,
			phase:     2 * math.Pi * rng.Float64(),
		})
		total += math.Exp(1.5*w.appeal[i] + 0.7*rng.NormFloat64())
		w.popular = append(w.popular, total)
	}
}

func (w *World) makeUsers(rng *rand.Rand) {
	pools := make([][]int, w.cfg.Archetypes)
	for a := range pools {
		pools[a] = rng.Perm(w.cfg.Categories)[:min(poolSize, w.cfg.Categories)]
	}
	countries := []string{"DE", "FR", "IN", "JP", "US", "BR"}
	total := 0.0
	rank := rng.Perm(w.cfg.Users)
	regulars := 0.0
	for r := range w.cfg.Active {
		regulars += math.Pow(float64(r+1), -activityExponent)
	}
	for u := range w.cfg.Users {
		taste, favourites := w.makeTaste(rng, pools[rng.IntN(len(pools))])
		w.taste = append(w.taste, taste)
		w.favourites = append(w.favourites, favourites)
		w.users = append(w.users, User{
			ID:      fmt.Sprintf("u%d", u+1),
			Country: countries[rng.IntN(len(countries))],
			Age:     18 + rng.IntN(60),
		})
		weight := strangerShare / float64(max(1, w.cfg.Users-w.cfg.Active))
		if rank[u] < w.cfg.Active {
			weight = (1 - strangerShare) * math.Pow(float64(rank[u]+1), -activityExponent) / regulars
		}
		total += weight
		w.activity = append(w.activity, total)
	}
}

// makeTaste draws a user's leanings: a few favourite categories, mostly from the pool of the user's archetype, and a mild dislike of the rest.
func (w *World) makeTaste(rng *rand.Rand, pool []int) (taste []float32, favourites []int) {
	taste = make([]float32, w.cfg.Categories)
	for c := range taste {
		taste[c] = float32(otherMean + rng.NormFloat64()*otherStd)
	}
	for rank := range min(favouriteCount, w.cfg.Categories) {
		c := pool[rng.IntN(len(pool))]
		if rng.Float64() < strayShare {
			c = rng.IntN(w.cfg.Categories)
		}
		if slices.Contains(favourites, c) {
			continue
		}
		favourites = append(favourites, c)
		taste[c] = float32(favouriteMean - float64(rank)*favouriteStep + rng.NormFloat64()*otherStd)
	}
	return taste, favourites
}

// Config returns the configuration with its defaults filled in.
func (w *World) Config() Config { return w.cfg }

// Items and Users list what is openly known; index i is how the rest of the package names them.
func (w *World) Items() []Item { return w.items }

// Users lists the users.
func (w *World) Users() []User { return w.users }
