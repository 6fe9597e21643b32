package metric

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func near(t *testing.T, what string, got, want, tol float64) {
	t.Helper()
	if math.IsNaN(want) != math.IsNaN(got) || math.Abs(got-want) > tol {
		t.Errorf("%s = %.17g, want %.17g", what, got, want)
	}
}

var nan = math.NaN()

func TestAUC(t *testing.T) {
	f := func(scores, labels, weights []float32, want float64) {
		t.Helper()
		var r Rows
		r.Add(scores, labels, weights, nil)
		near(t, "AUC", r.AUC(), want, 0)
	}
	f(nil, nil, nil, nan)
	f([]float32{.1, .9}, []float32{1, 1}, nil, nan)
	f([]float32{.1, .9}, []float32{0, 0}, nil, nan)
	f([]float32{.1, .9}, []float32{0, 1}, nil, 1)
	f([]float32{.1, .9}, []float32{1, 0}, nil, 0)
	f([]float32{.5, .5}, []float32{1, 0}, nil, .5)
	f([]float32{0, float32(math.Copysign(0, -1))}, []float32{1, 0}, nil, .5)
	f([]float32{-2, -1, 3}, []float32{0, 1, 0}, nil, .5)
	f([]float32{.1, .4, .35, .8}, []float32{0, 0, 1, 1}, nil, .75)
	f([]float32{.3, .3, .3, .6, .6}, []float32{0, 1, 1, 1, 0}, nil, (.5+.5+1+.5)/6)
	f([]float32{.1, .9, .5}, []float32{0, 1, float32(nan)}, nil, 1)             // a missing label
	f([]float32{.1, .9, float32(nan)}, []float32{0, 1, 1}, nil, nan)            // a broken score is not hidden
	f([]float32{.1, .9, .5}, []float32{0, 1, 1}, []float32{1, 1, -1}, nan)      // nor a broken weight
	f([]float32{.2, .1, .3}, []float32{1, 0, 0}, []float32{1, 3, 1}, .75)       // weight 3 is three rows
	f([]float32{.2, .1, .3}, []float32{1, 0, 0}, []float32{1, 3, 0}, 1)         // weight 0 is none
	f([]float32{.2, .1, .2}, []float32{1, 0, 0}, []float32{2, 1, 1}, 1.5*2/4.0) // ties weigh half
}

// sample makes n random rows with many ties, in g groups.
func sample(n, g int, seed uint64) (scores, labels, weights []float32, groups []uint64) {
	rng := rand.New(rand.NewPCG(seed, 1))
	for range n {
		p := rng.IntN(20)
		scores = append(scores, float32(p)/20)
		labels = append(labels, float32(min(1, rng.IntN(25)/(20-p+1))))
		weights = append(weights, float32(rng.IntN(8))/4)
		groups = append(groups, uint64(rng.IntN(g)))
	}
	return
}

// pairsAUC is the definition: the share of pairs in order, ties half.
func pairsAUC(scores, labels, weights []float32) float64 {
	var won, all float64
	for i := range scores {
		for j := range scores {
			if labels[i] > labels[j] {
				w := 1.0
				if weights != nil {
					w = float64(weights[i]) * float64(weights[j])
				}
				all += w
				switch {
				case scores[i] > scores[j]:
					won += w
				case scores[i] == scores[j]:
					won += w / 2
				}
			}
		}
	}
	return won / all
}

func TestAgainstDefinitions(t *testing.T) {
	for seed := range uint64(20) {
		s, y, w, g := sample(300, 12, seed)
		for _, w := range [][]float32{nil, w} {
			var r Rows
			r.Add(s, y, w, g)
			near(t, "AUC", r.AUC(), pairsAUC(s, y, w), 1e-14)

			var loss, weight, gauc, gweight float64
			for u := range uint64(12) {
				var us, uy, uw []float32
				var n float64
				for i := range s {
					if g[i] == u {
						x := float32(1)
						if w != nil {
							x = w[i]
						}
						us, uy, uw, n = append(us, s[i]), append(uy, y[i]), append(uw, x), n+float64(x)
					}
				}
				if a := pairsAUC(us, uy, uw); a == a {
					gauc, gweight = gauc+n*a, gweight+n
				}
			}
			near(t, "GAUC", r.GAUC(), gauc/gweight, 1e-14)
			for i := range s {
				x := 1.0
				if w != nil {
					x = float64(w[i])
				}
				p := min(max(float64(s[i]), 1e-7), 1-1e-7)
				loss -= x * (float64(y[i])*math.Log(p) + float64(1-y[i])*math.Log(1-p))
				weight += x
			}
			near(t, "logloss", r.Logloss(), loss/weight, 1e-13)
		}
	}
}

// figures are all results at once.
func figures(r *Rows) []float64 {
	f := []float64{r.AUC(), r.GAUC(), r.Logloss(), r.NormalizedEntropy(), r.ECE(10), r.Rate(), r.Score()}
	for _, p := range r.ROC(9) {
		f = append(f, p.X, p.Y)
	}
	for _, b := range r.Calibration(7) {
		f = append(f, b.Score, b.Rate, float64(b.Rows))
	}
	return f
}

func TestOrderAndMergeChangeNoBit(t *testing.T) {
	s, y, w, g := sample(2000, 50, 7)
	var whole Rows
	whole.Add(s, y, w, g)
	want := figures(&whole)
	rng := rand.New(rand.NewPCG(3, 4))
	for range 5 {
		rng.Shuffle(len(s), func(i, j int) {
			s[i], s[j], y[i], y[j], w[i], w[j], g[i], g[j] = s[j], s[i], y[j], y[i], w[j], w[i], g[j], g[i]
		})
		var a, b Rows
		cut := rng.IntN(len(s))
		a.Add(s[:cut], y[:cut], w[:cut], g[:cut])
		a.AUC() // a result in between
		b.Add(s[cut:], y[cut:], w[cut:], g[cut:])
		a.Merge(&b)
		if got := figures(&a); !slices.Equal(got, want) {
			t.Fatalf("in another order: %v, want %v", got, want)
		}
	}
}

