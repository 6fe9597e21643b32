package training_test

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow"

	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/models"
	"github.com/millrace/millrace/training"
)

// The biased world: relevance[i] is how often a look at item i is a click, look[k] how often a row at position k is looked at. The logging policy puts items
// near a place that it prefers for them, the better ones lower, and notes with which probability the item came to stand there.
const placedItems = 10

var look = []float64{1, 0.5, 0.25, 0.12, 0.06}

func relevance(item int) float64 { return 0.2 + 0.7*float64(item*7%placedItems)/placedItems }

func placing(item int) []float64 {
	preferred := (relevance(item) - 0.2) * 6.3
	p := make([]float64, len(look))
	var sum float64
	for k := range p {
		p[k] = math.Exp(-1.2 * math.Abs(float64(k)-preferred))
		sum += p[k]
	}
	for k := range p {
		p[k] /= sum
	}
	return p
}

func writePlaced(t *testing.T, path string, rows int, seed uint64) string {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 1))
	var b bytes.Buffer
	b.WriteString("item,position,propensity,click\n")
	for range rows {
		i := rng.IntN(placedItems)
		p := placing(i)
		k, u := 0, rng.Float64()
		for u > p[k] && k < len(p)-1 {
			u -= p[k]
			k++
		}
		click := 0
		if rng.Float64() < look[k]*relevance(i) {
			click = 1
		}
		fmt.Fprintf(&b, "i%d,%d,%.6f,%d\n", i, k+1, p[k], click)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o666); err != nil {
		t.Fatal(err)
	}
	return path
}

// rankCorrelation is Spearman's of scores with the true relevance.
func rankCorrelation(scores []float32) float64 {
	rank := func(value func(i int) float64) []float64 {
		order := make([]int, len(scores))
		for i := range order {
			order[i] = i
		}
		slices.SortFunc(order, func(a, b int) int {
			if value(a) < value(b) {
				return -1
			}
			return 1
		})
		r := make([]float64, len(scores))
		for place, i := range order {
			r[i] = float64(place)
		}
		return r
	}
	a, b := rank(func(i int) float64 { return float64(scores[i]) }), rank(relevance)
	var d float64
	for i := range a {
		d += (a[i] - b[i]) * (a[i] - b[i])
	}
	n := float64(len(a))
	return 1 - 6*d/(n*(n*n-1))
}

// scoreItems scores every item as the server does: without a position.
func scoreItems(t *testing.T, c *models.Checkpoint, context features.Values) []float32 {
	t.Helper()
	a := features.NewAssembler(c.Schema, false)
	for i := range placedItems {
		if err := a.Append(&features.Row{User: "u", Item: fmt.Sprint("i", i), Context: context}); err != nil {
			t.Fatal(err)
		}
	}
	rec := a.Record()
	defer rec.Release()
	e, err := c.NewEncoder()
	if err != nil {
		t.Fatal(err)
	}
	var b features.Batch
	if err := e.EncodeInto(&b, rec); err != nil {
		t.Fatal(err)
	}
	s, err := c.Program.NewScorer()
	if err != nil {
		t.Fatal(err)
	}
	out, err := s.Score(&b, c.Weights, models.TableRows(c.Tables), nil)
	if err != nil {
		t.Fatal(err)
	}
	return out[0]
}

