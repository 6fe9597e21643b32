package prepare

import (
	"errors"
	"math"
)

// Later makes a 0/1 column of what a user does after a row: 1 where one of his events on the same item is at a strictly later time, at most Within after it. Where the table ends before that
// time is over, the value is missing: nobody knows yet.
type Later struct {
	User   string `yaml:"user"`
	Item   string `yaml:"item"`
	Time   string `yaml:"time"`
	Within int64  `yaml:"within"` // in the unit of the time column
	Where  *Where `yaml:"where"`  // which events count; default: all
	Into   string `yaml:"into"`
}

func (l *Later) check(line int, needs func(string, bool) error) error {
	for _, c := range []struct{ what, value string }{{"user", l.User}, {"item", l.Item}, {"time", l.Time}, {"into", l.Into}} {
		if err := needs(c.what, c.value != ""); err != nil {
			return err
		}
	}
	if l.Within < 1 {
		return at(line, "later: within is %d; want 1 or more", l.Within)
	}
	if l.Where != nil && (l.Where.Column == "" || len(l.Where.Is) == 0) {
		return at(line, "later: where needs column and is")
	}
	return nil
}

// later adds the column. Rows are taken user by user from the newest to the oldest, so that each item's next event is at hand.
func (p *pipeline) later(l *Later) error {
	user, err := p.table.single(l.User)
	if err != nil {
		return err
	}
	item, err := p.table.single(l.Item)
	if err != nil {
		return err
	}
	clock, err := p.clock(&History{Time: l.Time})
	if err != nil {
		return err
	}
	counts, err := p.entering(l.Where)
	if err != nil {
		return err
	}
	if p.table.drawn && l.Where == nil {
		return errors.New("the table holds drawn negatives, which would count as events; put later before negatives, or say where")
	}
	end := int64(math.MinInt64)
	for r := range int32(p.table.rows) {
		end = max(end, clock(r))
	}
	out := &column{name: l.Into, kind: integerKind, ints: make([]int64, p.table.rows)}
	group, users := identify(user)
	what, items := identify(item)
	next := make([]int64, items) // each item's next event of the user at hand
	for _, mine := range byGroup(group, users) {
		sortByTime(mine, clock)
		for _, r := range mine {
			if what[r] >= 0 {
				next[what[r]] = missingInteger
			}
		}
		for to := len(mine); to > 0; {
			from := to - 1
			for from > 0 && clock(mine[from-1]) == clock(mine[from]) {
				from--
			}
			for _, r := range mine[from:to] { // events of one moment are not after each other
				now := clock(r)
				switch {
				case span(now, end) < uint64(l.Within):
					out.ints[r] = missingInteger
				case what[r] >= 0 && next[what[r]] != missingInteger && span(now, next[what[r]]) <= uint64(l.Within):
					out.ints[r] = 1
				}
			}
			for _, r := range mine[from:to] {
				if what[r] >= 0 && counts(r) {
					next[what[r]] = clock(r)
				}
			}
			to = from
		}
	}
	p.table.put(out)
	return nil
}

// span is how long from is before to.
func span(from, to int64) uint64 { return uint64(to) - uint64(from) }
