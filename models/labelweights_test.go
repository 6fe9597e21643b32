package models_test

import (
	"math"
	"strings"
	"testing"

	"github.com/millrace/millrace/models"
	"github.com/millrace/millrace/models/modeltest"
)

// TestLabelWeights: the loss is the weighted sum of the labels' losses.
func TestLabelWeights(t *testing.T) {
	const schema = "labels: [{name: click}, {name: buy}]\nfields: [{name: a}, {name: b}]\n"
	loss := func(keys string) float64 {
		t.Helper()
		p := modeltest.Program(t, schema, "model: sharedbottom\nembedding_dim: 4\n"+keys)
		tr := modeltest.Trainer(t, p, 9)
		modeltest.Randomise(tr.Tables, 1)
		l, err := tr.Step.Run(modeltest.Batch(p.Schema(), 32, 9, 1), 1)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	both, click, buy := loss(""), loss("label_weights: {buy: 0}\n"), loss("label_weights: {click: 0}\n")
	if both != loss("label_weights: {click: 1, buy: 1}\n") || click <= 0 || buy <= 0 || math.Abs(click+buy-both) > 1e-6 {
		t.Errorf("losses %g, %g and %g together", click, buy, both)
	}
	if got, want := loss("label_weights: {click: 0.5, buy: 3}\n"), 0.5*click+3*buy; math.Abs(got-want) > 1e-6 {
		t.Errorf("loss %g, want %g", got, want)
	}
	f := func(keys, want string) {
		t.Helper()
		if _, err := models.Parse([]byte("model: lr\nlabel_weights: "+keys), modeltest.Schema(t, schema)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", keys, err, want)
		}
	}
	f("{clack: 1}", `"click"`)
	f("{click: -1}", "at least 0")
	f("{click: .nan}", "at least 0")
	f("{click: 0, buy: 0}", "no label counts")
	f("{click: much}", "names with numbers")
	f("[1, 2]", "names with numbers")
}
