package models_test

import (
	"math"
	"strings"
	"testing"

	"github.com/millrace/millrace/core/snapshot"
	"github.com/millrace/millrace/models/modeltest"
)

// dense returns the numbers of the one parameter or buffer whose name ends so, after some steps of one batch.
func dense(t *testing.T, keys, ending string, steps int) []float32 {
	t.Helper()
	p := modeltest.Program(t, twoFields, sgdModel+keys)
	tr := modeltest.Trainer(t, p, 6)
	modeltest.Randomise(tr.Tables, 0.7)
	b := modeltest.Batch(p.Schema(), 6, 6, 1)
	for range steps {
		if _, _, err := tr.Train(b); err != nil {
			t.Fatal(err)
		}
	}
	var found []snapshot.Tensor
	for _, d := range tr.Step.Dense() {
		if strings.HasSuffix(d.Name, ending) {
			found = append(found, d)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d names end in %s, want one", len(found), ending)
	}
	values, err := snapshot.Values[float32](found[0])
	if err != nil {
		t.Fatal(err)
	}
	return values
}

func TestPReLUSlopeIsAKey(t *testing.T) {
	f := func(keys string, want float32) {
		t.Helper()
		for _, a := range dense(t, "hidden_activations: prelu\n"+keys, "act/alpha", 0) {
			if a != want {
				t.Fatalf("%q: a slope starts at %v, want %v", keys, a, want)
			}
		}
	}
	f("", 0.1)
	f("prelu_slope: 0.25\n", 0.25)
	f("prelu_slope: 0\n", 0)
}

// TestDiceMomentumIsAKey: running means start at zero, so after one step they are the momentum times the batch's means.
func TestDiceMomentumIsAKey(t *testing.T) {
	batch := dense(t, "hidden_activations: dice\ndice_momentum: 1\n", "act/mean", 1)
	f := func(keys string, momentum float64) {
		t.Helper()
		for i, got := range dense(t, "hidden_activations: dice\n"+keys, "act/mean", 1) {
			if want := momentum * float64(batch[i]); want == 0 || math.Abs(float64(got)-want) > 1e-6*math.Abs(want) {
				t.Fatalf("%q: running mean %d is %v, want %v", keys, i, got, want)
			}
		}
	}
	f("", 0.01)
	f("dice_momentum: 0.25\n", 0.25)
}
