package training_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/apache/arrow/go/v15/arrow"

	"github.com/millrace/millrace/core/snapshot"
	"github.com/millrace/millrace/core/table"
	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/models"
	"github.com/millrace/millrace/training"
)

const streamSchema = `
name: stream
user: user
item: item
labels: [{name: click}]
fields:
  - {name: user, from: user}
  - {name: item, from: item}
  - {name: hour, from: context, min_count: 3}
  - {name: price, type: numeric, from: item}
  - {name: hist, type: sequence, shares: item, from: history, max: 5}
`

var streamModels = map[string]string{
	"lr":     "model: lr\nlearning_rate: 0.05\nembedding_optimizer: sparse_adam\nbatch_size: 64\n",
	"dnn":    "model: dnn\nembedding_dim: 4\nhidden_units: [16]\nlearning_rate: 0.01\nembedding_optimizer: sparse_adam\nbatch_size: 64\n",
	"din":    "model: din\nembedding_dim: 4\ndnn_hidden_units: [16]\nattention_hidden_units: [8]\nlearning_rate: 0.01\nembedding_optimizer: sparse_adam\nbatch_size: 64\n",
	"full":   "model: dnn\nembedding_dim: 4\nhidden_units: [16]\nlearning_rate: 0.01\nbatch_size: 64\n",
	"dropin": "model: finalmlp\nembedding_dim: 4\nmlp1_hidden_units: [8]\nmlp2_hidden_units: [8]\nmlp1_dropout: 0.2\nfs1_context: [user]\nlearning_rate: 0.01\nembedding_optimizer: sparse_adam\nbatch_size: 64\n",
}

func streamSpec(t testing.TB, model string) (*models.Spec, *features.Schema) {
	t.Helper()
	s, err := features.ParseSchema([]byte(streamSchema))
	if err != nil {
		t.Fatal(err)
	}
	spec, err := models.Parse([]byte(model), s)
	if err != nil {
		t.Fatal(err)
	}
	return spec, s
}

// events makes records of the given sizes, the same for the same seed however they are cut.
func events(t testing.TB, s *features.Schema, seed uint64, sizes ...int) []arrow.Record {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 0))
	a := features.NewAssembler(s, true)
	var out []arrow.Record
	for _, n := range sizes {
		for range n {
			u, v := rng.IntN(30), rng.IntN(20)
			r := &features.Row{
				User: fmt.Sprint("u", u), Item: fmt.Sprint("i", v), Context: features.Values{"hour": fmt.Sprint(rng.IntN(24))},
				ItemFeatures: features.Values{"price": float64(v)}, Labels: map[string]float64{"click": float64((u + v) % 2)},
			}
			for k := range rng.IntN(4) {
				item := fmt.Sprint("i", rng.IntN(20))
				r.History = append(r.History, s.BehaviourOf(item, nil, nil, int64(k), "click"))
			}
			if err := a.Append(r); err != nil {
				t.Fatal(err)
			}
		}
		out = append(out, a.Record())
	}
	return out
}

func learn(t testing.TB, l *training.Incremental, recs []arrow.Record) {
	t.Helper()
	for _, rec := range recs {
		if _, err := l.Learn(rec); err != nil {
			t.Fatal(err)
		}
		rec.Release()
	}
}

func newLearner(t testing.TB, model string) (*training.Incremental, *features.Schema) {
	t.Helper()
	spec, s := streamSpec(t, model)
	l, err := training.NewIncremental(spec, s, training.IncrementalOptions{Model: "m"})
	if err != nil {
		t.Fatal(err)
	}
	return l, s
}

func write(t testing.TB, dir string, l *training.Incremental) {
	t.Helper()
	m, parts, err := l.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := snapshot.Write(dir, m, parts); err != nil {
		t.Fatal(err)
	}
}

