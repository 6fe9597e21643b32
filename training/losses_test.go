package training_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/models"
	"github.com/millrace/millrace/training"
)

const requestSchema = `
group: request
item: item
labels: [{name: click}]
fields:
  - {name: taste, from: user}
  - {name: item, from: item}
  - {name: mood, from: context}
`

const requestModel = `
model: DNN
embedding_dim: 4
embedding_initializer_std: 0.1
hidden_units: [16]
learning_rate: 0.02
batch_size: 96
epochs: 6
`

// requests returns the options of a small run over requests of six rows: the taste says which items are liked, the mood how many of them are clicked.
func requests(t testing.TB, keys string) training.Options {
	t.Helper()
	dir := t.TempDir()
	s, err := features.ParseSchema([]byte(requestSchema))
	if err != nil {
		t.Fatal(err)
	}
	spec, err := models.Parse([]byte(requestModel+keys), s)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name string, requests int, seed uint64) []string {
		rng := rand.New(rand.NewPCG(seed, 0))
		var b strings.Builder
		b.WriteString("request,taste,item,mood,click\n")
		for r := range requests {
			taste, mood := rng.IntN(6), rng.IntN(5)
			for range 6 {
				item, click := rng.IntN(20), 0
				z := 3*math.Sin(float64(3*taste+7*item)) + float64(mood) - 4
				if rng.Float64() < 1/(1+math.Exp(-z)) {
					click = 1
				}
				fmt.Fprintf(&b, "r%d,t%d,i%d,m%d,%d\n", r, taste, item, mood, click)
			}
		}
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(b.String()), 0o666); err != nil {
			t.Fatal(err)
		}
		return []string{path}
	}
	return training.Options{
		Schema: s, Spec: spec, Seed: 5, SplitSeed: 5, Out: filepath.Join(dir, "run"),
		Train: write("train.csv", 1000, 1), Valid: training.Portion{Files: write("valid.csv", 300, 2)}, Test: training.Portion{Files: write("test.csv", 600, 3)},
	}
}

// TestRankingLossesRank: losses over a request's pairs and lists learn its order without ever seeing a label by itself; the cross-entropy beside them makes probabilities of the scores again.
func TestRankingLossesRank(t *testing.T) {
	const by = "monitor: gAUC-logloss\n"
	plain := run(t, requests(t, by))
	for loss, caption := range map[string]string{"pairwise": "Pairwise loss in training", "listwise": "Listwise loss in training"} {
		o := requests(t, by+"loss: "+loss)
		r := run(t, o)
		if r.GAUC < plain.GAUC-.02 || r.Rows != 6000 {
			t.Errorf("%s: GAUC %g over %d rows, with the cross-entropy %g", loss, r.GAUC, r.Rows, plain.GAUC)
		}
		page, err := os.ReadFile(filepath.Join(o.Out, "report.html"))
		if err != nil || !strings.Contains(string(page), caption) {
			t.Errorf("the report does not say %q (%v)", caption, err)
		}
		both := run(t, requests(t, by+"pointwise_weight: 1\nloss: "+loss))
		if math.Abs(float64(both.Calibration)-1) > .1 || both.Logloss > plain.Logloss+.02 || both.Logloss > r.Logloss-.02 || both.GAUC < plain.GAUC-.02 {
			t.Errorf("%s with the cross-entropy beside it: calibration %g, logloss %g, GAUC %g; alone it has logloss %g", loss, both.Calibration, both.Logloss, both.GAUC, plain.Logloss)
		}
	}
}

// TestWholeGroupsResume: stopped within epochs, a training over whole groups and sampled negatives ends with the same bits.
func TestWholeGroupsResume(t *testing.T) {
	o := requests(t, "loss: pairwise\nnegative_sampling: {rate: 0.7}\n")
	o.Spec.Settings.Epochs = 2
	run(t, o)
	goesOn(t, "a training over groups", o, 9)
}

// TestNegativeSamplingKeepsTheLevel: with three negatives of ten, scores are still those of all rows: their mean is the rate of the test rows, and the ranking is about as good.
func TestNegativeSamplingKeepsTheLevel(t *testing.T) {
	plain := run(t, requests(t, ""))
	for _, loss := range []string{"binary_crossentropy", "pairwise\npointwise_weight: 1", "listwise\npointwise_weight: 1"} {
		r := run(t, requests(t, "negative_sampling: {rate: 0.3}\nloss: "+loss))
		if math.Abs(float64(r.Calibration)-1) > .08 { // without the correction it is about 1.4
			t.Errorf("loss %s: mean score over rate %g, with all rows %g", loss, r.Calibration, plain.Calibration)
		}
		if r.AUC < plain.AUC-.03 || r.Rows < 2500 || r.Rows > 4500 {
			t.Errorf("loss %s: AUC %g over %d rows, with all rows %g", loss, r.AUC, r.Rows, plain.AUC)
		}
	}
}

// TestIncrementalSamples: the daemon's learner leaves negatives out by the same key, draws the same ones across a checkpoint, and scores at the level of all rows.
func TestIncrementalSamples(t *testing.T) {
	model := strings.Replace(streamModels["lr"], "0.05", "0.004", 1) + "negative_sampling: {rate: 0.4}\n"
	l, s := newLearner(t, model)
	sizes := slices.Repeat([]int{100}, 200)
	learn(t, l, events(t, s, 1, sizes...))
	if _, err := l.Flush(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write(t, dir, l)
	c, err := models.LoadScoring(dir)
	if err != nil {
		t.Fatal(err)
	}
	e, err := c.NewEncoder()
	if err != nil {
		t.Fatal(err)
	}
	scorer, err := c.Program.NewScorer()
	if err != nil {
		t.Fatal(err)
	}
	recs := events(t, s, 2, 2000)
	defer recs[0].Release()
	b := &features.Batch{}
	if err := e.EncodeInto(b, recs[0]); err != nil {
		t.Fatal(err)
	}
	out, err := scorer.Score(b, c.Weights, models.TableRows(c.Tables), nil)
	if err != nil {
		t.Fatal(err)
	}
	var score, rate float64
	for r, p := range out[0] {
		score, rate = score+float64(p), rate+float64(b.Labels[0][r])
	}
	if math.Abs(score/rate-1) > .05 {
		t.Errorf("mean score %g, rate %g", score/2000, rate/2000)
	}
	rows, err := l.Flush()
	if want := 20000 * .7; err != nil || math.Abs(float64(rows)-want) > 200 {
		t.Errorf("%d rows trained (%v), want about %g", rows, err, want)
	}
	// The same events, with a checkpoint in between at a whole number of minibatches: flushed on both sides, the draws go on where they were.
	one, _ := newLearner(t, model)
	two, _ := newLearner(t, model)
	for half := range uint64(2) {
		if half == 1 {
			dir := t.TempDir()
			write(t, dir, two)
			two = resume(t, dir)
		}
		for _, l := range []*training.Incremental{one, two} {
			learn(t, l, events(t, s, 5+half, 300))
			if _, err := l.Flush(); err != nil {
				t.Fatal(err)
			}
		}
	}
	n, _ := one.Flush()
	m, _ := two.Flush()
	if n != m || one.Loss() != two.Loss() {
		t.Errorf("%d rows and loss %g without a checkpoint, %d and %g across one", n, one.Loss(), m, two.Loss())
	}
}
