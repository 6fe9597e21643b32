package models_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/core/optim"
	"github.com/millrace/millrace/core/snapshot"
	"github.com/millrace/millrace/core/table"
	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/models"
	_ "github.com/millrace/millrace/models/all"
	"github.com/millrace/millrace/models/modeltest"
)

const schema = `
name: shop
user: user
item: item
labels: [{name: click}]
fields:
  - {name: user, from: user}
  - {name: price, type: numeric, from: item}
  - {name: item, from: item}
  - {name: category, from: item}
  - {name: tags, type: multi, from: item, max: 6}
  - {name: hist_item, type: sequence, shares: item, from: history, max: 6}
  - {name: hist_category, type: sequence, shares: category, from: history, max: 6}
  - {name: hist_rating, type: sequence, from: history, attribute: rating, max: 6}
`

// all are small settings of every model, without regularisers and dropout.
var all = map[string]string{
	"lr":           "model: LR\nlearning_rate: 0.3\n",
	"dnn":          "model: DNN\nembedding_dim: 4\nhidden_units: [16, 8]\nlearning_rate: 0.01\n",
	"finalmlp":     "model: FinalMLP\nembedding_dim: 4\nmlp1_hidden_units: [16]\nmlp2_hidden_units: [8]\nnum_heads: 2\nfs_hidden_units: [6]\nfs1_context: [user]\nfs2_context: [item]\nlearning_rate: 0.01\n",
	"dualmlp":      "model: DualMLP\nembedding_dim: 4\nmlp1_hidden_units: [16]\nmlp2_hidden_units: [8, 8]\nlearning_rate: 0.01\n",
	"sharedbottom": "model: SharedBottom\nembedding_dim: 4\nbottom_hidden_units: [16]\ntower_hidden_units: [8]\nlearning_rate: 0.01\n",
	"dtrn":         "model: DTRN\nembedding_dim: 4\ntask_dim: 4\nbehaviour_dim: 4\nhyper_dim: 8\ntransformer_dropout: 0\ntower_hidden_units: [8]\nlearning_rate: 0.01\n",
	"dien":         "model: DIEN\nembedding_dim: 4\ndnn_hidden_units: [16, 8]\ndnn_activations: relu\naux_hidden_units: [5]\naux_loss_alpha: 0.003\nlearning_rate: 0.01\n",
	"din":          "model: DIN\nembedding_dim: 4\ndnn_hidden_units: [16, 8]\nattention_hidden_units: [6]\nattention_hidden_activations: sigmoid\ndin_use_softmax: true\nlearning_rate: 0.01\n",
}

func TestNames(t *testing.T) {
	names := models.Names()
	if !slices.IsSorted(names) {
		t.Errorf("names %v are not in order", names)
	}
	for name := range all {
		if !slices.Contains(names, name) {
			t.Errorf("names %v, want %s among them", names, name)
		}
	}
	for _, name := range names {
		if models.Canonical(name) != name {
			t.Errorf("name %q is not canonical", name)
		}
	}
}

func TestOverfit(t *testing.T) {
	for name, text := range all {
		t.Run(name, func(t *testing.T) { modeltest.Overfit(t, modeltest.Program(t, schema, text), 600) })
	}
}

func TestGradients(t *testing.T) {
	two := strings.Replace(schema, "{name: click}", "{name: click}, {name: buy}", 1)
	for name, text := range all {
		t.Run(name, func(t *testing.T) { modeltest.CheckGradients(t, schema, text) })
		t.Run(name+" with two labels", func(t *testing.T) { modeltest.CheckGradients(t, two, text) })
	}
}

// TestZeroWeights: with zero embeddings and zero output weights the probability is σ(bias), and with bias logit(rate) the logloss is the label's entropy.
func TestZeroWeights(t *testing.T) {
	for name, text := range all {
		p := modeltest.Program(t, schema, text)
		tr := modeltest.Trainer(t, p, 9)
		modeltest.Randomise(tr.Tables, 0)
		dense := tr.Step.Dense()
		for _, d := range dense {
			if strings.HasSuffix(d.Name, "/weight") || strings.HasSuffix(d.Name, "/numeric") || d.Name == "fusion/bilinear" {
				modeltest.Set(t, dense, d.Name, func(int) float32 { return 0 })
			}
			if d.Name == "lr/bias" || d.Name == "out/bias" || d.Name == "tower/out/bias" || d.Name == "fusion/x/bias" {
				modeltest.Set(t, dense, d.Name, func(int) float32 { return float32(math.Log(0.25 / 0.75)) })
			}
		}
		for _, s := range modeltest.Scores(t, p, dense, models.TableRows(tr.Tables), modeltest.Batch(p.Schema(), 5, 9, 1)) {
			if math.Abs(float64(s)-0.25) > 1e-6 {
				t.Errorf("%s: score %g, want σ(bias) = 0.25", name, s)
			}
		}
	}
}

