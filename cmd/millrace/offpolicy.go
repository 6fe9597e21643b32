package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/models"
	"github.com/millrace/millrace/training"
)

func offpolicyCommand() *cobra.Command {
	var (
		o                training.OffPolicyOptions
		data, targetData []string
		schema           string
		checkpoint       string
		temperature      float64
		epsilon          float64
		asJSON           bool
	)
	c := &cobra.Command{
		Use:   "offpolicy --data F… --action COLUMN --reward COLUMN --propensity COLUMN (--target-data F… | --uniform | --checkpoint DIR | --target COLUMN)",
		Short: "What another policy would have earned, from logs with propensities: IPS, SNIPS, doubly robust",
		Long: "Estimate what a target policy would have earned on choices that another policy made and logged with their propensities: by inverse propensities (ips),\n" +
			"self-normalised (snips) and doubly robust (dr, with a reward model that never sees the choice it is asked about), each with its 95 % interval.\n" +
			"The target policy is that of logs of its own (--target-data: an action's share there, by the columns --by), every action alike (--uniform),\n" +
			"a checkpoint's choice among all actions of the logs by its scores (--checkpoint, with the schema of its own), or a column of probabilities (--target).",
		Example: `  millrace offpolicy --data random.csv.gz --target-data thompson.csv.gz --action item_id --reward click --propensity propensity_score --by position
  millrace offpolicy --data thompson.csv.gz --uniform --action item_id --reward click --propensity propensity_score --by position --json
  millrace offpolicy --checkpoint run --epsilon 0.05 --data logs.csv
  millrace offpolicy --schema S.yaml --data 'days/*.parquet' --propensity propensity --target new_policy`,
		Args: cobra.NoArgs,
	}
	flags := c.Flags()
	flags.StringArrayVar(&data, "data", nil, "logs: files, folders, globs")
	flags.StringVar(&schema, "schema", "", "schema of the logs: its dialect, and its item, first label and user columns as --action, --reward and --group")
	flags.StringVar(&o.Action, "action", "", "column of the action chosen")
	flags.StringVar(&o.Reward, "reward", "", "column of the reward, a number")
	flags.StringVar(&o.Propensity, "propensity", "propensity", "column of the logging policy's probability of the action")
	flags.StringArrayVar(&o.By, "by", nil, "column by which policies and rewards differ, such as the position; may be given again")
	flags.StringVar(&o.Group, "group", "", "column whose rows are not independent, such as the user (default: all rows are)")
	flags.StringArrayVar(&targetData, "target-data", nil, "logs of the target policy")
	flags.BoolVar(&o.Uniform, "uniform", false, "the target policy chooses every action alike")
	flags.StringVar(&checkpoint, "checkpoint", "", "the target policy is this checkpoint's: softmax of its scores' logits over --temperature, or with --epsilon its best action")
	flags.Float64Var(&temperature, "temperature", 1, "of --checkpoint's softmax")
	flags.Float64Var(&epsilon, "epsilon", 0, "--checkpoint takes its best action but for this share, which is any")
	flags.StringVar(&o.TargetColumn, "target", "", "column of the target policy's probability of the logged action")
	flags.Float64Var(&o.Clip, "clip", 0, "cut weights above this (default: none is)")
	flags.IntVar(&o.Samples, "samples", 2000, "samples of the bootstrap for the intervals; 0: normal intervals")
	flags.Uint64Var(&o.Seed, "seed", 1, "seed of the bootstrap")
	flags.BoolVar(&asJSON, "json", false, "print the figures as one JSON object on the last line")
	c.MarkFlagRequired("data")
	c.RunE = func(c *cobra.Command, _ []string) error {
		o.Data, o.TargetData = files(data), files(targetData)
		if schema != "" {
			text, err := os.ReadFile(schema)
			if err != nil {
				return wrong(fmt.Errorf("read the schema: %w", err))
			}
			s, err := features.ParseSchema(text)
			if err != nil {
				return wrong(fmt.Errorf("%s: %w", schema, err))
			}
			fromSchema(&o, s)
		}
		if checkpoint != "" {
			cp, err := models.LoadScoring(checkpoint)
			if err != nil {
				return wrong(err)
			}
			fromSchema(&o, cp.Schema)
			o.Model = &training.ModelPolicy{Checkpoint: cp, Temperature: temperature, Epsilon: epsilon}
			if c.Flags().Changed("epsilon") {
				o.Model.Temperature = 0
			}
		}
		targets := 0
		for _, given := range []bool{len(o.TargetData) > 0, o.Uniform, o.Model != nil, o.TargetColumn != ""} {
			if given {
				targets++
			}
		}
		switch {
		case o.Action == "" || o.Reward == "" || o.Propensity == "":
			return wrong(errors.New("give the columns of the logs: --action, --reward and --propensity, or a --schema that names item and label"))
		case targets != 1:
			return wrong(errors.New("give the target policy by one of --target-data, --uniform, --checkpoint and --target"))
		case !(temperature > 0):
			return wrong(fmt.Errorf("--temperature is %g, want more than 0", temperature))
		case !(epsilon >= 0 && epsilon <= 1):
			return wrong(fmt.Errorf("--epsilon is %g, want 0 to 1", epsilon))
		case o.Clip < 0:
			return wrong(fmt.Errorf("--clip is %g, want at least 0", o.Clip))
		case o.Samples < 0 || o.Samples == 1 || o.Samples > 1_000_000:
			return wrong(fmt.Errorf("--samples is %d, want 0, or 2 to 1000000", o.Samples))
		}
		r, err := training.OffPolicy(c.Context(), o)
		if err != nil {
			return requestErrors(err)
		}
		tellOffPolicy(c.ErrOrStderr(), r)
		return printJSON(c.OutOrStdout(), asJSON, r)
	}
	return c
}

// fromSchema fills in what was not given from a schema.
func fromSchema(o *training.OffPolicyOptions, s *features.Schema) {
	o.Dialect = s.CSV
	fill := func(to *string, from string) {
		if *to == "" {
			*to = from
		}
	}
	fill(&o.Action, s.Item)
	fill(&o.Group, s.User)
	if len(s.Labels) > 0 {
		fill(&o.Reward, s.Labels[0].Column)
	}
}

func tellOffPolicy(w io.Writer, r *training.OffPolicyResult) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "policy\tmethod\tvalue\tstandard error\t95 % interval")
	line := func(policy string, v *training.ValueFigures) {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s to %s\n", policy, v.Method, cell(v.Value, 6), cell(v.StdErr, 6), cell(v.Low, 6), cell(v.High, 6))
	}
	line("logging", &r.Logged)
	for i := range r.Estimates {
		line("target", &r.Estimates[i])
	}
	if r.OnPolicy != nil {
		line("target", r.OnPolicy)
	}
	t.Flush()
	fmt.Fprintf(w, "%d choices among %d actions; weights: mean %s, largest %s, worth %s unweighted choices", r.Rows, r.Actions, cell(r.Weights.Mean, 4), cell(r.Weights.Max, 2), cell(r.Weights.Effective, 0))
	if r.Weights.Clipped > 0 {
		fmt.Fprintf(w, ", %d clipped", r.Weights.Clipped)
	}
	fmt.Fprintln(w)
	for _, text := range r.Warnings {
		fmt.Fprintf(w, "warning: %s\n", text)
	}
}
