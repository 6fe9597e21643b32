package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/features/prepare"
)

func prepareCommand() *cobra.Command {
	var data, out string
	var asJSON bool
	c := &cobra.Command{
		Use:   "prepare RECIPE.yaml --data DIR --out DIR",
		Short: "Make training files from raw ones by a recipe",
		Long: `Make train.parquet, valid.parquet and test.parquet from raw files.

A recipe is YAML: sources (files and how they are written), from (the source whose rows are the
events), steps in order, and cut (how train, valid and test are parted). Steps:

  join       columns of another source by key       first, split   of a list, into a list
  rename     columns                                bucket         a number by bounds
  label      0/1 by threshold or value              time_part      hour, weekday or date
  filter     rows by value, number or count         distinct, sort rows
  history    each user's earlier events as lists, strictly earlier, the newest max
  later      0/1 by what a user does on the item within a time after the row
  negatives  items the user never used, drawn by seed     match, parse_time   a text's part; a date
  flags      0/1 columns into a list of those that are 1

Cuts: order, random, group (whole groups), last (a group's last rows), value.
The same recipe and files give the same bytes. Recipes of public data sets are in examples/.`,
		Example: `  millrace prepare examples/ml-1m/prepare.yaml --data ml-1m-raw --out ml-1m`,
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			text, err := os.ReadFile(args[0])
			if err != nil {
				return wrong(fmt.Errorf("read recipe: %w", err))
			}
			recipe, err := prepare.ParseRecipe(text)
			if err != nil {
				return wrong(fmt.Errorf("%s: %w", args[0], err))
			}
			report, err := recipe.Run(c.Context(), data, out, func(line string) { fmt.Fprintln(c.ErrOrStderr(), line) })
			if err != nil {
				err = fmt.Errorf("prepare %s: %w", args[0], err)
				if prepare.IsInput(err) {
					return wrong(err)
				}
				return err
			}
			if asJSON {
				return json.NewEncoder(c.OutOrStdout()).Encode(report)
			}
			return nil
		},
	}
	c.Flags().StringVar(&data, "data", "", "folder of the raw files")
	c.Flags().StringVar(&out, "out", "", "folder for the training files")
	c.Flags().BoolVar(&asJSON, "json", false, "end standard output with one JSON object")
	for _, f := range []string{"data", "out"} {
		if err := c.MarkFlagRequired(f); err != nil {
			panic("BUG: " + err.Error())
		}
	}
	return c
}
