package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/core/kernel"
	"github.com/millrace/millrace/training"
)

func compareCommand() *cobra.Command {
	var (
		o       training.CompareOptions
		data    []string
		out     string
		threads int
		asJSON  bool
	)
	c := &cobra.Command{
		Use:   "compare A B … --data F…",
		Short: "Compare models on the same rows: is B better than A, by how much, and how sure is that",
		Long: "Compare models on the same rows. A, B … are runs' folders or checkpoint folders, scored on --data, or files that predict wrote, which need no --data; NAME=PATH names one.\n" +
			"A run of train --seeds stands for all its seeds: its figures are their means. Every model is tested against the first (or --baseline): the AUC by DeLong's paired test,\n" +
			"by rows and by groups (users), and AUC, GAUC and logloss by a paired bootstrap over groups. The models come before the flags.",
		Example: `  millrace compare base=runs/deepfm new=runs/din --data test.csv --out comparison
  millrace compare runs/a runs/b --data 'days/*.parquet' --slice device --json
  millrace compare monday.csv tuesday.csv`,
		Args: cobra.ArbitraryArgs,
	}
	flags := c.Flags()
	flags.StringArrayVar(&data, "data", nil, "data files, folders, globs that the checkpoints score")
	flags.StringVar(&o.Baseline, "baseline", "", "the model that the others are tested against (default: the first)")
	flags.StringArrayVar(&o.Slices, "slice", nil, "compare by the values of this field or column as well; may be given again")
	flags.IntVar(&o.TopSlices, "top", 20, "values of a field that are compared on their own, those with the most rows")
	flags.IntVar(&o.Samples, "samples", 1000, "samples of the bootstrap")
	flags.Uint64Var(&o.Seed, "seed", 1, "seed of the bootstrap")
	flags.StringVar(&o.Label, "label", "", "the label's column in prediction files (default: the one before the score)")
	flags.StringVar(&o.Group, "group", "", "the groups' column in prediction files (default: the one before the label)")
	flags.StringVar(&out, "out", "", "folder for compare.html and compare.json")
	flags.Int64Var(&o.SkipBad, "skip-bad", 0, "tolerate this many unusable rows")
	flags.IntVar(&threads, "threads", 0, "threads (default: all processors)")
	flags.BoolVar(&asJSON, "json", false, "print the figures as one JSON object on the last line")
	c.RunE = func(c *cobra.Command, args []string) error {
		if err := errors.Join(setThreads(threads), checkSkipBad(o.SkipBad)); err != nil {
			return err
		}
		switch {
		case len(args) < 2:
			return wrong(fmt.Errorf("compare needs at least two runs, checkpoints or prediction files before the flags, not %d", len(args)))
		case o.TopSlices < 1:
			return wrong(fmt.Errorf("--top is %d, want at least 1", o.TopSlices))
		case o.Samples < 10 || o.Samples > 1_000_000:
			return wrong(fmt.Errorf("--samples is %d, want 10 to 1000000", o.Samples))
		}
		o.Contenders, o.Data, o.Workers = contenders(args), files(data), kernel.Threads()
		o.Note = func(text string) { fmt.Fprintln(c.ErrOrStderr(), text) }
		r, err := training.Compare(c.Context(), o)
		if err != nil {
			return requestErrors(err)
		}
		tellComparison(c.ErrOrStderr(), r)
		if out != "" {
			if err := r.Write(out); err != nil {
				return requestErrors(err)
			}
			fmt.Fprintf(c.ErrOrStderr(), "compare.html and compare.json are in %s\n", out)
		}
		return printJSON(c.OutOrStdout(), asJSON, r)
	}
	return c
}

