package training

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"

	"github.com/millrace/millrace/features"
)

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
