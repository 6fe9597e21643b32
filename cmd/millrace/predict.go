package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/models"
	"github.com/millrace/millrace/training"
)

func predictCommand() *cobra.Command {
	var (
		checkpoint, out string
		data            []string
		skipBad         int64
		threads         int
		asJSON          bool
	)
	c := &cobra.Command{
		Use:   "predict --checkpoint DIR --data F… --out F.parquet|F.csv",
		Short: "Score files with a checkpoint: one row an input row, in their order",
		Example: `  millrace predict --checkpoint run --data new.csv --out scores.csv
  millrace predict --checkpoint run --data 'days/*.parquet' --out scores.parquet`,
		Args: cobra.NoArgs,
	}
	flags := c.Flags()
	flags.StringVar(&checkpoint, "checkpoint", "", "a run's folder or a checkpoint folder")
	flags.StringArrayVar(&data, "data", nil, "data files, folders, globs")
	flags.StringVar(&out, "out", "", "where the scores go: a .parquet or .csv file")
	flags.Int64Var(&skipBad, "skip-bad", 0, "tolerate this many unusable rows")
	flags.IntVar(&threads, "threads", 0, "threads of the numeric kernels (default: all processors)")
	flags.BoolVar(&asJSON, "json", false, "print the number of rows as one JSON object on the last line")
	for _, name := range []string{"checkpoint", "data", "out"} {
		c.MarkFlagRequired(name)
	}
	c.RunE = func(c *cobra.Command, _ []string) error {
		if err := errors.Join(setThreads(threads), checkSkipBad(skipBad)); err != nil {
			return err
		}
		cp, err := models.LoadScoring(checkpoint)
		if err != nil {
			return wrong(err)
		}
		rows, bad, err := training.Predict(c.Context(), cp, files(data), out, skipBad)
		if err != nil {
			return requestErrors(err)
		}
		fmt.Fprintf(c.ErrOrStderr(), "%d rows scored into %s\n", rows, out)
		return printJSON(c.OutOrStdout(), asJSON, map[string]any{"rows": rows, "bad_rows": bad, "out": out})
	}
	return c
}
