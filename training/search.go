package training

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/models"
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

// Trial is one choice and how far its training is.
type Trial struct {
	Trial   int       `json:"trial"` // the first is 1
	Params  paramList `json:"params"`
	State   string    `json:"state"` // waiting, paused, done, stopped or failed
	Reason  string    `json:"reason,omitempty"`
	Epochs  int       `json:"epochs"`
	Monitor Figure    `json:"monitor"` // the best so far, larger being better
	Rounds  []Figure  `json:"rounds"`  // the monitor after each round behind it; null where it failed
	Seconds float64   `json:"seconds"`
	Figures

	file []byte
	spec *models.Spec
	tidy bool // nothing of it is left to remove
}

// States of a trial.
const (
	trialWaiting = "waiting"
	trialPaused  = "paused"
	trialDone    = "done"
	trialStopped = "stopped"
	trialFailed  = "failed"
)

// paramList is a choice, in the order of the grid.
type paramList []param

type param struct {
	Name  string
	Value string // as in a model file
}

// MarshalJSON writes an object of values as a model file has them, in the grid's order.
func (l paramList) MarshalJSON() ([]byte, error) {
	var b strings.Builder
	b.WriteByte('{')
	for i, p := range l {
		var value any
		if err := yaml.Unmarshal([]byte(p.Value), &value); err != nil {
			return nil, fmt.Errorf("key %s: %w", p.Name, err)
		}
		name, err := json.Marshal(p.Name)
		if err != nil {
			return nil, err
		}
		text, err := json.Marshal(value)
		if err != nil {
			return nil, fmt.Errorf("key %s: %w", p.Name, err)
		}
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "%s:%s", name, text)
	}
	b.WriteByte('}')
	return []byte(b.String()), nil
}

// UnmarshalJSON accepts what MarshalJSON wrote; the choices themselves are drawn anew, equal, from the grid.
func (l *paramList) UnmarshalJSON([]byte) error { return nil }

