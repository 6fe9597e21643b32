package prepare

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// pipeline takes a table through a recipe's steps.
type pipeline struct {
	sources *sources
	table   *table
	// events is the table as it was before the first history: all that users ever did.
	events *table
}

// step does one step; an error names it.
func (p *pipeline) step(ctx context.Context, s *Step) error {
	var err error
	switch kind := s.kind(); kind {
	case "join":
		err = p.join(ctx, s.Join)
	case "rename":
		err = p.rename(s.Rename)
	case "first", "last", "split", "bucket", "time_part", "match":
		err = p.derive(kind, s.derive())
	case "label":
		err = p.label(s.Label)
	case "filter":
		err = p.filter(s.Filter)
	case "distinct":
		err = p.distinct(s.Distinct)
	case "sort":
		err = p.sort(s.Sort)
	case "history":
		err = p.history(s.History)
	case "negatives":
		err = p.negatives(ctx, s.Negatives)
	case "later":
		err = p.later(s.Later)
	case "parse_time":
		err = p.parseTime(s.ParseTime)
	case "flags":
		err = p.flags(s.Flags)
	}
	return located(s.Line, s.kind(), err)
}

// located says which step an error is of, unless it is of the data or has a place already.
func located(line int, what string, err error) error {
	var r *RecipeError
	switch {
	case err == nil || errors.As(err, &r):
		return err
	case isData(err) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s (recipe line %d): %w", what, line, err)
	}
	return at(line, "%s: %v", what, err)
}

func (p *pipeline) join(ctx context.Context, j *Join) error {
	right, err := p.sources.load(ctx, j.Source)
	if err != nil {
		return err
	}
	on, err := p.table.single(j.On)
	if err != nil {
		return err
	}
	key, err := right.single(j.Key)
	if err != nil {
		return fmt.Errorf("source %q: %w", j.Source, err)
	}
	rows := map[string]int32{}
	for r := range right.rows {
		if key.absent(r) {
			continue
		}
		v := key.text(r)
		if first, twice := rows[v]; twice {
			return fmt.Errorf("source %q: key %q stands in its rows %d and %d; it must be unique", j.Source, v, first+1, r+1)
		}
		rows[v] = int32(r)
	}
	match := make([]int32, p.table.rows)
	missing := 0
	for r := range match {
		row, ok := rows[on.text(r)]
		if !ok || on.absent(r) {
			if j.Missing == "error" {
				return fmt.Errorf("%s %q has no row in source %q", j.On, on.text(r), j.Source)
			}
			row = -1
			missing++
		}
		match[r] = row
	}
	names := j.Columns
	if len(names) == 0 {
		for _, c := range right.columns {
			if c != key {
				names = append(names, c.name)
			}
		}
	}
	for _, n := range names {
		c, err := right.column(n)
		if err != nil {
			return fmt.Errorf("source %q: %w", j.Source, err)
		}
		if p.table.find(n) != nil {
			return fmt.Errorf("source %q: the table has a column %q already; name the columns to add", j.Source, n)
		}
		p.table.put(c.take(match))
	}
	if missing > 0 {
		p.sources.report("join %s: %d of %d rows have no match", j.Source, missing, p.table.rows)
	}
	if j.Missing == "drop" && missing > 0 {
		p.keep(func(r int) bool { return match[r] >= 0 })
	}
	return nil
}

// keep drops the rows that ok refuses.
func (p *pipeline) keep(ok func(r int) bool) {
	var rows []int32
	for r := range p.table.rows {
		if ok(r) {
			rows = append(rows, int32(r))
		}
	}
	if len(rows) < p.table.rows {
		p.table = p.table.take(rows)
	}
}

func (p *pipeline) rename(names map[string]string) error {
	for _, old := range sortedKeys(names) {
		if _, err := p.table.column(old); err != nil {
			return err
		}
	}
	seen := map[string]bool{}
	columns := make([]*column, len(p.table.columns))
	for i, c := range p.table.columns {
		if n, ok := names[c.name]; ok {
			c = c.named(n)
		}
		if c.name == "" || seen[c.name] {
			return fmt.Errorf("two columns would be called %q", c.name)
		}
		seen[c.name] = true
		columns[i] = c
	}
	p.table.columns = columns
	return nil
}

