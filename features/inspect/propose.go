package inspect

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/millrace/millrace/features"
)

// entry is one column of the proposal: a field, or one that is left out.
type entry struct {
	field features.Field
	out   bool
	why   string
}

// proposal is a schema with its reasons.
type proposal struct {
	survey           *survey
	user, item, time string
	label            *labelRule
	missing          []string
	separator        string
	entries          []entry
}

func (s *survey) propose() (*proposal, error) {
	p := &proposal{survey: s, missing: s.missingTexts()}
	if s.label != nil {
		var err error
		if p.label, err = s.rule(); err != nil {
			return nil, err
		}
	}
	for _, c := range s.columns {
		switch {
		case c == s.label || c.list:
		case p.user == "" && named(c.name, userNames):
			p.user = c.name
		case p.item == "" && named(c.name, itemNames):
			p.item = c.name
		}
	}
	for _, likely := range []func(*profile) bool{
		func(c *profile) bool { return c.isTime() && named(c.name, timeNames) },
		(*profile).isTime,
	} {
		for _, c := range s.columns {
			if p.time == "" && c != s.label && c.missing == 0 && likely(c) && s.leak(c, p.label) == "" {
				p.time = c.name
			}
		}
	}
	p.separator = s.listSeparator()
	fields := 0
	for _, c := range s.columns {
		if c == s.label {
			continue
		}
		e := p.entry(c)
		if !e.out {
			fields++
		}
		p.entries = append(p.entries, e)
	}
	p.histories()
	if fields == 0 {
		return nil, &features.SchemaError{Reason: fmt.Sprintf("no column of %s can be a field: each is constant, a row id, a time or a likely leak", s.path)}
	}
	return p, nil
}

// missingTexts lists what means missing in this file. NA and None may be values: they count where a column of numbers holds them.
func (s *survey) missingTexts() []string {
	out := []string{""}
	for _, m := range markers {
		if slices.ContainsFunc(s.columns, func(c *profile) bool {
			return c.marked[m] > 0 && (m != "NA" && m != "None" || c.allNumbers())
		}) {
			out = append(out, m)
		}
	}
	return out
}

// isTime reports whether a column holds times: dates, or whole seconds, milliseconds or microseconds of this age.
func (p *profile) isTime() bool {
	if p.list {
		return false
	}
	if p.dates > 0 && p.dates == p.present() {
		return true
	}
	if !p.allIntegers() || !named(p.name, timeNames) && p.distinct.count() < 20 {
		return false
	}
	low, high := p.quantile(0.01), p.quantile(0.99)
	for _, unit := range []float64{1, 1e3, 1e6} {
		if low >= 5e8*unit && high <= 4.1e9*unit {
			// Ids may lie there too; times are much closer together than ids that fill the range.
			return named(p.name, timeNames) || strings.Contains(plain(p.name), "time") || high-low < 4e8*unit && !hasWord(p.name, idWords)
		}
	}
	return false
}

// listSeparator finds by what lists are written in the texts, or "".
func (s *survey) listSeparator() string {
	for i, sep := range separators {
		if sep == s.dialect.Delimiter {
			continue
		}
		for _, c := range s.columns {
			if c != s.label && c.isList(i) {
				return sep
			}
		}
	}
	return ""
}

// isList reports whether many values hold the separator and their elements recur.
func (p *profile) isList(separator int) bool {
	return !p.list && 10*p.separated[separator] >= p.present() && p.separated[separator] > 0 && p.dates == 0 &&
		2*p.elements[separator].count() < p.distinct.count()
}

