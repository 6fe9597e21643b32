package prepare

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/millrace/millrace/features"
)

// position is the attribute under which a behaviour remembers its place among the events that enter histories.
const position = "position"

// history adds the list columns of each row's earlier events and drops rows that have too few. What a history holds is decided by features.History, the code of the daemon.
func (p *pipeline) history(h *History) error {
	user, err := p.table.single(h.User)
	if err != nil {
		return err
	}
	clock, err := p.clock(h)
	if err != nil {
		return err
	}
	enters, err := p.entering(h.Where)
	if err != nil {
		return err
	}
	if p.table.drawn && h.Where == nil {
		return errors.New("the table holds drawn negatives, which would enter histories; put history before negatives, or say where")
	}
	if p.events == nil {
		p.events = p.table
	}
	if slices.ContainsFunc(user.code, func(c uint32) bool { return c == missingCode }) || slices.Contains(user.ints, missingInteger) {
		return fmt.Errorf("column %q: a row has no user", h.User)
	}

	group, users := identify(user)
	rows := byGroup(group, users)
	n := p.table.rows
	start, end := make([]int64, n), make([]int64, n)
	var order []int32 // entering events, user by user in their time order
	short := 0
	earlier := make([]int32, n)
	for _, mine := range rows {
		sortByTime(mine, clock)
		var past features.History
		first := int64(len(order))
		for from := 0; from < len(mine); {
			to := from + 1
			for to < len(mine) && clock(mine[to]) == clock(mine[from]) {
				to++
			}
			// Events of one moment are not in each other's past.
			seen := past.Before(clock(mine[from]))
			for _, r := range mine[from:to] {
				if len(seen) > 0 {
					start[r], end[r] = place(&seen[0]), place(&seen[len(seen)-1])+1
				}
				earlier[r] = int32(int64(len(order)) - first)
			}
			for _, r := range mine[from:to] {
				if enters(r) {
					past = past.Push(features.Behaviour{TimeMS: clock(r), Attributes: features.Values{position: int64(len(order))}}, h.Max)
					order = append(order, r)
				}
			}
			from = to
		}
	}
	for _, name := range sortedKeys(h.Attributes) {
		c, err := p.table.single(h.Attributes[name])
		if err != nil {
			return fmt.Errorf("attributes: %w", err)
		}
		p.table.put(&column{name: name, kind: listKind, elems: c, order: order, start: start, end: end})
	}
	if h.Min > 0 {
		for _, e := range earlier {
			if int(e) < h.Min {
				short++
			}
		}
		p.keep(func(r int) bool { return int(earlier[r]) >= h.Min })
		p.sources.report("history: %d rows with fewer than %d earlier events are dropped, %d stay", short, h.Min, p.table.rows)
	}
	return nil
}

// sortByTime orders rows by their time, rows of one moment as they were.
func sortByTime(rows []int32, clock func(r int32) int64) {
	slices.SortStableFunc(rows, func(a, b int32) int { return cmp.Compare(clock(a), clock(b)) })
}

func place(b *features.Behaviour) int64 { return b.Attributes[position].(int64) }

// clock gives each row's time: its place in the table, or its value in the time column.
func (p *pipeline) clock(h *History) (func(r int32) int64, error) {
	if h.Time == "" {
		return func(r int32) int64 { return int64(r) }, nil
	}
	c, err := p.table.single(h.Time)
	if err != nil {
		return nil, err
	}
	if c.kind != integerKind {
		return nil, fmt.Errorf("time: column %q is %s; want time or integer under its source's types", h.Time, c.kind)
	}
	if slices.Contains(c.ints, missingInteger) {
		return nil, fmt.Errorf("time: column %q: a row has no time", h.Time)
	}
	return func(r int32) int64 { return c.ints[r] }, nil
}

// entering says which rows enter histories.
func (p *pipeline) entering(w *Where) (func(r int32) bool, error) {
	if w == nil {
		return func(int32) bool { return true }, nil
	}
	c, err := p.table.single(w.Column)
	if err != nil {
		return nil, fmt.Errorf("where: %w", err)
	}
	is := setOf(w.Is)
	return func(r int32) bool { return !c.absent(int(r)) && is[c.text(int(r))] }, nil
}

// byGroup lists each group's rows in the table's order.
func byGroup(group []int32, groups int) [][]int32 {
	count := make([]int, groups)
	for _, g := range group {
		if g >= 0 {
			count[g]++
		}
	}
	flat := make([]int32, 0, len(group))
	rows := make([][]int32, groups)
	for g, n := range count {
		rows[g] = flat[len(flat) : len(flat) : len(flat)+n]
		flat = flat[:len(flat)+n]
	}
	for r, g := range group {
		if g >= 0 {
			rows[g] = append(rows[g], int32(r))
		}
	}
	return rows
}