func (p *pipeline) label(l *Label) error {
	c, err := p.table.single(l.Column)
	if err != nil {
		return err
	}
	out := &column{name: l.Into, kind: integerKind, ints: make([]int64, p.table.rows)}
	if l.Above != nil {
		err = numbers(c, func(r int, v float64, missing bool) {
			switch {
			case missing:
				out.ints[r] = missingInteger
			case v > *l.Above:
				out.ints[r] = 1
			}
		})
		if err != nil {
			return err
		}
	} else {
		positive := setOf(l.Positive)
		for r := range out.ints {
			switch {
			case c.absent(r):
				out.ints[r] = missingInteger
			case positive[c.text(r)]:
				out.ints[r] = 1
			}
		}
	}
	p.table.put(out)
	return nil
}

func (p *pipeline) filter(f *Filter) error {
	c, err := p.table.single(f.Column)
	if err != nil {
		return err
	}
	before := p.table.rows
	ok := make([]bool, before)
	keep, drop := setOf(f.Keep), setOf(f.Drop)
	for r := range ok {
		if c.absent(r) {
			ok[r] = f.Missing == "keep" && len(f.Keep) == 0 && f.Above == nil && f.Below == nil && f.Count == 0
			continue
		}
		text := c.text(r)
		ok[r] = (len(f.Keep) == 0 || keep[text]) && !drop[text]
	}
	if f.Above != nil || f.Below != nil {
		err := numbers(c, func(r int, v float64, missing bool) {
			if !missing {
				ok[r] = ok[r] && (f.Above == nil || v > *f.Above) && (f.Below == nil || v < *f.Below)
			}
		})
		if err != nil {
			return err
		}
	}
	if f.Count > 0 {
		of, n := identify(c)
		count := make([]int, n)
		for r, id := range of {
			if ok[r] {
				count[id]++
			}
		}
		for r, id := range of {
			ok[r] = ok[r] && count[id] >= f.Count
		}
	}
	p.keep(func(r int) bool { return ok[r] })
	p.sources.report("filter %s: %d of %d rows stay", f.Column, p.table.rows, before)
	return nil
}

func (p *pipeline) distinct(d *Distinct) error {
	keys := make([]*column, len(d.Columns))
	for i, n := range d.Columns {
		c, err := p.table.single(n)
		if err != nil {
			return err
		}
		keys[i] = c
	}
	chosen := map[string]int32{}
	var b []byte
	var order []string
	for r := range p.table.rows {
		b = b[:0]
		for _, c := range keys {
			t := c.text(r)
			b = fmt.Appendf(b, "%t %d:", c.absent(r), len(t))
			b = append(b, t...)
		}
		if _, ok := chosen[string(b)]; !ok {
			order = append(order, string(b))
		} else if d.Keep == "first" {
			continue
		}
		chosen[string(b)] = int32(r)
	}
	rows := make([]int32, len(order))
	for i, k := range order {
		rows[i] = chosen[k]
	}
	slices.Sort(rows)
	p.table = p.table.take(rows)
	return nil
}

func (p *pipeline) sort(keys []string) error {
	if len(keys) == 0 {
		return errors.New("no columns")
	}
	var compare []func(a, b int32) int
	for _, k := range keys {
		name, descends := strings.CutPrefix(k, "-")
		c, err := p.table.single(name)
		if err != nil {
			return err
		}
		f := comparison(c)
		if descends {
			up := f
			f = func(a, b int32) int { return up(b, a) }
		}
		compare = append(compare, f)
	}
	rows := make([]int32, p.table.rows)
	for i := range rows {
		rows[i] = int32(i)
	}
	slices.SortStableFunc(rows, func(a, b int32) int {
		for _, f := range compare {
			if d := f(a, b); d != 0 {
				return d
			}
		}
		return 0
	})
	p.table = p.table.take(rows)
	return nil
}

// comparison orders rows by a column: integers and numbers by size, texts by their bytes, missing values first.
func comparison(c *column) func(a, b int32) int {
	switch c.kind {
	case integerKind:
		return func(a, b int32) int { return cmp.Compare(c.ints[a], c.ints[b]) }
	case numberKind:
		return func(a, b int32) int { return cmp.Compare(c.nums[a], c.nums[b]) }
	}
	rank := make([]int32, len(c.dict.texts))
	order := make([]int32, len(rank))
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortFunc(order, func(a, b int32) int { return strings.Compare(c.dict.texts[a], c.dict.texts[b]) })
	for i, code := range order {
		rank[code] = int32(i)
	}
	of := func(r int32) int32 {
		if c.code[r] == missingCode {
			return -1
		}
		return rank[c.code[r]]
	}
	return func(a, b int32) int { return cmp.Compare(of(a), of(b)) }
}