func (p *proposal) entry(c *profile) entry {
	e := entry{field: features.Field{Name: c.name, Kind: features.Categorical, From: features.FromContext}}
	leave := func(format string, args ...any) entry {
		e.out, e.why = true, fmt.Sprintf(format, args...)
		return e
	}
	switch c.name {
	case p.user:
		e.field.From, e.why = features.FromUser, "the user, by its name"
		return e
	case p.item:
		e.field.From, e.why = features.FromItem, "the item, by its name"
		return e
	case p.time:
		return leave("the time of the row: orders rows, is no feature")
	}
	if p.survey.dialect.Format == "libfm" {
		e.why = "the pair's index"
		if c.distinct.count() == 1 && c.missing == 0 {
			e.why = "constant, but pairs stand for fields in their order; the pair's index"
		}
		return e
	}
	many := c.distinct.count()
	switch leak := p.survey.leak(c, p.label); {
	case c.present() == 0:
		return leave("no values")
	case many == 1 && c.missing == 0:
		return leave("constant: always %s", shown(c.known()[0]))
	case leak != "":
		return leave("%s", leak)
	case hasWord(c.name, []string{"propensity", "propensities"}):
		return leave("the chance that whoever showed the item gave it: tells the choice, not the item; a line propensity: {column: %s} weighs rows by it", scalar(c.name))
	case c.isTime():
		return leave("a time besides %s", orNone(p.time))
	case c.list:
		e.field.Kind, e.why = features.Multi, "a list"
		return e
	}
	if i := slices.Index(separators[:], p.separator); i >= 0 && c.isList(i) {
		e.field.Kind, e.why = features.Multi, fmt.Sprintf("a list: %d distinct elements", c.elements[i].count())
		return e
	}
	if why := c.rowID(); why != "" {
		return leave("a row id: %s", why)
	}
	if numeric, why := c.numeric(); numeric {
		e.field.Kind, e.field.Standardise, e.why = features.Numeric, true, why
		if c.skewed() {
			e.field.Log = true
			e.why += "; skewed"
		}
		return e
	} else if why != "" {
		e.why = why
	}
	if rows := p.survey.rows; rows >= 1000 && many > rows/10 {
		e.field.MinCount = 2
		e.why = join(e.why, "many values, so those seen once share the unknown id")
	}
	return e
}

func orNone(name string) string {
	if name == "" {
		return "none that every row has"
	}
	return name
}

func join(a, b string) string {
	if a == "" {
		return b
	}
	return a + "; " + b
}

// rowID says why a column seems to number or name the rows, or "".
func (p *profile) rowID() string {
	many, n := float64(p.distinct.count()), float64(p.present())
	switch {
	case p.list || p.rows < 20 || p.missing > 0:
		return ""
	case p.allIntegers() && p.steady && p.rising:
		return "it counts the rows"
	case many < 0.97*n:
		return ""
	case named(p.name, rowNames) || p.name == "":
		return "nearly every row has another value"
	case p.numbers == 0 && p.rows >= 100:
		return "nearly every row has another text"
	case p.huge() && p.rows >= 100:
		return "nearly every row has another number, too large to measure anything"
	}
	return ""
}

// smallRange is how many distinct whole numbers are kept as categories whatever they mean.
const smallRange = 100

// numeric decides between a number and a category for columns that hold numbers.
func (p *profile) numeric() (bool, string) {
	many := p.distinct.count()
	switch {
	case !p.allNumbers():
		if p.numbers > 0 && 20*p.numbers > 19*p.present() {
			return false, fmt.Sprintf("nearly all are numbers, %d are text", p.present()-p.numbers)
		}
		return false, ""
	case many <= 2:
		return false, ""
	case !p.allIntegers():
		return true, "numbers with fractions"
	case p.padded > 0:
		return false, "whole numbers with leading zeros: codes"
	case p.huge():
		return false, "whole numbers too large to measure anything: ids"
	case hasWord(p.name, sizeWords) && !hasWord(p.name, []string{"id"}):
		return true, "a quantity, by its name"
	case hasWord(p.name, idWords) || strings.HasSuffix(plain(p.name), "id"):
		return false, "an id, by its name"
	case p.min < 0:
		return true, "whole numbers below 0 too"
	case many <= smallRange && p.max-p.min < 10*smallRange:
		return false, "few whole numbers, each a category; make it numeric where their size matters"
	case (p.quantile(0.5)-p.min)/(p.max-p.min) >= 0.05:
		return false, "whole numbers spread over their range: ids; make it numeric where their size matters"
	}
	return true, "whole numbers that thin out with size: a quantity"
}

// skewed reports a long tail to one side.
func (p *profile) skewed() bool {
	low, mid, high := p.quantile(0.01), p.quantile(0.5), p.quantile(0.99)
	up, down := high-mid, mid-low
	return max(up, down) > 5*min(up, down) && max(math.Abs(low), math.Abs(high), p.max, -p.min) > 10 || p.max > math.MaxFloat32 || p.min < -math.MaxFloat32
}
