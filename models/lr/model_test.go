package lr_test

import (
	"math"
	"strings"
	"testing"

	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/models"
	_ "github.com/millrace/millrace/models/lr"
	"github.com/millrace/millrace/models/modeltest"
)

const schema = `
labels: [{name: click}]
fields:
  - {name: item}
  - {name: price, type: numeric}
  - {name: hist, type: sequence, shares: item, max: 6}
`

// TestSum: the logit is the bias plus one weight for each id and number, whatever the order of the fields; a history has weights of its own.
func TestSum(t *testing.T) {
	p := modeltest.Program(t, schema, "model: lr")
	tr := modeltest.Trainer(t, p, 5)
	modeltest.Randomise(tr.Tables, 0.5)
	dense := tr.Step.Dense()
	modeltest.Set(t, dense, "lr/bias", func(int) float32 { return 0.3 })
	modeltest.Set(t, dense, "lr/numeric", func(i int) float32 { return []float32{0.5, -0.25}[i] })
	b := modeltest.Batch(p.Schema(), 20, 5, 1)
	got := modeltest.Scores(t, p, dense, models.TableRows(tr.Tables), b)
	weight := func(table string, id uint64) float64 {
		return float64(tr.Tables[table].Row(tr.Tables[table].Find(id))[0])
	}
	for r := range b.Rows {
		z := 0.3 + weight("lr/item", b.Columns[0].IDs[r]) + 0.5*float64(b.Columns[1].Values[r]) - 0.25*float64(b.Columns[1].Missing[r])
		h := b.Columns[2]
		for _, id := range h.IDs[h.Offsets[r]:h.Offsets[r+1]] {
			z += weight("lr/hist", id)
		}
		if want := 1 / (1 + math.Exp(-z)); math.Abs(float64(got[r])-want) > 1e-6 {
			t.Errorf("row %d: score %g, want %g", r, got[r], want)
		}
	}
}

// TestParameterCount: one weight an id, the unknown id included, and the bias.
func TestParameterCount(t *testing.T) {
	p := modeltest.Program(t, "labels: [{name: y}]\nfields: [{name: a}, {name: b}]\n", "model: lr")
	tables, err := p.NewTables(features.Vocabulary{"a": {1, 2, 3}, "b": {1, 2}})
	if err != nil {
		t.Fatal(err)
	}
	if got, padding := p.Parameters(tables); got != 4+3+1 || padding != 2 {
		t.Errorf("%d parameters and %d of padding, want 8 and 2", got, padding)
	}
}

// TestTwoLabels: each label has weights of its own.
func TestTwoLabels(t *testing.T) {
	p := modeltest.Program(t, strings.Replace(schema, "{name: click}", "{name: click}, {name: buy}", 1), "model: lr")
	if n := len(p.Tables()); n != 4 {
		t.Errorf("%d tables, want 4", n)
	}
}
