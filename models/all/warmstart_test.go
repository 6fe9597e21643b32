package all_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/models"
	"github.com/millrace/millrace/models/modeltest"
)

// warmFields are the fields of the tests' schemas by name.
var warmFields = map[string]string{
	"user": "{name: user}", "item": "{name: item}", "cat": "{name: cat}", "device": "{name: device}", "tags": "{name: tags, type: multi, from: item}",
	"price": "{name: price, type: numeric}", "age": "{name: age, type: numeric}",
	"hist_item": "{name: hist_item, type: sequence, shares: item, max: 6}", "hist_cat": "{name: hist_cat, type: sequence, shares: cat, max: 6}",
}

func warmSchema(labels int, fields ...string) string {
	text := "labels: [{name: click}, {name: buy}, {name: rate}]"
	text = strings.Join(strings.SplitAfterN(text, "}", labels+1)[:labels], "") + "]"
	text += "\nfields:\n"
	for _, f := range fields {
		text += "  - " + warmFields[f] + "\n"
	}
	return text
}

// warmModel is a small model file.
func warmModel(name string) string {
	if name == "lr" {
		return "model: lr\n"
	}
	return "model: " + name + "\nembedding_dim: 4\n"
}

// tasks is how many labels a model wants at least.
func tasks(name string) int {
	if slices.Contains([]string{"dtrn", "mmoe", "ple", "esmm", "sharedbottom", "aitm"}, name) {
		return 2
	}
	return 1
}

// asCheckpoint is a trainer's weights as a checkpoint in memory.
func asCheckpoint(t *testing.T, tr *models.Trainer) *models.Checkpoint {
	t.Helper()
	w, err := tr.Program.NewWeights("1", tr.Step.Dense())
	if err != nil {
		t.Fatal(err)
	}
	return &models.Checkpoint{Schema: tr.Program.Schema(), Spec: tr.Program.Spec(), Program: tr.Program, Weights: w, Tables: tr.Tables, Dense: tr.Step.Dense()}
}

// permuted takes the columns of a batch by the names of another schema's fields; new ones are those of other.
func permuted(b *features.Batch, from, to *features.Schema, other *features.Batch) *features.Batch {
	out := &features.Batch{Rows: b.Rows, Labels: b.Labels, Columns: make([]features.Column, len(to.Fields))}
	for i := range to.Fields {
		if k := from.Field(to.Fields[i].Name); k >= 0 {
			out.Columns[i] = b.Columns[k]
		} else {
			out.Columns[i] = other.Columns[i]
		}
	}
	return out
}

const warmIDs = 9

// warmFrom trains a few steps, so that no weight is still what a formula gave it.
func warmFrom(t *testing.T, schema, model string) *models.Trainer {
	t.Helper()
	p := modeltest.Program(t, schema, model)
	tr := modeltest.Trainer(t, p, warmIDs)
	modeltest.Randomise(tr.Tables, 0.3)
	for i := range uint64(3) {
		if _, _, err := tr.Train(modeltest.Batch(p.Schema(), 16, warmIDs, 10+i)); err != nil {
			t.Fatal(err)
		}
	}
	return tr
}

func warm(t *testing.T, schema, model string, c *models.Checkpoint) (*models.Trainer, *models.Inheritance) {
	t.Helper()
	tr, in, err := modeltest.Program(t, schema, model).WarmTrainer(c, nil, false, false)
	if err != nil {
		t.Fatal(err)
	}
	return tr, in
}

func scoresOf(t *testing.T, tr *models.Trainer, b *features.Batch) []float32 {
	return slices.Clone(modeltest.Scores(t, tr.Program, tr.Step.Dense(), models.TableRows(tr.Tables), b))
}

func sameScores(t *testing.T, got, want []float32, what string) {
	t.Helper()
	for i := range want {
		if math.Abs(float64(got[i]-want[i])) > 2e-6 {
			t.Errorf("%s: score %d is %g, want %g", what, i, got[i], want[i])
			return
		}
	}
}

