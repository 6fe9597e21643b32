package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/models"
	"github.com/millrace/millrace/training"
)

func explainCommand() *cobra.Command {
	var (
		checkpoint, out string
		data            []string
		o               training.ExplainOptions
		threads         int
		asJSON          bool
	)
	c := &cobra.Command{
		Use:   "explain --checkpoint DIR --data F… [--rows N] [--out explain.html]",
		Short: "Why rows get their scores: what each field does to the logit, attention, gates, weights of a history",
		Long: `Tells for each row what its logit owes to each field, for any model: without is the logit less that with the field unknown, alone is the logit with this
field alone known less that with nothing known. Where fields act by themselves the two are equal; interactions is what their sum leaves over. Unknown is the
unknown id, no behaviours, a number's mean.

A model that has more to say says it: AutoInt its attention among fields, FinalMLP its gates, DIN the weights of the history's behaviours.`,
		Example: `  millrace explain --checkpoint run --data test.csv
  millrace explain --checkpoint run --data test.csv --from 100 --rows 3 --out explain.html
  millrace explain --checkpoint run --data 'days/*.parquet' --rows 50 --json`,
		Args: cobra.NoArgs,
	}
	flags := c.Flags()
	flags.StringVar(&checkpoint, "checkpoint", "", "a run's folder or a checkpoint folder")
	flags.StringArrayVar(&data, "data", nil, "data files, folders, globs")
	flags.IntVar(&o.Rows, "rows", 5, "rows to explain")
	flags.IntVar(&o.From, "from", 0, "rows to pass over first")
	flags.StringVar(&out, "out", "", "where a page for people goes: an .html file")
	flags.Int64Var(&o.SkipBad, "skip-bad", 0, "tolerate this many unusable rows")
	flags.IntVar(&threads, "threads", 0, "threads of the numeric kernels (default: all processors)")
	flags.BoolVar(&asJSON, "json", false, "print everything as one JSON object on the last line")
	c.MarkFlagRequired("checkpoint")
	c.MarkFlagRequired("data")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if err := errors.Join(setThreads(threads), checkSkipBad(o.SkipBad)); err != nil {
			return err
		}
		if o.Rows < 1 {
			return wrong(fmt.Errorf("--rows is %d, want at least 1", o.Rows))
		}
		if o.From < 0 {
			return wrong(fmt.Errorf("--from is %d, want at least 0", o.From))
		}
		cp, err := models.LoadScoring(checkpoint)
		if err != nil {
			return wrong(err)
		}
		e, err := training.Explain(c.Context(), cp, files(data), o)
		if err != nil {
			return requestErrors(err)
		}
		training.TellExplained(c.ErrOrStderr(), e)
		if out != "" {
			if err := training.WriteExplained(out, e); err != nil {
				return wrong(err)
			}
			fmt.Fprintf(c.ErrOrStderr(), "the page is %s\n", out)
		}
		return printJSON(c.OutOrStdout(), asJSON, e)
	}
	return c
}
