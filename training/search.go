package training

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Ways to search a grid.
const (
	RandomSearch = "random"  // trials drawn one by one, each trained to its end
	Halving      = "halving" // all trials train for a few epochs, the best share of them goes on for more, and so on (Jamieson and Talwalkar 2016)
	GridSearch   = "grid"    // every combination, trained to its end
)

// SearchOptions describe a search. Out, Resume, Overwrite, Seed and the data are those of Options; its Spec is not used.
type SearchOptions struct {
	Options
	Grid      *Grid
	GridText  string // what Grid was read from, the model file under it included
	FileSeed  bool   // each trial trains with its model file's seed, not with Seed; shares are cut by the first trial's
	Method    string
	Trials    int    // how many are drawn; no more than there are combinations
	DrawSeed  uint64 // of the choices
	MinEpochs int    // halving: epochs of the first round
	Eta       int    // halving: one of so many trials goes on, for so many times the epochs
}

// SearchResult is how a search stands; its JSON is search.json and the last line of search --json.
type SearchResult struct {
	Figures               // of the best trial
	Method      string    `json:"method"`
	Monitor     string    `json:"monitor"`
	Seed        uint64    `json:"seed"`
	Best        int       `json:"best_trial"` // 0: none
	BestParams  paramList `json:"best_params"`
	Done        int       `json:"done"`    // trained to the end
	Stopped     int       `json:"stopped"` // left behind by halving
	Failed      int       `json:"failed"`
	Epochs      int       `json:"epochs"` // trained over all trials
	Seconds     float64   `json:"seconds"`
	Trials      []*Trial  `json:"trials"`
	Request     request   `json:"request"`
	Interrupted bool      `json:"interrupted,omitempty"`

	grid *Grid
}

// request is what must be the same for a search to go on.
type request struct {
	Grid      string   `json:"grid"`
	Schema    string   `json:"schema"`
	Method    string   `json:"method"`
	Trials    int      `json:"trials"`
	DrawSeed  uint64   `json:"draw_seed"`
	MinEpochs int      `json:"min_epochs"`
	Eta       int      `json:"eta"`
	Train     []string `json:"train"`
	Valid     string   `json:"valid"`
	Test      string   `json:"test"`
	SplitBy   string   `json:"split_by"`
	Seed      uint64   `json:"seed"`
	SkipBad   int64    `json:"skip_bad"`
}

// What a search leaves in its folder, beside the best trial's checkpoint and report.
const (
	searchFile     = "search.json"
	searchPageFile = "search.html"
	searchTable    = "trials.csv"
	bestModelFile  = "best.yaml"
	trialsFolder   = "trials"
)

// Search trains the trials of a grid, keeps the best by validation, and writes a table and a page. It saves how it stands after each trial and, as Train does, within one: with Resume it goes on, to the same end.
func Search(ctx context.Context, o SearchOptions) (*SearchResult, error) {
	if o.Observer == nil {
		o.Observer = nobody{}
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	r, err := o.plan()
	if err != nil {
		return nil, err
	}
	if o.FileSeed {
		o.Seed = r.Trials[0].spec.Settings.Seed
		o.SplitSeed, r.Seed, r.Request.Seed = o.Seed, o.Seed, o.Seed
	}
	if err := checkFolder(&o.Options); err != nil {
		return nil, err
	}
	if o.Overwrite && !o.Resume {
		for _, name := range []string{searchFile, searchPageFile, searchTable, bestModelFile, trialsFolder} {
			if err := os.RemoveAll(filepath.Join(o.Out, name)); err != nil {
				return nil, fmt.Errorf("remove the old search: %w", err)
			}
		}
		if err := clearFolder(&o.Options); err != nil {
			return nil, err
		}
	}
	if o.Resume {
		if err := r.restore(o.Out); err != nil {
			return nil, err
		}
	}
	s := &search{o, r}
	if err := s.run(ctx); err != nil {
		if errors.Is(err, ErrInterrupted) {
			r.Interrupted = true
			return r, err
		}
		return nil, err
	}
	return r, s.finish()
}

// restore takes over how a search in the folder stands; nothing there is a new one.
func (r *SearchResult) restore(dir string) error {
	text, err := os.ReadFile(filepath.Join(dir, searchFile))
	if errors.Is(err, os.ErrNotExist) {
		if _, err := os.Stat(filepath.Join(dir, checkpointFolder)); err == nil {
			return refuse("resume: %s holds a run, not a search; --overwrite starts anew", dir)
		}
		return nil
	}
	if err != nil {
		return fmt.Errorf("resume: %w", err)
	}
	var was SearchResult
	if err := json.Unmarshal(text, &was); err != nil {
		return fmt.Errorf("resume: %s: %w", searchFile, err)
	}
	a, aerr := json.Marshal(was.Request)
	b, berr := json.Marshal(r.Request)
	if err := errors.Join(aerr, berr); err != nil {
		return fmt.Errorf("resume: %w", err)
	}
	if string(a) != string(b) || len(was.Trials) != len(r.Trials) {
		return refuse("resume: the search in %s was started with another grid, other data or other flags; --overwrite starts anew", dir)
	}
	for i, t := range was.Trials {
		to := r.Trials[i]
		params, file, spec := to.Params, to.file, to.spec
		*to = *t
		to.Params, to.file, to.spec = params, file, spec
	}
	return nil
}