// TestWarmStartKeepsWhatMeansTheSame: fields in another order, and a field added and dropped again, leave every model's scores as they are; what a field that is
// added brings along concerns that field alone.
func TestWarmStartKeepsWhatMeansTheSame(t *testing.T) {
	for _, name := range models.Names() {
		if testing.Short() && !slices.Contains([]string{"deepfm", "dcnv2", "finalmlp", "autointplus", "din", "xdeepfm"}, name) {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			labels, model := tasks(name), warmModel(name)
			old := warmSchema(labels, "user", "item", "cat", "tags", "price", "hist_item", "hist_cat")
			tr := warmFrom(t, old, model)
			c := asCheckpoint(t, tr)
			s := tr.Program.Schema()
			b := modeltest.Batch(s, 16, warmIDs, 5)
			want := scoresOf(t, tr, b)

			if name != "fibinet" { // (v_f·W)∘v_g is not (v_g·W)∘v_f
				turned, in := warm(t, warmSchema(labels, "price", "tags", "cat", "hist_item", "item", "hist_cat", "user"), model, c)
				sameScores(t, scoresOf(t, turned, permuted(b, s, turned.Program.Schema(), nil)), want, "fields in another order")
				for _, d := range in.Dense {
					if d.Kept != d.Of {
						t.Errorf("fields in another order: %d of %d numbers of %s kept: %s", d.Kept, d.Of, d.Name, d.New)
					}
				}
			}

			more := warmSchema(labels, "user", "age", "item", "device", "cat", "tags", "price", "hist_item", "hist_cat")
			added, in := warm(t, more, model, c)
			narrower := map[string]string{"masknet": "/mask/", "fibinet": "senet/"}[name] // layers as wide as there are fields, by a ratio
			for _, d := range in.Dense {
				concerned := narrower != "" && strings.Contains(d.Name, narrower) || strings.Contains(d.New, "device") || strings.Contains(d.New, "age") || strings.Contains(d.Name, "/age") || strings.Contains(d.Name, "/device")
				if d.Kept != d.Of && !concerned {
					t.Errorf("fields age and device added: %d of %d numbers of %s kept: %s", d.Kept, d.Of, d.Name, d.New)
				}
			}
			if narrower != "" {
				return
			}
			again, _ := warm(t, old, model, asCheckpoint(t, added))
			sameScores(t, scoresOf(t, again, b), want, "fields added and dropped again")
		})
	}
}

// TestWarmStartAddsNothing: an added field whose own weights are zero leaves the scores as they were.
func TestWarmStartAddsNothing(t *testing.T) {
	f := func(model string) {
		t.Helper()
		tr := warmFrom(t, warmSchema(1, "user", "item", "cat", "price"), model)
		s := tr.Program.Schema()
		b := modeltest.Batch(s, 16, warmIDs, 5)
		more := warmSchema(1, "device", "user", "item", "age", "cat", "price")
		added, in := warm(t, more, model, asCheckpoint(t, tr))
		if got := strings.Join(in.Fields.Added, " "); got != "device age" || len(in.Fields.Kept) != 4 || len(in.Fields.Dropped)+len(in.Fields.Changed) != 0 {
			t.Errorf("%s: fields %+v", model, in.Fields)
		}
		// What was not taken over is what another seed starts otherwise.
		p, err := models.NewProgram(added.Program.Spec(), added.Program.Schema(), 8)
		if err != nil {
			t.Fatal(err)
		}
		other, _, err := p.WarmTrainer(asCheckpoint(t, tr), nil, false, false)
		if err != nil {
			t.Fatal(err)
		}
		mine, theirs := added.Step.Dense(), other.Step.Dense()
		fresh := 0
		for i, d := range mine {
			x, y := modeltest.Values(t, mine, d.Name), modeltest.Values(t, theirs, d.Name)
			n := 0
			for k := range x {
				if x[k] != y[k] {
					x[k] = 0
					n++
				}
			}
			if missing := in.Dense[i].Of - in.Dense[i].Kept; n > missing {
				t.Errorf("%s: %d numbers of %s are new, %d are said to be", model, n, d.Name, missing)
			}
			fresh += n
			modeltest.Set(t, mine, d.Name, func(k int) float32 { return x[k] })
		}
		for _, e := range in.Tables {
			if e.New == "" {
				continue
			}
			clear(added.Tables[e.Name].Row(0))
		}
		got := modeltest.Scores(t, added.Program, mine, models.TableRows(added.Tables), permuted(b, s, added.Program.Schema(), modeltest.Batch(added.Program.Schema(), 16, warmIDs, 6)))
		sameScores(t, got, scoresOf(t, tr, b), model)
		if fresh == 0 && !strings.Contains(model, ": fm") && !strings.Contains(model, ": lr") {
			t.Errorf("%s: no number is new", model)
		}
	}
	f("model: lr\n")
	f("model: fm\nembedding_dim: 4\n")
	f("model: dnn\nembedding_dim: 4\nbatch_norm: true\n")
	f("model: deepfm\nembedding_dim: 4\n")
	f("model: dcnv2\nembedding_dim: 4\n")
	f("model: finalmlp\nembedding_dim: 4\nfs1_context: [user]\nfs2_context: [item]\n")
	f("model: widedeep\nembedding_dim: 4\n")
}

