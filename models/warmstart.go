package models

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/millrace/millrace/core/graph"
	"github.com/millrace/millrace/core/snapshot"
	"github.com/millrace/millrace/core/table"
	"github.com/millrace/millrace/features"
)

// Inheritance is what a trainer took over from the checkpoint it began with, and what it started anew, each with the reason.
type Inheritance struct {
	From   string           `json:"from"` // the checkpoint's version
	Fields InheritedFields  `json:"fields"`
	Tables []InheritedTable `json:"tables"`
	Dense  []InheritedDense `json:"dense"`
	Unused []string         `json:"unused"` // tables and weights of the checkpoint that nothing reads any longer
	// Optimizer says what became of the state of dense weights; empty: it was kept.
	Optimizer string   `json:"optimizer"`
	Notes     []string `json:"notes"`
}

// InheritedFields are the schema's fields beside the checkpoint's.
type InheritedFields struct {
	Kept    []string `json:"kept"`
	Added   []string `json:"added"`
	Dropped []string `json:"dropped"`
	Changed []string `json:"changed"` // each with what it was and is
}

// InheritedTable is what became of an embedding table: Rows are those taken over, New says why none was.
type InheritedTable struct {
	Name  string `json:"name"`
	Rows  int    `json:"rows"`
	State bool   `json:"state"` // with the optimizer's state
	New   string `json:"new,omitempty"`
}

// InheritedDense is what became of a dense tensor: Kept of its Of numbers were taken over. New says what the others are for, or why all begin anew.
type InheritedDense struct {
	Name string `json:"name"`
	Kept int    `json:"kept"`
	Of   int    `json:"of"`
	New  string `json:"new,omitempty"`
}

// WarmTrainer returns a trainer that begins with those weights of a checkpoint that mean the same to this program, whose schema and model may differ from the
// checkpoint's: rows of tables with the same ids and width, numbers of dense tensors whose row and column stand for the same, each with the state of the
// optimizer where that is the same. All else has its initial values. With adopt, tables that need no change are the checkpoint's own, which must not be used
// any longer; else they are copied. See NewStep about admit and NewTables about the vocabulary. It is an error when nothing means the same.
func (p *Program) WarmTrainer(c *Checkpoint, v features.Vocabulary, admit, adopt bool) (*Trainer, *Inheritance, error) {
	w := &warmStart{program: p, from: c, in: &Inheritance{From: c.Weights.Version, Unused: []string{}, Notes: []string{}}}
	if err := w.compare(); err != nil {
		return nil, nil, err
	}
	tables, err := w.tables(v, adopt)
	if err != nil {
		return nil, nil, err
	}
	t, err := p.newTrainer(tables, admit)
	if err != nil {
		return nil, nil, err
	}
	if err := w.dense(t); err != nil {
		return nil, nil, err
	}
	if !w.any {
		return nil, nil, fmt.Errorf("nothing of checkpoint %s means the same to this schema and model", c.Weights.Version)
	}
	return t, w.in, nil
}

// warmStart is a checkpoint's weights on their way into a trainer.
type warmStart struct {
	program *Program
	from    *Checkpoint
	in      *Inheritance
	old     *meaning
	now     *meaning
	any     bool // something was taken over
}

