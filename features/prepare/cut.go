package prepare

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

// partNames are the files' names, in the order of a cut's shares.
var partNames = []string{"train", "valid", "test"}

// cut gives each row a part: 0 train, 1 valid, 2 test, -1 none. Rows of one event stay together.
func (t *table) cut(c *Cut) ([]int8, error) {
	part := make([]int8, t.rows)
	events := t.events()
	switch c.By {
	case "order":
		placeShares(events, c.Shares, part)
	case "random":
		shuffle(events, c.Seed)
		placeShares(events, c.Shares, part)
	case "value":
		return part, t.cutByValue(c, part)
	default:
		column, err := t.single(c.Column)
		if err != nil {
			return nil, err
		}
		group, groups := identify(column)
		if slices.Contains(group, -1) {
			return nil, fmt.Errorf("column %q: a row has no value", c.Column)
		}
		if c.By == "group" {
			whole := byGroup(group, groups)
			shuffle(whole, c.Seed)
			placeShares(whole, c.Shares, part)
			break
		}
		cutLast(events, group, groups, c, part)
	}
	return part, nil
}

// events lists the rows of each event, in order of their first rows.
func (t *table) events() [][]int32 {
	most := int32(-1)
	for _, e := range t.event {
		most = max(most, e)
	}
	id := make([]int32, most+1)
	for i := range id {
		id[i] = -1
	}
	of := make([]int32, t.rows)
	count := 0
	for r, e := range t.event {
		if id[e] < 0 {
			id[e] = int32(count)
			count++
		}
		of[r] = id[e]
	}
	return byGroup(of, count)
}

func shuffle(units [][]int32, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 0x637574))
	rng.Shuffle(len(units), func(i, j int) { units[i], units[j] = units[j], units[i] })
}

// placeShares gives the first int(share·N) units to train, the next to valid, and the rest to the last part.
func placeShares(units [][]int32, shares []float64, part []int8) {
	from := 0
	for i, s := range shares {
		to := len(units)
		if i < len(shares)-1 {
			to = min(to, from+int(s*float64(len(units))))
		}
		for _, u := range units[from:to] {
			for _, r := range u {
				part[r] = int8(i)
			}
		}
		from = to
	}
}

func cutLast(events [][]int32, group []int32, groups int, c *Cut, part []int8) {
	left := make([]int, groups)
	for i := len(events) - 1; i >= 0; i-- {
		g := group[events[i][0]]
		to := int8(0)
		switch {
		case left[g] < c.Test:
			to = 2
		case left[g] < c.Test+c.Valid:
			to = 1
		}
		left[g]++
		for _, r := range events[i] {
			part[r] = to
		}
	}
}

func (t *table) cutByValue(c *Cut, part []int8) error {
	column, err := t.single(c.Column)
	if err != nil {
		return err
	}
	for r := range part {
		i := slices.Index(c.Value, column.text(r))
		if i < 0 {
			return fmt.Errorf("column %q, value %.60q: not among values %s", c.Column, column.text(r), strings.Join(c.Value, ", "))
		}
		part[r] = int8(i)
	}
	return nil
}

// wanted says which parts a cut makes.
func (c *Cut) wanted() [3]bool {
	switch c.By {
	case "last":
		return [3]bool{true, c.Valid > 0, c.Test > 0}
	case "value":
		return [3]bool{true, true, len(c.Value) > 2}
	}
	w := [3]bool{}
	for i, s := range c.Shares {
		w[i] = s > 0
	}
	return w
}
