package training_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/models"
	"github.com/millrace/millrace/training"
)

const shopGrid = `
model: DNN
embedding_dim: 4
hidden_units: [[8], [16, 8]]
net_dropout: {range: [0, 0.4]}
learning_rate: {log: [0.0005, 0.05]}
batch_size: 128
epochs: 3
`

// searching returns the options of a search in a folder of its own.
func searching(t testing.TB, grid, method string, trials int) training.SearchOptions {
	t.Helper()
	o := training.SearchOptions{Options: shop(t, shopModel), GridText: grid, Method: method, Trials: trials, DrawSeed: 3, Eta: 2}
	o.Spec = nil
	o.Train = []string{writeRows(t, filepath.Join(t.TempDir(), "few.csv"), 1000, 1)}
	var err error
	if o.Grid, err = training.ParseGrid([]byte(grid), nil, o.Schema); err != nil {
		t.Fatal(err)
	}
	return o
}

func searchDone(t testing.TB, o training.SearchOptions) *training.SearchResult {
	t.Helper()
	r, err := training.Search(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestRandomSearch(t *testing.T) {
	o := searching(t, shopGrid, training.RandomSearch, 3)
	r := searchDone(t, o)
	if r.Done != 3 || r.Failed != 0 || r.Best == 0 {
		t.Fatalf("%d done, %d failed, best %d", r.Done, r.Failed, r.Best)
	}
	for _, trial := range r.Trials {
		if trial.Monitor > r.Trials[r.Best-1].Monitor {
			t.Errorf("trial %d is better than the best, %d", trial.Trial, r.Best)
		}
	}
	// The best trial's file trains to the same model by itself, and its checkpoint is the search's.
	file, err := os.ReadFile(filepath.Join(o.Out, "best.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	alone := o.Options
	alone.Out += "-alone"
	if alone.Spec, err = models.Parse(file, o.Schema); err != nil {
		t.Fatal(err)
	}
	one := run(t, alone)
	if one.TaskFigures != r.TaskFigures {
		t.Errorf("alone %+v, in the search %+v", one.TaskFigures, r.TaskFigures)
	}
	sameTree(t, "the best trial alone", alone.Out, o.Out)
	page, err := os.ReadFile(filepath.Join(o.Out, "search.html"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"trial top", "learning_rate", "valid AUC", "[16, 8]"} {
		if !strings.Contains(string(page), want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	table, err := os.ReadFile(filepath.Join(o.Out, "trials.csv"))
	if err != nil || strings.Count(string(table), "\n") != 4 {
		t.Errorf("the table: %v\n%s", err, table)
	}
	if left, err := filepath.Glob(filepath.Join(o.Out, "trials", "*", "checkpoint")); err != nil || len(left) != 1 {
		t.Errorf("checkpoints %q are left (%v), want the best one's", left, err)
	}
	// The folder is taken; another search does not go on with this one; the same one has nothing left to do.
	_, err = training.Search(context.Background(), o)
	wantRequest(t, err, "not empty")
	other := o
	other.Resume, other.DrawSeed = true, 4
	_, err = training.Search(context.Background(), other)
	wantRequest(t, err, "--overwrite")
	o.Resume = true
	again := searchDone(t, o)
	if a, b := trialsOf(t, again), trialsOf(t, r); a != b {
		t.Errorf("again %s, want %s", a, b)
	}
	o.Resume, o.Overwrite = false, true
	if a, b := trialsOf(t, searchDone(t, o)), trialsOf(t, r); a != b {
		t.Errorf("anew %s, want %s", a, b)
	}
}

func wantRequest(t testing.TB, err error, want string) {
	t.Helper()
	var r *training.RequestError
	if !errors.As(err, &r) || !strings.Contains(err.Error(), want) {
		t.Errorf("error %v, want a wrong request: %q", err, want)
	}
}

// trialsOf is what a search came to, without its clocks.
func trialsOf(t testing.TB, r *training.SearchResult) string {
	t.Helper()
	var all []string
	for _, trial := range r.Trials {
		c := *trial
		c.Seconds = 0
		text, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, string(text))
	}
	return fmt.Sprintf("best %d\n%s", r.Best, strings.Join(all, "\n"))
}

func TestHalving(t *testing.T) {
	o := searching(t, shopGrid, training.Halving, 5)
	r := searchDone(t, o)
	// Five trials for one epoch, two up to the second, one to the end.
	if r.Done != 1 || r.Stopped != 4 || r.Epochs != 3*1+1*2+1*3 {
		t.Errorf("%d done, %d stopped, %d epochs", r.Done, r.Stopped, r.Epochs)
	}
	first := slices.Clone(r.Trials)
	slices.SortFunc(first, func(a, b *training.Trial) int { return int(1e9 * (b.Rounds[0] - a.Rounds[0])) })
	for i, trial := range first {
		if (len(trial.Rounds) > 1) != (i < 2) {
			t.Errorf("trial %d was place %d after the first epoch and stayed for %d rounds", trial.Trial, i+1, len(trial.Rounds))
		}
	}
	// Stopped again and again at any step, it comes to the same end.
	p := o
	p.Out += "-stopped"
	p.Resume = true
	stops := 0
	for {
		ctx, cancel := context.WithCancel(context.Background())
		p.Observer = &stopper{cancel: cancel, left: 3 + stops*5%17}
		got, err := training.Search(ctx, p)
		cancel()
		if err == nil {
			if a, b := trialsOf(t, got), trialsOf(t, r); a != b {
				t.Errorf("stopped %d times: %s\nwant %s", stops, a, b)
			}
			break
		}
		if !errors.Is(err, training.ErrInterrupted) {
			t.Fatal(err)
		}
		if stops++; stops > 100 {
			t.Fatal("no end")
		}
	}
	if stops < 3 {
		t.Errorf("stopped %d times, want at least 3", stops)
	}
	sameTree(t, "stopped and gone on", o.Out, p.Out)
}

func TestSearchTrialThatFails(t *testing.T) {
	o := searching(t, "model: DNN\nhidden_units: [8]\nbatch_size: 64\nnet_regularizer: 0.1\noptimizer: sgd\nmax_gradient_norm: 0\nepochs: 2\nlearning_rate: [0.01, 1.0e+6]", training.GridSearch, 0)
	r := searchDone(t, o)
	if r.Failed != 1 || r.Done != 1 || r.Best != 1 || r.Trials[1].Reason == "" {
		t.Errorf("%d failed, %d done, best %d: %s", r.Failed, r.Done, r.Best, trialsOf(t, r))
	}
	// What is wrong with the request ends the search.
	p := o
	p.Out += "-missing"
	p.Train = []string{filepath.Join(t.TempDir(), "none.csv")}
	if _, err := training.Search(context.Background(), p); err == nil || !strings.Contains(err.Error(), "none.csv") {
		t.Errorf("missing data: %v", err)
	}
	p.Grid, p.Method = searching(t, shopGrid, "", 0).Grid, training.GridSearch
	_, err := training.Search(context.Background(), p)
	wantRequest(t, err, "no end of values")
}