// contenders reads PATH or NAME=PATH; a path's name is its last part, or as much of it as tells it from the others.
func contenders(args []string) []training.Contender {
	out := make([]training.Contender, len(args))
	for i, a := range args {
		name, path, named := strings.Cut(a, "=")
		if _, err := os.Stat(a); err == nil || !named || name == "" {
			name, path = "", a
		}
		out[i] = training.Contender{Name: name, Path: path}
	}
	for i := range out {
		if c := &out[i]; c.Name == "" {
			c.Name = filepath.Base(filepath.Clean(c.Path))
			for k := range out {
				if k != i && filepath.Base(filepath.Clean(out[k].Path)) == c.Name {
					c.Name = filepath.Clean(c.Path)
					break
				}
			}
		}
	}
	return out
}

func tellComparison(w io.Writer, c *training.Comparison) {
	groups := "no groups"
	if c.Groups > 0 {
		groups = fmt.Sprintf("%d groups", c.Groups)
	}
	fmt.Fprintf(w, "%d rows, %s; differences are those from %s\n", c.Rows, groups, c.Baseline)
	tellModels(w, c.Models, c.Baseline)
	for _, label := range slices.Sorted(maps.Keys(c.Tasks)) {
		fmt.Fprintf(w, "label %s\n", label)
		tellModels(w, c.Tasks[label], c.Baseline)
	}
	for _, field := range slices.Sorted(maps.Keys(c.Slices)) {
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
		fmt.Fprintf(t, "%s\trows\trate\t", field)
		for _, m := range c.Models {
			fmt.Fprintf(t, "AUC %s\t", m.Name)
			if m.Name != c.Baseline {
				fmt.Fprint(t, "p\t")
			}
		}
		fmt.Fprintln(t)
		for _, s := range c.Slices[field] {
			value := s.Value
			if s.Label != "" {
				value = s.Label + ", " + value
			}
			fmt.Fprintf(t, "%s\t%d\t%s\t", value, s.Rows, cell(s.Rate, 4))
			for _, m := range s.Models {
				fmt.Fprintf(t, "%s\t", cell(m.AUC, 5))
				for _, x := range m.Tests {
					fmt.Fprintf(t, "%s\t", pCell(*x.PHolm))
				}
			}
			fmt.Fprintln(t)
		}
		t.Flush()
		fmt.Fprintf(w, "p of the AUC's difference, adjusted for the number of values (Holm)\n")
	}
}

// tellModels prints the table of figures and that of tests.
func tellModels(w io.Writer, models []training.ModelComparison, baseline string) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "model\tAUC\tRelaImpr\tGAUC\tlogloss\tNE\tECE\tscore/rate\t")
	tests := false
	for _, m := range models {
		name := m.Name
		if m.Runs > 1 {
			name = fmt.Sprintf("%s (%d runs)", name, m.Runs)
		}
		impr := "–"
		if !math.IsNaN(float64(m.RelaImpr)) {
			impr = fmt.Sprintf("%+.2f%%", 100*m.RelaImpr)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t\n", name, cell(m.AUC, 6), impr, cell(m.GAUC, 6), cell(m.Logloss, 6), cell(m.NE, 5), cell(m.ECE, 5), cell(m.Calibration, 4))
		tests = tests || len(m.Tests) > 0
	}
	t.Flush()
	if !tests {
		return
	}
	t = tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "model\tmetric\tdifference\t95 % interval\tp\ttest")
	for _, m := range models {
		for _, x := range m.Tests {
			fmt.Fprintf(t, "%s\t%s\t%s\t%s to %s\t%s\t%s\n", m.Name, x.Metric, signedCell(x.Difference), signedCell(x.Low), signedCell(x.High), pCell(x.P), x.Method)
		}
	}
	t.Flush()
}

func signedCell(f training.Figure) string {
	if math.IsNaN(float64(f)) {
		return "–"
	}
	return fmt.Sprintf("%+.6f", float64(f))
}

func pCell(f training.Figure) string {
	if p := float64(f); p < 1e-4 {
		return fmt.Sprintf("%.1e", p)
	}
	return cell(f, 4)
}
