package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/core/kernel"
	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/training"
)

type searchFlags struct {
	schema, grid, model, out, splitBy, method string
	train, valid, test                        []string
	trials, minEpochs, eta, threads           int
	seed, drawSeed                            uint64
	skipBad                                   int64
	resume, overwrite, json                   bool
	saveEvery                                 time.Duration
}

func searchCommand() *cobra.Command {
	var f searchFlags
	c := &cobra.Command{
		Use:   "search --schema S.yaml --grid G.yaml --train F… --valid F…|N% --out DIR",
		Short: "Search a grid of settings: random or successive halving; a table and a picture",
		Long: "Search a grid of settings. A grid is a model file in which a key may hold a choice: a list of values, {range: [LOW, HIGH]} (with a step, or without),\n" +
			"or {log: [LOW, HIGH]}. With --model its keys change that model file's. Trials are chosen by the validation's monitor.\n" +
			"DIR gets the best trial's checkpoint/, report.html and best.yaml, the table trials.csv, the picture search.html, search.json, and trials/. A search that was stopped,\n" +
			"or killed, goes on with --resume and ends as it would have.",
		Example: `  millrace search --schema S.yaml --grid G.yaml --train train.csv --valid valid.csv --out search
  millrace search --schema S.yaml --model finalmlp.yaml --grid G.yaml --method halving --trials 27 --train train.csv --valid 10% --out search --json

  # G.yaml
  model: DNN
  hidden_units: [[64], [400, 400]]
  learning_rate: {log: [1.0e-4, 1.0e-2]}
  net_dropout: {range: [0, 0.5]}
  batch_size: [1024, 4096]`,
		Args: cobra.NoArgs,
	}
	flags := c.Flags()
	flags.StringVar(&f.schema, "schema", "", "schema of the data (YAML)")
	flags.StringVar(&f.grid, "grid", "", "grid: a model file with choices (YAML)")
	flags.StringVar(&f.model, "model", "", "model file whose keys the grid changes (default: all keys are the grid's)")
	flags.StringArrayVar(&f.train, "train", nil, "training files, folders, globs")
	flags.StringArrayVar(&f.valid, "valid", nil, "validation files, or a share of the training files such as 10%")
	flags.StringArrayVar(&f.test, "test", nil, "test files, or a share of the training files: each trial that is trained to its end is measured on them, none is chosen by them")
	flags.StringVar(&f.splitBy, "split-by", "", "cut shares by this column: a timestamp (the newest last) or a group (whole groups); default: a seeded hash of the row")
	flags.StringVar(&f.out, "out", "", "the search's folder")
	flags.StringVar(&f.method, "method", training.RandomSearch, "random, halving, or grid (every combination)")
	flags.IntVar(&f.trials, "trials", 0, "how many trials are drawn (default: 20, or all combinations where there are fewer)")
	flags.IntVar(&f.minEpochs, "min-epochs", 1, "halving: epochs of the first round")
	flags.IntVar(&f.eta, "eta", 3, "halving: the best of so many trials goes on, for so many times the epochs")
	flags.Uint64Var(&f.drawSeed, "seed", 1, "seed by which choices are drawn")
	flags.Uint64Var(&f.seed, "train-seed", 0, "seed of the trainings (default: the model file's)")
	flags.IntVar(&f.threads, "threads", 0, "threads of the numeric kernels (default: all processors)")
	flags.BoolVar(&f.resume, "resume", false, "go on with the search in the folder, if there is one")
	flags.BoolVar(&f.overwrite, "overwrite", false, "replace the search in the folder")
	flags.Int64Var(&f.skipBad, "skip-bad", 0, "tolerate this many unusable rows")
	flags.DurationVar(&f.saveEvery, "save-every", time.Minute, "save the state this often within an epoch")
	flags.BoolVar(&f.json, "json", false, "print the figures as one JSON object on the last line")
	for _, name := range []string{"schema", "grid", "train", "valid", "out"} {
		c.MarkFlagRequired(name)
	}
	c.RunE = func(c *cobra.Command, _ []string) error {
		if f.resume && f.overwrite {
			return wrong(errors.New("--resume goes on with a search and --overwrite replaces it: give one of them"))
		}
		return f.run(c)
	}
	return c
}

