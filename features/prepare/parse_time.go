package prepare

import (
	"fmt"
	"time"
)

// ParseTime reads texts as times of a layout as Go's time package writes it ("1-2" is month and day), in UTC, into whole units since 1970. A layout without a year is of the year given.
type ParseTime struct {
	Column string `yaml:"column"`
	Into   string `yaml:"into"`
	Layout string `yaml:"layout"`
	Year   int    `yaml:"year"`
	Unit   string `yaml:"unit"` // day, s or ms (default)
}

var timeUnits = map[string]int64{"ms": 1, "s": 1000, "day": 86_400_000}

func (t *ParseTime) check(line int, needs func(string, bool) error) error {
	if t.Into == "" {
		t.Into = t.Column
	}
	if t.Unit == "" {
		t.Unit = "ms"
	}
	if err := needs("column", t.Column != ""); err != nil {
		return err
	}
	if err := needs("layout", t.Layout != ""); err != nil {
		return err
	}
	return among(line, "parse_time: unit", t.Unit, sortedKeys(timeUnits))
}

func (p *pipeline) parseTime(t *ParseTime) error {
	c, err := p.table.single(t.Column)
	if err != nil {
		return err
	}
	out := &column{name: t.Into, kind: integerKind, ints: make([]int64, p.table.rows)}
	known := map[string]int64{}
	for r := range out.ints {
		if c.absent(r) {
			out.ints[r] = missingInteger
			continue
		}
		text := c.text(r)
		v, ok := known[text]
		if !ok {
			layout, value := t.Layout, text
			if t.Year != 0 { // the 29th of February needs its year
				layout, value = "2006 "+layout, fmt.Sprintf("%04d %s", t.Year, value)
			}
			when, err := time.Parse(layout, value)
			if err != nil {
				return fmt.Errorf("column %q, value %.60q: not a time of the layout %q", t.Column, text, t.Layout)
			}
			unit := timeUnits[t.Unit]
			v = when.UnixMilli() / unit
			if when.UnixMilli()%unit < 0 {
				v--
			}
			known[text] = v
		}
		out.ints[r] = v
	}
	p.table.put(out)
	return nil
}
