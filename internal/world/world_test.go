package world

import (
	"math"
	"reflect"
	"sort"
	"testing"
)

func mustWorld(t testing.TB, c Config) *World {
	t.Helper()
	w, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// auc is the share of (clicked, not clicked) pairs in order, ties counted half.
func auc(scores []float64, labels []bool) float64 {
	order := make([]int, len(scores))
	for i := range order {
		order[i] = i
	}
	sort.Slice(order, func(i, j int) bool { return scores[order[i]] < scores[order[j]] })
	var rankSum, pos float64
	for i := 0; i < len(order); {
		j := i
		for j < len(order) && scores[order[j]] == scores[order[i]] {
			j++
		}
		for k := i; k < j; k++ {
			if labels[order[k]] {
				rankSum += float64(i+j+1) / 2
				pos++
			}
		}
		i = j
	}
	neg := float64(len(order)) - pos
	return (rankSum - pos*(pos+1)/2) / (pos * neg)
}

func TestRandomRows(t *testing.T) {
	w := mustWorld(t, Config{Seed: 1})
	a := w.Arrivals(0)
	var truth, appeal []float64
	var clicked []bool
	clicks, random, requests := 0, 0, 0
	last := int64(0)
	for ; random < 4000; requests++ {
		r := a.Next()
		if r.Visit.TimeMS < last {
			t.Fatalf("request %d at %d ms comes after one at %d ms", r.Number, r.Visit.TimeMS, last)
		}
		last = r.Visit.TimeMS
		if !r.Random {
			continue
		}
		random++
		got := map[int]bool{}
		for _, c := range w.React(&r, r.Candidates) {
			got[c.Position] = true
			clicks++
		}
		for p, i := range r.Candidates {
			truth = append(truth, w.Average(r.Visit, i))
			appeal = append(appeal, w.appeal[i])
			clicked = append(clicked, got[p])
		}
	}
	rate := float64(clicks) / float64(len(clicked))
	best, popular := auc(truth, clicked), auc(appeal, clicked)
	t.Logf("click rate %.3f, best AUC %.4f, base appeal alone %.4f, random share %.3f, rate %.1f/s", rate, best, popular, float64(random)/float64(requests), float64(requests)/float64(last-w.cfg.StartMS)*1000)
	if rate < 0.10 || rate > 0.30 {
		t.Errorf("%.3f of random rows are clicked; want 0.10 to 0.30", rate)
	}
	if best < 0.70 || best > 0.85 {
		t.Errorf("best AUC %.4f; want 0.70 to 0.85", best)
	}
	if popular > best-0.1 {
		t.Errorf("appeal alone reaches %.4f of %.4f: tastes hardly matter", popular, best)
	}
	if share := float64(random) / float64(requests); share < 0.2 {
		t.Errorf("%.3f of requests are random; want at least 0.2", share)
	}
	if r := float64(requests) / float64(last-w.cfg.StartMS) * 1000; math.Abs(r-150) > 30 {
		t.Errorf("%.1f requests a second of event time; want about 150", r)
	}
}

func TestSameSeedSameWorld(t *testing.T) {
	play := func(seed uint64) (rs []Request, cs [][]Click) {
		w := mustWorld(t, Config{Users: 100, Items: 200, Seed: seed})
		a := w.Arrivals(0)
		for range 200 {
			r := a.Next()
			rs, cs = append(rs, r), append(cs, w.React(&r, r.Candidates[:10]))
		}
		return rs, cs
	}
	r1, c1 := play(7)
	r2, c2 := play(7)
	if !reflect.DeepEqual(r1, r2) || !reflect.DeepEqual(c1, c2) {
		t.Error("the same seed gave another world")
	}
	if r3, _ := play(8); reflect.DeepEqual(r1, r3) {
		t.Error("another seed gave the same world")
	}
}

func TestReactionFollowsTruth(t *testing.T) {
	w := mustWorld(t, Config{Users: 50, Items: 200, Seed: 3})
	a := w.Arrivals(0)
	r := a.Next()
	shown := r.Candidates[:10]
	const n = 20_000
	clicks := make([]float64, len(shown))
	for k := range n {
		q := r
		q.Number = int64(k)
		for _, c := range w.React(&q, shown) {
			clicks[c.Position]++
		}
	}
	for p, i := range shown {
		want := w.Probability(r.Visit, i, p)
		if got := clicks[p] / n; math.Abs(got-want) > 5*math.Sqrt(want*(1-want)/n) {
			t.Errorf("position %d: clicked %.4f of times; want %.4f", p, got, want)
		}
	}
}

func TestAverageIsOverPositions(t *testing.T) {
	w := mustWorld(t, Config{Users: 20, Items: 100, Seed: 4})
	r := w.Arrivals(0)
	v := r.Next().Visit
	sum := 0.0
	for p := range w.cfg.Shown {
		sum += w.Probability(v, 5, p)
	}
	if got, want := w.Average(v, 5), sum/float64(w.cfg.Shown); math.Abs(got-want) > 1e-15 {
		t.Errorf("Average = %g; want %g", got, want)
	}
}

func TestRefusesBadConfig(t *testing.T) {
	f := func(c Config) {
		t.Helper()
		if _, err := New(c); err == nil {
			t.Errorf("New(%+v) gave no error", c)
		}
	}
	f(Config{Users: 1})
	f(Config{Items: 5})
	f(Config{Random: 0.1})
	f(Config{Random: 1.5})
	f(Config{Rate: -1})
	f(Config{Candidates: 3})
}

func BenchmarkArrivals(b *testing.B) {
	w := mustWorld(b, Config{Seed: 1})
	a := w.Arrivals(0)
	b.ReportAllocs()
	for b.Loop() {
		r := a.Next()
		w.React(&r, r.Candidates[:10])
	}
}

func TestPopularity(t *testing.T) {
	p := NewPopularity(3)
	for range 50 {
		p.Observe(1, true)
		p.Observe(2, false)
	}
	if got := p.Rank([]int{0, 1, 2}); !reflect.DeepEqual(got, []int{1, 0, 2}) {
		t.Errorf("Rank = %v; want [1 0 2]", got)
	}
	if got, want := p.Score(1), (50+20*51.0/110)/70; math.Abs(got-want) > 1e-12 {
		t.Errorf("Score(1) = %g; want %g", got, want)
	}
}
