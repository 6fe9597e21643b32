package training_test

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/models"
	_ "github.com/millrace/millrace/models/all"
	"github.com/millrace/millrace/training"
)

const shopSchema = `
name: shop
user: user
item: item
timestamp: ts
labels: [{name: click}]
fields:
  - {name: user, from: user}
  - {name: item, from: item}
  - {name: price, type: numeric, from: item, standardise: true}
  - {name: hist, type: sequence, shares: item, from: history, max: 5}
`

const shopModel = `
model: DNN
embedding_dim: 4
hidden_units: [16]
net_dropout: 0.1
batch_norm: true
embedding_regularizer: 0.001
learning_rate: 0.01
batch_size: 128
epochs: 4
`

// writeRows writes a CSV file of rows whose clicks follow tastes of users and items.
func writeRows(t testing.TB, path string, rows int, seed uint64) string {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 0))
	var b bytes.Buffer
	b.WriteString("ts,user,item,price,hist,click\n")
	for i := range rows {
		u, v := rng.IntN(40), rng.IntN(30)
		price := rng.NormFloat64() + 3
		z := 2*math.Sin(float64(u*7))*math.Cos(float64(v*3)) - 0.5*(price-3)
		click := 0
		if rng.Float64() < 1/(1+math.Exp(-3*z)) {
			click = 1
		}
		p := strconv.FormatFloat(price, 'f', 3, 64)
		if i%17 == 0 {
			p = ""
		}
		fmt.Fprintf(&b, "%d,u%d,i%d,%s,i%d|i%d,%d\n", 1000+i, u, v, p, rng.IntN(30), rng.IntN(30), click)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o666); err != nil {
		t.Fatal(err)
	}
	return path
}

// shop returns the options of a small run in a folder of its own.
func shop(t testing.TB, model string) training.Options {
	t.Helper()
	dir := t.TempDir()
	s, err := features.ParseSchema([]byte(shopSchema))
	if err != nil {
		t.Fatal(err)
	}
	spec, err := models.Parse([]byte(model), s)
	if err != nil {
		t.Fatal(err)
	}
	return training.Options{
		Schema: s, Spec: spec, Seed: 5, SplitSeed: 5, Out: filepath.Join(dir, "run"),
		Train: []string{writeRows(t, filepath.Join(dir, "train.csv"), 3000, 1)},
		Valid: training.Portion{Files: []string{writeRows(t, filepath.Join(dir, "valid.csv"), 600, 2)}},
		Test:  training.Portion{Files: []string{writeRows(t, filepath.Join(dir, "test.csv"), 600, 3)}},
	}
}