// compare finds out what the weights of both sides stand for, and what the schemas' fields have become.
func (w *warmStart) compare() error {
	then, now := w.from.Schema, w.program.schema
	var thenLabel, nowLabel string // where one side has one label, the other's names lose it
	switch {
	case len(then.Labels) == 1 && len(now.Labels) > 1:
		nowLabel = then.Labels[0].Name
	case len(now.Labels) == 1 && len(then.Labels) > 1:
		thenLabel = now.Labels[0].Name
	}
	var err error
	if w.old, err = w.from.Program.meaning(thenLabel); err != nil {
		return err
	}
	if w.now, err = w.program.meaning(nowLabel); err != nil {
		return err
	}
	f := InheritedFields{Kept: []string{}, Added: []string{}, Dropped: []string{}, Changed: []string{}}
	for i := range now.Fields {
		field := &now.Fields[i]
		k := then.Field(field.Name)
		if k < 0 {
			f.Added = append(f.Added, field.Name)
			continue
		}
		if was, is := fieldMeaning(then, &then.Fields[k]), fieldMeaning(now, field); was != is {
			f.Changed = append(f.Changed, fmt.Sprintf("%s was %s and is %s", field.Name, was, is))
			continue
		}
		f.Kept = append(f.Kept, field.Name)
	}
	for i := range then.Fields {
		if name := then.Fields[i].Name; now.Field(name) < 0 {
			f.Dropped = append(f.Dropped, name)
		}
	}
	w.in.Fields = f
	if a, b := labelNames(then), labelNames(now); a != b {
		w.note("the checkpoint's labels are %s, now they are %s", a, b)
	}
	for _, l := range now.Labels {
		k := slices.IndexFunc(then.Labels, func(o features.Label) bool { return o.Name == l.Name })
		if k >= 0 && (!slices.Equal(then.Labels[k].Positive, l.Positive) || !equalNumbers(then.Labels[k].Above, l.Above)) {
			w.note("label %s is another now: what was learned of the old one is where it starts", l.Name)
		}
	}
	if a, b := w.from.Spec, w.program.spec; a.Name != b.Name {
		w.note("the checkpoint is a %s, this model a %s: what has the same name and use in both is kept", a.Name, b.Name)
	}
	return nil
}

func (w *warmStart) note(format string, args ...any) {
	w.in.Notes = append(w.in.Notes, fmt.Sprintf(format, args...))
}

func equalNumbers(a, b *float64) bool {
	return a == b || a != nil && b != nil && *a == *b
}

func labelNames(s *features.Schema) string {
	var names []string
	for _, l := range s.Labels {
		names = append(names, l.Name)
	}
	return strings.Join(names, ", ")
}

// tables makes the tables: the checkpoint's where they mean the same, new ones else.
func (w *warmStart) tables(v features.Vocabulary, adopt bool) (map[string]*table.Table, error) {
	out := map[string]*table.Table{}
	used := map[string]bool{}
	for _, t := range w.now.tables {
		k := slices.IndexFunc(w.old.tables, func(o tableMeaning) bool { return o.compared == t.compared })
		entry := InheritedTable{Name: t.Name}
		var from *table.Table
		if k >= 0 {
			used[w.old.tables[k].Name] = true
		}
		if entry.New = w.tableDiffers(k, t); entry.New == "" {
			from = w.from.Tables[w.old.tables[k].Name]
			entry.State = w.sameOptimizer() && from.StateSize() > 0
			entry.Rows = from.Rows()
			w.any = w.any || entry.Rows > 1
		}
		made, err := w.table(t, k, from, v[t.Vocabulary], adopt)
		if err != nil {
			return nil, err
		}
		out[t.Name] = made
		w.in.Tables = append(w.in.Tables, entry)
	}
	for _, t := range w.old.tables {
		from := w.from.Tables[t.Name]
		if !used[t.Name] {
			w.in.Unused = append(w.in.Unused, fmt.Sprintf("table %s with %d rows", t.Name, from.Rows()))
		}
		if adopt && !slices.Contains(slices.Collect(maps.Values(out)), from) {
			from.Close()
		}
	}
	return out, nil
}

// tableDiffers says why no row of old table k means the same in t, empty where they do.
func (w *warmStart) tableDiffers(k int, t tableMeaning) string {
	if k < 0 {
		return "the checkpoint has no such table"
	}
	switch o := w.old.tables[k]; {
	case o.Dim != t.Dim:
		return fmt.Sprintf("its rows were %d wide and are %d", o.Dim, t.Dim)
	case o.Vocabulary != t.Vocabulary:
		return fmt.Sprintf("its ids were those of %s and are those of %s", o.Vocabulary, t.Vocabulary)
	case o.ids != t.ids:
		return fmt.Sprintf("its ids were %s and are %s", o.ids, t.ids)
	}
	return ""
}