// TestRelabelling: other numbers for the ids of every vocabulary, with the rows moved along, leave the scores unchanged.
func TestRelabelling(t *testing.T) {
	for name, text := range all {
		p := modeltest.Program(t, schema, text)
		tr := modeltest.Trainer(t, p, 9)
		modeltest.Randomise(tr.Tables, 0.5)
		b := modeltest.Batch(p.Schema(), 32, 9, 1)
		want := modeltest.Scores(t, p, tr.Step.Dense(), models.TableRows(tr.Tables), b)
		moved := map[string]*table.Table{}
		to := func(id uint64) uint64 {
			if id == 0 {
				return 0
			}
			return 0x9e3779b97f4a7c15 * (11 - id)
		}
		for n, old := range tr.Tables {
			made, err := table.New(n, table.Options{Dim: old.Dim()})
			if err != nil {
				t.Fatal(err)
			}
			for slot := old.Len() - 1; slot >= 0; slot-- {
				made.Put(to(old.ID(uint32(slot))), old.Row(uint32(slot)))
			}
			moved[n] = made
		}
		for i := range b.Columns {
			for k, id := range b.Columns[i].IDs {
				b.Columns[i].IDs[k] = to(id)
			}
		}
		if got := modeltest.Scores(t, p, tr.Step.Dense(), models.TableRows(moved), b); !slices.Equal(got, want) {
			t.Errorf("%s: scores change with the ids' numbers", name)
		}
	}
}

// strided hands rows out as a store would, from the update of a checkpoint.
type strided map[string]snapshot.Rows

func (s strided) Gather(name string, dst []float32, stride int, ids []uint64) error {
	r := s[name]
	for i, id := range ids {
		k := max(slices.Index(r.IDs, id), slices.Index(r.IDs, table.UnknownID))
		copy(dst[i*stride:][:r.Dim], r.Values[k*r.Dim:])
	}
	return nil
}

// TestScorerAgreesWithStep: the logloss of the scores is the training loss where nothing differs between the two (no dropout, no batch statistics),
// whoever hands out the rows, also for ids without a row.
func TestScorerAgreesWithStep(t *testing.T) {
	for name, text := range all {
		p := modeltest.Program(t, schema, text)
		tr := modeltest.Trainer(t, p, 9)
		modeltest.Randomise(tr.Tables, 0.5)
		b := modeltest.Batch(p.Schema(), 100, 14, 2)
		loss, err := tr.Step.Run(b, 1)
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range tr.Step.Auxiliaries(nil) {
			loss -= x.Weight * x.Value
		}
		got := modeltest.Scores(t, p, tr.Step.Dense(), models.TableRows(tr.Tables), b)
		var want float64
		for r, s := range got {
			if b.Labels[0][r] == 1 {
				want -= math.Log(float64(s)) / float64(b.Rows)
			} else {
				want -= math.Log(1-float64(s)) / float64(b.Rows)
			}
		}
		if math.Abs(loss-want) > 1e-5*max(1, want) {
			t.Errorf("%s: loss %g, logloss of the scores %g", name, loss, want)
		}
		rows := strided{}
		for n, tab := range tr.Tables {
			rows[n] = models.AllRows(tab)
		}
		if again := modeltest.Scores(t, p, tr.Step.Dense(), rows, b); !slices.Equal(got, again) {
			t.Errorf("%s: scores depend on who hands out the rows", name)
		}
	}
}

// TestSingleRows: a row's score does not depend on the batch it is in, to rounding.
func TestSingleRows(t *testing.T) {
	for name, text := range all {
		p := modeltest.Program(t, schema, text)
		tr := modeltest.Trainer(t, p, 9)
		modeltest.Randomise(tr.Tables, 0.5)
		b := modeltest.Batch(p.Schema(), 20, 9, 3)
		want := modeltest.Scores(t, p, tr.Step.Dense(), models.TableRows(tr.Tables), b)
		for r := range b.Rows {
			var one features.Batch
			one.Append(b, r)
			got := modeltest.Scores(t, p, tr.Step.Dense(), models.TableRows(tr.Tables), &one)
			if math.Abs(float64(got[0]-want[r])) > 1e-6 {
				t.Errorf("%s row %d: %g alone, %g in a batch", name, r, got[0], want[r])
			}
		}
	}
}

