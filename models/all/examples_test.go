package all_test

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/models"
	_ "github.com/millrace/millrace/models/all"
	"github.com/millrace/millrace/models/modeltest"
)

// TestExamplesTrain takes two steps and scores with every model file of the examples, on random rows of its folder's schema.
func TestExamplesTrain(t *testing.T) {
	paths, err := filepath.Glob("../../examples/*/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	trained := 0
	for _, path := range paths {
		dir, file := filepath.Split(path)
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains("\n"+string(text), "\nmodel:") { // a schema, a recipe, a grid
			continue
		}
		schema, err := os.ReadFile(dir + "schema.yaml")
		if err != nil {
			t.Fatal(err)
		}
		trained++
		t.Run(filepath.Base(dir)+"/"+file, func(t *testing.T) {
			t.Parallel()
			s, err := features.ParseSchema(schema)
			if err != nil {
				t.Fatal(err)
			}
			spec, err := models.Parse(text, s)
			if err != nil {
				t.Fatal(err)
			}
			p, err := models.NewProgram(spec, s, spec.Settings.Seed)
			if err != nil {
				t.Fatal(err)
			}
			tr := modeltest.Trainer(t, p, 20)
			b := modeltest.Batch(s, 32, 20, 1)
			for range 2 {
				loss, _, err := tr.Train(b)
				if err != nil || !(loss > 0) || math.IsInf(loss, 0) {
					t.Fatalf("loss %g, error %v", loss, err)
				}
			}
			for r, x := range modeltest.Scores(t, p, tr.Step.Dense(), models.TableRows(tr.Tables), b) {
				if !(x > 0 && x < 1) {
					t.Errorf("row %d has the score %g", r, x)
				}
			}
		})
	}
	if trained < 10 {
		t.Errorf("%d model files among %d examples", trained, len(paths))
	}
}
