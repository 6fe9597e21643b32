package modeltest

import (
	"math"
	"strings"
	"testing"

	"github.com/millrace/millrace/core/snapshot"
	"github.com/millrace/millrace/core/table"
	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/models"
)

// Fixture is a small model with tables far from zero and a batch, for identities that compare its scores with a formula.
type Fixture struct {
	T       testing.TB
	Program *models.Program
	Tables  map[string]*table.Table
	Dense   []snapshot.Tensor
	Batch   *features.Batch
}

// NewFixture makes one with ids 1 to 9 and 16 rows. Rows of equal tables of two fixtures are equal, whatever other tables there are.
func NewFixture(t testing.TB, schema, model string) *Fixture {
	t.Helper()
	p := Program(t, schema, model)
	tr := Trainer(t, p, 9)
	for name, tab := range tr.Tables {
		for slot := range uint32(tab.Len()) {
			for k := range tab.Row(slot) {
				tab.Row(slot)[k] = float32(math.Sin(float64(len(name)) + 7*float64(slot) + 1.3*float64(k)))
			}
		}
	}
	return &Fixture{t, p, tr.Tables, tr.Step.Dense(), Batch(p.Schema(), 16, 9, 1)}
}

// Set overwrites a dense tensor by name.
func (f *Fixture) Set(name string, value func(i int) float32) {
	f.T.Helper()
	Set(f.T, f.Dense, name, value)
}

// Zero sets every dense tensor whose name starts with the prefix to zero.
func (f *Fixture) Zero(prefix string) {
	f.T.Helper()
	found := false
	for _, d := range f.Dense {
		if strings.HasPrefix(d.Name, prefix) {
			f.Set(d.Name, func(int) float32 { return 0 })
			found = true
		}
	}
	if !found {
		f.T.Fatalf("there is no tensor %s…", prefix)
	}
}

// Values returns a dense tensor by name.
func (f *Fixture) Values(name string) []float32 {
	f.T.Helper()
	return Values(f.T, f.Dense, name)
}

// Vector returns the row of a table, "emb/item", for the id that the batch's row has in the field.
func (f *Fixture) Vector(table string, field, row int) []float64 {
	f.T.Helper()
	tab := f.Tables[table]
	if tab == nil {
		f.T.Fatalf("there is no table %s", table)
	}
	var v []float64
	for _, x := range tab.Row(tab.Find(f.Batch.Columns[field].IDs[row])) {
		v = append(v, float64(x))
	}
	return v
}

// Logits returns the logits of the first label.
func (f *Fixture) Logits() []float64 {
	f.T.Helper()
	var z []float64
	for _, p := range Scores(f.T, f.Program, f.Dense, models.TableRows(f.Tables), f.Batch) {
		z = append(z, math.Log(float64(p)/(1-float64(p))))
	}
	return z
}

// Scores returns the probabilities of every label, [label][row].
func (f *Fixture) Scores() [][]float64 {
	f.T.Helper()
	w, err := f.Program.NewWeights("test", f.Dense)
	if err != nil {
		f.T.Fatal(err)
	}
	s, err := f.Program.NewScorer()
	if err != nil {
		f.T.Fatal(err)
	}
	got, err := s.Score(f.Batch, w, models.TableRows(f.Tables), nil)
	if err != nil {
		f.T.Fatal(err)
	}
	out := make([][]float64, len(got))
	for i := range got {
		for _, p := range got[i] {
			out[i] = append(out[i], float64(p))
		}
	}
	return out
}

// Near compares logits row by row; 1e-4 relative is what a float32 score near 0 or 1 leaves of its logit.
func Near(t testing.TB, got, want []float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d logits, want %d", len(got), len(want))
	}
	for r := range got {
		if !(math.Abs(got[r]-want[r]) <= 1e-4*math.Max(1, math.Abs(want[r]))) {
			t.Errorf("row %d: logit %.7g, want %.7g", r, got[r], want[r])
		}
	}
}

// Errors checks what each model file is refused with.
func Errors(t *testing.T, schema string, cases map[string]string) {
	t.Helper()
	for model, want := range cases {
		_, err := models.Parse([]byte(model), Schema(t, schema))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", model, err, want)
		}
	}
}
