package models_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/models"
	"github.com/millrace/millrace/models/modeltest"
)

const (
	twoFields = "labels: [{name: y}]\nfields:\n  - {name: a}\n  - {name: b}\n"
	sgdModel  = "model: DNN\nembedding_dim: 3\nhidden_units: [4]\noptimizer: sgd\nlearning_rate: 0.5\nmax_gradient_norm: 0\n"
)

// counted returns a trainer whose ids 1 to 6 occur n times each in both fields, and a batch that has every id once.
func counted(t *testing.T, keys string, n uint32) (*models.Trainer, *features.Batch) {
	t.Helper()
	p := modeltest.Program(t, twoFields, sgdModel+keys)
	tr := modeltest.Trainer(t, p, 6)
	modeltest.Randomise(tr.Tables, 0.7)
	b := modeltest.Batch(p.Schema(), 6, 6, 1)
	counts := features.Occurrences{"a": {}, "b": {}}
	for i := range 6 {
		id := uint64(i + 1)
		b.Columns[0].IDs[i], b.Columns[1].IDs[i] = id, id
		counts["a"][id], counts["b"][id] = n, n
	}
	if tr.NeedsOccurrences() {
		if err := tr.SetOccurrences(counts); err != nil {
			t.Fatal(err)
		}
	}
	return tr, b
}

// TestMinibatchAwareIsL2WhereEachIDOccursOnce: with n_j = 1 and every id once in the batch it is plain L2 of strength λ.
func TestMinibatchAwareIsL2WhereEachIDOccursOnce(t *testing.T) {
	plain, b := counted(t, "embedding_regularizer: 0.1\n", 1)
	aware, _ := counted(t, "embedding_regularizer: 0.1\nminibatch_aware_regularizer: true\n", 1)
	_, wantL2, err := plain.Train(b)
	if err != nil {
		t.Fatal(err)
	}
	_, l2, err := aware.Train(b)
	if err != nil {
		t.Fatal(err)
	}
	if math.Abs(l2-wantL2) > 1e-6*wantL2 {
		t.Errorf("the loss's part is %g, want %g", l2, wantL2)
	}
	for name, tab := range plain.Tables {
		for slot := range uint32(tab.Len()) {
			if got, want := aware.Tables[name].Row(slot), tab.Row(slot); !slices.Equal(got, want) {
				t.Errorf("table %s row %d: %v, with plain L2 %v", name, slot, got, want)
			}
		}
	}
}

// TestMinibatchAwareStep: w ← w − η(g + λ/n·w) in rows of the batch, and rows outside it stay.
func TestMinibatchAwareStep(t *testing.T) {
	const n = 4
	free, b := counted(t, "", n)
	aware, _ := counted(t, "embedding_regularizer: 0.1\nminibatch_aware_regularizer: true\n", n)
	b.Columns[0].IDs[5], b.Columns[1].IDs[5] = 1, 1 // id 6 is not in the batch
	start := map[string][]float32{}
	for name, tab := range aware.Tables {
		for slot := range uint32(tab.Len()) {
			start[name] = append(start[name], tab.Row(slot)...)
		}
	}
	for _, tr := range []*models.Trainer{free, aware} {
		if _, _, err := tr.Train(b); err != nil {
			t.Fatal(err)
		}
	}
	for name, tab := range aware.Tables {
		for slot := range uint32(tab.Len()) {
			touched := slot != 0 && slot != tab.Find(6)
			for k, got := range tab.Row(slot) {
				w, want := start[name][int(slot)*tab.Dim()+k], free.Tables[name].Row(slot)[k]
				if touched {
					want -= 0.5 * 0.1 / n * w
				}
				if math.Abs(float64(got-want)) > 1e-6 {
					t.Errorf("table %s row %d: %g, want %g", name, slot, got, want)
				}
			}
		}
	}
}

func TestMinibatchAwareErrors(t *testing.T) {
	p := modeltest.Program(t, twoFields, sgdModel+"embedding_regularizer: 0.1\nminibatch_aware_regularizer: true\n")
	tr := modeltest.Trainer(t, p, 6)
	if _, _, err := tr.Train(modeltest.Batch(p.Schema(), 2, 6, 1)); err == nil || !strings.Contains(err.Error(), "are not counted") {
		t.Errorf("a step without counts: %v", err)
	}
	if err := tr.SetOccurrences(features.Occurrences{"a": {}}); err == nil || !strings.Contains(err.Error(), "ids of b are not counted") {
		t.Errorf("counts of one table only: %v", err)
	}
	_, err := models.Parse([]byte(sgdModel+"minibatch_aware_regularizer: true\n"), modeltest.Schema(t, twoFields))
	if err == nil || !strings.Contains(err.Error(), "has no strength") {
		t.Errorf("without a strength: %v", err)
	}
}
