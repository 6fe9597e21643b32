package all_test

import (
	"testing"

	"github.com/millrace/millrace/core/nn"
	"github.com/millrace/millrace/models"
	"github.com/millrace/millrace/models/modeltest"
)

// TestExplainerScoresAlike: every model can be explained, its explainer scores as its scorer does, and explanations have the shapes of their kinds.
func TestExplainerScoresAlike(t *testing.T) {
	const rows = 8
	for _, name := range models.Names() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := modeltest.Program(t, warmSchema(tasks(name), "user", "item", "cat", "tags", "price", "hist_item", "hist_cat"), warmModel(name))
			tr := modeltest.Trainer(t, p, warmIDs)
			modeltest.Randomise(tr.Tables, 0.3)
			b := modeltest.Batch(p.Schema(), rows, warmIDs, 5)
			want := scoresOf(t, tr, b)
			e, err := p.NewExplainer()
			if err != nil {
				t.Fatal(err)
			}
			w, err := p.NewWeights("1", tr.Step.Dense())
			if err != nil {
				t.Fatal(err)
			}
			got, said, err := e.Explain(b, w, models.TableRows(tr.Tables), nil)
			if err != nil {
				t.Fatal(err)
			}
			sameScores(t, got[0], want, "explained")
			if len(e.Logits(0)) != rows {
				t.Errorf("%d logits", len(e.Logits(0)))
			}
			history := len(b.Columns[p.Schema().Field("hist_item")].IDs)
			for _, x := range said {
				n := len(x.Fields)
				ok := len(x.Values) == x.Rows*x.Cols
				switch x.Kind {
				case nn.FieldAttention:
					ok = ok && x.Rows == rows*n && x.Cols%n == 0
				case nn.FieldGates:
					ok = ok && x.Rows == rows && x.Cols%n == 0
				case nn.BehaviourWeights:
					ok = ok && x.Rows == history && x.Cols == 1
				default:
					ok = false
				}
				if !ok {
					t.Errorf("explanation %s of kind %s about %v is [%d, %d]", x.Name, x.Kind, x.Fields, x.Rows, x.Cols)
				}
			}
		})
	}
}