func run(t testing.TB, o training.Options) *training.Result {
	t.Helper()
	r, err := training.Train(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// tree reads all files under a folder.
func tree(t testing.TB, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(filepath.Join(dir, path))
		out[path] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func sameTree(t testing.TB, what, a, b string) {
	t.Helper()
	x, y := tree(t, filepath.Join(a, "checkpoint")), tree(t, filepath.Join(b, "checkpoint"))
	if len(x) == 0 || len(x) != len(y) {
		t.Errorf("%s: %d and %d files", what, len(x), len(y))
	}
	for name := range x {
		if x[name] != y[name] {
			t.Errorf("%s: %s differs", what, name)
		}
	}
}

func TestTrainLearns(t *testing.T) {
	o := shop(t, shopModel)
	r := run(t, o)
	if r.AUC < 0.8 || r.Logloss > 0.6 || r.Split != "test" || r.Rows != 3000 || r.Epochs < 1 || r.BestEpoch < 1 || r.BadRows != 0 {
		t.Errorf("result %+v", r)
	}
	if !(r.GAUC > 0.6) {
		t.Errorf("GAUC %g", r.GAUC)
	}
	if r.ParametersFuxiCTR != r.Parameters+2*4 {
		t.Errorf("%d parameters, %d with padding", r.Parameters, r.ParametersFuxiCTR)
	}
	page, err := os.ReadFile(filepath.Join(o.Out, "report.html"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"<svg", "ROC curve", "Calibration", "price", "dnn on shop", "embedding_dim: 4"} {
		if !bytes.Contains(page, []byte(want)) {
			t.Errorf("the report does not show %q", want)
		}
	}
	for _, not := range []string{"http://", "https://", "<script", "NaN"} {
		if bytes.Contains(page, []byte(not)) {
			t.Errorf("the report holds %q", not)
		}
	}
	record, err := os.ReadFile(filepath.Join(o.Out, "run.json"))
	if err != nil {
		t.Fatal(err)
	}
	var figures struct {
		AUC        float64
		Curve      []training.EpochFigures
		Importance []training.Importance
	}
	if err := json.Unmarshal(record, &figures); err != nil {
		t.Fatal(err)
	}
	if figures.AUC != float64(r.AUC) || len(figures.Curve) != r.Epochs || len(figures.Importance) != 4 {
		t.Errorf("run.json %+v", figures)
	}
	if last := figures.Importance[3]; last.Fields != "hist" || math.Abs(float64(last.Drop)) > 0.05 {
		t.Errorf("the random history has importance %+v", last)
	}
}

func TestEvalEqualsTrain(t *testing.T) {
	o := shop(t, shopModel)
	r := run(t, o)
	c, err := models.LoadScoring(o.Out)
	if err != nil {
		t.Fatal(err)
	}
	e, err := training.Evaluate(context.Background(), c, o.Test.Files, training.EvalOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if e.TaskFigures != r.TaskFigures || e.Rows != 600 {
		t.Errorf("eval %+v, train %+v", e.TaskFigures, r.TaskFigures)
	}
}

func TestSameCommandSameBytes(t *testing.T) {
	o := shop(t, shopModel)
	run(t, o)
	p := o
	p.Out += "2"
	run(t, p)
	sameTree(t, "the same command twice", o.Out, p.Out)
	p.Out, p.Seed = o.Out+"3", 6
	run(t, p)
	if tree(t, filepath.Join(o.Out, "checkpoint"))["manifest.json"] == tree(t, filepath.Join(p.Out, "checkpoint"))["manifest.json"] {
		t.Error("another seed gives the same checkpoint")
	}
}

// stopper ends a run after so many steps.
type stopper struct {
	left   int
	cancel func()
}

func (s *stopper) Fit(float64)                 {}
func (s *stopper) Epoch(training.EpochFigures) {}
func (s *stopper) Note(string)                 {}
func (s *stopper) Step(training.Progress) {
	if s.left--; s.left == 0 {
		s.cancel()
	}
}

// counter checks what Step hears.
type counter struct {
	t    *testing.T
	seen int
	last training.Progress
}

func (*counter) Fit(float64)                 {}
func (*counter) Epoch(training.EpochFigures) {}
func (*counter) Note(string)                 {}
func (c *counter) Step(p training.Progress) {
	if c.seen++; p.Total != 3000 || p.Rows > p.Total || p.RowsPerSecond <= 0 {
		c.t.Errorf("epoch %d: %d of %d rows at %g a second, want 3000 in all from the first step on", p.Epoch, p.Rows, p.Total, p.RowsPerSecond)
	}
	c.last = p
}

func TestProgress(t *testing.T) {
	o := shop(t, shopModel)
	now := time.Unix(0, 0)
	o.Now = func() time.Time { now = now.Add(time.Second); return now }
	c := &counter{t: t}
	o.Observer = c
	r := run(t, o)
	if c.seen == 0 || c.last.Rows != 3000 || c.last.Epoch != r.Epochs || math.IsNaN(c.last.ValidAUC) {
		t.Errorf("the last of %d steps: %+v", c.seen, c.last)
	}
}

func TestResume(t *testing.T) {
	o := shop(t, shopModel)
	run(t, o)
	p := o
	p.Out += "2"
	p.Resume = true // on nothing it starts anew
	for _, steps := range []int{5, 24, 1, 30, 13} {
		ctx, cancel := context.WithCancel(context.Background())
		p.Observer = &stopper{steps, cancel}
		if _, err := training.Train(ctx, p); !errors.Is(err, training.ErrInterrupted) {
			t.Fatalf("error %v, want the interruption", err)
		}
		cancel()
	}
	p.Observer = nil
	r := run(t, p)
	sameTree(t, "stopped and resumed", o.Out, p.Out)
	again := run(t, p)
	if again.TaskFigures != r.TaskFigures || again.Epochs != r.Epochs {
		t.Errorf("resuming a finished run gives %+v, want %+v", again, r)
	}
}

// goesOn stops the training of o, which has been run, again and again after so many steps, and wants it to end as o did.
func goesOn(t *testing.T, what string, o training.Options, steps int) {
	t.Helper()
	p := o
	p.Out += "-stopped"
	p.Resume = true
	for stops := 0; ; stops++ {
		ctx, cancel := context.WithCancel(context.Background())
		p.Observer = &stopper{cancel: cancel, left: steps}
		_, err := training.Train(ctx, p)
		cancel()
		if err == nil {
			if stops < 3 {
				t.Errorf("stopped %d times, want at least 3", stops)
			}
			break
		}
		if !errors.Is(err, training.ErrInterrupted) {
			t.Fatal(err)
		}
	}
	sameTree(t, what+", stopped and gone on", o.Out, p.Out)
}

// TestKilled: a run whose process dies between two saves goes on from the last one.
func TestKilled(t *testing.T) {
	o := shop(t, shopModel)
	run(t, o)
	p := o
	p.Out += "2"
	ctx, cancel := context.WithCancel(context.Background())
	p.Observer = &stopper{30, func() { // the state of an earlier moment comes back, as after a kill
		os.CopyFS(p.Out+"-old", os.DirFS(p.Out))
	}}
	_, err := training.Train(ctx, p)
	cancel()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(p.Out); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(p.Out+"-old", p.Out); err != nil {
		t.Fatal(err)
	}
	p.Observer, p.Resume = nil, true
	run(t, p)
	sameTree(t, "killed and resumed", o.Out, p.Out)
}

// TestSaveEvery: saving within epochs changes nothing.
func TestSaveEvery(t *testing.T) {
	o := shop(t, shopModel)
	run(t, o)
	p := o
	p.Out += "2"
	now := time.Unix(0, 0)
	p.Now = func() time.Time { now = now.Add(time.Second); return now }
	p.SaveEvery = 3 * time.Second
	run(t, p)
	sameTree(t, "saved every few steps", o.Out, p.Out)
}

func TestFolders(t *testing.T) {
	o := shop(t, shopModel)
	run(t, o)
	refused := func(want string, o training.Options) {
		t.Helper()
		_, err := training.Train(context.Background(), o)
		var r *training.RequestError
		if !errors.As(err, &r) || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want a refusal with %q", err, want)
		}
	}
	refused("not empty", o)
	before := o
	before.Out += "-before"
	run(t, before)
	p := o
	p.Overwrite = true
	run(t, p)
	p.Train = []string{"nowhere.csv"}
	refused("nowhere.csv", p)
	sameTree(t, "a refused --overwrite", before.Out, o.Out)
	p = o
	p.Resume, p.Seed = true, 77
	refused("--overwrite", p)
	p.Seed = o.Seed
	p.Spec, _ = models.Parse([]byte(shopModel+"net_regularizer: 0.1\n"), o.Schema)
	refused("model.yaml", p)
	p = o
	p.Out += "2"
	p.Train = []string{"nowhere.csv"}
	refused("nowhere.csv", p)
	p = o
	p.Out += "3"
	p.Valid = training.Portion{}
	refused("validation", p)
	p.Valid, p.Test = training.Portion{Share: 0.5}, training.Portion{Share: 0.5}
	refused("leaves none", p)
}

func TestShares(t *testing.T) {
	o := shop(t, shopModel)
	o.Valid, o.Test = training.Portion{Share: 0.1}, training.Portion{Share: 0.2}
	r := run(t, o)
	if r.Rows < 1950 || r.Rows > 2250 || r.Split != "test" || !(r.AUC > 0.7) {
		t.Errorf("result %+v", r)
	}
	o.Out += "2"
	o.SplitBy = "ts"
	if r = run(t, o); r.Rows < 2090 || r.Rows > 2110 {
		t.Errorf("%d training rows by time, want 2,100", r.Rows)
	}
	o.Out += "3"
	o.Test = training.Portion{}
	if r = run(t, o); r.Split != "valid" {
		t.Errorf("split %q without test rows, want valid", r.Split)
	}
}

func TestSeeds(t *testing.T) {
	o := shop(t, strings.Replace(shopModel, "epochs: 4", "epochs: 2", 1))
	r, err := training.TrainSeeds(context.Background(), o, 3)
	if err != nil {
		t.Fatal(err)
	}
	var sum training.Figure
	best := 0
	for i, one := range r.Runs {
		sum += one.AUC
		if one.Valid > r.Runs[best].Valid {
			best = i
		}
	}
	if len(r.Runs) != 3 || math.Abs(float64(r.AUC-sum/3)) > 1e-12 || r.AUCMean != r.AUC || !(r.AUCStd > 0) {
		t.Errorf("mean %g of %+v", r.AUC, r.Runs)
	}
	c, err := models.Load(o.Out)
	if err != nil {
		t.Fatal(err)
	}
	e, err := training.Evaluate(context.Background(), c, o.Test.Files, training.EvalOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if e.AUC != r.Runs[best].AUC {
		t.Errorf("the checkpoint has AUC %g, the best run by validation %g", e.AUC, r.Runs[best].AUC)
	}
}

func TestInit(t *testing.T) {
	o := shop(t, strings.Replace(shopModel, "epochs: 4", "epochs: 1", 1))
	cold := run(t, o)
	c, err := models.LoadScoring(o.Out)
	if err != nil {
		t.Fatal(err)
	}
	o.Out += "2"
	o.Init = c
	if warm := run(t, o); !(warm.AUC > cold.AUC) {
		t.Errorf("AUC %g from a checkpoint, %g from nothing", warm.AUC, cold.AUC)
	}
}

func TestBadRows(t *testing.T) {
	o := shop(t, shopModel)
	text, err := os.ReadFile(o.Train[0])
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(string(text), "\n")
	lines[10] = "1,u1,i1,cheap,i2,1\n"
	lines[20] = "1,u1\n"
	if err := os.WriteFile(o.Train[0], []byte(strings.Join(lines, "")), 0o666); err != nil {
		t.Fatal(err)
	}
	_, err = training.Train(context.Background(), o)
	var d *features.DataError
	if !errors.As(err, &d) || d.Line != 11 || d.Field != "price" || d.Value != "cheap" {
		t.Errorf("error %v, want line 11, price, cheap", err)
	}
	good := o.Train
	o.Train, o.Test = o.Valid.Files, training.Portion{Files: good}
	o.Overwrite = true
	o.Observer = firstStep{t}
	if _, err = training.Train(context.Background(), o); !errors.As(err, &d) || d.Line != 11 {
		t.Errorf("error %v of the test file, want line 11", err)
	}
	o.Train, o.Test, o.Observer = good, training.Portion{}, nil
	o.SkipBad = 2
	if r := run(t, o); r.BadRows != 2 || r.Rows != 2998 {
		t.Errorf("%d bad rows of %d, want 2 of 2998", r.BadRows, r.Rows)
	}
}

// firstStep wants no training step.
type firstStep struct{ t *testing.T }

func (firstStep) Fit(float64)                 {}
func (firstStep) Epoch(training.EpochFigures) {}
func (firstStep) Note(string)                 {}
func (f firstStep) Step(training.Progress) {
	f.t.Error("training began before all files were read once")
}

func TestPredict(t *testing.T) {
	o := shop(t, shopModel)
	r := run(t, o)
	c, err := models.LoadScoring(o.Out)
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "scores.csv")
	n, _, err := training.Predict(context.Background(), c, o.Test.Files, out, 0)
	if err != nil || n != 600 {
		t.Fatalf("%d rows, error %v", n, err)
	}
	text, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(bytes.NewReader(text)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"row", "user", "click", "score"}; !slices.Equal(rows[0], want) {
		t.Errorf("columns %q, want %q", rows[0], want)
	}
	var loss float64
	for i, row := range rows[1:] {
		if row[0] != strconv.Itoa(i) {
			t.Fatalf("row %d is %q", i, row)
		}
		score, _ := strconv.ParseFloat(row[3], 64)
		if row[2] != "1" {
			score = 1 - score
		}
		loss -= math.Log(score) / 600
	}
	if math.Abs(loss-float64(r.Logloss)) > 1e-6 {
		t.Errorf("logloss %g of the predictions, %g in training", loss, r.Logloss)
	}
	parquet := filepath.Join(t.TempDir(), "scores.parquet")
	if n, _, err := training.Predict(context.Background(), c, o.Test.Files, parquet, 0); err != nil || n != 600 {
		t.Fatalf("%d rows, error %v", n, err)
	}
	s, err := features.ParseSchema([]byte("labels: [{name: click}]\nfields: [{name: score, type: numeric}, {name: user}]\n"))
	if err != nil {
		t.Fatal(err)
	}
	reader, err := features.Open(s, []string{parquet}, features.ReadOptions{Labels: true})
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	rec, err := reader.Next()
	if err != nil {
		t.Fatal(err)
	}
	defer rec.Release()
	if rec.NumRows() != 600 {
		t.Errorf("%d rows in the Parquet file", rec.NumRows())
	}
	var request *training.RequestError
	if _, _, err := training.Predict(context.Background(), c, o.Test.Files, "scores.txt", 0); !errors.As(err, &request) {
		t.Errorf("error %v for an unknown kind of file", err)
	}
}

func TestTwoLabels(t *testing.T) {
	o := shop(t, shopModel)
	s, err := features.ParseSchema([]byte(strings.Replace(shopSchema, "[{name: click}]", "[{name: click}, {name: dear, column: price, above: 3}]", 1)))
	if err != nil {
		t.Fatal(err)
	}
	o.Schema = s
	if o.Spec, err = models.Parse([]byte(shopModel), s); err != nil {
		t.Fatal(err)
	}
	r := run(t, o)
	if len(r.Tasks) != 2 || math.Abs(float64(r.AUC-(r.Tasks["click"].AUC+r.Tasks["dear"].AUC)/2)) > 1e-12 {
		t.Errorf("tasks %+v, mean %g", r.Tasks, r.AUC)
	}
	if !(r.Tasks["dear"].AUC > 0.95) {
		t.Errorf("AUC %g of a label that a field gives away", r.Tasks["dear"].AUC)
	}
}

func TestPortion(t *testing.T) {
	ok := func(want string, args ...string) {
		t.Helper()
		if p, err := training.ParsePortion(args); err != nil || p.String() != want {
			t.Errorf("%q is %q, %v; want %q", args, p.String(), err, want)
		}
	}
	bad := func(args ...string) {
		t.Helper()
		if p, err := training.ParsePortion(args); err == nil {
			t.Errorf("%q is accepted as %+v", args, p)
		}
	}
	ok("10%", "10%")
	ok("12.5%", "12.5%")
	ok("a.csv b.csv", "a.csv", "b.csv")
	ok("")
	bad("0%")
	bad("100%")
	bad("x%")
	bad("10%", "a.csv")
}
