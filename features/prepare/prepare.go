package prepare

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/millrace/millrace/features"
)

// Report says what a recipe has made.
type Report struct {
	Rows    int64            `json:"rows"`    // of all parts
	Parts   map[string]int64 `json:"parts"`   // rows by part: train, valid, test
	Columns []string         `json:"columns"` // of the files
}

// IsInput reports whether an error of Run says that the recipe or the data is wrong, not that something failed.
func IsInput(err error) bool {
	var r *RecipeError
	return errors.As(err, &r) || isData(err)
}

func isData(err error) bool { return features.IsInput(err) }

// Run makes OUT/train.parquet, valid.parquet and test.parquet from the files under dir; a part whose share is 0 is not written. The files are written aside and renamed once all are whole.
// progress, which may be nil, hears one line a step. Errors about the recipe are *RecipeError, about the data *features.DataError.
func (r *Recipe) Run(ctx context.Context, dir, out string, progress func(line string)) (*Report, error) {
	say := func(format string, args ...any) {
		if progress != nil {
			progress(fmt.Sprintf(format, args...))
		}
	}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return nil, &features.DataError{File: dir, Reason: "no such data folder"}
	}
	p := &pipeline{sources: &sources{recipe: r, dir: dir, report: say, read: map[string]*table{}}}
	if err := p.start(ctx); err != nil {
		return nil, err
	}
	for i := range r.Steps {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := p.step(ctx, &r.Steps[i]); err != nil {
			return nil, err
		}
		if s := r.Steps[i]; s.Sort != nil {
			say("sort: %d rows", p.table.rows)
		}
	}
	columns, err := p.table.written(r.Columns)
	if err != nil {
		return nil, at(0, "columns: %v", err)
	}
	part, err := p.table.cut(&r.Cut)
	if err != nil {
		return nil, at(r.Cut.Line, "cut: %v", err)
	}
	return write(ctx, out, columns, part, r.Cut.wanted(), say)
}

// start makes the table of the events.
func (p *pipeline) start(ctx context.Context) error {
	for i, name := range p.sources.recipe.From {
		t, err := p.sources.load(ctx, name)
		if err != nil {
			return err
		}
		if i == 0 {
			p.table = &table{columns: append([]*column(nil), t.columns...), rows: t.rows}
			continue
		}
		if p.table.rows+t.rows > mostRows {
			return at(0, "from: more than %d rows", mostRows)
		}
		if len(t.columns) != len(p.table.columns) {
			return at(0, "from: source %q has %d columns, %q has %d", name, len(t.columns), p.sources.recipe.From[0], len(p.table.columns))
		}
		for k, c := range p.table.columns {
			o := t.find(c.name)
			if o == nil || o.kind != c.kind {
				return at(0, "from: source %q has no %s column %q as %q has", name, c.kind, c.name, p.sources.recipe.From[0])
			}
			p.table.columns[k] = c.append(o)
		}
		p.table.rows += t.rows
	}
	p.table.numberEvents()
	return nil
}

// written lists the columns to write.
func (t *table) written(names []string) ([]*column, error) {
	if len(names) == 0 {
		return t.columns, nil
	}
	seen := map[string]bool{}
	var out []*column
	for _, n := range names {
		c, err := t.column(n)
		if err != nil {
			return nil, err
		}
		if seen[n] {
			return nil, fmt.Errorf("%q stands twice", n)
		}
		seen[n] = true
		out = append(out, c)
	}
	return out, nil
}

// write writes the parts aside and renames them when all are whole.
func write(ctx context.Context, out string, columns []*column, part []int8, wanted [3]bool, say func(string, ...any)) (*Report, error) {
	report := &Report{Parts: map[string]int64{}}
	for _, c := range columns {
		report.Columns = append(report.Columns, c.name)
	}
	rows := [3][]int32{}
	for r, p := range part {
		rows[p] = append(rows[p], int32(r))
	}
	for i, name := range partNames {
		if wanted[i] && len(rows[i]) == 0 {
			return nil, at(0, "cut: no row of %d falls to %s", len(part), name)
		}
	}
	if err := os.MkdirAll(out, 0o777); err != nil {
		return nil, fmt.Errorf("make folder %s: %w", out, err)
	}
	aside, err := os.MkdirTemp(out, ".prepare-")
	if err != nil {
		return nil, fmt.Errorf("make a folder in %s: %w", out, err)
	}
	defer os.RemoveAll(aside)
	for i, name := range partNames {
		if !wanted[i] {
			continue
		}
		path := filepath.Join(aside, name+".parquet")
		if err := writeParquet(ctx, path, columns, rows[i]); err != nil {
			return nil, fmt.Errorf("write %s: %w", path, err)
		}
		report.Rows += int64(len(rows[i]))
		report.Parts[name] = int64(len(rows[i]))
		say("%s: %d rows", name, len(rows[i]))
	}
	for i, name := range partNames {
		path := filepath.Join(out, name+".parquet")
		if !wanted[i] {
			err = os.Remove(path)
			if errors.Is(err, os.ErrNotExist) {
				err = nil
			}
		} else {
			err = os.Rename(filepath.Join(aside, name+".parquet"), path)
		}
		if err != nil {
			return nil, fmt.Errorf("replace %s: %w", path, err)
		}
	}
	return report, nil
}