// TestTableGradients: gradients add up over every occurrence of an id, in all its fields and lists.
func TestTableGradients(t *testing.T) {
	p := modeltest.Program(t, schema, all["din"])
	tr := modeltest.Trainer(t, p, 5)
	modeltest.Randomise(tr.Tables, 0.5)
	b := modeltest.Batch(p.Schema(), 12, 5, 4)
	if _, err := tr.Step.Run(b, 1); err != nil {
		t.Fatal(err)
	}
	_, rows := tr.Step.Gradients()
	rng := rand.New(rand.NewPCG(1, 1))
	for _, r := range rows {
		dim := r.Table.Dim()
		grads := slices.Clone(r.Grads)
		slots := slices.Clone(r.Slots)
		if unique := slices.Compact(slices.Sorted(slices.Values(slots))); len(unique) != len(slots) {
			t.Errorf("table %s: a slot is there twice", r.Table.Name())
		}
		for range 8 {
			i, k := rng.IntN(len(slots)), rng.IntN(dim)
			x := &r.Table.Row(slots[i])[k]
			const step = 1e-2
			at := *x
			*x = at + step
			up, _ := tr.Step.Run(b, 1)
			*x = at - step
			down, _ := tr.Step.Run(b, 1)
			*x = at
			want := (up - down) / (2 * step)
			if got := float64(grads[i*dim+k]); math.Abs(got-want) > 2e-3*max(0.05, math.Abs(want)) {
				t.Errorf("table %s: gradient %g, central difference %g", r.Table.Name(), got, want)
			}
		}
	}
}

// TestUnknown: ids outside the vocabulary read and train the shared row, or are zeros that never move.
func TestUnknown(t *testing.T) {
	const text = "labels: [{name: y}]\nfields:\n  - {name: a}\n  - {name: b, unknown: zero}\n"
	p := modeltest.Program(t, text, all["dnn"])
	tr := modeltest.Trainer(t, p, 3)
	b := modeltest.Batch(p.Schema(), 8, 3, 1)
	for i := range 8 {
		b.Columns[0].IDs[i], b.Columns[1].IDs[i] = 100+uint64(i), 200+uint64(i)
	}
	before := slices.Clone(tr.Tables["emb/a"].Row(0))
	for range 3 {
		if _, _, err := tr.Train(b); err != nil {
			t.Fatal(err)
		}
	}
	if slices.Equal(before, tr.Tables["emb/a"].Row(0)) {
		t.Error("the shared unknown row did not train")
	}
	for _, x := range tr.Tables["emb/b"].Row(0) {
		if x != 0 {
			t.Error("the zero row moved")
		}
	}
	if n := tr.Tables["emb/a"].Len(); n != 4 {
		t.Errorf("%d rows, want 4: unknown ids must not be admitted", n)
	}
}

// TestAdmit: with admit, ids get rows, whose initial values do not depend on the order of arrival.
func TestAdmit(t *testing.T) {
	p := modeltest.Program(t, schema, all["dnn"])
	row := func(order ...uint64) []float32 {
		tr, err := p.NewTrainer(nil, true)
		if err != nil {
			t.Fatal(err)
		}
		b := modeltest.Batch(p.Schema(), 1, 3, 1)
		for _, id := range order {
			b.Columns[0].IDs[0] = id
			if _, err := tr.Step.Run(b, 1); err != nil {
				t.Fatal(err)
			}
		}
		user := tr.Tables["emb/user"]
		return user.Row(user.Find(42))
	}
	if !slices.Equal(row(7, 42), row(42, 7, 9)) {
		t.Error("a new row depends on the order of arrival")
	}
}

func TestDeterminism(t *testing.T) {
	run := func() []snapshot.Part {
		p := modeltest.Program(t, schema, all["din"]+"net_dropout: 0.3\nbatch_norm: true\nembedding_regularizer: 0.01\n")
		tr := modeltest.Trainer(t, p, 9)
		for seed := range uint64(5) {
			if _, _, err := tr.Train(modeltest.Batch(p.Schema(), 50, 9, seed)); err != nil {
				t.Fatal(err)
			}
		}
		return tr.Parts()
	}
	a, b := run(), run()
	for i := range a {
		for k := range a[i].Tensors {
			x, y := a[i].Tensors[k], b[i].Tensors[k]
			if !slices.Equal(x.Data, y.Data) || !slices.EqualFunc(x.Pieces, y.Pieces, slices.Equal[[]byte]) {
				t.Errorf("part %s tensor %s differs", a[i].Name, x.Name)
			}
		}
	}
}

