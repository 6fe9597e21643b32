package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/core/kernel"
	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/models"
	_ "github.com/millrace/millrace/models/all" // every model by name
	"github.com/millrace/millrace/training"
)

type trainFlags struct {
	schema, model, out, splitBy, init string
	train, valid, test                []string
	seed                              uint64
	seeds, threads                    int
	skipBad                           int64
	resume, overwrite, json           bool
	saveEvery                         time.Duration
}

func trainCommand() *cobra.Command {
	var f trainFlags
	c := &cobra.Command{
		Use:   "train --schema S.yaml --model M.yaml --train F… --valid F…|N% [--test F…|N%] --out DIR",
		Short: "Train a model on files: a checkpoint and a report",
		Long: "Train a model on files. F… are files, folders and globs; N% is a share of the training files.\n" +
			"DIR gets checkpoint/ (the best weights by validation), report.html, run.json and state/, from which --resume goes on.",
		Example: `  millrace train --schema examples/frappe/schema.yaml --model examples/frappe/finalmlp.yaml --train train.csv --valid valid.csv --test test.csv --out run
  millrace train --schema S.yaml --model M.yaml --train 'clicks/*.parquet' --valid 10% --split-by time --out run --json`,
		Args: cobra.NoArgs,
	}
	flags := c.Flags()
	flags.StringVar(&f.schema, "schema", "", "schema of the data (YAML)")
	flags.StringVar(&f.model, "model", "", "model file (YAML)")
	flags.StringArrayVar(&f.train, "train", nil, "training files, folders, globs")
	flags.StringArrayVar(&f.valid, "valid", nil, "validation files, or a share of the training files such as 10%")
	flags.StringArrayVar(&f.test, "test", nil, "test files, or a share of the training files such as 10%")
	flags.StringVar(&f.splitBy, "split-by", "", "cut shares by this column: a timestamp (the newest last) or a group (whole groups); default: a seeded hash of the row")
	flags.StringVar(&f.out, "out", "", "the run's folder")
	flags.Uint64Var(&f.seed, "seed", 0, "seed of everything random (default: the model file's)")
	flags.IntVar(&f.seeds, "seeds", 0, "train this many times with consecutive seeds and report the spread")
	flags.IntVar(&f.threads, "threads", 0, "threads of the numeric kernels (default: all processors)")
	flags.BoolVar(&f.resume, "resume", false, "go on with the run in the folder, if there is one")
	flags.BoolVar(&f.overwrite, "overwrite", false, "replace the run in the folder")
	flags.StringVar(&f.init, "init", "", "start from the weights of this checkpoint; where schema or model differ, from those that still mean the same")
	flags.Int64Var(&f.skipBad, "skip-bad", 0, "tolerate this many unusable rows")
	flags.DurationVar(&f.saveEvery, "save-every", time.Minute, "save the state this often within an epoch")
	flags.BoolVar(&f.json, "json", false, "print the figures as one JSON object on the last line")
	for _, name := range []string{"schema", "model", "train", "valid", "out"} {
		c.MarkFlagRequired(name)
	}
	c.RunE = func(c *cobra.Command, _ []string) error {
		if f.resume && f.overwrite {
			return wrong(errors.New("--resume goes on with a run and --overwrite replaces it: give one of them"))
		}
		if f.seeds < 0 {
			return wrong(fmt.Errorf("--seeds is %d, want at least 1", f.seeds))
		}
		return f.run(c)
	}
	return c
}

func (f *trainFlags) run(c *cobra.Command) error {
	o, err := f.options(c)
	if err != nil {
		return wrong(err)
	}
	if err := errors.Join(setThreads(f.threads), checkSkipBad(f.skipBad)); err != nil {
		return err
	}
	o.Threads = kernel.Threads()
	watch := newWatcher(c.ErrOrStderr(), o.Now)
	defer watch.close()
	o.Observer = watch
	for _, n := range o.Spec.Notices {
		watch.Note(n)
	}
	for _, n := range leaks(o.Schema) {
		watch.Note(n)
	}
	var result any
	var one *training.Result
	if f.seeds > 0 {
		var all *training.SeedsResult
		if all, err = training.TrainSeeds(c.Context(), o, f.seeds); err == nil {
			result, one = all, &all.Result
			watch.Note(seedsLine(all))
		}
	} else {
		one, err = training.Train(c.Context(), o)
		result = one
	}
	watch.close()
	if errors.Is(err, training.ErrInterrupted) {
		fmt.Fprintf(c.ErrOrStderr(), "stopped; the state is saved: the same command with --resume goes on\n")
		return printJSON(c.OutOrStdout(), f.json, map[string]any{"interrupted": true, "out": o.Out})
	}
	if err != nil {
		return requestErrors(err)
	}
	f.summary(c.ErrOrStderr(), one)
	return printJSON(c.OutOrStdout(), f.json, result)
}

