package prepare

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
)

// negatives adds drawn rows after each positive.
func (p *pipeline) negatives(ctx context.Context, n *Negatives) error {
	t := p.table
	if t.drawn {
		return errors.New("negatives were drawn already")
	}
	if p.events == nil {
		p.events = t
	}
	pool, err := p.pool(ctx, n)
	if err != nil {
		return err
	}
	user, err := t.single(n.User)
	if err != nil {
		return err
	}
	item, err := t.single(n.Item)
	if err != nil {
		return err
	}
	used, err := p.used(n, pool)
	if err != nil {
		return err
	}
	label, err := p.oldLabel(n)
	if err != nil {
		return err
	}

	rng := rand.New(rand.NewPCG(n.Seed, 0x6d696c6c72616365))
	var rows, drawnItem []int32 // of the new table: the row copied, and the item drawn or -1
	for r := range int32(t.rows) {
		rows, drawnItem = append(rows, r), append(drawnItem, -1)
		if label != nil && label.ints[r] != 1 {
			continue
		}
		if user.absent(int(r)) || item.absent(int(r)) {
			return fmt.Errorf("row %d has no %s or no %s", r+1, n.User, n.Item)
		}
		mine := used[user.text(int(r))]
		if len(pool.texts)-len(mine) < n.Per {
			return fmt.Errorf("user %q has used %d of %d items, so %d cannot be drawn", user.text(int(r)), len(mine), len(pool.texts), n.Per)
		}
		first := len(drawnItem)
		for range n.Per {
			drawnItem = append(drawnItem, draw(rng, len(pool.texts), mine, drawnItem[first:]))
			rows = append(rows, r)
		}
	}
	if len(rows) > mostRows {
		return fmt.Errorf("more than %d rows", mostRows)
	}
	return p.placeDrawn(n, pool, item, label, rows, drawnItem)
}

// pool lists the items there are to draw, in order of first appearance.
func (p *pipeline) pool(ctx context.Context, n *Negatives) (*dictionary, error) {
	from := p.events
	if n.Pool != "" {
		var err error
		if from, err = p.sources.load(ctx, n.Pool); err != nil {
			return nil, err
		}
	}
	c, err := from.single(n.Item)
	if err != nil {
		return nil, fmt.Errorf("items to draw: %w", err)
	}
	d := newDictionary()
	for r := range from.rows {
		if !c.absent(r) {
			d.of(c.text(r))
		}
	}
	return d, nil
}

// used lists the items that each user has anywhere, as numbers of the pool.
func (p *pipeline) used(n *Negatives, pool *dictionary) (map[string]map[int32]bool, error) {
	user, err := p.events.single(n.User)
	if err != nil {
		return nil, fmt.Errorf("as the table was before histories: %w", err)
	}
	item, err := p.events.single(n.Item)
	if err != nil {
		return nil, fmt.Errorf("as the table was before histories: %w", err)
	}
	used := map[string]map[int32]bool{}
	for r := range p.events.rows {
		code, ok := pool.code[item.text(r)]
		if !ok || item.absent(r) || user.absent(r) {
			continue
		}
		u := user.text(r)
		if used[u] == nil {
			used[u] = map[int32]bool{}
		}
		used[u][int32(code)] = true
	}
	return used, nil
}

// oldLabel is the label column there is, or nil.
func (p *pipeline) oldLabel(n *Negatives) (*column, error) {
	c := p.table.find(n.Label)
	if c != nil && c.kind != integerKind {
		return nil, fmt.Errorf("label: column %q is %s; want the 0/1 of a label step", n.Label, c.kind)
	}
	return c, nil
}

// draw picks an item that is neither used nor drawn, uniformly.
func draw(rng *rand.Rand, items int, used map[int32]bool, drawn []int32) int32 {
	free := func(i int32) bool {
		if used[i] {
			return false
		}
		for _, d := range drawn {
			if d == i {
				return false
			}
		}
		return true
	}
	for range 64 {
		if i := int32(rng.IntN(items)); free(i) {
			return i
		}
	}
	// Nearly all are taken: choose among those that are left.
	left := items - len(used) - len(drawn)
	for k, i := rng.IntN(left), int32(0); ; i++ {
		if free(i) {
			if k == 0 {
				return i
			}
			k--
		}
	}
}

// placeDrawn makes the table of the positives and the drawn rows.
func (p *pipeline) placeDrawn(n *Negatives, pool *dictionary, item, label *column, rows, drawnItem []int32) error {
	t := p.table
	// firstRow is where each item's own columns are read; an item of the pool that stands in no row has none.
	events := p.events
	eventItem, err := events.single(n.Item)
	if err != nil {
		return err
	}
	firstRow := make([]int32, len(pool.texts))
	for i := range firstRow {
		firstRow[i] = -1
	}
	for r := range events.rows {
		if code, ok := pool.code[eventItem.text(r)]; ok && !eventItem.absent(r) && firstRow[code] < 0 {
			firstRow[code] = int32(r)
		}
	}
	out := t.take(rows)
	out.drawn = true
	drawnItems, err := itemColumn(item, pool)
	if err != nil {
		return err
	}
	out.put(choose(item, drawnItems, rows, drawnItem))
	origin := make([]int32, len(drawnItem))
	for i, d := range drawnItem {
		origin[i] = -1
		if d >= 0 {
			origin[i] = firstRow[d]
		}
	}
	for _, name := range n.OfItem {
		c, err := t.column(name)
		if err != nil {
			return fmt.Errorf("of_item: %w", err)
		}
		e := events.find(name)
		if e == nil {
			return fmt.Errorf("of_item: column %q is made after the first history; make it before", name)
		}
		if c.kind != e.kind {
			return fmt.Errorf("of_item: column %q has changed since the first history", name)
		}
		out.put(chooseRows(c, e, rows, drawnItem, origin))
	}
	newLabel := &column{name: n.Label, kind: integerKind, ints: make([]int64, len(rows))}
	for i, r := range rows {
		switch {
		case drawnItem[i] >= 0:
		case label == nil:
			newLabel.ints[i] = 1
		default:
			newLabel.ints[i] = label.ints[r]
		}
	}
	out.put(newLabel)
	if err := n.zeroDrawn(out, drawnItem); err != nil {
		return err
	}
	p.sources.report("negatives: %d drawn for %d rows among %d items", len(rows)-t.rows, t.rows, len(pool.texts))
	p.table = out
	return nil
}

// itemColumn is the pool as a column of the item column's kind.
func itemColumn(item *column, pool *dictionary) (*column, error) {
	b := builder{column: &column{name: item.name, kind: item.kind, dict: newDictionary()}}
	if item.kind == numberKind {
		return nil, fmt.Errorf("column %q is number; an item is text or integer", item.name)
	}
	for _, t := range pool.texts {
		if err := b.appendText(t); err != nil {
			return nil, fmt.Errorf("item %q: %w", t, err)
		}
	}
	return b.column, nil
}

// choose takes row rows[i] of a, or row drawn[i] of b where that is no -1.
func choose(a, b *column, rows, drawn []int32) *column {
	return chooseRows(a, b, rows, drawn, drawn)
}

// chooseRows takes row rows[i] of a, or row from[i] of b where drawn[i] is no -1.
func chooseRows(a, b *column, rows, drawn, from []int32) *column {
	shift := int32(a.rows())
	both := a.append(b)
	at := make([]int32, len(rows))
	for i := range at {
		switch {
		case drawn[i] < 0:
			at[i] = rows[i]
		case from[i] < 0:
			at[i] = -1
		default:
			at[i] = shift + from[i]
		}
	}
	return both.take(at)
}
