package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/models"
	"github.com/millrace/millrace/training"
)

func evalCommand() *cobra.Command {
	var (
		checkpoint string
		data       []string
		skipBad    int64
		threads    int
		asJSON     bool
	)
	c := &cobra.Command{
		Use:   "eval --checkpoint DIR --data F…",
		Short: "Measure a checkpoint on files: AUC, logloss, GAUC",
		Example: `  millrace eval --checkpoint run --data test.csv
  millrace eval --checkpoint run --data 'days/*.parquet' --json`,
		Args: cobra.NoArgs,
	}
	flags := c.Flags()
	flags.StringVar(&checkpoint, "checkpoint", "", "a run's folder or a checkpoint folder")
	flags.StringArrayVar(&data, "data", nil, "data files, folders, globs")
	flags.Int64Var(&skipBad, "skip-bad", 0, "tolerate this many unusable rows")
	flags.IntVar(&threads, "threads", 0, "threads of the numeric kernels (default: all processors)")
	flags.BoolVar(&asJSON, "json", false, "print the figures as one JSON object on the last line")
	c.MarkFlagRequired("checkpoint")
	c.MarkFlagRequired("data")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if err := errors.Join(setThreads(threads), checkSkipBad(skipBad)); err != nil {
			return err
		}
		cp, err := models.LoadScoring(checkpoint)
		if err != nil {
			return wrong(err)
		}
		r, err := training.Evaluate(c.Context(), cp, files(data), skipBad)
		if err != nil {
			return requestErrors(err)
		}
		fmt.Fprintf(c.ErrOrStderr(), "%d rows: %s\n", r.Rows, metrics(r.TaskFigures))
		for _, l := range cp.Schema.Labels {
			if t, ok := r.Tasks[l.Name]; ok {
				fmt.Fprintf(c.ErrOrStderr(), "  %s: %s\n", l.Name, metrics(t))
			}
		}
		return printJSON(c.OutOrStdout(), asJSON, r)
	}
	return c
}