// sameOptimizer reports whether the state can be kept: that of rows and that of dense weights go by one count of steps.
func (w *warmStart) sameOptimizer() bool {
	was, is := &w.from.Spec.Settings, &w.program.spec.Settings
	return was.Optimizer == is.Optimizer && was.EmbeddingOptimizer == is.EmbeddingOptimizer
}

// table returns one table with the rows of from, where there is one, and a row for each id of the vocabulary.
func (w *warmStart) table(t tableMeaning, k int, from *table.Table, vocabulary []uint64, adopt bool) (*table.Table, error) {
	state := w.sameOptimizer()
	o := w.program.tableOptions(t.TableSpec, true)
	if from != nil && adopt && state && t.TableSpec == w.old.tables[k].TableSpec && w.from.Program.tableOptions(t.TableSpec, true) == o && from.StateSize() == o.State {
		for _, id := range vocabulary {
			from.Admit(id)
		}
		return from, from.Err()
	}
	o.Rows = len(vocabulary) + 1
	if from != nil {
		o.Rows = max(o.Rows, from.Rows())
	}
	made, err := table.New(t.Name, o)
	if err != nil {
		return nil, fmt.Errorf("make table %s: %w", t.Name, err)
	}
	if t.Zero {
		clear(made.Row(0))
	}
	for _, id := range vocabulary {
		made.Admit(id)
	}
	if from == nil {
		return made, made.Err()
	}
	for slot := range uint32(from.Len()) {
		id := from.ID(slot)
		if slot == 0 && (t.Zero || w.old.tables[k].Zero) || slot > 0 && id == table.UnknownID { // the unknown row is no row where it is zero; a hole is none
			continue
		}
		to := made.Put(id, from.Row(slot))
		if state {
			copy(made.State(to), from.State(slot))
		}
	}
	return made, made.Err()
}

// dense takes over the numbers of the dense tensors whose row and column stand for the same, and their optimizer's state.
func (w *warmStart) dense(t *Trainer) error {
	old := map[string][]float32{}
	for _, x := range w.from.Dense {
		values, err := snapshot.Values[float32](x)
		if err != nil {
			return fmt.Errorf("read the checkpoint's dense weights: %w", err)
		}
		old[x.Name] = values
	}
	state, err := w.optimizerState()
	if err != nil {
		return err
	}
	made := map[string]*graph.Tensor{}
	used := map[string]bool{}
	for i, q := range w.now.params {
		entry := InheritedDense{Name: q.name, Of: q.rows * q.cols}
		k := slices.IndexFunc(w.old.params, func(o parameter) bool { return o.compared == q.compared })
		var moves placement
		switch {
		case k < 0:
			entry.New = "the checkpoint has no such weights"
		case w.old.params[k].axes.Use != q.axes.Use:
			used[w.old.params[k].name] = true
			entry.New = fmt.Sprintf("it was used in %s and is used in %s", w.old.params[k].axes.Use, q.axes.Use)
		default:
			used[w.old.params[k].name] = true
			moves = place(w.old.params[k], q)
			entry.Kept, entry.New = len(moves.rows)*len(moves.cols), moves.missing
		}
		w.any = w.any || entry.Kept > 0
		w.in.Dense = append(w.in.Dense, entry)
		if entry.Kept > 0 {
			moves.copy(t.Step.net.Params[i].Value.F32, old[w.old.params[k].name])
		}
		if state == nil || q.buffer {
			continue
		}
		for _, suffix := range state.suffixes {
			x := graph.NewTensor(q.rows, q.cols)
			if entry.Kept > 0 {
				if from := state.tensors[w.old.params[k].name+suffix]; from != nil {
					moves.copy(x.F32, from.F32)
				}
			}
			made[q.name+suffix] = x
		}
	}
	for _, q := range w.old.params {
		if !used[q.name] {
			w.in.Unused = append(w.in.Unused, q.name)
		}
	}
	if state == nil {
		return nil
	}
	if err := t.Optimizer.Load(made, state.steps); err != nil {
		return fmt.Errorf("take over the optimizer's state: %w", err)
	}
	return nil
}

