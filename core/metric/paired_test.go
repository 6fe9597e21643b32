package metric

import (
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
)

// bruteDeLong is the test by its definition: all pairs, the covariance matrices of the structural components.
func bruteDeLong(a, b, labels []float32) (diff, variance float64) {
	var pos, neg []int
	for i, y := range labels {
		if y > .5 {
			pos = append(pos, i)
		} else {
			neg = append(neg, i)
		}
	}
	psi := func(s []float32, i, j int) float64 {
		switch {
		case s[i] > s[j]:
			return 1
		case s[i] == s[j]:
			return .5
		}
		return 0
	}
	components := func(s []float32) (v10, v01 []float64, auc float64) {
		v10, v01 = make([]float64, len(pos)), make([]float64, len(neg))
		for x, i := range pos {
			for y, j := range neg {
				v10[x] += psi(s, i, j) / float64(len(neg))
				v01[y] += psi(s, i, j) / float64(len(pos))
				auc += psi(s, i, j) / float64(len(pos)*len(neg))
			}
		}
		return
	}
	a10, a01, aAUC := components(a)
	b10, b01, bAUC := components(b)
	cov := func(x, y []float64, mx, my float64) (s float64) {
		for i := range x {
			s += (x[i] - mx) * (y[i] - my) / float64(len(x)-1)
		}
		return
	}
	s10 := cov(a10, a10, aAUC, aAUC) + cov(b10, b10, bAUC, bAUC) - 2*cov(a10, b10, aAUC, bAUC)
	s01 := cov(a01, a01, aAUC, aAUC) + cov(b01, b01, bAUC, bAUC) - 2*cov(a01, b01, aAUC, bAUC)
	return bAUC - aAUC, s10/float64(len(pos)) + s01/float64(len(neg))
}

func TestDeLongAgainstDefinition(t *testing.T) {
	for seed := range uint64(20) {
		s, y, _, _ := sample(120, 5, seed)
		o, _, _, _ := sample(120, 5, seed+100)
		diff, variance := bruteDeLong(s, o, y)
		p, q := Place(s, y, nil), Place(o, y, nil)
		d := p.Compare(q)
		near(t, "AUC", p.AUC, pairsAUC(s, y, nil), 1e-13)
		near(t, "difference", d.Value, diff, 1e-13)
		near(t, "standard error", d.StdErr, math.Sqrt(variance), 1e-12)
		near(t, "p", d.P, math.Erfc(math.Abs(diff)/math.Sqrt(2*variance)), 1e-10)
		near(t, "low", d.Low, diff-1.959963984540054*math.Sqrt(variance), 1e-12)
		if r := q.Compare(p); r.Value != -d.Value || r.P != d.P || r.StdErr != d.StdErr {
			t.Errorf("the other way round: %+v, want %+v turned", r, d)
		}
		alone := make([]uint64, len(s)) // every row a group of its own: DeLong but for n/(n−1)
		for i := range alone {
			alone[i] = uint64(i)
		}
		near(t, "standard error over single rows", p.CompareGroups(q, alone).StdErr/d.StdErr, 1, .02)
	}
}

func TestDeLongWeightsAndGaps(t *testing.T) {
	s, y, w, _ := sample(200, 5, 3)
	o, _, _, _ := sample(200, 5, 4)
	near(t, "weighted AUC", Place(s, y, w).AUC, pairsAUC(s, y, w), 1e-13)

	// Rows of weight 0 and rows without a label are as if they were not there.
	var s2, o2, y2 []float32
	w2 := slices.Clone(w)
	gaps := slices.Clone(y)
	for i := range s {
		w2[i] = 1
		switch i % 5 {
		case 0:
			w2[i] = 0
		case 1:
			gaps[i] = float32(nan)
		default:
			s2, o2, y2 = append(s2, s[i]), append(o2, o[i]), append(y2, y[i])
		}
	}
	got, want := Place(s, gaps, w2).Compare(Place(o, gaps, w2)), Place(s2, y2, nil).Compare(Place(o2, y2, nil))
	near(t, "difference", got.Value, want.Value, 1e-14)
	near(t, "standard error", got.StdErr, want.StdErr, 1e-14)

	// A common factor of all weights changes nothing.
	for i := range w2 {
		w2[i] *= 3
	}
	near(t, "standard error", Place(s, gaps, w2).Compare(Place(o, gaps, w2)).StdErr, want.StdErr, 1e-14)

	equal := Place(s, y, nil).Compare(Place(s, y, nil))
	if equal.P != 1 || equal.Value != 0 || equal.Low != 0 || equal.High != 0 {
		t.Errorf("a model against itself: %+v", equal)
	}
	near(t, "one class", Place(s, make([]float32, len(s)), nil).Compare(Place(o, make([]float32, len(s)), nil)).P, nan, 0)
	near(t, "a broken score", Place([]float32{float32(nan), 1}, []float32{0, 1}, nil).AUC, nan, 0)
	near(t, "different rows", Place(s, y, nil).Compare(Place(o, gaps, nil)).P, nan, 0)
}

// pairOfModels makes the scores of two models that are equally good, in groups of which each leans its own way.
func pairOfModels(rng *rand.Rand, groups, each int, lean float64) (s Sampled) {
	s.Scores = make([][]float32, 2)
	for g := range groups {
		taste := lean * rng.NormFloat64()
		var own [2]float64
		for m := range own {
			own[m] = lean * rng.NormFloat64()
		}
		for range each {
			z := rng.NormFloat64()
			y := float32(0)
			if rng.Float64() < 1/(1+math.Exp(1-z-taste)) {
				y = 1
			}
			s.Labels, s.Groups = append(s.Labels, y), append(s.Groups, uint64(g))
			for m := range own {
				s.Scores[m] = append(s.Scores[m], float32(1/(1+math.Exp(-z-own[m]-rng.NormFloat64()))))
			}
		}
	}
	return s
}

