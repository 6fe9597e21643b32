package multitask_test

import (
	"math"
	"testing"

	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/models"
	"github.com/millrace/millrace/models/modeltest"
)

const (
	funnel = "labels: [{name: click}, {name: cart}, {name: buy}]\nfields: [{name: user}, {name: item}]\n"
	aitm   = "model: AITM\nembedding_dim: 3\ntower_hidden_units: [5, 4]\n"
)

func TestAITMGradients(t *testing.T) {
	modeltest.CheckGradients(t, schema, aitm)
	modeltest.CheckGradients(t, funnel, aitm+"bottom_hidden_units: [6]\nhidden_activations: sigmoid\ncalibrator_alpha: 2\n")
	modeltest.CheckGradients(t, funnel, aitm+"calibrator_alpha: 0\n")
}

// TestAITMGolden compares with the writing in bench/peers/models/aitm.py, labels missing here and there.
func TestAITMGolden(t *testing.T) { modeltest.Golden(t, "testdata/golden-aitm.safetensors") }

// times is x·w + b by plain loops; w and b are dense tensors, b may be empty.
func times(f *modeltest.Fixture, x []float64, w, b string) []float64 {
	weights := f.Values(w)
	y := make([]float64, len(weights)/len(x))
	for c := range y {
		for k, v := range x {
			y[c] += v * float64(weights[k*len(y)+c])
		}
		if b != "" {
			y[c] += float64(f.Values(b)[c])
		}
	}
	return y
}

func sigmoid(z float64) float64 { return 1 / (1 + math.Exp(-z)) }

// The chain of three tasks by plain loops, row by row.
func TestAITMByLoops(t *testing.T) {
	f := modeltest.NewFixture(t, funnel, aitm)
	got := f.Scores()
	for r := range f.Batch.Rows {
		x := append(append([]float64{}, f.Vector("emb/user", 0, r)...), f.Vector("emb/item", 1, r)...)
		var z []float64
		for i, label := range []string{"click", "cart", "buy"} {
			p := x
			for _, layer := range []string{"/0", "/1"} {
				p = times(f, p, "tower/"+label+layer+"/weight", "tower/"+label+layer+"/bias")
				for c := range p {
					p[c] = max(p[c], 0)
				}
			}
			if i == 0 {
				z = p
			} else {
				part := "transfer/" + label
				from := [][]float64{p, times(f, z, part+"/info/weight", part+"/info/bias")}
				var e [2]float64
				for u := range from {
					k, q := times(f, from[u], part+"/key/weight", ""), times(f, from[u], part+"/query/weight", "")
					for c := range k {
						e[u] += k[c] * q[c] / 2 // √4
					}
					e[u] = math.Exp(e[u])
				}
				z = make([]float64, 4)
				for u := range from {
					for c, v := range times(f, from[u], part+"/value/weight", "") {
						z[c] += e[u] / (e[0] + e[1]) * v
					}
				}
			}
			want := sigmoid(times(f, z, "out/"+label+"/weight", "out/"+label+"/bias")[0])
			if math.Abs(got[i][r]-want) > 1e-6 {
				t.Errorf("row %d, %s: %g, want %g", r, label, got[i][r], want)
			}
		}
	}
}

// A later task's tower moves no earlier task's score: what is learned passes one way.
func TestAITMPassesOneWay(t *testing.T) {
	f := modeltest.NewFixture(t, funnel, aitm)
	before := f.Scores()
	f.Set("tower/cart/1/weight", func(i int) float32 { return float32(i%3) - 1 })
	after := f.Scores()
	near(t, "click", after[0], before[0])
	for i, label := range []string{"cart", "buy"} {
		moved := 0.
		for r := range before[i+1] {
			moved = max(moved, math.Abs(after[i+1][r]-before[i+1][r]))
		}
		if moved < 1e-3 {
			t.Errorf("%s moved by %g when the tower of cart changed", label, moved)
		}
	}
}

