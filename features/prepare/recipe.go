// Package prepare makes training files from raw ones by a recipe: it reads sources, joins and derives columns, builds histories strictly from earlier events, draws negatives by seed,
// cuts the rows into parts and writes them as Parquet. The same recipe and files give the same bytes.
//
// A table is held in memory by columns: texts as 32-bit codes of a dictionary, histories as spans of the events they were taken from. That is about 4 to 8 bytes a value, so tens of
// millions of rows fit an ordinary machine; reading and writing stream.
package prepare

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/millrace/millrace/features"

	"github.com/millrace/millrace/internal/strict"
)

// Recipe says how training files come from raw ones: sources are read, the rows of From pass through the steps in order, and Cut parts them.
type Recipe struct {
	Name    string            `yaml:"name"`
	Sources map[string]Source `yaml:"sources"`
	From    []string          `yaml:"from"`    // the source whose rows are the events; several with the same columns follow one another
	Steps   []Step            `yaml:"steps"`   // in order
	Cut     Cut               `yaml:"cut"`     // into train, valid and test
	Columns []string          `yaml:"columns"` // of the written files, in order; default: all
}

// Source is a raw file or several of one form.
type Source struct {
	Line    int               `yaml:"-"`
	Files   []string          `yaml:"file"`    // under the data folder, or with .gz or .zst where only that is there; globs too
	Format  string            `yaml:"format"`  // table (default; CSV, Parquet or Arrow by the file's name), sequences (a user and items a line) or json ({key: value or list})
	CSV     features.Dialect  `yaml:"csv"`     // as in a schema; in sequences, delimiter parts the items
	Columns []string          `yaml:"columns"` // the columns to read, default all; in sequences and json the two columns' names
	Types   map[string]string `yaml:"types"`   // of columns: text (default), integer, number, time, list
	Add     map[string]string `yaml:"add"`     // columns with one value for all rows
}

// Step is one operation on the table; exactly one key is set.
type Step struct {
	Line      int               `yaml:"-"`
	Join      *Join             `yaml:"join"`
	Rename    map[string]string `yaml:"rename"` // old name: new name
	First     *Derive           `yaml:"first"`  // first element of a list
	Last      *Derive           `yaml:"last"`   // and its last one
	Split     *Derive           `yaml:"split"`  // a text into a list
	Bucket    *Derive           `yaml:"bucket"` // a number into how many bounds are at or below it
	TimePart  *Derive           `yaml:"time_part"`
	Match     *Derive           `yaml:"match"` // what a pattern finds in a text; missing where it finds nothing
	Label     *Label            `yaml:"label"`
	Filter    *Filter           `yaml:"filter"`
	Distinct  *Distinct         `yaml:"distinct"`
	Sort      []string          `yaml:"sort"` // stable, by these columns; "-name" descends; missing values come first
	History   *History          `yaml:"history"`
	Negatives *Negatives        `yaml:"negatives"`
	Later     *Later            `yaml:"later"`
	ParseTime *ParseTime        `yaml:"parse_time"`
	Flags     *Flags            `yaml:"flags"`
}

// Join adds columns of another source to each row by key; rows keep their number and order.
type Join struct {
	Source  string   `yaml:"source"`
	On      string   `yaml:"on"`      // key column of the table
	Key     string   `yaml:"key"`     // key column of the source; default: On
	Columns []string `yaml:"columns"` // to add; default: all but the key
	Missing string   `yaml:"missing"` // a row without a match: null (default), drop or error
}

// Derive makes a column of another; Into defaults to Column, which it then replaces.
type Derive struct {
	Column    string    `yaml:"column"`
	Into      string    `yaml:"into"`
	Separator string    `yaml:"separator"` // first, last and split of a text; default "|"
	Bounds    []float64 `yaml:"bounds"`    // bucket
	Part      string    `yaml:"part"`      // time_part: hour, weekday (0 is Sunday) or date, in UTC
	Unit      string    `yaml:"unit"`      // time_part: of the column, s or ms; default ms
	Pattern   string    `yaml:"pattern"`   // match: a regular expression (RE2); its first group is taken, or all it matches
}

