package training_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/core/snapshot"
	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/models"
	"github.com/millrace/millrace/models/modeltest"
	"github.com/millrace/millrace/training"
)

func load(t testing.TB, dir string) *models.Checkpoint {
	t.Helper()
	c, err := models.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// equalTensors wants the same dense tensors, bit for bit.
func equalTensors(t *testing.T, got, want []snapshot.Tensor) {
	t.Helper()
	for _, w := range want {
		if !slices.Equal(modeltest.Values(t, got, w.Name), modeltest.Values(t, want, w.Name)) {
			t.Errorf("tensor %s differs", w.Name)
		}
	}
}

// TestWarmStartGoesOn: a run that starts from another's checkpoint, with the same model and the rows in the same order, does what the other would have done next.
func TestWarmStartGoesOn(t *testing.T) {
	model := func(epochs string) string {
		return strings.Replace(shopModel, "epochs: 4", "epochs: "+epochs+"\nshuffle: false\nearly_stop_patience: 9\nmonitor: logloss", 1)
	}
	for _, more := range []string{"", "optimizer: adagrad\n", "embedding_optimizer: sparse_adam\n", "optimizer: sgd\n"} {
		two := shop(t, model("2")+more)
		run(t, two)
		one := two
		one.Out, one.Spec = two.Out+"1", shop(t, model("1")+more).Spec
		run(t, one)
		next := one
		next.Out, next.Init = two.Out+"2", load(t, one.Out)
		r := run(t, next)
		got, want := load(t, filepath.Join(next.Out, "state")), load(t, filepath.Join(two.Out, "state"))
		equalTensors(t, got.Dense, want.Dense)
		for name, w := range want.Tables {
			g := got.Tables[name]
			if g.Len() != w.Len() {
				t.Fatalf("%stable %s has %d rows, want %d", more, name, g.Len(), w.Len())
			}
			for s := range uint32(w.Len()) {
				k := g.Find(w.ID(s))
				if !slices.Equal(g.Row(k), w.Row(s)) || !slices.Equal(g.State(k), w.State(s)) {
					t.Errorf("%stable %s: row %d differs", more, name, s)
					break
				}
			}
		}
		for _, x := range r.Init.Tables {
			if state := !strings.Contains(more, "sgd"); x.New != "" || x.State != state {
				t.Errorf("%s%+v", more, x)
			}
		}
	}
}

const wider = "  - {name: shop, from: context}\n  - {name: age, type: numeric, from: user, standardise: true}\n"

// widen adds the columns of the wider schema to a file.
func widen(t testing.TB, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	for i := range lines {
		if i == 0 {
			lines[i] += ",shop,age"
		} else {
			lines[i] += []string{",s1,20", ",s2,30", ",s3,40"}[i%3]
		}
	}
	out := strings.TrimSuffix(path, ".csv") + "-wide.csv"
	if err := os.WriteFile(out, []byte(strings.Join(lines, "\n")+"\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	return out
}

// notes keeps what a run tells.
type notes struct {
	firstStep
	lines []string
}

func (n *notes) Step(training.Progress) {}
func (n *notes) Note(text string)       { n.lines = append(n.lines, text) }

// TestWarmStartOfAnotherSchema: fields added and dropped; the run tells what it kept, in run.json as well, and goes on with it after an interruption.
func TestWarmStartOfAnotherSchema(t *testing.T) {
	o := shop(t, shopModel)
	cold := run(t, o)
	schema, err := features.ParseSchema([]byte(strings.Replace(shopSchema, "  - {name: price, type: numeric, from: item, standardise: true}\n", wider, 1)))
	if err != nil {
		t.Fatal(err)
	}
	w := o
	if w.Spec, err = models.Parse([]byte(strings.Replace(shopModel, "epochs: 4", "epochs: 1", 1)), schema); err != nil {
		t.Fatal(err)
	}
	seen := &notes{firstStep: firstStep{t}}
	w.Schema, w.Out, w.Init, w.Observer = schema, o.Out+"2", load(t, o.Out), seen
	w.Train, w.Valid.Files, w.Test.Files = []string{widen(t, o.Train[0])}, []string{widen(t, o.Valid.Files[0])}, []string{widen(t, o.Test.Files[0])}
	w.PauseAfter = 1
	run(t, w)
	w.Resume, w.PauseAfter = true, 0
	r := run(t, w)
	if r.Init == nil || !slices.Equal(r.Init.Fields.Added, []string{"shop", "age"}) || !slices.Equal(r.Init.Fields.Dropped, []string{"price"}) {
		t.Fatalf("inheritance %+v", r.Init)
	}
	told := strings.Join(seen.lines, "\n")
	for _, want := range []string{"added: shop, age, dropped: price", "table emb/item: ", "with the optimizer's state", "table emb/shop begins anew", "weights mlp/0/weight: 192 of 320 numbers kept", "(shop; age)"} {
		if !strings.Contains(told, want) {
			t.Errorf("it tells\n%s\nwant %q", told, want)
		}
	}
	w.Init, w.Resume, w.Out = nil, false, o.Out+"3"
	if fresh := run(t, w); !(r.AUC > fresh.AUC) {
		t.Errorf("AUC %g after an epoch from a checkpoint of another schema, %g from nothing, %g before", r.AUC, fresh.AUC, cold.AUC)
	}
	text, err := os.ReadFile(filepath.Join(o.Out+"2", "run.json"))
	if err != nil {
		t.Fatal(err)
	}
	var record struct{ Init *models.Inheritance }
	if err := json.Unmarshal(text, &record); err != nil || record.Init == nil || len(record.Init.Tables) != 3 {
		t.Errorf("run.json: %v, %+v", err, record.Init)
	}
	stats := load(t, o.Out+"2").Stats
	if stats.Numeric["age"].Mean < 29 || stats.Numeric["age"].Mean > 31 {
		t.Errorf("statistics %+v", stats)
	}
}

// TestWarmIncremental: a daemon's learner with a field more scores like the one before where the field's weights are zero, and learns on.
func TestWarmIncremental(t *testing.T) {
	for name, model := range streamModels {
		spec, s := streamSpec(t, model)
		first, err := training.NewIncremental(spec, s, training.IncrementalOptions{})
		if err != nil {
			t.Fatal(err)
		}
		learn(t, first, events(t, s, 1, 200, 200))
		if _, err := first.Flush(); err != nil {
			t.Fatal(err)
		}
		m, parts, err := first.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		if _, err := snapshot.Write(dir, m, parts); err != nil {
			t.Fatal(err)
		}
		now, err := features.ParseSchema([]byte(streamSchema + "  - {name: device, from: context}\n  - {name: age, type: numeric, from: user}\n"))
		if err != nil {
			t.Fatal(err)
		}
		spec, err = models.Parse([]byte(model), now)
		if err != nil {
			t.Fatal(err)
		}
		l, in, err := training.WarmIncremental(spec, now, load(t, dir), training.IncrementalOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range in.Tables {
			if isNew := strings.Contains(x.Name, "device"); (x.New != "") != isNew || !isNew && (x.Rows < 2 || !x.State) {
				t.Errorf("%s: %+v", name, x)
			}
		}
		if in.Optimizer != "" {
			t.Errorf("%s: %s", name, in.Optimizer)
		}
		learn(t, l, events(t, now, 2, 100))
		if rows, err := l.Flush(); err != nil || rows != 500 {
			t.Errorf("%s: %d rows, %v", name, rows, err)
		}
		if u, err := l.Update(); err != nil || !u.Full {
			t.Errorf("%s: the first update is not a full one: %v", name, err)
		}
	}
}