// The calibrator is the mean of what a step of the funnel is held likelier than the one before, times its weight in the loss and nowhere in the scores.
func TestCalibrator(t *testing.T) {
	step := func(alpha string) (*models.Step, [][]float64, float64) {
		f := modeltest.NewFixture(t, funnel, aitm+"calibrator_alpha: "+alpha+"\n")
		s, err := f.Program.NewStep(f.Tables, false)
		if err != nil {
			t.Fatal(err)
		}
		loss, err := s.Run(f.Batch, 1)
		if err != nil {
			t.Fatal(err)
		}
		return s, f.Scores(), loss
	}
	s, scores, loss := step("2.5")
	want := 0.
	for r := range scores[0] {
		want += max(scores[1][r]-scores[0][r], 0) + max(scores[2][r]-scores[1][r], 0)
	}
	want /= float64(len(scores[0]))
	got := s.Auxiliaries(nil)
	if len(got) != 1 || got[0].Name != "calibrator" || got[0].Weight != 2.5 || math.Abs(got[0].Value-want) > 1e-6 || want < 1e-3 {
		t.Errorf("auxiliary losses %+v, want a calibrator of %g", got, want)
	}
	without, same, plain := step("0")
	if n := len(without.Auxiliaries(nil)); n != 0 {
		t.Errorf("%d auxiliary losses with weight 0", n)
	}
	if math.Abs(loss-plain-2.5*want) > 1e-5 {
		t.Errorf("the loss is %g and %g without the calibrator, want %g between them", loss, plain, 2.5*want)
	}
	near(t, "scores", same[0], scores[0])
}

// plant sets the labels of a funnel in which only some users go on and buy.
func plant(b *features.Batch) {
	for r := range b.Rows {
		click := (b.Columns[0].IDs[r]+b.Columns[1].IDs[r])%2 == 0
		buy := click && b.Columns[0].IDs[r]%3 == 0
		b.Labels[0][r], b.Labels[1][r] = 0, 0
		if click {
			b.Labels[0][r] = 1
		}
		if buy {
			b.Labels[1][r] = 1
		}
	}
}

// A planted funnel is learned from random pairs and found again among others, and hardly a purchase is held likelier than its click.
func TestAITMLearns(t *testing.T) {
	two := "labels: [{name: click}, {name: buy}]\nfields: [{name: user}, {name: item}]\n"
	p := modeltest.Program(t, two, "model: AITM\nembedding_dim: 8\ntower_hidden_units: [16]\nlearning_rate: 0.02\nembedding_initializer_std: 0.1\n")
	tr := modeltest.Trainer(t, p, 12)
	for i := range uint64(250) {
		b := modeltest.Batch(p.Schema(), 64, 12, i)
		plant(b)
		if _, _, err := tr.Train(b); err != nil {
			t.Fatal(err)
		}
	}
	b := modeltest.Batch(p.Schema(), 400, 12, 1000)
	plant(b)
	w, err := p.NewWeights("v", tr.Step.Dense())
	if err != nil {
		t.Fatal(err)
	}
	s, err := p.NewScorer()
	if err != nil {
		t.Fatal(err)
	}
	out, err := s.Score(b, w, models.TableRows(tr.Tables), nil)
	if err != nil {
		t.Fatal(err)
	}
	wrong, above := 0, 0
	for r := range b.Rows {
		for i := range out {
			if (out[i][r] > 0.5) != (b.Labels[i][r] > 0.5) {
				wrong++
			}
		}
		if out[1][r] > out[0][r]+0.02 {
			above++
		}
	}
	if wrong > 16 || above > 8 {
		t.Errorf("%d of 800 labels wrong, %d of 400 purchases held likelier than their click", wrong, above)
	}
}

func TestAITMErrors(t *testing.T) {
	modeltest.Errors(t, funnel, map[string]string{
		aitm + "calibrator_alpha: -1\n":                             "calibrator_alpha is -1",
		aitm + "bottom_hidden_units: [0]\n":                         "bottom_hidden_units",
		"model: AITM\nembedding_dim: 3\ntower_hidden_units: []\n":   "tower_hidden_units is empty",
		"model: AITM\nembedding_dim: 3\ncalibrater_alpha: 0.1\n":    "calibrator_alpha",
		"model: AITM\nembedding_dim: 3\nhidden_activations: gelo\n": "gelo",
	})
	modeltest.Errors(t, "labels: [{name: y}]\nfields: [{name: user}]\n", map[string]string{aitm: "one label"})
}
