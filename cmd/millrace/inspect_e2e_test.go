package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/testkit"
)

// quickModels are small model files that go with any schema without sequences.
var quickModels = map[string]string{
	"lr":       "model: LR\nlearning_rate: 1.0e-2\nbatch_size: 512\nepochs: 1\n",
	"dnn":      "model: DNN\nembedding_dim: 4\nhidden_units: [16]\nbatch_size: 512\nepochs: 1\n",
	"finalmlp": "model: FinalMLP\nembedding_dim: 4\nmlp1_hidden_units: [16]\nmlp2_hidden_units: [8]\nnum_heads: 2\nuse_fs: true\nfs_hidden_units: [8]\nbatch_size: 512\nepochs: 1\n",
}

// TestInspectThenTrain takes the schema that inspect proposes for a raw file, with at most the label named, and trains on the file as it is.
func TestInspectThenTrain(t *testing.T) {
	for _, c := range []struct {
		file, label string
		lines       int // of the file's head
		model       string
		wants       []string
	}{
		{"census-income/census-income.test.gz", "", 3000, "finalmlp", []string{`positive: ["50000+."]`, `missing: ["", "?"]`, "header: false", "log: true"}},
		{"criteo-10k/train_examples.txt.gz", "", 3000, "dnn", []string{`delimiter: "\t"`, "min_count: 2", "missing (", "type: numeric"}},
		{"taobao-userbehavior/UserBehavior.csv.gz", "c3", 8000, "lr", []string{"positive: [cart, fav, buy]", "timestamp: c4", "# - {name: c4}"}},
		{"talkingdata-sample/train_sample.csv.gz", "", 30000, "dnn", []string{"# - {name: attributed_time} # likely a leak", "timestamp: click_time"}},
		{"frappe/x1_test.csv.gz", "", 2000, "finalmlp", []string{"user: user", "item: item"}},
		{"avazu-9k/train.csv.gz", "", 2000, "lr", []string{"# - {name: id} # a row id", "# - {name: hour} # constant"}},
		{"ipinyou-deepctr/train.fm.txt.gz", "", 8000, "dnn", []string{"format: libfm"}},
	} {
		t.Run(filepath.Dir(c.file), func(t *testing.T) {
			data := testkit.RequireData(t, filepath.Dir(c.file))
			dir := t.TempDir()
			name := strings.TrimSuffix(filepath.Base(c.file), ".gz")
			file := unzippedHead(t, filepath.Join(data, filepath.Base(c.file)), dir, name, c.lines)
			model := write(t, dir, "model.yaml", quickModels[c.model])
			train := func(schema, out string) []string {
				return []string{"train", "--schema", schema, "--model", model, "--train", file, "--valid", "20%", "--test", "20%", "--out", filepath.Join(dir, out), "--json"}
			}
			args := []string{"inspect", file}
			if c.label != "" {
				proposal := done(t, args...).stdout
				if !strings.Contains(proposal, "THE LABEL IS NOT NAMED") || !strings.Contains(proposal, c.label+" (") {
					t.Errorf("the proposal does not ask for the label, %s for one:\n%s", c.label, proposal)
				}
				refused(t, train(write(t, dir, "unlabelled.yaml", proposal), "refused"), "unlabelled.yaml", "label")
				args = append(args, "--label", c.label)
			}
			proposal := done(t, args...).stdout
			for _, want := range c.wants {
				if !strings.Contains(proposal, want) {
					t.Errorf("the schema lacks %q:\n%s", want, proposal)
				}
			}
			m := done(t, train(write(t, dir, "schema.yaml", proposal), "run")...).figures(t)
			if auc := number(t, m, "auc"); auc <= 0 || auc >= 1 || m["split"] != "test" {
				t.Errorf("AUC %g of the %s rows", auc, m["split"])
			}
		})
	}
}