func (f *searchFlags) run(c *cobra.Command) error {
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
	for _, n := range leaks(o.Schema) {
		watch.Note(n)
	}
	r, err := training.Search(c.Context(), o)
	watch.close()
	if errors.Is(err, training.ErrInterrupted) {
		fmt.Fprintf(c.ErrOrStderr(), "stopped; the state is saved: the same command with --resume goes on\n")
		return printJSON(c.OutOrStdout(), f.json, map[string]any{"interrupted": true, "out": o.Out})
	}
	if err != nil {
		return requestErrors(err)
	}
	tellSearch(c.ErrOrStderr(), r, f.out)
	return printJSON(c.OutOrStdout(), f.json, r)
}

func (f *searchFlags) options(c *cobra.Command) (training.SearchOptions, error) {
	o := training.SearchOptions{Method: f.method, Trials: f.trials, DrawSeed: f.drawSeed, MinEpochs: f.minEpochs, Eta: f.eta}
	o.Options = training.Options{
		Train: files(f.train), SplitBy: f.splitBy, Out: f.out, Resume: f.resume, Overwrite: f.overwrite, SkipBad: f.skipBad,
		SaveEvery: f.saveEvery, Now: time.Now, Command: "millrace " + strings.Join(os.Args[1:], " "),
	}
	switch {
	case f.trials < 0 || c.Flags().Changed("trials") && f.trials == 0:
		return o, fmt.Errorf("--trials is %d, want at least 1", f.trials)
	case f.minEpochs < 1:
		return o, fmt.Errorf("--min-epochs is %d, want at least 1", f.minEpochs)
	case f.eta < 2:
		return o, fmt.Errorf("--eta is %d, want at least 2", f.eta)
	}
	text, err := os.ReadFile(f.schema)
	if err != nil {
		return o, fmt.Errorf("read the schema: %w", err)
	}
	if o.Schema, err = features.ParseSchema(text); err != nil {
		return o, fmt.Errorf("%s: %w", f.schema, err)
	}
	if len(o.Schema.Labels) == 0 {
		return o, fmt.Errorf("%s: the schema has no label; name it: labels: [{name: COLUMN}]", f.schema)
	}
	grid, err := os.ReadFile(f.grid)
	if err != nil {
		return o, fmt.Errorf("read the grid: %w", err)
	}
	o.GridText = string(grid)
	var base []byte
	if f.model != "" {
		if base, err = os.ReadFile(f.model); err != nil {
			return o, fmt.Errorf("read the model file: %w", err)
		}
		o.GridText += "\n# over\n" + string(base)
	}
	if o.Grid, err = training.ParseGrid(grid, base, o.Schema); err != nil {
		return o, fmt.Errorf("%s: %w", f.grid, err)
	}
	if o.Valid, err = training.ParsePortion(files(f.valid)); err != nil {
		return o, fmt.Errorf("--valid: %w", err)
	}
	if o.Test, err = training.ParsePortion(files(f.test)); err != nil {
		return o, fmt.Errorf("--test: %w", err)
	}
	o.Seed, o.SplitSeed, o.FileSeed = f.seed, f.seed, !c.Flags().Changed("train-seed")
	return o, nil
}

// tellSearch prints the table, the best trial first.
func tellSearch(w io.Writer, r *training.SearchResult, out string) {
	const most = 30
	head, rows := r.Table()
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, strings.Join(head, "\t"))
	for i, row := range rows {
		if i == most {
			break
		}
		fmt.Fprintln(t, strings.Join(row, "\t"))
	}
	t.Flush()
	if len(rows) > most {
		fmt.Fprintf(w, "and %d more\n", len(rows)-most)
	}
	fmt.Fprintf(w, "%d trials trained to the end, %d stopped early, %d failed; %d epochs in %.1f s\n", r.Done, r.Stopped, r.Failed, r.Epochs, r.Seconds)
	fmt.Fprintf(w, "the best is trial %d; its checkpoint, report.html and best.yaml, with search.html, trials.csv and search.json, are in %s\n", r.Best, out)
}
