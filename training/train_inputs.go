package training

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/models"
)

// inputs are what must be the same for a run to go on.
type inputs struct {
	Train   []string `json:"train"`
	Valid   string   `json:"valid"`
	Test    string   `json:"test"`
	SplitBy string   `json:"split_by"`
	Seed    uint64   `json:"seed"`
	SkipBad int64    `json:"skip_bad"`
	Init    string   `json:"init"`
}

// differing says what of the inputs is not the same as in o, as it is here and there.
func (in *inputs) differing(o *inputs) (here, there string) {
	list := func(in *inputs) []string {
		flag := func(name, value string) string {
			if value == "" {
				return "no --" + name
			}
			return "--" + name + " " + value
		}
		return []string{
			flag("train", strings.Join(in.Train, " ")), flag("valid", in.Valid), flag("test", in.Test), flag("split-by", in.SplitBy),
			fmt.Sprintf("--seed %d", in.Seed), fmt.Sprintf("--skip-bad %d", in.SkipBad), flag("init", in.Init),
		}
	}
	a, b := list(in), list(o)
	var was, now []string
	for i := range a {
		if a[i] != b[i] {
			was, now = append(was, a[i]), append(now, b[i])
		}
	}
	return strings.Join(was, ", "), strings.Join(now, ", ")
}

func (r *run) open(ctx context.Context) error {
	var err error
	if r.files, err = features.Expand(r.Train); err != nil {
		return &RequestError{fmt.Errorf("--train: %w", err)}
	}
	if r.monitor, err = models.ParseMonitor(r.Spec.Settings.Monitor); err != nil {
		return &RequestError{err}
	}
	if !r.Valid.Given() {
		return refuse("no validation rows: give files or a share such as 10%%")
	}
	if err := r.planSplit(ctx); err != nil {
		return err
	}
	if err := r.checkFiles(ctx); err != nil {
		return err
	}
	r.state.Inputs = inputs{r.files, r.Valid.String(), r.Test.String(), r.SplitBy, r.Seed, r.SkipBad, ""}
	if r.Init != nil {
		r.state.Inputs.Init = r.Init.Weights.Version
	}
	resumed := false
	if r.Resume {
		if resumed, err = r.restore(); err != nil {
			return err
		}
	}
	if !resumed {
		if err := r.start(ctx); err != nil {
			return err
		}
	}
	if r.trainer.NeedsOccurrences() {
		counts, err := features.CountOccurrences(r.Schema, r.files, r.part("train"), r.preparing(ctx))
		if err != nil {
			return err
		}
		if err := r.trainer.SetOccurrences(counts); err != nil {
			return err
		}
	}
	encoder, err := features.NewEncoder(r.Schema, r.stats)
	if err != nil {
		return err
	}
	set := &r.Spec.Settings
	r.loader, err = features.NewLoader(encoder, r.files, features.LoaderOptions{
		BatchSize: set.BatchSize, Shuffle: *set.Shuffle, Seed: r.Seed, Part: r.part("train"), Read: r.readOptions(),
		WholeGroups: set.Grouped(), Negatives: set.NegativeSampling.Rate,
	})
	if err != nil {
		return err
	}
	if r.valid, err = r.evaluator("valid", r.Valid, encoder, r.program); err != nil {
		return err
	}
	if r.valid.observed = set.Position != nil; r.valid.observed {
		r.Observer.Note("validation after each epoch is of clicks as rows were shown, with the position tower; the run's figures are of scores as they are served, without it")
	}
	r.saved = r.Now()
	if resumed {
		return nil
	}
	if err := r.clear(); err != nil {
		return err
	}
	return r.save()
}

// checkFiles sees that all files are there with their columns, and reads validation and test files to the end: a row that cannot be used is
// found before hours are spent on training, not after.
func (r *run) checkFiles(ctx context.Context) error {
	for _, p := range []struct {
		name  string
		files []string
	}{{"train", r.files}, {"valid", r.Valid.Files}, {"test", r.Test.Files}} {
		if len(p.files) == 0 {
			continue
		}
		files, err := features.Expand(p.files)
		if err != nil {
			return &RequestError{fmt.Errorf("--%s: %w", p.name, err)}
		}
		reader, err := features.Open(r.Schema, files, r.preparing(ctx))
		if err != nil {
			return err
		}
		if p.name != "train" { // Fit reads the training files
			var rows int64
			if rows, err = readThrough(reader); err == nil && rows == 0 {
				err = &features.DataError{File: files[0], Reason: fmt.Sprintf("there are no rows for --%s", p.name)}
			}
		}
		if cerr := reader.Close(); err == nil {
			err = cerr
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// readThrough reads to the end for the sake of errors, and counts rows.
func readThrough(r features.Reader) (rows int64, err error) {
	for {
		rec, err := r.Next()
		if errors.Is(err, io.EOF) {
			return rows, nil
		}
		if err != nil {
			return 0, err
		}
		rows += rec.NumRows()
		rec.Release()
	}
}

func (r *run) readOptions() features.ReadOptions {
	return features.ReadOptions{SkipBad: r.SkipBad, Labels: true}
}

// preparing are the options of passes before training, which end when ctx does.
func (r *run) preparing(ctx context.Context) features.ReadOptions {
	o := r.readOptions()
	o.Context = ctx
	return o
}

// planSplit prepares the cut of the training files where a portion is a share of them.
func (r *run) planSplit(ctx context.Context) error {
	if r.Valid.Share == 0 && r.Test.Share == 0 {
		if r.SplitBy != "" {
			return refuse("--split-by %s: neither --valid nor --test is a share of the training files", r.SplitBy)
		}
		return nil
	}
	if r.Valid.Share+r.Test.Share >= 1 {
		return refuse("validation and test take %g%% of the rows, which leaves none to train on", math.Round(1e6*(r.Valid.Share+r.Test.Share))/1e4)
	}
	r.split = &features.Split{Valid: r.Valid.Share, Test: r.Test.Share, By: r.SplitBy, Seed: r.SplitSeed}
	return features.PlanSplit(r.Schema, r.files, r.split, r.preparing(ctx))
}

func (r *run) part(name string) *features.Part {
	if r.split == nil {
		return nil
	}
	return &features.Part{Of: r.split, Name: name}
}

// evaluator returns one over a portion.
func (r *run) evaluator(name string, p Portion, encoder *features.Encoder, program *models.Program) (*evaluator, error) {
	e := &evaluator{program: program, encoder: encoder, files: r.files, skipBad: r.SkipBad}
	if p.Share > 0 {
		e.part = r.part(name)
		return e, nil
	}
	var err error
	if e.files, err = features.Expand(p.Files); err != nil {
		return nil, &RequestError{fmt.Errorf("--%s: %w", name, err)}
	}
	return e, nil
}