func (l paramList) String() string {
	var out []string
	for _, p := range l {
		out = append(out, p.Name+" "+p.Value)
	}
	return strings.Join(out, ", ")
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

func (o *SearchOptions) check() error {
	if o.Method == "" {
		o.Method = RandomSearch
	}
	if o.Eta == 0 {
		o.Eta = 3
	}
	if o.MinEpochs == 0 {
		o.MinEpochs = 1
	}
	size := o.Grid.Size()
	switch {
	case !slices.Contains([]string{RandomSearch, Halving, GridSearch}, o.Method):
		return refuse("method %q: want random, halving or grid", o.Method)
	case o.Trials < 0 || o.Trials > 100_000:
		return refuse("%d trials: want 1 to 100000", o.Trials)
	case o.Method == GridSearch && size == 0:
		return refuse("method grid: a range without a step has no end of values; give a step or a list, or search at random")
	case o.Method == GridSearch && o.Trials > 0 && o.Trials < size:
		return refuse("method grid: the grid has %d combinations, more than the %d trials allowed", size, o.Trials)
	case o.Eta < 2:
		return refuse("eta is %d, want at least 2", o.Eta)
	case o.MinEpochs < 1:
		return refuse("the first round has %d epochs, want at least 1", o.MinEpochs)
	case o.Method == Halving && slices.ContainsFunc(o.Grid.vary, func(k gridKey) bool { return k.name == "epochs" }):
		return refuse("method halving deals out the epochs itself: epochs cannot be a choice")
	}
	if o.Trials == 0 {
		o.Trials = 20
	}
	if size > 0 && (size < o.Trials || o.Method == GridSearch) {
		o.Trials = size
	}
	return nil
}

// plan draws all trials and sees that each is a model before any is trained.
func (o *SearchOptions) plan() (*SearchResult, error) {
	schema, err := o.Schema.Marshal()
	if err != nil {
		return nil, err
	}
	r := &SearchResult{Method: o.Method, Seed: o.Seed, grid: o.Grid, Request: request{
		Grid: o.GridText, Schema: string(schema), Method: o.Method, Trials: o.Trials, DrawSeed: o.DrawSeed, MinEpochs: o.MinEpochs, Eta: o.Eta,
		Train: o.Train, Valid: o.Valid.String(), Test: o.Test.String(), SplitBy: o.SplitBy, Seed: o.Seed, SkipBad: o.SkipBad,
	}}
	seen := map[string]bool{}
	for len(r.Trials) < o.Trials {
		t := &Trial{Trial: len(r.Trials) + 1, State: trialWaiting, Monitor: Figure(math.NaN())}
		for try := 0; ; try++ {
			var chosen []gridKey
			if size := o.Grid.Size(); size == o.Trials {
				chosen = o.Grid.combination(len(r.Trials))
			} else {
				chosen = o.Grid.draw(rand.New(rand.NewPCG(o.DrawSeed, uint64(t.Trial)<<16|uint64(try))))
			}
			if t.file, err = o.Grid.file(chosen); err != nil {
				return nil, err
			}
			if seen[string(t.file)] && try < 1<<16-1 {
				continue
			}
			seen[string(t.file)] = true
			t.Params = nil
			for _, k := range chosen {
				text, err := yaml.Marshal(k.value)
				if err != nil {
					return nil, fmt.Errorf("trial %d: %w", t.Trial, err)
				}
				t.Params = append(t.Params, param{k.name, flow(k.value, text)})
			}
			break
		}
		if t.spec, err = models.Parse(t.file, o.Schema); err != nil {
			return nil, &RequestError{fmt.Errorf("trial %d (%s): %w", t.Trial, t.Params, err)}
		}
		r.Monitor = t.spec.Settings.Monitor
		r.Trials = append(r.Trials, t)
	}
	return r, nil
}

// flow is a value on one line.
func flow(n *yaml.Node, text []byte) string {
	if n.Kind == yaml.ScalarNode {
		return strings.TrimSpace(string(text))
	}
	var parts []string
	for _, c := range n.Content {
		parts = append(parts, flow(c, []byte(c.Value)))
	}
	return "[" + strings.Join(parts, ", ") + "]"
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

// search is a search under way.
type search struct {
	o SearchOptions
	r *SearchResult
}

func (s *search) folder(t *Trial) string {
	return filepath.Join(s.o.Out, trialsFolder, fmt.Sprintf("%04d", t.Trial))
}

func (s *search) run(ctx context.Context) error {
	if err := s.save(); err != nil {
		return err
	}
	if s.o.Method != Halving {
		for _, t := range s.r.Trials {
			if len(t.Rounds) > 0 {
				continue
			}
			if err := s.train(ctx, t, 0); err != nil {
				return err
			}
		}
		return nil
	}
	alive := slices.Clone(s.r.Trials)
	epochs := 0 // of the longest trial
	for _, t := range alive {
		epochs = max(epochs, t.spec.Settings.Epochs)
	}
	budget := s.o.MinEpochs
	for round := 1; ; round++ {
		last := budget >= epochs
		pauseAt := budget
		if last {
			pauseAt = 0
		}
		s.o.Observer.Note(fmt.Sprintf("round %d: %d trials, up to epoch %d", round, len(alive), min(budget, epochs)))
		for _, t := range alive {
			if len(t.Rounds) >= round {
				continue
			}
			if err := s.train(ctx, t, pauseAt); err != nil {
				return err
			}
		}
		if last {
			return nil
		}
		rank(alive, func(t *Trial) Figure { return t.Rounds[round-1] })
		keep := max(1, len(alive)/s.o.Eta)
		for _, t := range alive[keep:] {
			if t.State == trialPaused {
				t.State = trialStopped
			}
		}
		alive = slices.DeleteFunc(alive[:keep], func(t *Trial) bool { return t.State == trialFailed })
		slices.SortFunc(alive, func(a, b *Trial) int { return cmp.Compare(a.Trial, b.Trial) })
		if err := s.save(); err != nil {
			return err
		}
		if err := s.tidy(); err != nil {
			return err
		}
		if len(alive) == 0 {
			return nil
		}
		budget *= s.o.Eta
	}
}

// rank sorts the best first, those without a figure last.
func rank(trials []*Trial, of func(*Trial) Figure) {
	value := func(t *Trial) float64 {
		if x := float64(of(t)); x == x {
			return x
		}
		return math.Inf(-1)
	}
	slices.SortStableFunc(trials, func(a, b *Trial) int {
		return cmp.Or(cmp.Compare(value(b), value(a)), cmp.Compare(a.Trial, b.Trial))
	})
}

// train takes a trial to an epoch, 0 being its end. A trial that cannot be trained, because its loss grows out of bounds, is recorded as failed; what is wrong with the request itself ends the search.
func (s *search) train(ctx context.Context, t *Trial, pauseAt int) error {
	if t.State != trialWaiting && t.State != trialPaused {
		t.Rounds = append(t.Rounds, t.Monitor) // it has come to its end before
		return nil
	}
	if err := ctx.Err(); err != nil {
		return ErrInterrupted
	}
	s.o.Observer.Note(fmt.Sprintf("trial %d of %d: %s", t.Trial, len(s.r.Trials), t.Params))
	o := s.o
	o.Spec, o.Out, o.Resume, o.Overwrite, o.PauseAfter = t.spec, s.folder(t), true, false, pauseAt
	if o.FileSeed {
		o.Seed = t.spec.Settings.Seed
	}
	began := s.now()
	result, err := Train(ctx, o.Options)
	t.Seconds += s.now() - began
	switch {
	case errors.Is(err, ErrInterrupted):
		return err
	case err != nil && (ctx.Err() != nil || !s.own(t, err)):
		return fmt.Errorf("trial %d (%s): %w", t.Trial, t.Params, err)
	case err != nil:
		t.State, t.Reason, t.Monitor = trialFailed, err.Error(), Figure(math.NaN())
		s.o.Observer.Note(fmt.Sprintf("trial %d failed: %v", t.Trial, err))
	default:
		t.Epochs, t.Monitor, t.Figures, t.State = result.Epochs, Figure(result.monitor), result.Figures, trialDone
		if result.paused {
			t.State = trialPaused
		}
	}
	t.Rounds = append(t.Rounds, t.Monitor)
	before := s.r.Best
	s.count()
	switch {
	case t.State == trialPaused:
		s.o.Observer.Note(fmt.Sprintf("trial %d: %s %.6f after %d epochs", t.Trial, s.r.Monitor, t.Monitor, t.Epochs))
	case t.State == trialDone && s.r.Best != before:
		s.o.Observer.Note(fmt.Sprintf("trial %d: %s %.6f, the best so far", t.Trial, s.r.Monitor, t.Monitor))
	case t.State == trialDone:
		s.o.Observer.Note(fmt.Sprintf("trial %d: %s %.6f; the best so far is trial %d", t.Trial, s.r.Monitor, t.Monitor, s.r.Best))
	}
	if err := s.save(); err != nil {
		return err
	}
	return s.tidy()
}

// now is the time in seconds.
func (s *search) now() float64 {
	if s.o.Now == nil {
		return 0
	}
	return float64(s.o.Now().UnixNano()) / 1e9
}

// own reports whether an error is the trial's own, such as a loss that grows out of bounds: it has got as far as training, and neither data nor files are to blame.
func (s *search) own(t *Trial, err error) bool {
	var path *fs.PathError
	if features.IsInput(err) || errors.As(err, &path) {
		return false
	}
	_, err = os.Stat(filepath.Join(s.folder(t), stateFolder))
	return err == nil
}

// count finds the best trial and counts the others.
func (s *search) count() {
	r := s.r
	r.Best, r.BestParams, r.Done, r.Stopped, r.Failed, r.Epochs, r.Seconds, r.Figures = 0, nil, 0, 0, 0, 0, 0, Figures{TaskFigures: undefinedFigures()}
	var best *Trial
	for _, t := range r.Trials {
		r.Epochs, r.Seconds = r.Epochs+t.Epochs, r.Seconds+t.Seconds
		switch t.State {
		case trialDone:
			r.Done++
		case trialStopped:
			r.Stopped++
		case trialFailed:
			r.Failed++
		}
		if t.State == trialDone && (best == nil || t.Monitor > best.Monitor) {
			best = t
		}
	}
	if best != nil {
		r.Best, r.BestParams, r.Figures = best.Trial, best.Params, best.Figures
	}
}

// save writes how the search stands.
func (s *search) save() error {
	s.count()
	text, err := json.MarshalIndent(s.r, "", "  ")
	if err != nil {
		return fmt.Errorf("write %s: %w", searchFile, err)
	}
	return replaceFile(filepath.Join(s.o.Out, searchFile), append(text, '\n'))
}

// tidy removes the weights of trials that will not be needed again: all that are over but the best.
func (s *search) tidy() error {
	for _, t := range s.r.Trials {
		if t.tidy && t.Trial != s.r.Best {
			continue
		}
		over := t.State == trialStopped || t.State == trialFailed || t.State == trialDone && t.Trial != s.r.Best
		var names []string
		if over {
			names = []string{stateFolder, checkpointFolder}
		} else if t.State == trialDone {
			names = []string{stateFolder}
		}
		for _, n := range names {
			if err := os.RemoveAll(filepath.Join(s.folder(t), n)); err != nil {
				return fmt.Errorf("remove the weights of trial %d: %w", t.Trial, err)
			}
		}
		t.tidy = over
	}
	return nil
}

// finish puts the best trial's checkpoint, report and model file where a run has them, and writes the table and the page.
func (s *search) finish() error {
	if err := s.save(); err != nil {
		return err
	}
	if err := s.writeReport(); err != nil {
		return err
	}
	if s.r.Best == 0 {
		return fmt.Errorf("all %d trials failed; the first: %s", len(s.r.Trials), s.r.Trials[0].Reason)
	}
	best := s.r.Trials[s.r.Best-1]
	from := s.folder(best)
	if err := keepCheckpoint(from, s.o.Out); err != nil {
		return err
	}
	text, err := os.ReadFile(filepath.Join(from, reportFile))
	if err != nil {
		return fmt.Errorf("keep the best trial: %w", err)
	}
	if err := replaceFile(filepath.Join(s.o.Out, reportFile), text); err != nil {
		return err
	}
	return replaceFile(filepath.Join(s.o.Out, bestModelFile), best.file)
}
