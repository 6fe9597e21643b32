package inspect

import (
	"context"
	"fmt"
	"math"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/millrace/millrace/features"
)

// File reads a data file once and returns a schema for it as YAML that features.ParseSchema reads, with comments. progress, which may be nil, hears how much is read.
// A file or label that cannot be used is an error for which features.IsInput holds.
func File(ctx context.Context, path string, o Options, progress func(share float64, rows int64)) ([]byte, error) {
	s, err := look(ctx, path, o, progress)
	if err != nil {
		return nil, fmt.Errorf("inspect %s: %w", path, err)
	}
	p, err := s.propose()
	if err != nil {
		return nil, fmt.Errorf("inspect %s: %w", path, err)
	}
	out := p.yaml()
	if _, err := features.ParseSchema(out); err != nil {
		return nil, fmt.Errorf("inspect %s: the schema proposed is not one: %w", path, err)
	}
	return out, nil
}

// yaml writes the proposal.
func (p *proposal) yaml() []byte {
	var b strings.Builder
	s := p.survey
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("# A schema proposed for %s: %s.", comment(filepath.Base(s.path)), s.coverage())
	for _, n := range s.notes {
		line("# %s.", comment(n))
	}
	if slices.ContainsFunc(s.columns, func(c *profile) bool { return !c.distinct.exact() }) {
		line("# Distinct values are counted exactly up to %d, and estimated within about 1%% where it says about.", exactDistinct)
	}
	if s.label == nil {
		line("#")
		line("# THE LABEL IS NOT NAMED. Run again with --label COLUMN%s", p.candidates())
	}
	line("name: %s", scalar(datasetName(s.path)))
	for _, k := range [][2]string{{"user", p.user}, {"item", p.item}, {"timestamp", p.time}} {
		if k[1] != "" {
			line("%s: %s", k[0], scalar(k[1]))
		}
	}
	p.dialect(line)
	if s.label != nil {
		line("labels:")
		rule := ""
		if p.label.above != nil {
			rule = ", above: " + strconv.FormatFloat(*p.label.above, 'g', -1, 64)
		} else if p.label.positive != nil {
			rule = ", positive: " + list(p.label.positive)
		}
		why := p.label.why
		if s.label.missing > 0 {
			why += fmt.Sprintf("; MISSING in %d rows, which train takes for bad ones (--skip-bad)", s.label.missing)
		}
		line("  - {name: %s%s} # %s", scalar(s.label.name), rule, comment(why))
	}
	line("fields:")
	for _, e := range p.entries {
		mark, c := "", s.column(e.field.Name)
		if e.out {
			mark = "# "
		}
		why := c.summary()
		if e.why != "" {
			why = e.why + "; " + why
		}
		line("  %s- {%s} # %s", mark, settings(&e.field), comment(why))
	}
	return []byte(b.String())
}

func (s *survey) coverage() string {
	out := fmt.Sprintf("%d rows, %d columns", s.rows, len(s.columns))
	if !s.whole {
		out = "the first " + out
	}
	if s.bad > 0 {
		out += fmt.Sprintf(", %d unusable rows passed over", s.bad)
	}
	return out
}

// candidates lists columns that could be the label.
func (p *proposal) candidates() string {
	var names []string
	for _, c := range p.survey.columns {
		if n := c.distinct.count(); !c.list && c.values != nil && n >= 2 && n <= 5 && c.missing == 0 {
			var values []string
			for _, v := range c.known() {
				values = append(values, shown(v))
			}
			names = append(names, fmt.Sprintf("%s (%s)", comment(c.name), strings.Join(values, ", ")))
		}
	}
	switch {
	case len(names) == 0:
		return "; no column has two to five values."
	case len(names) > 10:
		names = append(names[:10], "…")
	}
	return ". Columns of two to five values: " + strings.Join(names, ", ") + "."
}

func (p *proposal) dialect(line func(string, ...any)) {
	d := p.survey.dialect
	if !p.survey.text {
		if len(p.missing) > 1 {
			line("csv: {missing: %s}", list(p.missing))
		}
		return
	}
	line("csv:")
	if d.Format == "libfm" {
		line("  format: libfm")
		return
	}
	line("  delimiter: %s", strconv.Quote(d.Delimiter))
	if d.Encoding != "" {
		line("  encoding: %s", d.Encoding)
	}
	if d.Trim {
		line("  trim: true")
	}
	line("  missing: %s", list(p.missing))
	switch {
	case p.separator != "":
		line("  list_separator: %s", strconv.Quote(p.separator))
	case d.ListSeparator != "":
		line("  list_separator: %s", strconv.Quote(d.ListSeparator))
	}
	if !*d.Header {
		line("  header: false")
		line("  names: %s", list(d.Names))
	}
}

func settings(f *features.Field) string {
	out := "name: " + scalar(f.Name)
	if f.Kind != features.Categorical {
		out += ", type: " + string(f.Kind)
	}
	if f.From != features.FromContext {
		out += ", from: " + string(f.From)
	}
	if f.Shares != "" {
		out += ", shares: " + scalar(f.Shares)
	}
	if f.Max > 0 {
		out += fmt.Sprintf(", max: %d", f.Max)
	}
	if f.Log {
		out += ", log: true"
	}
	if f.Standardise {
		out += ", standardise: true"
	}
	if f.MinCount > 1 {
		out += fmt.Sprintf(", min_count: %d", f.MinCount)
	}
	return out
}

// summary is a column's figures.
func (p *profile) summary() string {
	about := ""
	if !p.distinct.exact() {
		about = "about "
	}
	out := fmt.Sprintf("%s%d distinct", about, p.distinct.count())
	if p.missing > 0 {
		out += fmt.Sprintf(", %d missing (%.1f%%)", p.missing, 100*float64(p.missing)/float64(p.rows))
	}
	if p.allNumbers() {
		out += fmt.Sprintf(", %s to %s", figure(p.min), figure(p.max))
	} else if len(p.values) > 1 && !p.list {
		out += ", most often " + shown(p.known()[0])
	}
	return out
}

// figure writes a number for people: whole ones with all digits.
func figure(x float64) string {
	if x == math.Trunc(x) && math.Abs(x) < 1e15 {
		return strconv.FormatFloat(x, 'f', 0, 64)
	}
	return strconv.FormatFloat(x, 'g', 8, 64)
}

// datasetName is the file's name without folders and extensions.
func datasetName(path string) string {
	name, _, _ := strings.Cut(filepath.Base(path), ".")
	if name == "" {
		return "data"
	}
	return name
}

var bare = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]*$`)

// scalar writes a text as YAML, in quotes unless it is a plain word that YAML takes for a text.
func scalar(v string) string {
	switch strings.ToLower(v) {
	case "y", "n", "yes", "no", "on", "off", "true", "false", "null":
		return strconv.Quote(v)
	}
	if bare.MatchString(v) {
		return v
	}
	return strconv.Quote(v)
}

func list(values []string) string {
	out := make([]string, len(values))
	for i, v := range values {
		if out[i] = strconv.Quote(v); bare.MatchString(v) {
			out[i] = scalar(v)
		}
	}
	return "[" + strings.Join(out, ", ") + "]"
}

// shown quotes a value for a comment, shortened.
func shown(v string) string {
	if len(v) > 40 {
		v = strings.ToValidUTF8(v[:40], "") + "…"
	}
	return strconv.Quote(v)
}

// comment keeps a text on one line.
func comment(v string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x85 || r == 0x2028 || r == 0x2029 {
			return ' '
		}
		return r
	}, v)
}