func resume(t testing.TB, dir string) *training.Incremental {
	t.Helper()
	c, err := models.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	l, err := training.ResumeIncremental(c, training.IncrementalOptions{Model: "m"})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// TestIncrementalResume: the same records give the same bytes however they are cut into records, and across a checkpoint.
func TestIncrementalResume(t *testing.T) {
	for name, model := range streamModels {
		t.Run(name, func(t *testing.T) {
			whole, s := newLearner(t, model)
			learn(t, whole, events(t, s, 1, 640))
			parts, _ := newLearner(t, model)
			recs := events(t, s, 1, 100, 1, 219, 320)
			learn(t, parts, recs[:3])
			if n := parts.Waiting(); n != 0 {
				t.Fatalf("%d rows wait, want none", n)
			}
			dir := t.TempDir()
			write(t, dir, parts)
			again := resume(t, dir)
			learn(t, again, recs[3:])
			a, b := t.TempDir(), t.TempDir()
			write(t, a, whole)
			write(t, b, again)
			x, y := tree(t, a), tree(t, b)
			for file := range x {
				if x[file] != y[file] {
					t.Errorf("%s differs", file)
				}
			}
			if len(x) != len(y) {
				t.Errorf("%d and %d files", len(x), len(y))
			}
		})
	}
}

// replica applies updates as a store would.
type replica struct {
	dense []snapshot.Tensor
	rows  map[string]map[uint64][]float32
}

func (r *replica) apply(u *snapshot.Update) {
	r.dense = u.Dense
	if u.Full || r.rows == nil {
		r.rows = map[string]map[uint64][]float32{}
	}
	for _, t := range u.Rows {
		if r.rows[t.Table] == nil {
			r.rows[t.Table] = map[uint64][]float32{}
		}
		for i, id := range t.IDs {
			r.rows[t.Table][id] = slices.Clone(t.Values[i*t.Dim:][:t.Dim])
		}
	}
}

// TestUpdates: the updates put together are the trainer's weights.
func TestUpdates(t *testing.T) {
	for name, model := range streamModels {
		t.Run(name, func(t *testing.T) {
			l, s := newLearner(t, model)
			var r replica
			var last *snapshot.Update
			for i, rec := range events(t, s, 2, 64, 64, 10, 118) {
				learn(t, l, []arrow.Record{rec})
				u, err := l.Update()
				if err != nil {
					t.Fatal(err)
				}
				if i == 2 { // ten rows wait: nothing changed
					if u != nil {
						t.Errorf("update %s although nothing was trained", u.Version)
					}
					continue
				}
				if want := i == 0 || name == "full"; u.Full != want || last != nil && (u.Seq != last.Seq+1 || u.Version == last.Version) {
					t.Errorf("update %d: full %v, sequence %d, version %s", i, u.Full, u.Seq, u.Version)
				}
				r.apply(u)
				last = u
			}
			dir := t.TempDir()
			write(t, dir, l)
			c, err := models.Load(dir)
			if err != nil {
				t.Fatal(err)
			}
			for i, d := range c.Dense {
				if !slices.Equal(d.Data, r.dense[i].Data) {
					t.Errorf("dense %s differs", d.Name)
				}
			}
			for name, tab := range c.Tables {
				if len(r.rows[name]) != tab.Len() {
					t.Errorf("table %s: %d rows in the updates, %d in the checkpoint", name, len(r.rows[name]), tab.Len())
				}
				for slot := range uint32(tab.Len()) {
					if !slices.Equal(r.rows[name][tab.ID(slot)], tab.Row(slot)) {
						t.Errorf("table %s id %d differs", name, tab.ID(slot))
					}
				}
			}
		})
	}
}

// TestAdmission: an id below its field's minimum count trains the unknown row, and has a row of its own from then on.
func TestAdmission(t *testing.T) {
	l, s := newLearner(t, streamModels["dnn"])
	row := func(hour string) *features.Row {
		return &features.Row{User: "u", Item: "i", Context: features.Values{"hour": hour}, Labels: map[string]float64{"click": 1}}
	}
	count := func(hours ...string) int {
		t.Helper()
		a := features.NewAssembler(s, true)
		for _, h := range hours {
			if err := a.Append(row(h)); err != nil {
				t.Fatal(err)
			}
		}
		learn(t, l, []arrow.Record{a.Record()})
		if _, err := l.Flush(); err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		write(t, dir, l)
		l = resume(t, dir) // the counts are in the checkpoint
		c, err := models.Load(dir)
		if err != nil {
			t.Fatal(err)
		}
		return c.Tables["emb/hour"].Len() - 1
	}
	steps := []struct {
		hours []string
		want  int
	}{{[]string{"1", "1"}, 0}, {[]string{"2"}, 0}, {[]string{"1"}, 1}, {[]string{"2", "2", "1"}, 2}, {[]string{"3", "3", "3", "3"}, 3}}
	for i, c := range steps {
		if got := count(c.hours...); got != c.want {
			t.Errorf("step %d: %d hours have rows, want %d", i, got, c.want)
		}
	}
}

// TestFlush: waiting rows block a checkpoint until they are flushed.
func TestFlush(t *testing.T) {
	l, s := newLearner(t, streamModels["lr"])
	learn(t, l, events(t, s, 1, 70))
	if _, _, err := l.Snapshot(); err == nil || l.Waiting() != 6 {
		t.Errorf("a checkpoint with %d rows waiting: error %v", l.Waiting(), err)
	}
	if n, err := l.Flush(); n != 70 || err != nil {
		t.Errorf("%d rows, error %v", n, err)
	}
	if n, err := l.Flush(); n != 70 || err != nil {
		t.Errorf("a second flush: %d rows, error %v", n, err)
	}
	write(t, t.TempDir(), l)
}

// TestIncrementalLearns: streams teach what a file would.
func TestIncrementalLearns(t *testing.T) {
	for _, name := range []string{"dnn", "din"} {
		l, s := newLearner(t, streamModels[name])
		learn(t, l, events(t, s, 1, 64))
		first := l.Loss()
		for seed := range uint64(20) {
			learn(t, l, events(t, s, seed, 640))
		}
		if !(l.Loss() < first/2) {
			t.Errorf("%s: loss %g after %g", name, l.Loss(), first)
		}
	}
}

// TestFromTrainRun: a learner goes on from a batch run's checkpoint, with its statistics, its ids and its optimizer.
func TestFromTrainRun(t *testing.T) {
	o := shop(t, shopModel)
	run(t, o)
	c, err := models.Load(o.Out)
	if err != nil {
		t.Fatal(err)
	}
	rows := c.Tables["emb/item"].Len()
	l, err := training.ResumeIncremental(c, training.IncrementalOptions{Model: "shop", BatchSize: 1})
	if err != nil {
		t.Fatal(err)
	}
	a := features.NewAssembler(o.Schema, true)
	if err := a.Append(&features.Row{User: "u1", Item: "new", ItemFeatures: features.Values{"price": 3.0}, TimeMS: 1, Labels: map[string]float64{"click": 1}}); err != nil {
		t.Fatal(err)
	}
	learn(t, l, []arrow.Record{a.Record()})
	if got := c.Tables["emb/item"].Len(); got != rows+1 {
		t.Errorf("%d rows after a new item, want %d", got, rows+1)
	}
	u, err := l.Update()
	if err != nil || !u.Full || u.Model != "shop" {
		t.Errorf("update %+v, error %v", u, err)
	}
	if s := c.Tables["emb/user"].Find(table.UnknownID); s != 0 {
		t.Errorf("the unknown row is at %d", s)
	}
}