func TestCheckpoint(t *testing.T) {
	for name, text := range all {
		p := modeltest.Program(t, schema, text)
		tr := modeltest.Trainer(t, p, 9)
		b := modeltest.Batch(p.Schema(), 50, 9, 1)
		train := func(tr *models.Trainer) {
			for range 3 {
				if _, _, err := tr.Train(b); err != nil {
					t.Fatal(err)
				}
			}
		}
		train(tr)
		tr.Optimizer.SetLearningRate(0.005)
		m, err := tr.Manifest(name, &features.Stats{Rows: 50}, map[string]int{"epoch": 1})
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		if _, err := snapshot.Write(dir, m, tr.Parts()); err != nil {
			t.Fatal(err)
		}
		c, err := models.Load(dir)
		if err != nil {
			t.Fatal(err)
		}
		want := modeltest.Scores(t, p, tr.Step.Dense(), models.TableRows(tr.Tables), b)
		if got := modeltest.Scores(t, c.Program, c.Dense, models.TableRows(c.Tables), b); !slices.Equal(got, want) {
			t.Errorf("%s: a checkpoint read back scores differently", name)
		}
		light, err := models.LoadScoring(dir)
		if err != nil {
			t.Fatal(err)
		}
		if got := modeltest.Scores(t, light.Program, light.Dense, models.TableRows(light.Tables), b); !slices.Equal(got, want) {
			t.Errorf("%s: a checkpoint read for scoring scores differently", name)
		}
		u := c.Update("shop")
		if !u.Full || u.Version != c.Snapshot.Manifest.Version || len(u.Rows) != len(p.Tables()) {
			t.Errorf("%s: update %v %s of %d tables", name, u.Full, u.Version, len(u.Rows))
		}
		again, err := c.Trainer(false)
		if err != nil {
			t.Fatal(err)
		}
		train(tr)
		train(again)
		a := modeltest.Scores(t, p, tr.Step.Dense(), models.TableRows(tr.Tables), b)
		if got := modeltest.Scores(t, p, again.Step.Dense(), models.TableRows(again.Tables), b); !slices.Equal(got, a) {
			t.Errorf("%s: training goes on differently from a checkpoint", name)
		}
	}
}

func TestBadBatches(t *testing.T) {
	p := modeltest.Program(t, schema, all["din"])
	tr := modeltest.Trainer(t, p, 9)
	bad := func(want string, change func(b *features.Batch)) {
		t.Helper()
		b := modeltest.Batch(p.Schema(), 10, 9, 1)
		change(b)
		if _, err := tr.Step.Run(b, 1); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q in it", err, want)
		}
	}
	bad("empty", func(b *features.Batch) { b.Rows = 0 })
	bad("field user", func(b *features.Batch) { b.Columns[0].IDs = b.Columns[0].IDs[:3] })
	bad("field price", func(b *features.Batch) { b.Columns[1].Values = nil })
	bad("label click", func(b *features.Batch) { b.Labels[0] = b.Labels[0][:2] })
	bad("hist_rating", func(b *features.Batch) {
		c := &b.Columns[7]
		c.IDs = append(c.IDs, 1)
		c.Offsets[10]++
	})
}

func TestMonitor(t *testing.T) {
	value := func(text string, want float64) {
		t.Helper()
		m, err := models.ParseMonitor(text)
		if err != nil {
			t.Error(err)
		} else if got := m.Value(0.8, 0.7, 0.5); math.Abs(got-want) > 1e-12 {
			t.Errorf("%q is %g, want %g", text, got, want)
		}
	}
	value("AUC", 0.8)
	value("gAUC", 0.7)
	value("logloss", -0.5)
	value("AUC-logloss", 0.3)
	value("AUC + gAUC", 1.5)
	for _, text := range []string{"", "acc", "AUC-", "AUC--logloss"} {
		if _, err := models.ParseMonitor(text); err == nil {
			t.Errorf("monitor %q is accepted", text)
		}
	}
}

func TestFullTableOptimizerIsTheDefault(t *testing.T) {
	p := modeltest.Program(t, schema, "model: dnn")
	if got := p.Spec().Settings.Optim().EmbeddingOptimizer; got != optim.AdamName {
		t.Errorf("embedding optimizer %q, want %q", got, optim.AdamName)
	}
}