// TestPositionBias: in a log whose policy hid what is relevant, a plain model ranks as the policy did; the position tower and inverse propensity weights recover the relevance.
func TestPositionBias(t *testing.T) {
	dir := t.TempDir()
	train, valid := writePlaced(t, filepath.Join(dir, "train.csv"), 30_000, 1), writePlaced(t, filepath.Join(dir, "valid.csv"), 6000, 2)
	const items = "item: item\nlabels: [{name: click}]\nfields:\n  - {name: item}\n"
	const position = "  - {name: position, from: context}\n"
	runs := 0
	ranked := func(schema, model string) (*models.Checkpoint, float64) {
		t.Helper()
		s, err := features.ParseSchema([]byte(schema))
		if err != nil {
			t.Fatal(err)
		}
		spec, err := models.Parse([]byte("model: lr\nlearning_rate: 0.03\nbatch_size: 512\nepochs: 8\nmonitor: logloss\n"+model), s)
		if err != nil {
			t.Fatal(err)
		}
		runs++
		o := training.Options{Schema: s, Spec: spec, Train: []string{train}, Valid: training.Portion{Files: []string{valid}}, Out: filepath.Join(dir, fmt.Sprint(runs)), Seed: 3}
		if _, err := training.Train(context.Background(), o); err != nil {
			t.Fatal(err)
		}
		c := load(t, o.Out)
		return c, rankCorrelation(scoreItems(t, c, nil))
	}
	if _, r := ranked(items, ""); r > 0 {
		t.Errorf("the plain model's order has correlation %.3f with the relevance: the world is not biased", r)
	}
	multiplied, r := ranked(items+position, "position_bias: {field: position, combine: multiply}\n")
	if r < 0.95 {
		t.Errorf("with looks as factors: %.3f", r)
	}
	// The place that a request names makes no difference.
	if !slices.Equal(scoreItems(t, multiplied, nil), scoreItems(t, multiplied, features.Values{"position": "5"})) {
		t.Error("a position in the request changes scores")
	}
	// Nor does a file need the column.
	var bare strings.Builder
	bare.WriteString("item\n")
	for i := range placedItems {
		fmt.Fprintf(&bare, "i%d\n", i)
	}
	file, out := filepath.Join(dir, "bare.csv"), filepath.Join(dir, "scores.csv")
	if err := os.WriteFile(file, []byte(bare.String()), 0o666); err != nil {
		t.Fatal(err)
	}
	if n, _, err := training.Predict(context.Background(), multiplied, []string{file}, out, 0); err != nil || n != placedItems {
		t.Errorf("predict without positions: %d rows, %v", n, err)
	}
	text, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range scoreItems(t, multiplied, nil) {
		if want := fmt.Sprintf("\n%d,%s\n", i, strconv.FormatFloat(float64(p), 'g', -1, 32)); !strings.Contains(string(text), want) {
			t.Errorf("predict gives\n%swant %s", text, want)
			break
		}
	}
	if e, err := training.Explain(context.Background(), multiplied, []string{file}, training.ExplainOptions{Rows: 1}); err != nil || len(e.Rows[0].Labels[0].Effects) != 1 {
		t.Errorf("explain without positions: %v, %+v", err, e)
	}
	if testing.Short() {
		return
	}
	if _, r := ranked(items+position, "position_bias: position\n"); r < 0.95 {
		t.Errorf("with looks as shifts: %.3f", r)
	}
	if _, r := ranked("propensity: {column: propensity, clip: 200}\n"+items, ""); r < 0.9 {
		t.Errorf("with inverse propensity weights: %.3f", r)
	}
	first, _ := ranked(items+position, "position_bias: {field: position, combine: multiply, hidden_units: [8], score_at: 1}\n")
	// What is shown first is looked at for certain: scores at position 1 are the clicks there.
	var off float64
	for i, p := range scoreItems(t, first, nil) {
		off += math.Abs(float64(p)-relevance(i)) / placedItems
	}
	if off > 0.05 {
		t.Errorf("scores at the first position are %.3f from the clicks there", off)
	}
}

// TestPositionIncremental: the daemon's learner has the tower as well, and its store gets the tower's rows without needing them.
func TestPositionIncremental(t *testing.T) {
	s, err := features.ParseSchema([]byte("item: item\nlabels: [{name: click}]\nfields:\n  - {name: item}\n  - {name: position, from: context}\npropensity: {column: propensity}\n"))
	if err != nil {
		t.Fatal(err)
	}
	spec, err := models.Parse([]byte("model: lr\nlearning_rate: 0.1\nembedding_optimizer: sparse_adam\nbatch_size: 100\nposition_bias: {field: position, combine: multiply}\n"), s)
	if err != nil {
		t.Fatal(err)
	}
	l, err := training.NewIncremental(spec, s, training.IncrementalOptions{})
	if err != nil {
		t.Fatal(err)
	}
	a := features.NewAssembler(s, true)
	for i := range 1000 {
		r := &features.Row{
			Item: fmt.Sprint("i", i%7), Context: features.Values{"position": i % 3, "propensity": 0.5}, Labels: map[string]float64{"click": float64(i % 2)},
		}
		if err := a.Append(r); err != nil {
			t.Fatal(err)
		}
	}
	learn(t, l, []arrow.Record{a.Record()})
	u, err := l.Update()
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]int{}
	for _, r := range u.Rows {
		rows[r.Table] = len(r.IDs)
	}
	if rows["position/position"] != 4 || rows["wide/item"]+rows["linear/item"]+rows["lr/item"] == 0 {
		t.Errorf("rows %v", rows)
	}
}

func TestPositionRefused(t *testing.T) {
	f := func(model, want string) {
		t.Helper()
		s, err := features.ParseSchema([]byte("labels: [{name: y}]\nfields: [{name: a}, {name: b}, {name: c, shares: a}, {name: place}, {name: n, type: numeric}, {name: h, type: sequence, max: 3}]\n"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := models.Parse([]byte("model: lr\n"+model), s); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "position_bias") {
			t.Errorf("%s: %v, want %s", model, err, want)
		}
	}
	f("position_bias: {field: plaice}\n", `"place"`)
	f("position_bias: {filed: place}\n", `"field"`)
	f("position_bias: {embedding_dim: 4}\n", "field is missing")
	f("position_bias: {field: place, embedding_dim: 0}\n", "embedding_dim is 0")
	f("position_bias: {field: place, embedding_dim: four}\n", "embedding_dim")
	f("position_bias: {field: place, hidden_units: [0]}\n", "hidden_units")
	f("position_bias: {field: place, combine: divide}\n", "divide")
	f("position_bias: {field: a}\n", "share")
	f("position_bias: {field: c}\n", "share")
	f("position_bias: {field: h}\n", "sequence")
	f("position_bias: {field: n, score_at: 1}\n", "score_at")
	f("position_bias: {field: [a, b, c, place, n, h]}\n", "position_bias")
}