func TestGAUCIdentities(t *testing.T) {
	s, y, _, _ := sample(500, 1, 5)
	var one, none Rows
	one.Add(s, y, nil, make([]uint64, len(s)))
	none.Add(s, y, nil, nil)
	near(t, "GAUC of one group", one.GAUC(), one.AUC(), 0)
	near(t, "GAUC without groups", none.GAUC(), nan, 0)

	// Groups of one positive and one negative: the accuracy of pairs. A group of one class counts nowhere.
	var pairs Rows
	pairs.Add([]float32{.9, .1, .2, .3, .5, .5, .7}, []float32{1, 0, 1, 0, 0, 1, 1}, nil, []uint64{1, 1, 2, 2, 3, 3, 4})
	near(t, "pair accuracy", pairs.GAUC(), .5, 0)

	// Rows added without groups join rows with groups as group 0, before or after.
	var a, b, want Rows
	a.Add([]float32{.1, .8}, []float32{1, 0}, nil, nil)
	a.Add([]float32{.1, .8}, []float32{0, 1}, nil, []uint64{5, 5})
	b.Add([]float32{.1, .8}, []float32{0, 1}, nil, []uint64{5, 5})
	b.Add([]float32{.1, .8}, []float32{1, 0}, nil, nil)
	want.Add([]float32{.1, .8, .1, .8}, []float32{1, 0, 0, 1}, nil, []uint64{0, 0, 5, 5})
	near(t, "GAUC", a.GAUC(), want.GAUC(), 0)
	near(t, "GAUC", b.GAUC(), want.GAUC(), 0)
}

func TestLoglossAndEntropy(t *testing.T) {
	var r Rows
	near(t, "logloss of nothing", r.Logloss(), nan, 0)
	near(t, "ECE of nothing", r.ECE(10), nan, 0)
	r.Add([]float32{0, 1}, []float32{1, 0}, nil, nil)
	near(t, "clipped logloss", r.Logloss(), -math.Log(1e-7), 1e-9)
	var base Rows
	base.Add([]float32{.25, .25, .25, .25}, []float32{0, 0, 1, 0}, nil, nil)
	near(t, "NE of the rate", base.NormalizedEntropy(), 1, 1e-15)
	near(t, "ECE of the rate", base.ECE(10), 0, 0)
	if bins := base.Calibration(4); !slices.Equal(bins, []Bin{{.25, .25, 4}}) {
		t.Errorf("equal scores in bins %v, want one bin", bins)
	}
}

func TestCurves(t *testing.T) {
	var r Rows
	for i := range 1000 {
		r.Add([]float32{float32(i) / 1000}, []float32{float32(i * 7 % 10 / 5)}, nil, []uint64{uint64(i)})
	}
	bins := r.Calibration(10)
	rows := 0
	for _, b := range bins {
		rows += b.Rows
		near(t, "rate", b.Rate, .5, 0)
	}
	if len(bins) != 10 || rows != 1000 || bins[0].Rows != 100 {
		t.Errorf("bins %v", bins)
	}
	for _, n := range []int{2, 3, 50, 5000} {
		roc := r.ROC(n)
		if len(roc) > n || roc[0] != (Point{0, 0}) || roc[len(roc)-1] != (Point{1, 1}) {
			t.Errorf("ROC(%d) has %d points, %v to %v", n, len(roc), roc[0], roc[len(roc)-1])
		}
		area := 0.0
		for i := 1; i < len(roc); i++ {
			if roc[i].X < roc[i-1].X || roc[i].Y < roc[i-1].Y {
				t.Fatalf("ROC(%d) falls at %d", n, i)
			}
			area += (roc[i].X - roc[i-1].X) * (roc[i].Y + roc[i-1].Y) / 2
		}
		if n == 5000 {
			near(t, "area under all points", area, r.AUC(), 1e-12)
		}
	}
}

func TestCalibrationNeverSplitsTies(t *testing.T) {
	s, y, w, _ := sample(997, 1, 11)
	var r Rows
	r.Add(s, y, w, nil)
	for n := 1; n < 40; n++ {
		bins := r.Calibration(n)
		rows := 0
		for _, b := range bins {
			rows += b.Rows
		}
		if len(bins) > n || rows != 997 {
			t.Errorf("Calibration(%d): %d bins, %d rows", n, len(bins), rows)
		}
	}
}

func TestWindow(t *testing.T) {
	w := NewWindow(3)
	near(t, "AUC", w.AUC(), nan, 0)
	for i, want := range []float64{nan, 1, .5, .5, nan} {
		w.Add([]float32{.1, .9, .95, .5, .99}[i], []float32{0, 1, 0, 0, 0}[i])
		near(t, "AUC", w.AUC(), want, 0)
	}
	w.Add(float32(nan), 1)
	if w.Len() != 3 {
		t.Errorf("%d rows, want 3", w.Len())
	}
}

func BenchmarkAUC(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 2))
	n := 1 << 20
	s, y, g := make([]float32, n), make([]float32, n), make([]uint64, n)
	for i := range s {
		s[i], y[i], g[i] = rng.Float32(), float32(rng.IntN(2)), uint64(rng.IntN(n/20))
	}
	b.Run("auc", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var r Rows
			r.Add(s, y, nil, nil)
			r.AUC()
		}
	})
	b.Run("gauc", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var r Rows
			r.Add(s, y, nil, g)
			r.GAUC()
		}
	})
}
