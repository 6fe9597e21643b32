package main

import (
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/models"
	"github.com/millrace/millrace/training"
)

func evalCommand() *cobra.Command {
	var (
		checkpoint string
		data       []string
		slices     []string
		cutoffs    []int
		retrieval  []int
		items      []string
		top        int
		skipBad    int64
		threads    int
		asJSON     bool
	)
	c := &cobra.Command{
		Use:   "eval --checkpoint DIR --data F…",
		Short: "Measure a checkpoint on files: AUC, logloss, GAUC, normalised entropy, calibration; by the values of a field; rankings",
		Example: `  millrace eval --checkpoint run --data test.csv
  millrace eval --checkpoint run --data test.csv --slice device --slice hist --at 5,10
  millrace eval --checkpoint towers --data test.parquet --retrieval 10,100 --items train.parquet
  millrace eval --checkpoint run --data 'days/*.parquet' --json`,
		Args: cobra.NoArgs,
	}
	flags := c.Flags()
	flags.StringVar(&checkpoint, "checkpoint", "", "a run's folder or a checkpoint folder")
	flags.StringArrayVar(&data, "data", nil, "data files, folders, globs")
	flags.StringArrayVar(&slices, "slice", nil, "tell the figures by the values of this field or column as well (a number by ranges, a history by its length); may be given again")
	flags.IntVar(&top, "top", 20, "values of a field that are told on their own, those with the most rows; the others are told together")
	flags.IntSliceVar(&cutoffs, "at", nil, "NDCG, recall and MRR of each group's first rows, such as 5,10")
	flags.IntSliceVar(&retrieval, "retrieval", nil, "of a model with two towers: how many positives find their item among the first of all items, such as 10,100")
	flags.StringArrayVar(&items, "items", nil, "files whose items are searched by --retrieval (default: those of --data)")
	flags.Int64Var(&skipBad, "skip-bad", 0, "tolerate this many unusable rows")
	flags.IntVar(&threads, "threads", 0, "threads of the numeric kernels (default: all processors)")
	flags.BoolVar(&asJSON, "json", false, "print the figures as one JSON object on the last line")
	c.MarkFlagRequired("checkpoint")
	c.MarkFlagRequired("data")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if err := errors.Join(setThreads(threads), checkSkipBad(skipBad)); err != nil {
			return err
		}
		if top < 1 {
			return wrong(fmt.Errorf("--top is %d, want at least 1", top))
		}
		if len(items) > 0 && len(retrieval) == 0 {
			return wrong(errors.New("--items is for --retrieval, which is not given"))
		}
		cp, err := models.LoadScoring(checkpoint)
		if err != nil {
			return wrong(err)
		}
		r, err := training.Evaluate(c.Context(), cp, files(data), training.EvalOptions{SkipBad: skipBad, Slices: slices, Cutoffs: cutoffs, TopSlices: top})
		if err == nil && len(retrieval) > 0 {
			r.Retrieval, err = training.Retrieve(c.Context(), cp, files(data), training.RetrievalOptions{SkipBad: skipBad, Items: files(items), Cutoffs: retrieval})
		}
		if err != nil {
			return requestErrors(err)
		}
		fmt.Fprintf(c.ErrOrStderr(), "%d rows: %s\n", r.Rows, metrics(r.TaskFigures))
		fmt.Fprintf(c.ErrOrStderr(), "  normalised entropy %s, ECE %s, mean score over rate %s\n", cell(r.NE, 6), cell(r.ECE, 6), cell(r.Calibration, 4))
		for _, l := range cp.Schema.Labels {
			if t, ok := r.Tasks[l.Name]; ok {
				fmt.Fprintf(c.ErrOrStderr(), "  %s: %s\n", l.Name, metrics(t))
			}
		}
		tellRanking(c.ErrOrStderr(), r.Ranking)
		tellRetrieval(c.ErrOrStderr(), r.Retrieval)
		for _, name := range slices {
			tellSlices(c.ErrOrStderr(), name, r.Slices[name])
		}
		return printJSON(c.OutOrStdout(), asJSON, r)
	}
	return c
}

// tellRanking prints the rankings, a line a cutoff.
func tellRanking(w io.Writer, ranking []training.RankingFigures) {
	for _, r := range ranking {
		fmt.Fprintf(w, "  %s@%d: NDCG %s, recall %s, MRR %s over %d groups\n", r.Label, r.K, cell(r.NDCG, 6), cell(r.Recall, 6), cell(r.MRR, 6), r.Groups)
	}
}

// tellRetrieval prints what was found among all items, a line a cutoff.
func tellRetrieval(w io.Writer, r *training.Retrieval) {
	if r == nil {
		return
	}
	fmt.Fprintf(w, "  %d positives searched for among %d items (%d of them are not there): MRR %s\n", r.Queries, r.Items, r.Missing, cell(r.MRR, 6))
	for _, x := range r.At {
		fmt.Fprintf(w, "  recall@%d %s\n", x.K, cell(x.Recall, 6))
	}
}

// tellSlices prints one line a value of the field.
func tellSlices(w io.Writer, field string, slices training.Slices) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(t, "%s\trows\trate\tAUC\tGAUC\tlogloss\tNE\tECE\tscore/rate\t\n", field)
	for _, s := range slices {
		fmt.Fprintf(t, "%s\t%d\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t\n",
			s.Value, s.Rows, cell(s.Rate, 4), cell(s.AUC, 4), cell(s.GAUC, 4), cell(s.Logloss, 4), cell(s.NE, 4), cell(s.ECE, 4), cell(s.Calibration, 3))
	}
	t.Flush()
}

// cell is a figure in a table; one that is undefined is a dash.
func cell(f training.Figure, digits int) string {
	if math.IsNaN(float64(f)) || math.IsInf(float64(f), 0) {
		return "–"
	}
	return strconv.FormatFloat(float64(f), 'f', digits, 64)
}
