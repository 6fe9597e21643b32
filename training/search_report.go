package training

import (
	"bytes"
	_ "embed" // the search's page
	"encoding/csv"
	"fmt"
	"html/template"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

//go:embed search.html
var searchPage string

var searchTemplate = page("search", searchPage)

type searchData struct {
	Title, Subtitle, Monitor string
	Cards                    []card
	Parallel                 template.HTML
	Head                     []string
	Rows                     []compareRow
	ModelFile, Grid          string
}

// Ranked lists the trials, the best first; those that came to their end before those that were stopped, and failed ones last.
func (r *SearchResult) Ranked() []*Trial {
	out := slices.Clone(r.Trials)
	rank(out, func(t *Trial) Figure { return t.Monitor })
	order := func(t *Trial) int {
		return slices.Index([]string{trialDone, trialPaused, trialStopped, trialWaiting, trialFailed}, t.State)
	}
	slices.SortStableFunc(out, func(a, b *Trial) int { return order(a) - order(b) })
	return out
}

// Table is the trials as rows of texts under a head, the best first.
func (r *SearchResult) Table() (head []string, rows [][]string) {
	head = []string{"trial"}
	for _, k := range r.grid.vary {
		head = append(head, k.name)
	}
	head = append(head, "state", "epochs", "valid "+r.Monitor, "AUC", "logloss", "GAUC")
	for _, t := range r.Ranked() {
		row := []string{strconv.Itoa(t.Trial)}
		for _, p := range t.Params {
			row = append(row, p.Value)
		}
		f := t.TaskFigures
		if t.State != trialDone { // not measured on the rows of the others
			f = undefinedFigures()
		}
		rows = append(rows, append(row, t.State, strconv.Itoa(t.Epochs), decimal(t.Monitor, 6), decimal(f.AUC, 6), decimal(f.Logloss, 6), decimal(f.GAUC, 6)))
	}
	return head, rows
}

// writeReport writes the table and the page.
func (s *search) writeReport() error {
	head, rows := s.r.Table()
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	if err := w.WriteAll(append([][]string{head}, rows...)); err != nil {
		return fmt.Errorf("write %s: %w", searchTable, err)
	}
	if err := replaceFile(filepath.Join(s.o.Out, searchTable), b.Bytes()); err != nil {
		return err
	}
	d := &searchData{Title: "Search", Monitor: s.r.Monitor, Head: head, Grid: s.o.GridText, Parallel: s.r.parallel()}
	if len(s.r.Trials) > 0 {
		d.Title = "Search of " + s.r.Trials[0].spec.Name
	}
	if s.o.Schema.Name != "" {
		d.Title += " on " + s.o.Schema.Name
	}
	d.Subtitle = fmt.Sprintf("%s, %d trials: %d trained to the end, %d stopped early, %d failed", s.r.Method, len(s.r.Trials), s.r.Done, s.r.Stopped, s.r.Failed)
	for i, t := range s.r.Ranked() {
		d.Rows = append(d.Rows, compareRow{Cells: rows[i], Base: t.Trial == s.r.Best})
	}
	if s.r.Best > 0 {
		best := s.r.Trials[s.r.Best-1]
		d.ModelFile = string(best.file)
		d.Cards = []card{
			{"Best", "trial " + strconv.Itoa(best.Trial), fmt.Sprintf("after %d epochs", best.Epochs)},
			{"Valid " + s.r.Monitor, decimal(best.Monitor, 6), "by which it was chosen"},
			{"AUC", decimal(best.AUC, 6), "of the test rows, else of the validation"},
			{"Logloss", decimal(best.Logloss, 6), "of the same rows"},
			{"Epochs", strconv.Itoa(s.r.Epochs), "over all trials"},
		}
	}
	return writePage(filepath.Join(s.o.Out, searchPageFile), searchTemplate, d)
}

// coordinate is one axis: a key's values, or the monitor.
type coordinate struct {
	name  string
	place func(t *Trial) (at float64, ok bool) // 0 the bottom, 1 the top
	marks []axisMark
}

type axisMark struct {
	at   float64
	text string
}

// coordinates makes an axis of each key and of the monitor.
func (r *SearchResult) coordinates() []coordinate {
	var out []coordinate
	for i := range r.grid.vary {
		k := &r.grid.vary[i]
		value := func(t *Trial) string { return t.Params[i].Value }
		c := coordinate{name: k.name}
		if k.list != nil {
			values := map[string]float64{}
			for n, v := range k.list {
				at := 0.5
				if len(k.list) > 1 {
					at = float64(n) / float64(len(k.list)-1)
				}
				text := flow(v, []byte(v.Value))
				values[text] = at
				c.marks = append(c.marks, axisMark{at, text})
			}
			c.place = func(t *Trial) (float64, bool) { at, ok := values[value(t)]; return at, ok }
		} else {
			scale := func(x float64) float64 { return (x - k.low) / (k.high - k.low) }
			if k.log {
				scale = func(x float64) float64 { return math.Log(x/k.low) / math.Log(k.high/k.low) }
			}
			c.marks = []axisMark{{0, number(k.low).Value}, {1, number(k.high).Value}}
			for _, u := range []float64{0.25, 0.5, 0.75} {
				x := k.low + u*(k.high-k.low)
				if k.log {
					x = k.low * math.Pow(k.high/k.low, u)
				}
				c.marks = append(c.marks, axisMark{u, shortNumber(x)})
			}
			c.place = func(t *Trial) (float64, bool) {
				x, err := strconv.ParseFloat(value(t), 64)
				return scale(x), err == nil
			}
		}
		out = append(out, c)
	}
	lo, hi := math.Inf(1), math.Inf(-1)
	for _, t := range r.Trials {
		if x := float64(t.Monitor); t.State != trialFailed && !math.IsNaN(x) {
			lo, hi = min(lo, x), max(hi, x)
		}
	}
	c := coordinate{name: "valid " + r.Monitor, place: func(t *Trial) (float64, bool) {
		x := float64(t.Monitor)
		if t.State == trialFailed || math.IsNaN(x) {
			return 0, false
		}
		if hi <= lo {
			return 0.5, true
		}
		return (x - lo) / (hi - lo), true
	}}
	for _, u := range []float64{0, 0.25, 0.5, 0.75, 1} {
		if hi > lo {
			c.marks = append(c.marks, axisMark{u, strconv.FormatFloat(lo+u*(hi-lo), 'f', 4, 64)})
		}
	}
	return append(out, c)
}

// shortNumber writes three digits that count, without an exponent where it needs none.
func shortNumber(x float64) string {
	if math.Abs(x) >= 100 && math.Abs(x) < 1e7 {
		return strconv.FormatFloat(x, 'f', 0, 64)
	}
	return strconv.FormatFloat(x, 'g', 3, 64)
}

// parallel draws the trials as lines over the axes of their keys (Inselberg 1985), the best on top.
func (r *SearchResult) parallel() template.HTML {
	axes := r.coordinates()
	const height, top, bottom = 380.0, 34.0, 14.0
	width := max(960, 150*float64(len(axes)))
	left, right := 70.0, 90.0
	x := func(i int) float64 { return left + float64(i)/float64(len(axes)-1)*(width-left-right) }
	y := func(at float64) float64 { return height - bottom - at*(height-top-bottom) }
	monitor := axes[len(axes)-1]
	var w strings.Builder
	fmt.Fprintf(&w, `<svg viewBox="0 0 %g %g" role="img">`, width, height)
	drawn := 0
	ranked := r.Ranked()
	slices.Reverse(ranked)
	for _, t := range ranked {
		good, ok := monitor.place(t)
		if !ok {
			continue
		}
		var d strings.Builder
		for i, c := range axes {
			at, placed := c.place(t)
			if !placed {
				ok = false
				break
			}
			pen := "L"
			if i == 0 {
				pen = "M"
			}
			fmt.Fprintf(&d, "%s%.1f %.1f", pen, x(i), y(at))
		}
		if !ok {
			continue
		}
		drawn++
		class := "trial"
		switch {
		case t.Trial == r.Best:
			class += " top"
		case t.State != trialDone:
			class += " early"
		}
		fmt.Fprintf(&w, `<path class="%s" stroke="hsl(%.0f 70%% 48%%)" d="%s"><title>trial %d, %s: %s %.6f</title></path>`,
			class, 230-215*good, d.String(), t.Trial, template.HTMLEscapeString(t.Params.String()), template.HTMLEscapeString(r.Monitor), t.Monitor)
	}
	if drawn == 0 {
		return ""
	}
	for i, c := range axes {
		fmt.Fprintf(&w, `<line class="axis" x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f"/><text class="name" x="%.1f" y="16" text-anchor="middle">%s</text>`,
			x(i), x(i), y(0), y(1), x(i), template.HTMLEscapeString(shorten(c.name, 24)))
		for _, m := range c.marks {
			fmt.Fprintf(&w, `<text class="name" x="%.1f" y="%.1f">%s</text>`, x(i)+5, y(m.at)+4, template.HTMLEscapeString(shorten(m.text, 18)))
		}
	}
	w.WriteString("</svg>")
	return template.HTML(w.String())
}