// placement says which rows and columns of a tensor come from which of another.
type placement struct {
	rows, cols [][2]int // new, old
	oldCols    int
	newCols    int
	missing    string
}

// place matches the axes of two tensors.
func place(old, now parameter) placement {
	p := placement{oldCols: old.cols, newCols: now.cols}
	var rowFields, colFields []string
	p.rows, rowFields = match(old.axes.Rows, now.axes.Rows)
	p.cols, colFields = match(old.axes.Cols, now.axes.Cols)
	switch {
	case (len(p.rows) == 0 || len(p.cols) == 0) && (now.rows != old.rows || now.cols != old.cols):
		p.missing = fmt.Sprintf("it was [%d, %d] and is [%d, %d]", old.rows, old.cols, now.rows, now.cols)
	case len(p.rows) == 0 || len(p.cols) == 0:
		p.missing = "its inputs are others" + forFields(rowFields)
	case len(p.rows) < now.rows || len(p.cols) < now.cols:
		var what []string
		if n := now.rows - len(p.rows); n > 0 {
			what = append(what, fmt.Sprintf("%d of %d rows%s", n, now.rows, forFields(rowFields)))
		}
		if n := now.cols - len(p.cols); n > 0 {
			what = append(what, fmt.Sprintf("%d of %d columns%s", n, now.cols, forFields(colFields)))
		}
		p.missing = strings.Join(what, ", ")
	}
	return p
}

func forFields(fields []string) string {
	if len(fields) == 0 {
		return ""
	}
	return " (" + strings.Join(fields, "; ") + ")"
}

// match pairs the places of an axis with the old ones that stand for the same, and lists the fields of those without.
func match(old, now []graph.Place) (pairs [][2]int, missing []string) {
	at := map[uint64]int{}
	for i, p := range old {
		at[p.Key] = i
	}
	for i, p := range now {
		if k, ok := at[p.Key]; ok {
			pairs = append(pairs, [2]int{i, k})
		} else if p.Field != "" && !slices.Contains(missing, p.Field) {
			missing = append(missing, p.Field)
		}
	}
	return pairs, missing
}

func (p *placement) copy(to, from []float32) {
	for _, r := range p.rows {
		for _, c := range p.cols {
			to[r[0]*p.newCols+c[0]] = from[r[1]*p.oldCols+c[1]]
		}
	}
}

// denseState is the optimizer's state of dense weights.
type denseState struct {
	tensors  map[string]*graph.Tensor
	suffixes []string
	steps    uint64
}

// optimizerState reads the checkpoint's, nil where it is of no use, with the reason told.
func (w *warmStart) optimizerState() (*denseState, error) {
	if !w.sameOptimizer() {
		was, is := &w.from.Spec.Settings, &w.program.spec.Settings
		w.in.Optimizer = fmt.Sprintf("the optimizer was %s with %s for embeddings and is %s with %s", was.Optimizer, was.EmbeddingOptimizer, is.Optimizer, is.EmbeddingOptimizer)
		return nil, nil
	}
	none := "the checkpoint has none"
	if w.from.Snapshot == nil {
		w.in.Optimizer = none
		return nil, nil
	}
	part, err := w.from.Snapshot.Part(OptimizerPart)
	if errors.Is(err, fs.ErrNotExist) {
		w.in.Optimizer = none
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	tensors, steps, _, err := readOptimizer(part)
	if err != nil {
		return nil, fmt.Errorf("take over the optimizer's state: %w", err)
	}
	return &denseState{tensors, w.program.spec.Settings.Optim().DenseState(), steps}, nil
}
