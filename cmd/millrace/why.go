package main

import (
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/core/table"
	"github.com/millrace/millrace/training"
)

type whyFlags struct {
	checkpoint, run, table, field string
	json                          bool
}

func whyCommand() *cobra.Command {
	var f whyFlags
	c := &cobra.Command{
		Use:   "why --checkpoint DIR FIELD VALUE",
		Short: "Why an id has a row in the embedding tables, or has none: the tables' ledger",
		Long: `Tell what a checkpoint knows of one id: whether it has a row, why and at which step it was admitted or evicted and how often it had been seen by then, when
its row was last touched and how often, and, where it waits for its field's minimum count, how often it has been seen so far. VALUE is the category as it
stands in the data. With --table the id is given by its number.

A step is a minibatch of the learner. The ledger keeps the last 65536 events of every table; tables of the daemon have one, those of train have none.`,
		Example: `  millrace why --checkpoint run item 123
  millrace why --checkpoint run --field item 123 --json
  millrace why --checkpoint run --table item 13072386411250138741`,
		Args: cobra.MaximumNArgs(2),
	}
	flags := c.Flags()
	flags.StringVar(&f.checkpoint, "checkpoint", "", "a run's folder or a checkpoint folder")
	flags.StringVar(&f.run, "run", "", "the same")
	flags.StringVar(&f.field, "field", "", "the field that VALUE is of")
	flags.StringVar(&f.table, "table", "", "the table in which to look an id up by its number")
	flags.BoolVar(&f.json, "json", false, "print the answer as one JSON object on the last line")
	c.RunE = func(c *cobra.Command, args []string) error {
		stories, err := f.ask(args)
		if err != nil {
			return err
		}
		for _, s := range stories {
			tellRow(c.ErrOrStderr(), s)
		}
		return printJSON(c.OutOrStdout(), f.json, whyFigures(stories))
	}
	return c
}

func (f *whyFlags) ask(args []string) ([]training.TableStory, error) {
	dir := f.checkpoint
	if dir == "" {
		dir = f.run
	}
	if dir == "" || f.checkpoint != "" && f.run != "" {
		return nil, wrong(errors.New("why: give a folder with --checkpoint or with --run"))
	}
	if f.table != "" {
		if f.field != "" || len(args) != 1 {
			return nil, wrong(errors.New("why: --table wants one id by its number, and no --field"))
		}
		id, err := strconv.ParseUint(args[0], 0, 64)
		if err != nil {
			return nil, wrong(fmt.Errorf("why: %q is not an id's number; for a value as it stands in the data give its field", args[0]))
		}
		s, err := training.Why(dir, "", "", f.table, id)
		return s, requestErrors(err)
	}
	if f.field != "" {
		args = append([]string{f.field}, args...)
	}
	if len(args) != 2 {
		return nil, wrong(errors.New("why wants a field and a value, such as: millrace why --checkpoint run item 123"))
	}
	s, err := training.Why(dir, args[0], args[1], "", 0)
	return s, requestErrors(err)
}

func tellRow(w io.Writer, s training.TableStory) {
	fmt.Fprintf(w, "table %s, id %d: ", s.Table, s.ID)
	switch {
	case s.Present && s.Tracked:
		fmt.Fprintf(w, "has a row (slot %d), last touched at step %d of %d, counted %d times\n", s.Slot, s.Last, s.Step, s.Count)
	case s.Present:
		fmt.Fprintf(w, "has a row (slot %d); this table keeps no ages and no ledger\n", s.Slot)
	case s.Waiting > 0:
		fmt.Fprintf(w, "has no row: seen %d times of the %d it takes\n", s.Waiting, s.MinCount)
	default:
		fmt.Fprint(w, "has no row\n")
	}
	for _, e := range s.Events {
		fmt.Fprintf(w, "  step %d: %s", e.Step, e.Reason)
		switch e.Reason {
		case table.EvictedByAge, table.EvictedBySize:
			fmt.Fprintf(w, " (counted %d times, last touched at step %d)\n", e.Count, e.Last)
		case table.Entered:
			fmt.Fprintln(w)
		default:
			fmt.Fprintf(w, " (seen %d times)\n", e.Count)
		}
	}
	if len(s.Events) == 0 && s.Tracked {
		fmt.Fprintf(w, "  no event of it is among the last %d of %d in the ledger\n", s.Kept, s.Total)
	}
}

type whyTableFigures struct {
	Table    string            `json:"table"`
	ID       string            `json:"id"` // a string: numbers of 64 bits are not safe in JSON
	Present  bool              `json:"present"`
	Slot     uint32            `json:"slot"`
	Tracked  bool              `json:"tracked"`
	Step     uint32            `json:"step"`
	Last     uint32            `json:"last_touched"`
	Count    uint32            `json:"count"`
	MinCount int               `json:"min_count"`
	Waiting  uint32            `json:"waiting_count"`
	Events   []whyEventFigures `json:"events"`
	Kept     int               `json:"events_kept"`
	Total    uint64            `json:"events_total"`
}

type whyEventFigures struct {
	Step   uint32 `json:"step"`
	Reason string `json:"reason"`
	Count  uint32 `json:"count"`
	Last   uint32 `json:"last_touched"`
}

func whyFigures(stories []training.TableStory) any {
	out := struct {
		Tables []whyTableFigures `json:"tables"`
	}{}
	for _, s := range stories {
		f := whyTableFigures{
			Table: s.Table, ID: strconv.FormatUint(s.ID, 10), Present: s.Present, Slot: s.Slot, Tracked: s.Tracked, Step: s.Step, Last: s.Last, Count: s.Count,
			MinCount: s.MinCount, Waiting: s.Waiting, Events: []whyEventFigures{}, Kept: s.Kept, Total: s.Total,
		}
		for _, e := range s.Events {
			f.Events = append(f.Events, whyEventFigures{e.Step, e.Reason.Name(), e.Count, e.Last})
		}
		out.Tables = append(out.Tables, f)
	}
	return out
}
