package prepare

import (
	"fmt"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/millrace/millrace/internal/strict"
)

func (r *Recipe) check() error {
	if len(r.Sources) == 0 {
		return at(0, "no sources")
	}
	var names []string
	for n := range r.Sources {
		names = append(names, n)
	}
	slices.Sort(names)
	for _, n := range names {
		s := r.Sources[n]
		if err := s.check(n); err != nil {
			return err
		}
		r.Sources[n] = s
	}
	if len(r.From) == 0 {
		if len(names) > 1 {
			return at(0, "no from: which of the sources %s holds the events?", strings.Join(names, ", "))
		}
		r.From = names
	}
	for _, n := range r.From {
		if _, ok := r.Sources[n]; !ok {
			return at(0, "from: no source %q%s", n, strict.Meant(n, names))
		}
	}
	for i := range r.Steps {
		s := &r.Steps[i]
		if err := s.check(names); err != nil {
			return err
		}
	}
	return r.Cut.check()
}

var (
	formats = []string{"table", "sequences", "json"}
	types   = []string{"text", "integer", "number", "time", "list"}
	parts   = []string{"hour", "weekday", "date"}
	cuts    = []string{"order", "random", "group", "last", "value"}
)

func (s *Source) check(name string) error {
	if len(s.Files) == 0 {
		return at(s.Line, "source %q: no file", name)
	}
	if s.Format == "" {
		s.Format = "table"
	}
	if err := among(s.Line, "source "+name+": format", s.Format, formats); err != nil {
		return err
	}
	if s.Format != "table" && len(s.Columns) != 2 {
		return at(s.Line, "source %q: format %s needs columns, two names", name, s.Format)
	}
	if s.Format != "table" && len(s.Columns) == 2 && s.Columns[0] == s.Columns[1] {
		return at(s.Line, "source %q: columns: %q stands twice", name, s.Columns[0])
	}
	times := 0
	for _, c := range sortedKeys(s.Types) {
		if err := among(s.Line, fmt.Sprintf("source %q: type of %q", name, c), s.Types[c], types); err != nil {
			return err
		}
		if s.Types[c] == "time" {
			times++
		}
		if t := s.Types[c]; s.Format != "table" && t != "text" && t != "integer" {
			return at(s.Line, "source %q: in %s a column is text or integer", name, s.Format)
		}
	}
	if times > 1 {
		return at(s.Line, "source %q: one column of type time at most; leave the others text", name)
	}
	return nil
}