// TestWarmStartBeginsAnew: what no longer means the same is not taken over, and the reason is told.
func TestWarmStartBeginsAnew(t *testing.T) {
	base := []string{"user", "item", "cat", "price"}
	model := "model: dnn\nembedding_dim: 4\n"
	tr := warmFrom(t, warmSchema(1, base...), model)
	f := func(schema, model string, want ...string) {
		t.Helper()
		_, in := warm(t, schema, model, asCheckpoint(t, tr))
		var text []string
		text = append(text, in.Fields.Changed...)
		text = append(text, in.Notes...)
		for _, e := range in.Tables {
			if e.New != "" {
				text = append(text, "table "+e.Name+": "+e.New)
			}
		}
		for _, d := range in.Dense {
			if d.New != "" {
				text = append(text, d.Name+": "+d.New)
			}
		}
		text = append(text, in.Unused...)
		text = append(text, "optimizer: "+in.Optimizer)
		for _, w := range want {
			if !strings.Contains(strings.Join(text, "\n"), w) {
				t.Errorf("want %q in\n%s", w, strings.Join(text, "\n"))
			}
		}
	}
	schema := warmSchema(1, base...)
	f(schema, "model: dnn\nembedding_dim: 6\n", "table emb/user: its rows were 4 wide and are 6", "mlp/0/weight: it was [16, 64] and is [24, 64]", "optimizer: the checkpoint has none")
	f(warmSchema(1, "user", "item", "price"), model, "table emb/cat with")
	f(warmSchema(1, "user", "item", "cat", "price", "device"), model, "mlp/0/weight: 4 of 20 rows (device)", "table emb/device: the checkpoint has no such table")
	f(strings.Replace(schema, "price, type: numeric", "price, type: numeric, log: true", 1), model, "price was a number, as it is and is a number, its logarithm", "4 of 16 rows (price)", "emb/numeric: its inputs are others (price)")
	f(strings.Replace(schema, "price, type: numeric", "price, type: numeric, buckets: [1, 2]", 1), model, "price was a number", "table emb/price: the checkpoint has no such table")
	f(strings.Replace(schema, "{name: cat}", "{name: cat, shares: item}", 1), model, "cat was categorical, table cat of texts and is categorical, table item of texts", "4 of 16 rows (cat)")
	f(schema, "model: dnn\nembedding_dim: 4\nhidden_units: [64, 32]\n", "mlp/1/weight: it was [64, 64] and is [64, 32]", "out/weight: it was [64, 1] and is [32, 1]", "mlp/2/weight")
	f(schema, "model: dnn\nembedding_dim: 4\nhidden_activations: tanh\n", "mlp/0/weight: it was used in linear relu")
	f(schema, "model: dnn\nembedding_dim: 4\noptimizer: adagrad\n", "optimizer: the optimizer was adam with adam for embeddings and is adagrad with adagrad")
	f(schema, "model: deepfm\nembedding_dim: 4\n", "the checkpoint is a dnn, this model a deepfm", "linear/user: the checkpoint has no such table")
	f(strings.Replace(schema, "click", "buy", 1), model, "labels are click, now they are buy")
	f(strings.Replace(schema, "{name: click}", "{name: click, above: 3}", 1), model, "label click is another now")
	if _, _, err := modeltest.Program(t, "labels: [{name: y}]\nfields: [{name: other}]\n", "model: lr\n").WarmTrainer(asCheckpoint(t, tr), nil, false, false); err == nil {
		t.Error("nothing in common, and no error")
	}
}

// TestWarmStartOfMoreLabels: the one label's weights go on as those of its name beside others.
func TestWarmStartOfMoreLabels(t *testing.T) {
	one, two := warmSchema(1, "user", "item"), warmSchema(2, "user", "item")
	for _, model := range []string{"model: deepfm\nembedding_dim: 4\n", "model: fm\nembedding_dim: 4\n"} {
		tr := warmFrom(t, one, model)
		b := modeltest.Batch(tr.Program.Schema(), 16, warmIDs, 5)
		more, _ := warm(t, two, model, asCheckpoint(t, tr))
		wider := modeltest.Batch(more.Program.Schema(), 16, warmIDs, 5)
		wider.Columns = b.Columns
		sameScores(t, scoresOf(t, more, wider)[:16], scoresOf(t, tr, b), model+"with a second label")
		back, _ := warm(t, one, model, asCheckpoint(t, more))
		sameScores(t, scoresOf(t, back, b), scoresOf(t, tr, b), model+"and without it")
	}
}

// TestWarmStartOfHistories: behaviours get a further field and lose it again; what the attention unit learned of the first stays.
func TestWarmStartOfHistories(t *testing.T) {
	for _, model := range []string{"model: din\nembedding_dim: 4\n", "model: din\nembedding_dim: 4\nattention_hidden_activations: dice\ndin_use_softmax: true\n", "model: dnn\nembedding_dim: 4\n"} {
		old, more := warmSchema(1, "user", "item", "cat", "hist_item"), warmSchema(1, "user", "item", "hist_cat", "cat", "hist_item")
		tr := warmFrom(t, old, model)
		b := modeltest.Batch(tr.Program.Schema(), 16, warmIDs, 5)
		added, in := warm(t, more, model, asCheckpoint(t, tr))
		for _, d := range in.Dense {
			if d.Kept == 0 || d.Kept != d.Of && !strings.Contains(d.New, "hist_cat") {
				t.Errorf("%s: %+v", model, d)
			}
		}
		again, _ := warm(t, old, model, asCheckpoint(t, added))
		sameScores(t, scoresOf(t, again, b), scoresOf(t, tr, b), model)
	}
}
