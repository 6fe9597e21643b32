package training

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/models"
)

// Options describe a training run.
type Options struct {
	Schema *features.Schema
	Spec   *models.Spec
	Train  []string // files, folders, globs
	Valid  Portion
	Test   Portion
	// SplitBy is the column that shares are cut by: a timestamp (the newest last) or a group (whole groups); empty: a seeded hash of the row.
	SplitBy   string
	Out       string // the run's folder
	Seed      uint64
	SplitSeed uint64
	Resume    bool
	Overwrite bool
	Init      *models.Checkpoint // weights and statistics to start from; nil: from nothing
	SkipBad   int64              // unusable rows tolerated over all files
	// PauseAfter ends Train after so many epochs in all with the state saved, for Resume to go on later; 0: never.
	PauseAfter int
	SaveEvery  time.Duration // how often state is saved within an epoch; 0: at the end of epochs only
	Threads    int           // told in the report
	Command    string        // told in the report
	Observer   Observer      // nil: nobody watches
	Now        func() time.Time
}

// Portion is where validation or test rows come from: files of their own, or a share of the training files.
type Portion struct {
	Files []string
	Share float64
}

// Given reports whether there are any rows.
func (p Portion) Given() bool { return len(p.Files) > 0 || p.Share > 0 }

// String is the portion as it was written on the command line.
func (p Portion) String() string {
	if p.Share > 0 {
		return strconv.FormatFloat(p.Share*100, 'g', -1, 64) + "%"
	}
	return strings.Join(p.Files, " ")
}

// ParsePortion reads a share such as "10%", or files, folders and globs.
func ParsePortion(args []string) (Portion, error) {
	for _, a := range args {
		number, ok := strings.CutSuffix(a, "%")
		if !ok {
			continue
		}
		share, err := strconv.ParseFloat(number, 64)
		if err != nil || !(share > 0 && share < 100) {
			return Portion{}, fmt.Errorf("share %q: want more than 0%% and less than 100%%", a)
		}
		if len(args) > 1 {
			return Portion{}, fmt.Errorf("share %q beside other values: give a share or files", a)
		}
		return Portion{Share: share / 100}, nil
	}
	return Portion{Files: args}, nil
}

// RequestError says that a run cannot start as it was asked for.
type RequestError struct{ Err error }

func (e *RequestError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *RequestError) Unwrap() error { return e.Err }

func refuse(format string, args ...any) error {
	return &RequestError{fmt.Errorf(format, args...)}
}

// ErrInterrupted says that the run stopped at its caller's wish after saving its state.
var ErrInterrupted = errors.New("interrupted; the state is saved")

// Observer is told how a run goes. Its methods are called from the training goroutine and must return soon.
type Observer interface {
	// Fit tells how much of the training data has been read for statistics and vocabularies, 0 to 1.
	Fit(share float64)
	// Step is called after each training step.
	Step(p Progress)
	// Epoch is called after each validation.
	Epoch(e EpochFigures)
	// Note gives a line for people.
	Note(text string)
}

// Progress is where a run is within an epoch.
type Progress struct {
	Epoch, Epochs int
	Rows, Total   int64 // of this epoch, done and in all
	RowsPerSecond float64
	Loss          float64 // mean of this epoch so far, with the L2 term
	ValidAUC      float64 // after the last epoch; NaN before
}

type nobody struct{}

func (nobody) Fit(float64)        {}
func (nobody) Step(Progress)      {}
func (nobody) Epoch(EpochFigures) {}
func (nobody) Note(string)        {}

// What a run leaves in its folder.
const (
	checkpointFolder = "checkpoint"
	stateFolder      = "state"
	seedsFolder      = "seeds"
	runFile          = "run.json"
	reportFile       = "report.html"
)

// checkFolder makes the run's folder, or refuses one that holds something.
func checkFolder(o *Options) error {
	entries, err := os.ReadDir(o.Out)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return refuse("open the run's folder: %w", err)
	}
	if len(entries) > 0 && !o.Resume && !o.Overwrite {
		return refuse("folder %s is not empty: --resume goes on with the run in it, --overwrite replaces it", o.Out)
	}
	if err := os.MkdirAll(o.Out, 0o777); err != nil {
		return refuse("make the run's folder: %w", err)
	}
	return nil
}

// clearFolder takes an old run out of the folder where it is to be replaced.
func clearFolder(o *Options) error {
	if !o.Overwrite || o.Resume {
		return nil
	}
	for _, name := range []string{checkpointFolder, stateFolder, seedsFolder, runFile, reportFile} {
		if err := os.RemoveAll(filepath.Join(o.Out, name)); err != nil {
			return fmt.Errorf("remove the old run: %w", err)
		}
	}
	return nil
}
