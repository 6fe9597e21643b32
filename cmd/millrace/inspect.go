package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/core/snapshot"
	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/features/inspect"
)

func inspectCommand() *cobra.Command {
	var o inspect.Options
	c := &cobra.Command{
		Use:   "inspect DIR | F",
		Short: "What is in a checkpoint, or a schema proposed for a data file",
		Long: `Given a checkpoint's folder (or a run's), print what is in it: model, version, parts with
their checksums verified, tables with their rows, parameters and state.

Given a data file (CSV and other delimited text, libfm, Parquet, Arrow; plain, .gz or .zst),
write a schema for it that train accepts. The file is read once, from end to end unless --rows
says otherwise. Comments give counts, distinct values, missing ones and reasons. Constant
columns, row ids and likely leaks are commented out. Where no column is plainly the label,
the top of the schema says so: run again with --label.`,
		Example: `  millrace inspect run/checkpoint
  millrace inspect train.csv.gz --label click > schema.yaml`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			info, err := os.Stat(args[0])
			if err != nil {
				return wrong(fmt.Errorf("inspect: %w", err))
			}
			if info.IsDir() {
				if o != (inspect.Options{}) {
					return wrong(errors.New("inspect: --label, --rows and --skip-bad are for data files; " + args[0] + " is a folder"))
				}
				return inspectCheckpoint(c.OutOrStdout(), args[0])
			}
			if o.Rows < 0 || o.SkipBad < 0 {
				return wrong(errors.New("inspect: --rows and --skip-bad must be 0 or more"))
			}
			next := time.Now().Add(2 * time.Second)
			schema, err := inspect.File(c.Context(), args[0], o, func(share float64, rows int64) {
				if now := time.Now(); now.After(next) {
					fmt.Fprintf(c.ErrOrStderr(), "%3.0f%%, %d rows\n", 100*share, rows)
					next = now.Add(2 * time.Second)
				}
			})
			if features.IsInput(err) {
				return wrong(err)
			}
			if err != nil {
				return err
			}
			_, err = c.OutOrStdout().Write(schema)
			return err
		},
	}
	c.Flags().StringVar(&o.Label, "label", "", "column that is the label")
	c.Flags().Int64Var(&o.Rows, "rows", 0, "read only so many rows (0: all)")
	c.Flags().Int64Var(&o.SkipBad, "skip-bad", 0, "tolerate so many unusable rows")
	return c
}

// inspectCheckpoint prints what a checkpoint holds and verifies every part.
func inspectCheckpoint(w io.Writer, dir string) error {
	at, err := snapshot.Locate(dir)
	if err != nil {
		return wrong(fmt.Errorf("inspect: %w", err))
	}
	s, err := snapshot.Open(at)
	if err != nil {
		return wrong(fmt.Errorf("inspect: %w", err))
	}
	var b strings.Builder
	m := &s.Manifest
	fmt.Fprintf(&b, "checkpoint %s\nmodel      %s\nversion    %s\nformat     %d\n", at, m.Model, m.Version, m.Format)
	var values int64
	for _, p := range m.Parts {
		part, err := s.Part(p.Name)
		if err != nil {
			return wrong(fmt.Errorf("inspect: %w", err))
		}
		fmt.Fprintf(&b, "\npart %s: %d bytes, SHA-256 %.16s… is right\n", p.Name, p.Bytes, p.SHA256)
		for _, t := range part.Tensors {
			n := int64(1)
			shape := make([]string, len(t.Shape))
			for i, d := range t.Shape {
				n *= int64(d)
				shape[i] = fmt.Sprint(d)
			}
			values += n
			fmt.Fprintf(&b, "  %-40s %-4s [%s]\n", t.Name, t.DType, strings.Join(shape, ", "))
		}
	}
	fmt.Fprintf(&b, "\n%d values in all parts, optimizer state and ids among them\n", values)
	var states []string
	for k := range m.State {
		states = append(states, k)
	}
	slices.Sort(states)
	for _, k := range states {
		text := string(m.State[k])
		if len(text) > 200 {
			text = strings.ToValidUTF8(text[:200], "") + "…"
		}
		fmt.Fprintf(&b, "state %s: %s\n", k, text)
	}
	var files []string
	for k := range m.Files {
		files = append(files, k)
	}
	slices.Sort(files)
	for _, k := range files {
		fmt.Fprintf(&b, "\n%s:\n", k)
		for l := range strings.Lines(m.Files[k]) {
			b.WriteString("  " + l)
		}
	}
	_, err = io.WriteString(w, strings.TrimRight(b.String(), "\n")+"\n")
	return err
}