// TestFalsePositives compares equally good models many times: at the 5 % level about that share may come out as different, where the test's assumption holds.
func TestFalsePositives(t *testing.T) {
	runs := 600
	if testing.Short() {
		runs = 250
	}
	share := func(name string, lean float64, low, high float64, p func(s Sampled, i int) float64) {
		t.Helper()
		rng := rand.New(rand.NewPCG(1, uint64(lean*10)))
		found := 0
		for i := range runs {
			if p(pairOfModels(rng, 40, 6, lean), i) < .05 {
				found++
			}
		}
		if got := float64(found) / float64(runs); got < low || got > high {
			t.Errorf("%s, groups leaning %g: %.3f of %d tests find a difference that is not there, want %g to %g", name, lean, got, runs, low, high)
		}
	}
	rows := func(s Sampled, _ int) float64 {
		return Place(s.Scores[0], s.Labels, nil).Compare(Place(s.Scores[1], s.Labels, nil)).P
	}
	groups := func(s Sampled, _ int) float64 {
		return Place(s.Scores[0], s.Labels, nil).CompareGroups(Place(s.Scores[1], s.Labels, nil), s.Groups).P
	}
	drawn := func(of func(d *Draws) []float64) func(s Sampled, i int) float64 {
		return func(s Sampled, i int) float64 {
			d := Bootstrap(s, 200, uint64(i), 1, nil)
			return DrawnDifference(0, of(&d[0]), of(&d[1])).P
		}
	}
	share("DeLong", 0, .02, .08, rows)
	share("DeLong over groups", 0, .02, .085, groups)
	share("DeLong", 1.5, .13, 1, rows) // rows of a group are not independent: too many
	share("DeLong over groups", 1.5, .02, .085, groups)
	share("bootstrap of the AUC", 1.5, .02, .09, drawn(func(d *Draws) []float64 { return d.AUC }))
	share("bootstrap of the GAUC", 1.5, .02, .09, drawn(func(d *Draws) []float64 { return d.GAUC }))
	share("bootstrap of the logloss", 1.5, .02, .09, drawn(func(d *Draws) []float64 { return d.Logloss }))
}

func TestBootstrap(t *testing.T) {
	s := pairOfModels(rand.New(rand.NewPCG(2, 3)), 30, 12, 1)
	s.Weights = make([]float32, len(s.Labels))
	for i := range s.Weights {
		s.Weights[i] = float32(i%3) / 2
	}
	// Each group standing once is the rows themselves.
	b := newBootstrap(&s)
	counts := slices.Repeat([]uint32{1}, 30)
	for m := range s.Scores {
		var r Rows
		r.Add(s.Scores[m], s.Labels, s.Weights, s.Groups)
		auc, gauc, logloss := b.models[m].measure(counts, true)
		near(t, "AUC", auc, r.AUC(), 1e-13)
		near(t, "GAUC", gauc, r.GAUC(), 1e-13)
		near(t, "logloss", logloss, r.Logloss(), 1e-13)
	}
	// A group standing twice is a group of twice the rows; one standing not at all is not there.
	counts[4], counts[7] = 2, 0
	var r Rows
	for i, g := range s.Groups {
		for range counts[g] {
			r.Add(s.Scores[0][i:i+1], s.Labels[i:i+1], s.Weights[i:i+1], s.Groups[i:i+1])
		}
	}
	auc, gauc, logloss := b.models[0].measure(counts, true)
	near(t, "AUC", auc, r.AUC(), 1e-13)
	near(t, "GAUC", gauc, r.GAUC(), 1e-13)
	near(t, "logloss", logloss, r.Logloss(), 1e-13)

	one, three := Bootstrap(s, 50, 9, 1, nil), Bootstrap(s, 50, 9, 3, nil)
	if !slices.Equal(one[1].AUC, three[1].AUC) || !slices.Equal(one[0].Logloss, three[0].Logloss) {
		t.Error("draws depend on the number of goroutines")
	}
	if Bootstrap(s, 50, 9, 2, func() bool { return true }) != nil {
		t.Error("stopped, but there are draws")
	}
	if d := DrawnDifference(0, one[0].AUC, one[0].AUC); d.P != 1 || d.StdErr != 0 {
		t.Errorf("a model against itself: %+v", d)
	}
	s.Groups, s.Weights = nil, nil
	single := Bootstrap(s, 400, 1, 2, nil)
	d := DrawnDifference(0, single[0].AUC, single[1].AUC)
	near(t, "standard error, over DeLong's", d.StdErr/Place(s.Scores[0], s.Labels, nil).Compare(Place(s.Scores[1], s.Labels, nil)).StdErr, 1, .12)
	near(t, "GAUC without groups", single[0].GAUC[0], nan, 0)
	near(t, "broken score", Bootstrap(Sampled{Scores: [][]float32{{float32(nan)}}, Labels: []float32{1}}, 1, 1, 1, nil)[0].AUC[0], nan, 0)
}

func BenchmarkPaired(b *testing.B) {
	s := pairOfModels(rand.New(rand.NewPCG(2, 3)), 20_000, 10, 1)
	b.Run("delong", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			Place(s.Scores[0], s.Labels, nil).Compare(Place(s.Scores[1], s.Labels, nil))
		}
	})
	b.Run("bootstrap", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			Bootstrap(s, 20, 1, runtime.GOMAXPROCS(0), nil)
		}
	})
}
