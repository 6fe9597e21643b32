package training

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"

	"github.com/millrace/millrace/core/snapshot"
)

// SeedsResult is what several runs end with: the mean metrics on top, their spread (the standard deviation of a run, and the standard error of the mean), and each run.
// Its checkpoint is the best by validation.
type SeedsResult struct {
	Result
	AUCMean     Figure   `json:"auc_mean"`
	AUCStd      Figure   `json:"auc_std"`
	AUCSE       Figure   `json:"auc_se"`
	LoglossMean Figure   `json:"logloss_mean"`
	LoglossStd  Figure   `json:"logloss_std"`
	LoglossSE   Figure   `json:"logloss_se"`
	GAUCMean    Figure   `json:"gauc_mean"`
	GAUCStd     Figure   `json:"gauc_std"`
	GAUCSE      Figure   `json:"gauc_se"`
	Runs        []Result `json:"runs"`
}

// TrainSeeds runs a training k times with seeds from o.Seed on, in folders of their own, cutting shares alike each time. With Resume, runs that are done stay as they are.
func TrainSeeds(ctx context.Context, o Options, k int) (*SeedsResult, error) {
	if err := checkFolder(&o); err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(o.Out, stateFolder)); err == nil && !o.Overwrite {
		return nil, refuse("resume: the run in %s is one of a single seed; --overwrite starts anew", o.Out)
	}
	out := &SeedsResult{}
	best := -1
	var seconds float64
	for i := range k {
		one := o
		one.Seed = o.Seed + uint64(i)
		one.Out = filepath.Join(o.Out, seedsFolder, strconv.FormatUint(one.Seed, 10))
		if o.Observer != nil {
			o.Observer.Note(fmt.Sprintf("seed %d, run %d of %d", one.Seed, i+1, k))
		}
		r, err := train(ctx, one, func() error {
			if i > 0 {
				return nil
			}
			return clearFolder(&o)
		})
		if err != nil {
			return nil, fmt.Errorf("seed %d: %w", one.Seed, err)
		}
		seconds += r.Seconds
		out.Runs = append(out.Runs, *r)
		if best < 0 || r.monitor > out.Runs[best].monitor {
			best = i
		}
	}
	out.Result = out.Runs[best]
	out.Seconds = seconds
	out.measure()
	return out, out.keep(o, filepath.Join(o.Out, seedsFolder, strconv.FormatUint(out.Seed, 10)))
}

// measure puts the runs' means and their spread on top.
func (r *SeedsResult) measure() {
	var each []TaskFigures
	for i := range r.Runs {
		each = append(each, r.Runs[i].TaskFigures)
	}
	r.TaskFigures, r.Tasks = meanFigures(each), meanTasks(r.Runs)
	r.AUCMean, r.LoglossMean, r.GAUCMean = r.AUC, r.Logloss, r.GAUC
	r.AUCStd, r.AUCSE = spread(r.Runs, func(r *Result) Figure { return r.AUC })
	r.LoglossStd, r.LoglossSE = spread(r.Runs, func(r *Result) Figure { return r.Logloss })
	r.GAUCStd, r.GAUCSE = spread(r.Runs, func(r *Result) Figure { return r.GAUC })
}

// meanTasks averages each label's metrics over the runs; nil with one label.
func meanTasks(runs []Result) map[string]TaskFigures {
	if runs[0].Tasks == nil {
		return nil
	}
	tasks := map[string]TaskFigures{}
	for name := range runs[0].Tasks {
		var each []TaskFigures
		for i := range runs {
			each = append(each, runs[i].Tasks[name])
		}
		tasks[name] = meanFigures(each)
	}
	return tasks
}

// keepCheckpoint copies a run's checkpoint to where a single run has it.
func keepCheckpoint(from, out string) error {
	s, err := snapshot.Open(filepath.Join(from, checkpointFolder))
	if err != nil {
		return fmt.Errorf("keep the best run: %w", err)
	}
	var parts []snapshot.Part
	for _, p := range s.Manifest.Parts {
		part, err := s.Part(p.Name)
		if err != nil {
			return fmt.Errorf("keep the best run: %w", err)
		}
		parts = append(parts, *part)
	}
	if _, err := snapshot.Write(filepath.Join(out, checkpointFolder), s.Manifest, parts); err != nil {
		return fmt.Errorf("keep the best run: %w", err)
	}
	return nil
}

// keep puts the best run's checkpoint and report where a single run has them.
func (r *SeedsResult) keep(o Options, from string) error {
	if err := keepCheckpoint(from, o.Out); err != nil {
		return err
	}
	page, err := os.ReadFile(filepath.Join(from, reportFile))
	if err != nil {
		return fmt.Errorf("keep the best run: %w", err)
	}
	if page, err = r.withRuns(page); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(o.Out, reportFile), page, 0o666); err != nil {
		return fmt.Errorf("keep the best run: %w", err)
	}
	text, err := json.MarshalIndent(struct {
		*SeedsResult
		Command string `json:"command"`
	}{r, o.Command}, "", "  ")
	if err != nil {
		return fmt.Errorf("write %s: %w", runFile, err)
	}
	return os.WriteFile(filepath.Join(o.Out, runFile), append(text, '\n'), 0o666)
}

// spread returns the runs' sample standard deviation and the standard error of their mean, NaN for one run.
func spread(runs []Result, of func(*Result) Figure) (std, se Figure) {
	n := float64(len(runs))
	var mean, squares float64
	for i := range runs {
		mean += float64(of(&runs[i])) / n
	}
	for i := range runs {
		d := float64(of(&runs[i])) - mean
		squares += d * d
	}
	x := math.Sqrt(squares / (n - 1))
	return Figure(x), Figure(x / math.Sqrt(n))
}
