package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const shopGrid = `model: DNN
embedding_dim: 4
hidden_units: [[8], [16, 8]]
net_dropout: {range: [0, 0.4]}
learning_rate: {log: [0.001, 0.05]}
batch_size: 32
embedding_initializer_std: 0.1
epochs: 3
`

func (s shop) search(t testing.TB, out string, more ...string) []string {
	grid := write(t, s.dir, "grid.yaml", shopGrid)
	return append([]string{"search", "--schema", s.schema, "--grid", grid, "--train", s.train, "--valid", s.valid, "--test", s.test, "--out", s.out(out), "--json"}, more...)
}

// withoutClocks is a search's figures with the seconds left out.
func withoutClocks(t testing.TB, m map[string]any) string {
	t.Helper()
	delete(m, "seconds")
	for _, x := range m["trials"].([]any) {
		delete(x.(map[string]any), "seconds")
	}
	text, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestSearch(t *testing.T) {
	s := newShop(t)
	o := done(t, s.search(t, "search", "--method", "halving", "--trials", "6", "--eta", "2")...)
	m := o.figures(t)
	if number(t, m, "done") < 1 || number(t, m, "stopped") < 4 || number(t, m, "failed") != 0 {
		t.Errorf("%v done, %v stopped, %v failed", m["done"], m["stopped"], m["failed"])
	}
	best := m["trials"].([]any)[int(number(t, m, "best_trial"))-1].(map[string]any)
	if fmt.Sprint(best["params"]) != fmt.Sprint(m["best_params"]) || best["auc"] != m["auc"] {
		t.Errorf("the best is %v, on top stands %v with AUC %v", best, m["best_params"], m["auc"])
	}
	e := done(t, "eval", "--checkpoint", s.out("search"), "--data", s.test, "--json").figures(t)
	if e["auc"] != m["auc"] {
		t.Errorf("AUC %v, eval of the folder %v", m["auc"], e["auc"])
	}
	for _, want := range []string{"round 2", "trial 6 of 6", "the best is trial", "learning_rate"} {
		if !strings.Contains(o.stderr, want) {
			t.Errorf("standard error lacks %q:\n%s", want, o.stderr)
		}
	}
	done(t, "train", "--schema", s.schema, "--model", s.out("search/best.yaml"), "--train", s.train, "--valid", s.valid, "--out", s.out("alone"))
	sameFiles(t, s.out("alone/checkpoint"), s.out("search/checkpoint"))

	refused(t, s.search(t, "search"), "not empty", "--resume")
	refused(t, s.search(t, "search", "--resume"), "--overwrite")
	refused(t, s.search(t, "new", "--method", "bayes"), `"bayes"`)
	refused(t, s.search(t, "new", "--method", "grid"), "no end of values")
	refused(t, s.search(t, "new", "--trials", "0"), "--trials is 0")
	refused(t, s.search(t, "new", "--eta", "1"), "--eta is 1")
	refused(t, s.search(t, "new", "--resume", "--overwrite"), "one of them")
	refused(t, s.search(t, "new", "--model", s.out("none.yaml")), "none.yaml")
	bad := s.search(t, "new")
	write(t, s.dir, "grid.yaml", strings.Replace(shopGrid, "net_dropout: {range: [0, 0.4]}", "net_dropout: [0.1, 1.5]", 1))
	refused(t, bad, "grid.yaml", "net_dropout", "1.5")
	if _, err := os.Stat(s.out("new")); err == nil {
		t.Error("a refused search leaves a folder")
	}
}

// TestSearchKillAndResume kills a search with -9 again and again; it ends as one that was left alone.
func TestSearchKillAndResume(t *testing.T) {
	s := newShop(t)
	flags := []string{"--method", "halving", "--trials", "5", "--eta", "2", "--save-every", "5ms"}
	whole := done(t, s.search(t, "whole", flags...)...).figures(t)
	args := s.search(t, "killed", append(flags, "--resume")...)
	rng := rand.New(rand.NewPCG(5, 5))
	kills := 3
	if !testing.Short() {
		kills = 15
	}
	epochs := 0.0
	for range kills {
		p := start(t, args...)
		eventually(t, "the search has got further", func() bool {
			text, err := os.ReadFile(filepath.Join(s.out("killed"), "search.json"))
			var m struct{ Epochs float64 }
			if err == nil && json.Unmarshal(text, &m) != nil {
				t.Fatalf("search.json is torn:\n%s", text)
			}
			if m.Epochs > epochs {
				epochs = m.Epochs
				return true
			}
			return p.over()
		})
		time.Sleep(time.Duration(rng.IntN(8_000)) * time.Microsecond)
		if p.over() {
			break
		}
		if err := p.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		<-p.ended
	}
	if epochs < 2 {
		t.Errorf("killed after %g epochs at the latest", epochs)
	}
	got := start(t, args...).wait()
	if got.code != exitDone {
		t.Fatalf("resume: exit %d\n%s", got.code, got.stderr)
	}
	m := got.figures(t)
	if a, b := withoutClocks(t, m), withoutClocks(t, whole); a != b {
		t.Errorf("killed and resumed:\n%s\nleft alone:\n%s", a, b)
	}
	sameFiles(t, s.out("whole/checkpoint"), s.out("killed/checkpoint"))
}
