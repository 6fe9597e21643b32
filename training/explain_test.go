package training_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/models"
	"github.com/millrace/millrace/training"
)

// explained trains a small model on the shop and explains rows of its test file.
func explained(t *testing.T, model string, o training.ExplainOptions) (*models.Checkpoint, *training.Explained) {
	t.Helper()
	run1 := shop(t, model+"\nlearning_rate: 0.02\nbatch_size: 256\nepochs: 1\n")
	run(t, run1)
	c := load(t, run1.Out)
	e, err := training.Explain(context.Background(), c, run1.Test.Files, o)
	if err != nil {
		t.Fatal(err)
	}
	return c, e
}

func TestExplainAdds(t *testing.T) {
	f := func(model string, additive bool) *training.Explained {
		t.Helper()
		_, e := explained(t, model, training.ExplainOptions{From: 17, Rows: 3})
		if len(e.Rows) != 3 || e.Rows[0].Row != 17 {
			t.Fatalf("%s: %d rows, the first %d", model, len(e.Rows), e.Rows[0].Row)
		}
		for _, r := range e.Rows {
			l := r.Labels[0]
			if r.User == "" || r.Item == "" || len(r.Values["hist"]) != 2 || len(l.Effects) != 4 || !(l.Actual == 0 || l.Actual == 1) {
				t.Errorf("%s: row %+v", model, r)
			}
			if p := 1 / (1 + math.Exp(-float64(l.Logit))); math.Abs(p-float64(l.Score)) > 1e-6 {
				t.Errorf("%s: score %g of logit %g", model, l.Score, l.Logit)
			}
			sum, apart, largest := l.Baseline+l.Interactions, 0.0, math.Inf(1)
			for _, x := range l.Effects {
				sum += x.Without
				apart = max(apart, math.Abs(float64(x.Without-x.Alone)))
				if math.Abs(float64(x.Without)) > largest {
					t.Errorf("%s: effects are not in order: %+v", model, l.Effects)
				}
				largest = math.Abs(float64(x.Without))
			}
			if math.Abs(float64(sum-l.Logit)) > 1e-5 {
				t.Errorf("%s: parts sum to %g, the logit is %g", model, sum, l.Logit)
			}
			if additive != (apart < 1e-5) || additive != (math.Abs(float64(l.Interactions)) < 1e-5) {
				t.Errorf("%s: without and alone are %g apart, interactions %g", model, apart, l.Interactions)
			}
		}
		return e
	}
	f("model: lr", true)
	f("model: fm\nembedding_dim: 4\nembedding_initializer_std: 0.5", false)
	f("model: dnn\nembedding_dim: 4\nembedding_initializer_std: 0.5", false)

	for _, r := range f("model: din\nembedding_dim: 4\ndnn_hidden_units: [8]\nattention_hidden_units: [4]\nembedding_initializer_std: 0.5", false).Rows {
		if len(r.Behaviours) != 1 || len(r.Behaviours[0].Weights) != 2 || r.Behaviours[0].Fields[0] != "hist" {
			t.Errorf("din: %+v", r.Behaviours)
		}
	}
	for _, r := range f("model: finalmlp\nembedding_dim: 4\nmlp1_hidden_units: [8]\nmlp2_hidden_units: [8]\nfs1_context: [user]\nfs2_context: [item]\nembedding_initializer_std: 0.5", false).Rows {
		if len(r.Gates) != 2 {
			t.Fatalf("finalmlp: %+v", r.Gates)
		}
		for _, g := range r.Gates {
			for i, v := range g.Gates {
				if len(g.Gates) != 4 || !(v > 0 && v < 2) {
					t.Errorf("finalmlp: gate %s of %s is %g", g.Name, g.Fields[i], v)
				}
			}
		}
	}
	for _, r := range f("model: autoint\nembedding_dim: 4\nattention_layers: 2\nattention_dim: 8\nnum_heads: 2\nembedding_initializer_std: 0.5", false).Rows {
		if len(r.Attention) != 2 || len(r.Attention[0].Weights) != 2 || len(r.Attention[0].Fields) != 4 {
			t.Fatalf("autoint: %+v", r.Attention)
		}
		for _, head := range r.Attention[1].Weights {
			for _, row := range head {
				var sum float64
				for _, v := range row {
					sum += float64(v)
				}
				if math.Abs(sum-1) > 1e-5 {
					t.Errorf("autoint: weights sum to %g", sum)
				}
			}
		}
	}
}

// TestExplainLR: in a linear model a field's effect is its weight less that of the unknown id.
func TestExplainLR(t *testing.T) {
	c, e := explained(t, "model: lr", training.ExplainOptions{Rows: 1})
	for _, x := range e.Rows[0].Labels[0].Effects {
		if x.Fields != "item" {
			continue
		}
		for name, tab := range c.Tables {
			if !strings.HasSuffix(name, "/item") {
				continue
			}
			id := tab.Find(features.ID("item", x.Value))
			if want := float64(tab.Row(id)[0] - tab.Row(0)[0]); math.Abs(want-float64(x.Without)) > 1e-6 {
				t.Errorf("item %s: effect %g, its weight less the unknown one's %g", x.Value, x.Without, want)
			}
			return
		}
	}
	t.Error("no weight of the item was found")
}

func TestExplainPage(t *testing.T) {
	o := shop(t, "model: din\nembedding_dim: 4\nepochs: 1\n")
	run(t, o)
	c := load(t, o.Out)
	dir := t.TempDir()
	data := filepath.Join(dir, "odd.csv")
	if err := os.WriteFile(data, []byte("ts,user,item,price,hist\n1,<b>u1</b>,i3,,\n2,u2,i4,3,i1|i2|i3|i4|i5|i6|i7\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	e, err := training.Explain(context.Background(), c, []string{data}, training.ExplainOptions{Rows: 9})
	if err != nil {
		t.Fatal(err)
	}
	if n := len(e.Rows[1].Behaviours[0].Weights); n != 5 || strings.Join(e.Rows[1].Values["hist"], " ") != "i3 i4 i5 i6 i7" {
		t.Errorf("%d weights of %v", n, e.Rows[1].Values["hist"])
	}
	if len(e.Rows[0].Behaviours[0].Weights) != 0 || !math.IsNaN(float64(e.Rows[0].Labels[0].Actual)) {
		t.Errorf("row without history and label: %+v", e.Rows[0])
	}
	page := filepath.Join(dir, "explain.html")
	if err := training.WriteExplained(page, e); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Row 0", "&lt;b&gt;u1", "interactions", "attention/weights", "i7"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the page has no %q", want)
		}
	}
	if strings.Contains(string(text), "<b>u1") || strings.Contains(string(text), "ZgotmplZ") {
		t.Error("the page holds values as they are")
	}
	var told bytes.Buffer
	training.TellExplained(&told, e)
	for _, want := range []string{"Row 1 · user u2 · item i4", "without", "interactions", "attention/weights: "} {
		if !strings.Contains(told.String(), want) {
			t.Errorf("told\n%s\nwant %q", told.String(), want)
		}
	}
	if _, err := json.Marshal(e); err != nil {
		t.Error(err)
	}
	var refused *training.RequestError
	if _, err := training.Explain(context.Background(), c, []string{data}, training.ExplainOptions{From: 2, Rows: 1}); !errors.As(err, &refused) {
		t.Errorf("rows after the last: %v", err)
	}
}
