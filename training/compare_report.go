package training

import (
	_ "embed" // the comparison's page
	"encoding/json"
	"fmt"
	"html/template"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

//go:embed compare.html
var comparePage string

var compareTemplate = page("compare", comparePage)

// What a comparison leaves in its folder.
const (
	comparePageFile = "compare.html"
	compareFile     = "compare.json"
)

type compareData struct {
	Title, Subtitle, Baseline string
	Labels                    []compareLabelData
	Slices                    []compareSlice
}

type compareLabelData struct {
	Name        string // empty for the one label
	Models      []compareRow
	Tests       []compareRow
	Differences []figureSVG
	Curves      []figureSVG
}

type compareRow struct {
	Cells      []string
	Base, Sure bool
}

type compareSlice struct {
	Field, Label string
	SVG          template.HTML
	Head         []string
	Rows         [][]string
}

// Write puts compare.json and the page compare.html into a folder.
func (c *Comparison) Write(dir string) error {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return &RequestError{fmt.Errorf("make the folder of the comparison: %w", err)}
	}
	text, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return fmt.Errorf("write %s: %w", compareFile, err)
	}
	if err := replaceFile(filepath.Join(dir, compareFile), append(text, '\n')); err != nil {
		return err
	}
	return writePage(filepath.Join(dir, comparePageFile), compareTemplate, c.page())
}

func (c *Comparison) page() *compareData {
	var names []string
	for _, m := range c.Models {
		names = append(names, m.Name)
	}
	d := &compareData{
		Title:    strings.Join(names, ", "),
		Subtitle: thousands(int64(c.Rows)) + " rows", Baseline: c.Baseline,
	}
	if c.Groups > 0 {
		d.Subtitle += fmt.Sprintf(" of %s groups", thousands(int64(c.Groups)))
	}
	d.Subtitle += fmt.Sprintf(", %s bootstrap samples", thousands(int64(c.Samples)))
	for i, curves := range c.curves {
		models := c.Models
		l := compareLabelData{}
		if c.Tasks != nil {
			l.Name, models = c.labels[i], c.Tasks[c.labels[i]]
		}
		for _, m := range models {
			name := m.Name
			if m.Runs > 1 {
				name += fmt.Sprintf(" (mean of %d runs)", m.Runs)
			}
			l.Models = append(l.Models, compareRow{Base: m.Name == c.Baseline, Cells: []string{
				name, decimal(m.AUC, 6), percent(m.RelaImpr), decimal(m.GAUC, 6), decimal(m.Logloss, 6), decimal(m.NE, 5), decimal(m.ECE, 5), decimal(m.Calibration, 4),
			}})
			for _, t := range m.Tests {
				l.Tests = append(l.Tests, compareRow{Sure: t.P < 0.05, Cells: []string{
					m.Name, t.Metric, signed(t.Difference), decimal(t.StdErr, 6), signed(t.Low) + " to " + signed(t.High), pText(t.P), t.Method,
				}})
			}
		}
		for _, metric := range []struct{ key, caption string }{{"auc", "AUC"}, {"gauc", "GAUC"}, {"logloss", "Logloss (less is better)"}} {
			if svg := forestChart(380, forestOf(models, metric.key)); svg != "" {
				l.Differences = append(l.Differences, figureSVG{metric.caption, svg})
			}
		}
		var roc, calibration [][][2]float64
		for k := range curves.roc {
			var line, bins [][2]float64
			for _, p := range curves.roc[k] {
				line = append(line, [2]float64{p.X, p.Y})
			}
			for _, b := range curves.calibration[k] {
				bins = append(bins, [2]float64{b.Score, b.Rate})
			}
			roc, calibration = append(roc, line), append(calibration, bins)
		}
		l.Curves = []figureSVG{
			{"ROC curves", overlayChart("false positive rate", "true positive rate", names, roc, false)},
			{"Reliability in bins of equal counts: on the diagonal a model is calibrated", overlayChart("mean score", "observed rate", names, calibration, true)},
		}
		d.Labels = append(d.Labels, l)
	}
	for _, field := range slices.Sorted(maps.Keys(c.Slices)) {
		d.Slices = append(d.Slices, slicePages(field, c.Slices[field])...)
	}
	return d
}

// forestOf lists the differences of one metric; where there are several tests of it the one over groups is drawn.
func forestOf(models []ModelComparison, metric string) []interval {
	var out []interval
	for i, m := range models {
		var drawn *Test
		for k := range m.Tests {
			t := &m.Tests[k]
			if t.Metric == metric && (drawn == nil || strings.Contains(t.Method, "groups") && !strings.Contains(drawn.Method, "groups")) {
				drawn = t
			}
		}
		if drawn != nil {
			out = append(out, interval{m.Name, i, float64(drawn.Difference), float64(drawn.Low), float64(drawn.High), "p " + pText(drawn.P)})
		}
	}
	return out
}

func slicePages(field string, all []SliceComparison) []compareSlice {
	var out []compareSlice
	for _, s := range all {
		if n := len(out); n == 0 || out[n-1].Label != s.Label {
			p := compareSlice{Field: field, Label: s.Label, Head: []string{field, "rows", "rate"}}
			for _, m := range s.Models {
				p.Head = append(p.Head, "AUC "+m.Name)
				if len(m.Tests) > 0 {
					p.Head = append(p.Head, "difference", "p")
				}
			}
			out = append(out, p)
		}
		p := &out[len(out)-1]
		row := []string{s.Value, thousands(int64(s.Rows)), decimal(s.Rate, 4)}
		for _, m := range s.Models {
			row = append(row, decimal(m.AUC, 5))
			for _, t := range m.Tests {
				row = append(row, signed(t.Difference), pText(*t.PHolm))
			}
		}
		p.Rows = append(p.Rows, row)
	}
	at := 0
	for i := range out {
		var bars []interval
		for _, s := range all[at : at+len(out[i].Rows)] {
			for k, m := range s.Models {
				for _, t := range m.Tests {
					name := s.Value
					if len(s.Models) > 2 {
						name += " · " + m.Name
					}
					bars = append(bars, interval{name, k, float64(t.Difference), float64(t.Low), float64(t.High), "p " + pText(*t.PHolm)})
				}
			}
		}
		at += len(out[i].Rows)
		out[i].SVG = forestChart(960, bars)
	}
	return out
}

func signed(f Figure) string {
	if math.IsNaN(float64(f)) {
		return "–"
	}
	return fmt.Sprintf("%+.6f", float64(f))
}

func percent(f Figure) string {
	if math.IsNaN(float64(f)) {
		return "–"
	}
	return fmt.Sprintf("%+.2f %%", 100*float64(f))
}

// pText writes a p-value with two digits that count.
func pText(f Figure) string {
	p := float64(f)
	switch {
	case math.IsNaN(p):
		return "–"
	case p < 1e-4:
		return strconv.FormatFloat(p, 'e', 1, 64)
	}
	return strconv.FormatFloat(p, 'f', 4, 64)
}