func (f *trainFlags) options(c *cobra.Command) (training.Options, error) {
	o := training.Options{
		Train: files(f.train), SplitBy: f.splitBy, Out: f.out, Resume: f.resume, Overwrite: f.overwrite, SkipBad: f.skipBad,
		SaveEvery: f.saveEvery, Now: time.Now, Command: "millrace " + strings.Join(os.Args[1:], " "),
	}
	var err error
	if o.Schema, o.Spec, err = readSpec(f.schema, f.model); err != nil {
		return o, err
	}
	if o.Valid, err = training.ParsePortion(files(f.valid)); err != nil {
		return o, fmt.Errorf("--valid: %w", err)
	}
	if o.Test, err = training.ParsePortion(files(f.test)); err != nil {
		return o, fmt.Errorf("--test: %w", err)
	}
	o.Seed = o.Spec.Settings.Seed
	if c.Flags().Changed("seed") {
		o.Seed = f.seed
	}
	o.SplitSeed = o.Seed
	if f.init != "" {
		if o.Init, err = models.Load(f.init); err != nil {
			return o, fmt.Errorf("--init: %w", err)
		}
	}
	return o, nil
}

// leaks says which fields read a label's own column.
func leaks(s *features.Schema) []string {
	var out []string
	for _, f := range s.Fields {
		for _, l := range s.Labels {
			if f.Column == l.Column {
				out = append(out, fmt.Sprintf("field %s reads the column of label %s: a model that sees the answer is of no use where the answer is not known", f.Name, l.Name))
			}
		}
	}
	return out
}

// readSpec reads a schema and a model file for it.
func readSpec(schemaFile, modelFile string) (*features.Schema, *models.Spec, error) {
	text, err := os.ReadFile(schemaFile)
	if err != nil {
		return nil, nil, fmt.Errorf("read the schema: %w", err)
	}
	s, err := features.ParseSchema(text)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", schemaFile, err)
	}
	if len(s.Labels) == 0 {
		return nil, nil, fmt.Errorf("%s: the schema has no label; name it: labels: [{name: COLUMN}]", schemaFile)
	}
	if text, err = os.ReadFile(modelFile); err != nil {
		return nil, nil, fmt.Errorf("read the model file: %w", err)
	}
	spec, err := models.Parse(text, s)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", modelFile, err)
	}
	return s, spec, nil
}

func (f *trainFlags) summary(w io.Writer, r *training.Result) {
	fmt.Fprintf(w, "%s: %s; best epoch %d of %d; %d rows at %.0f a second, %.1f s in all\n",
		r.Split, metrics(r.TaskFigures), r.BestEpoch, r.Epochs, r.Rows, r.RowsPerSecond, r.Seconds)
	fmt.Fprintf(w, "parameters: %d; FuxiCTR would count %d, for it keeps a padding row in every embedding table\n", r.Parameters, r.ParametersFuxiCTR)
	fmt.Fprintf(w, "checkpoint, report.html and run.json are in %s\n", f.out)
}

// seedsLine tells the spread over seeds.
func seedsLine(r *training.SeedsResult) string {
	var out []string
	for _, m := range []struct {
		name          string
		mean, std, se training.Figure
	}{{"AUC", r.AUCMean, r.AUCStd, r.AUCSE}, {"logloss", r.LoglossMean, r.LoglossStd, r.LoglossSE}, {"GAUC", r.GAUCMean, r.GAUCStd, r.GAUCSE}} {
		if !math.IsNaN(float64(m.mean)) {
			out = append(out, fmt.Sprintf("%s %.6f ± %s (standard error %s)", m.name, m.mean, cell(m.std, 6), cell(m.se, 6)))
		}
	}
	return fmt.Sprintf("%d runs: %s", len(r.Runs), strings.Join(out, ", "))
}

// metrics is a line of figures for people; those that are undefined stay out.
func metrics(f training.TaskFigures) string {
	var out []string
	for _, m := range []struct {
		name  string
		value training.Figure
	}{{"AUC", f.AUC}, {"logloss", f.Logloss}, {"GAUC", f.GAUC}} {
		if !math.IsNaN(float64(m.value)) {
			out = append(out, fmt.Sprintf("%s %.6f", m.name, m.value))
		}
	}
	return strings.Join(out, ", ")
}

// files splits values at commas where no file of the whole name exists.
func files(args []string) []string {
	var out []string
	for _, a := range args {
		if _, err := os.Stat(a); err != nil && strings.Contains(a, ",") && !strings.ContainsAny(a, "{}") {
			out = append(out, strings.Split(a, ",")...)
		} else {
			out = append(out, a)
		}
	}
	return out
}

func setThreads(n int) error {
	if n < 0 {
		return wrong(fmt.Errorf("--threads is %d, want at least 1", n))
	}
	kernel.SetThreads(n)
	return nil
}

func checkSkipBad(n int64) error {
	if n < 0 {
		return wrong(fmt.Errorf("--skip-bad is %d, want at least 0", n))
	}
	return nil
}

// requestErrors marks what is the request's own fault.
func requestErrors(err error) error {
	var r *training.RequestError
	if errors.As(err, &r) {
		return wrong(err)
	}
	return err
}

// printJSON writes the figures of --json as the last line of standard output.
func printJSON(w io.Writer, wanted bool, v any) error {
	if !wanted {
		return nil
	}
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("write the figures: %w", err)
	}
	if _, err := fmt.Fprintf(w, "%s\n", text); err != nil {
		return fmt.Errorf("write the figures: %w", err)
	}
	return nil
}