func among(line int, what, value string, known []string) error {
	if !slices.Contains(known, value) {
		return at(line, "%s: unknown %q%s", what, value, strict.Meant(value, known))
	}
	return nil
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// kind is the key that a step sets, or "" unless it is exactly one.
func (s *Step) kind() string {
	v, found := reflect.ValueOf(s).Elem(), ""
	for i := range v.NumField() {
		name := v.Type().Field(i).Tag.Get("yaml")
		if name == "-" || v.Field(i).IsNil() {
			continue
		}
		if found != "" {
			return ""
		}
		found = name
	}
	return found
}

func (s *Step) check(sources []string) error {
	kind := s.kind()
	needs := func(what string, given bool) error {
		if given {
			return nil
		}
		return at(s.Line, "%s: no %s", kind, what)
	}
	first := func(errs ...error) error {
		for _, e := range errs {
			if e != nil {
				return e
			}
		}
		return nil
	}
	switch kind {
	case "":
		return at(s.Line, "a step is one key with its settings, and no second one")
	case "join":
		j := s.Join
		if j.Key == "" {
			j.Key = j.On
		}
		if j.Missing == "" {
			j.Missing = "null"
		}
		if err := first(needs("source", j.Source != ""), needs("on", j.On != "")); err != nil {
			return err
		}
		if !slices.Contains(sources, j.Source) {
			return at(s.Line, "join: no source %q%s", j.Source, strict.Meant(j.Source, sources))
		}
		return among(s.Line, "join: missing", j.Missing, []string{"null", "drop", "error"})
	case "first", "last", "split", "bucket", "time_part", "match":
		return s.checkDerive(kind, needs)
	case "label":
		l := s.Label
		if (l.Above == nil) == (len(l.Positive) == 0) {
			return at(s.Line, "label: either above or positive")
		}
		return first(needs("column", l.Column != ""), needs("into", l.Into != ""))
	case "filter":
		f := s.Filter
		if f.Missing == "" {
			f.Missing = "keep"
		}
		if len(f.Keep) == 0 && len(f.Drop) == 0 && f.Above == nil && f.Below == nil && f.Missing == "keep" && f.Count == 0 {
			return at(s.Line, "filter: no condition: keep, drop, above, below, count or missing: drop")
		}
		return first(needs("column", f.Column != ""), among(s.Line, "filter: missing", f.Missing, []string{"keep", "drop"}))
	case "distinct":
		d := s.Distinct
		if d.Keep == "" {
			d.Keep = "first"
		}
		return first(needs("columns", len(d.Columns) > 0), among(s.Line, "distinct: keep", d.Keep, []string{"first", "last"}))
	case "history":
		h := s.History
		if h.Max < 1 {
			return at(s.Line, "history: max is %d; want 1 or more", h.Max)
		}
		if h.Min < 0 {
			return at(s.Line, "history: min is %d; want 0 or more", h.Min)
		}
		if h.Where != nil && (h.Where.Column == "" || len(h.Where.Is) == 0) {
			return at(s.Line, "history: where needs column and is")
		}
		return first(needs("user", h.User != ""), needs("attributes", len(h.Attributes) > 0))
	case "negatives":
		n := s.Negatives
		if n.Per == 0 {
			n.Per = 1
		}
		if n.Per < 0 {
			return at(s.Line, "negatives: per is %d; want 1 or more", n.Per)
		}
		if n.Pool != "" && !slices.Contains(sources, n.Pool) {
			return at(s.Line, "negatives: no source %q%s", n.Pool, strict.Meant(n.Pool, sources))
		}
		return first(needs("user", n.User != ""), needs("item", n.Item != ""), needs("label", n.Label != ""))
	case "later":
		return s.Later.check(s.Line, needs)
	case "parse_time":
		return s.ParseTime.check(s.Line, needs)
	case "flags":
		return s.Flags.check(needs)
	}
	return nil
}

func (s *Step) checkDerive(kind string, needs func(string, bool) error) error {
	d := s.derive()
	if d.Separator == "" {
		d.Separator = "|"
	}
	if err := needs("column", d.Column != ""); err != nil {
		return err
	}
	if d.Into == "" {
		d.Into = d.Column
	}
	switch kind {
	case "bucket":
		for i, b := range d.Bounds {
			if math.IsNaN(b) || math.IsInf(b, 0) || i > 0 && b <= d.Bounds[i-1] {
				return at(s.Line, "bucket: bounds must be finite and rise, %v does not", b)
			}
		}
		return needs("bounds", len(d.Bounds) > 0)
	case "match":
		if err := needs("pattern", d.Pattern != ""); err != nil {
			return err
		}
		if _, err := regexp.Compile(d.Pattern); err != nil {
			return at(s.Line, "match: pattern: %v", err)
		}
	case "time_part":
		if d.Unit == "" {
			d.Unit = "ms"
		}
		if err := among(s.Line, "time_part: unit", d.Unit, []string{"s", "ms"}); err != nil {
			return err
		}
		return among(s.Line, "time_part: part", d.Part, parts)
	}
	return nil
}

func (s *Step) derive() *Derive {
	for _, d := range []*Derive{s.First, s.Last, s.Split, s.Bucket, s.TimePart, s.Match} {
		if d != nil {
			return d
		}
	}
	return nil
}

func (c *Cut) check() error {
	if c.By == "" {
		return at(c.Line, "no cut: say how train, valid and test are parted")
	}
	if err := among(c.Line, "cut: by", c.By, cuts); err != nil {
		return err
	}
	if needs := c.By == "group" || c.By == "last" || c.By == "value"; needs != (c.Column != "") {
		if needs {
			return at(c.Line, "cut by %s: no column", c.By)
		}
		return at(c.Line, "cut by %s takes no column", c.By)
	}
	switch c.By {
	case "last":
		if c.Valid < 0 || c.Test < 0 || c.Valid+c.Test < 1 {
			return at(c.Line, "cut by last: valid and test say how many of a group's last rows; want 1 or more of them")
		}
	case "value":
		if len(c.Value) < 2 || len(c.Value) > 3 {
			return at(c.Line, "cut by value: values are those of train, valid and test")
		}
	default:
		if len(c.Shares) < 2 || len(c.Shares) > 3 {
			return at(c.Line, "cut by %s: shares are those of train, valid and test, such as [0.8, 0.1, 0.1]", c.By)
		}
		sum := 0.0
		for _, s := range c.Shares {
			if !(s >= 0 && s <= 1) {
				return at(c.Line, "cut: share %v; want 0 to 1", s)
			}
			sum += s
		}
		if math.Abs(sum-1) > 1e-9 {
			return at(c.Line, "cut: the shares sum to %v; want 1", sum)
		}
	}
	return nil
}
