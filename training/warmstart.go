package training

import (
	"fmt"
	"strings"

	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/models"
)

// warmStart makes the trainer from the checkpoint of --init: what means the same is kept with the optimizer's state, all else begins anew. It tells which is which.
func (r *run) warmStart(v features.Vocabulary) (err error) {
	if r.trainer, r.state.Init, err = r.program.WarmTrainer(r.Init, v, false, false); err != nil {
		return refuse("--init: %w", err)
	}
	r.stats = inheritStats(r.Schema, r.Init, r.stats)
	r.state.FirstStep = r.trainer.Optimizer.Steps()
	for _, line := range WarmStartLines(r.state.Init) {
		r.Observer.Note(line)
	}
	return nil
}

// inheritStats returns the checkpoint's statistics of the numbers that mean the same as before, and those of fresh of the others: their weights know no other scale.
func inheritStats(s *features.Schema, from *models.Checkpoint, fresh *features.Stats) *features.Stats {
	if from.Stats == nil {
		return fresh
	}
	out := &features.Stats{Rows: from.Stats.Rows, Numeric: map[string]features.NumericStats{}}
	if fresh != nil {
		out.Rows = fresh.Rows
	}
	for i := range s.Fields {
		f := &s.Fields[i]
		if !models.IsNumber(f) {
			continue
		}
		kept, ok := from.Stats.Numeric[f.Name]
		k := from.Schema.Field(f.Name)
		switch {
		case ok && k >= 0 && models.IsNumber(&from.Schema.Fields[k]) && from.Schema.Fields[k].Log == f.Log:
			out.Numeric[f.Name] = kept
		case fresh != nil:
			out.Numeric[f.Name] = fresh.Numeric[f.Name]
		default: // as it comes, like all numbers of a daemon that starts from nothing
			out.Numeric[f.Name] = features.NumericStats{}
		}
	}
	return out
}

// WarmIncremental starts from those weights of a checkpoint that mean the same to another schema or model, and says what it kept. It takes over the checkpoint's tables.
func WarmIncremental(spec *models.Spec, s *features.Schema, c *models.Checkpoint, o IncrementalOptions) (*Incremental, *models.Inheritance, error) {
	if o.Seed == 0 {
		o.Seed = c.Program.Seed()
	}
	program, err := models.NewProgram(spec, s, o.Seed)
	if err != nil {
		return nil, nil, err
	}
	trainer, in, err := program.WarmTrainer(c, nil, true, true)
	if err != nil {
		return nil, nil, err
	}
	l, err := newIncremental(trainer, inheritStats(s, c, nil), o)
	if err != nil {
		return nil, nil, err
	}
	if err := l.goOn(c); err != nil {
		return nil, nil, fmt.Errorf("start from %w", err)
	}
	if l.admission != nil && c.Snapshot != nil && hasPart(c.Snapshot, admissionPart) {
		in.Notes = append(in.Notes, "ids that wait for their minimum count are counted anew")
	}
	return l, in, nil
}

// WarmStartLines tells an inheritance to people: what was kept, what begins anew and why, what is left behind.
func WarmStartLines(in *models.Inheritance) []string {
	head := "started from checkpoint " + in.From
	if f := in.Fields; len(f.Added)+len(f.Dropped)+len(f.Changed) == 0 {
		head += ": the same fields"
	} else {
		head += fmt.Sprintf(": %d fields kept", len(f.Kept))
		for _, part := range []struct {
			what  string
			names []string
		}{{"added", f.Added}, {"dropped", f.Dropped}} {
			if len(part.names) > 0 {
				head += fmt.Sprintf(", %s: %s", part.what, strings.Join(part.names, ", "))
			}
		}
	}
	lines := []string{head}
	add := func(format string, args ...any) { lines = append(lines, "  "+fmt.Sprintf(format, args...)) }
	for _, c := range in.Fields.Changed {
		add("field %s", c)
	}
	for _, n := range in.Notes {
		add("%s", n)
	}
	for _, t := range in.Tables {
		switch {
		case t.New != "":
			add("table %s begins anew: %s", t.Name, t.New)
		case t.State:
			add("table %s: %s rows kept with the optimizer's state", t.Name, thousands(int64(t.Rows)))
		default:
			add("table %s: %s rows kept, the optimizer's state begins anew", t.Name, thousands(int64(t.Rows)))
		}
	}
	whole := 0
	for _, d := range in.Dense {
		switch d.Kept {
		case d.Of:
			whole++
		case 0:
			add("weights %s begin anew: %s", d.Name, d.New)
		default:
			add("weights %s: %s of %s numbers kept; new are %s", d.Name, thousands(int64(d.Kept)), thousands(int64(d.Of)), d.New)
		}
	}
	if len(in.Dense) > 0 {
		add("%d of %d dense tensors kept whole", whole, len(in.Dense))
	}
	if in.Optimizer != "" {
		add("the optimizer's state of dense weights begins anew: %s", in.Optimizer)
	}
	if len(in.Unused) > 0 {
		add("left behind: %s", strings.Join(in.Unused, ", "))
	}
	return lines
}
