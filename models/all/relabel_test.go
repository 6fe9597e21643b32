package all_test

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/models"
	"github.com/millrace/millrace/models/modeltest"
)

// TestRelabelledIDsScoreAlike: ids are names. With the ids of one vocabulary exchanged among each other and the rows of its tables with them, every model scores as before.
func TestRelabelledIDsScoreAlike(t *testing.T) {
	paths, err := filepath.Glob("../../examples/*/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	done := map[string]bool{} // one file a model
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		name := ""
		for line := range strings.Lines(string(text)) {
			if n, ok := strings.CutPrefix(line, "model:"); ok {
				name = models.Canonical(n)
			}
		}
		if name == "" || done[name] {
			continue
		}
		done[name] = true
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			schema, err := os.ReadFile(filepath.Join(filepath.Dir(path), "schema.yaml"))
			if err != nil {
				t.Fatal(err)
			}
			relabel(t, string(schema), string(text))
		})
	}
}

func relabel(t *testing.T, schema, model string) {
	const ids = 9
	p := modeltest.Program(t, schema, model)
	tr := modeltest.Trainer(t, p, ids)
	modeltest.Randomise(tr.Tables, 0.1)
	b := modeltest.Batch(p.Schema(), 16, ids, 3)
	score := func() []float32 { return modeltest.Scores(t, p, tr.Step.Dense(), models.TableRows(tr.Tables), b) }
	before := slices.Clone(score())

	renamed := func(id uint64) uint64 { return 1 + id*4%ids } // of 1 to 9, a permutation
	vocabulary := p.Tables()[0].Vocabulary
	for _, spec := range p.Tables() {
		if spec.Vocabulary != vocabulary {
			continue
		}
		tab, rows := tr.Tables[spec.Name], map[uint64][]float32{}
		for id := range uint64(ids) {
			rows[renamed(id+1)] = slices.Clone(tab.Row(tab.Find(id + 1)))
		}
		for id, row := range rows {
			copy(tab.Row(tab.Find(id)), row)
		}
	}
	if slices.Equal(score(), before) {
		t.Error("other rows for the same ids change no score")
	}
	for i := range p.Schema().Fields {
		if f := &p.Schema().Fields[i]; f.Table() == vocabulary && !models.IsNumber(f) {
			for k, id := range b.Columns[i].IDs {
				b.Columns[i].IDs[k] = renamed(id)
			}
		}
	}
	for r, got := range score() {
		if math.Abs(float64(got-before[r])) > 1e-6 {
			t.Errorf("row %d: %g after relabelling, %g before", r, got, before[r])
		}
	}
}