// Label makes a 0/1 column: 1 where the value is above a number or among texts; a missing value stays missing.
type Label struct {
	Column   string   `yaml:"column"`
	Into     string   `yaml:"into"`
	Above    *float64 `yaml:"above"`
	Positive []string `yaml:"positive"`
}

// Filter keeps the rows that pass every condition given.
type Filter struct {
	Column  string   `yaml:"column"`
	Keep    []string `yaml:"keep"`    // only these values
	Drop    []string `yaml:"drop"`    // none of these values
	Above   *float64 `yaml:"above"`   // only numbers above
	Below   *float64 `yaml:"below"`   // only numbers below
	Missing string   `yaml:"missing"` // keep (default, unless another condition needs a value) or drop
	Count   int      `yaml:"count"`   // only values that stand in at least so many rows
}

// Distinct keeps one row of each combination of values.
type Distinct struct {
	Columns []string `yaml:"columns"`
	Keep    string   `yaml:"keep"` // first (default) or last
}

// History adds list columns that hold a user's earlier events. Without Time, earlier means earlier in the table's order; with it, at a strictly smaller time.
type History struct {
	User       string            `yaml:"user"`
	Time       string            `yaml:"time"`
	Max        int               `yaml:"max"`        // the newest that are kept
	Min        int               `yaml:"min"`        // rows with fewer earlier events are dropped
	Attributes map[string]string `yaml:"attributes"` // new list column: column of the events
	Where      *Where            `yaml:"where"`      // which events enter histories; default: all
}

// Where selects rows by a column's value.
type Where struct {
	Column string   `yaml:"column"`
	Is     []string `yaml:"is"`
}

// Negatives adds after each positive row copies of it with another item, drawn uniformly from the items that the user has in no row of the table as it was before any history was built.
type Negatives struct {
	User   string   `yaml:"user"`
	Item   string   `yaml:"item"`
	Label  string   `yaml:"label"` // made where absent: 1 for the rows there are, 0 for those drawn
	Per    int      `yaml:"per"`   // draws a positive, without repeats; default 1
	Seed   uint64   `yaml:"seed"`
	OfItem []string `yaml:"of_item"` // columns that belong to the item: taken from the first row that has it
	Zero   []string `yaml:"zero"`    // further 0/1 columns, which are 0 in the rows drawn
	Pool   string   `yaml:"pool"`    // source that lists the items, in its column of the item's name; default: the items of the table
}

// Cut parts the rows; each part keeps their order. A drawn negative goes where its positive goes.
type Cut struct {
	Line   int       `yaml:"-"`
	By     string    `yaml:"by"`     // order (first the training rows), random, group (whole groups by chance), last (of each group, its last rows), value
	Column string    `yaml:"column"` // of group, last and value
	Shares []float64 `yaml:"shares"` // order, random, group: of train, valid and test, e.g. [0.8, 0.1, 0.1]; the last part takes the rest
	Seed   uint64    `yaml:"seed"`
	Valid  int       `yaml:"valid"`  // last: how many rows of a group go to valid
	Test   int       `yaml:"test"`   // last: how many of its last rows go to test
	Value  []string  `yaml:"values"` // value: of train, valid and test
}

// ParseRecipe reads a recipe from YAML. Errors are *RecipeError and name the line; an unknown key the nearest known one.
func ParseRecipe(data []byte) (*Recipe, error) {
	r := new(Recipe)
	if err := strict.Decode(data, r, "a recipe"); err != nil {
		var e *strict.Error
		if errors.As(err, &e) {
			return nil, &RecipeError{Line: e.Line, Reason: e.Reason}
		}
		return nil, err
	}
	if err := r.check(); err != nil {
		return nil, err
	}
	return r, nil
}

func at(line int, format string, args ...any) error {
	return &RecipeError{Line: line, Reason: fmt.Sprintf(format, args...)}
}

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
