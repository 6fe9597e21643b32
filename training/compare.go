package training

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/millrace/millrace/core/metric"
	"github.com/millrace/millrace/features"
)

// Contender is one side of a comparison: a run's folder or a checkpoint folder (with the runs of all its seeds, where there are several), or a file that predict wrote.
type Contender struct{ Name, Path string }

// CompareOptions describe a comparison.
type CompareOptions struct {
	Contenders []Contender
	Data       []string // for the checkpoints
	Baseline   string   // a contender's name; empty: the first
	Slices     []string
	TopSlices  int    // default 20
	Samples    int    // of the bootstrap; default 1000
	Seed       uint64 // of the bootstrap
	SkipBad    int64
	// Label and Group name columns of prediction files where they are not where predict puts them.
	Label, Group string
	Workers      int               // goroutines of the bootstrap; default 1
	Note         func(text string) // lines for people; nil: none
}

// Comparison is what several models on the same rows come to; it is the JSON of compare.
type Comparison struct {
	Rows     int                          `json:"rows"`
	BadRows  int64                        `json:"bad_rows"`
	Groups   int                          `json:"groups"` // 0: none
	Baseline string                       `json:"baseline"`
	Samples  int                          `json:"samples"`         // of the bootstrap
	Models   []ModelComparison            `json:"models"`          // with several labels the means, without tests
	Tasks    map[string][]ModelComparison `json:"tasks,omitempty"` // with several labels
	Slices   map[string][]SliceComparison `json:"slices,omitempty"`

	labels []string
	curves []labelCurves // one a label, for the page
}

// ModelComparison is one model's figures, the means over its runs where it has several seeds, and its tests against the baseline.
type ModelComparison struct {
	Name string `json:"name"`
	Runs int    `json:"runs"`
	TaskFigures
	RelaImpr Figure `json:"relaimpr"` // of the AUC, over the baseline's
	Tests    []Test `json:"tests,omitempty"`
}

// Test is a paired test of one metric: the model's less the baseline's.
type Test struct {
	Metric     string  `json:"metric"` // auc, gauc or logloss
	Method     string  `json:"method"`
	Difference Figure  `json:"difference"`
	StdErr     Figure  `json:"std_err"`
	Low        Figure  `json:"low"` // the 95 % interval
	High       Figure  `json:"high"`
	P          Figure  `json:"p"`                // two-sided
	PHolm      *Figure `json:"p_holm,omitempty"` // adjusted for all slices of the field
}

// SliceComparison is the comparison on the rows of one value.
type SliceComparison struct {
	Label  string            `json:"label,omitempty"` // with several labels
	Value  string            `json:"value"`
	Rows   int               `json:"rows"`
	Rate   Figure            `json:"rate"`
	Models []ModelComparison `json:"models"`
}

// labelCurves are what the page draws of a label.
type labelCurves struct {
	label       string
	roc         [][]metric.Point // one a model
	calibration [][]metric.Bin
}

// Names of the tests.
const (
	deLong        = "DeLong"
	groupDeLong   = "DeLong over groups"
	rowSamples    = "bootstrap"
	groupsSamples = "bootstrap over groups"
)

// Compare measures models on the same rows and tests each against the baseline.
func Compare(ctx context.Context, o CompareOptions) (*Comparison, error) {
	if o.Note == nil {
		o.Note = func(string) {}
	}
	if o.TopSlices <= 0 {
		o.TopSlices = 20
	}
	if o.Samples <= 0 {
		o.Samples = 1000
	}
	base := 0
	if o.Baseline != "" {
		if base = slices.IndexFunc(o.Contenders, func(c Contender) bool { return c.Name == o.Baseline }); base < 0 {
			return nil, refuse("baseline %s: it is none of those compared", o.Baseline)
		}
	}
	if len(o.Contenders) < 2 {
		return nil, refuse("compare needs at least two runs, checkpoints or prediction files")
	}
	for i, c := range o.Contenders {
		if slices.ContainsFunc(o.Contenders[:i], func(x Contender) bool { return x.Name == c.Name }) {
			return nil, refuse("two of those compared are called %s: name them NAME=PATH", c.Name)
		}
	}
	g, rivals, err := gather(ctx, &o)
	if err != nil {
		return nil, err
	}
	c := &Comparison{Rows: g.rows, BadRows: g.badRows, Baseline: o.Contenders[base].Name, Samples: o.Samples, labels: g.names}
	c.Groups = g.countGroups()
	if len(g.names) > 1 {
		c.Tasks = map[string][]ModelComparison{}
	}
	for l, name := range g.names {
		o.Note(fmt.Sprintf("%s: %d samples", name, o.Samples))
		models, curves, err := compareLabel(ctx, &o, g, rivals, l, base)
		if err != nil {
			return nil, err
		}
		c.curves = append(c.curves, curves)
		if c.Tasks == nil {
			c.Models = models
		} else {
			c.Tasks[name] = models
		}
	}
	if c.Tasks != nil {
		c.Models = meanModels(g.names, c.Tasks, base)
	}
	for _, s := range g.slicers {
		if c.Slices == nil {
			c.Slices = map[string][]SliceComparison{}
		}
		if c.Slices[s.name], err = compareSlices(ctx, &o, g, rivals, s.slices(o.TopSlices), base); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// compareLabel compares on one label over all rows.
func compareLabel(ctx context.Context, o *CompareOptions, g *ground, rivals []rival, label, base int) ([]ModelComparison, labelCurves, error) {
	curves := labelCurves{label: g.names[label]}
	var out []ModelComparison
	sampled := metric.Sampled{Labels: g.labels[label], Weights: g.weights, Groups: g.groups}
	places := make([]*metric.Placement, len(rivals))
	for i, r := range rivals {
		var each []TaskFigures
		var runs []*metric.Placement
		for _, scores := range r.runs {
			rows := &metric.Rows{}
			rows.Add(scores[label], g.labels[label], g.weights, g.groups)
			each = append(each, taskFigures(rows))
			runs = append(runs, metric.Place(scores[label], g.labels[label], g.weights))
			if len(runs) == 1 {
				curves.roc, curves.calibration = append(curves.roc, rows.ROC(200)), append(curves.calibration, rows.Calibration(eceBins))
			}
			sampled.Scores = append(sampled.Scores, scores[label])
		}
		places[i] = metric.MeanPlacement(runs)
		out = append(out, ModelComparison{Name: r.name, Runs: len(r.runs), TaskFigures: meanFigures(each)})
		if ctx.Err() != nil {
			return nil, curves, context.Cause(ctx)
		}
	}
	draws := metric.Bootstrap(sampled, o.Samples, o.Seed, o.Workers, o.progress(ctx, len(sampled.Scores)*g.rows))
	if draws == nil {
		return nil, curves, context.Cause(ctx)
	}
	mean := make([]metric.Draws, len(rivals))
	for i, r := range rivals {
		mean[i], draws = metric.MeanDraws(draws[:len(r.runs)]), draws[len(r.runs):]
	}
	method := rowSamples
	if g.groups != nil {
		method = groupsSamples
	}
	for i := range out {
		m, b := &out[i], &out[base]
		m.RelaImpr = Figure(metric.RelaImpr(float64(m.AUC), float64(b.AUC)))
		if i == base {
			continue
		}
		m.Tests = append(m.Tests, newTest("auc", deLong, places[base].Compare(places[i])))
		if g.groups != nil {
			m.Tests = append(m.Tests,
				newTest("auc", groupDeLong, places[base].CompareGroups(places[i], g.groups)),
				newTest("gauc", method, metric.DrawnDifference(float64(m.GAUC-b.GAUC), mean[base].GAUC, mean[i].GAUC)))
		}
		m.Tests = append(m.Tests,
			newTest("auc", method, metric.DrawnDifference(float64(m.AUC-b.AUC), mean[base].AUC, mean[i].AUC)),
			newTest("logloss", method, metric.DrawnDifference(float64(m.Logloss-b.Logloss), mean[base].Logloss, mean[i].Logloss)))
	}
	return out, curves, nil
}

// longSampling is the number of rows over all models and samples from which on a bootstrap tells how far it is.
const longSampling = 2e9

// progress returns what a bootstrap asks before each sample: whether to stop. It notes every tenth of a long one.
func (o *CompareOptions) progress(ctx context.Context, rows int) func() bool {
	var mu sync.Mutex
	begun := 0 // guarded by mu, like the note
	return func() bool {
		if float64(rows)*float64(o.Samples) >= longSampling {
			mu.Lock()
			if tenth := begun * 10 / o.Samples; begun > 0 && tenth != (begun-1)*10/o.Samples {
				o.Note(fmt.Sprintf("  %d %% of the samples", 10*tenth))
			}
			begun++
			mu.Unlock()
		}
		return ctx.Err() != nil
	}
}

func newTest(name, method string, d metric.Difference) Test {
	return Test{Metric: name, Method: method, Difference: Figure(d.Value), StdErr: Figure(d.StdErr), Low: Figure(d.Low), High: Figure(d.High), P: Figure(d.P)}
}

// compareSlices compares within each value's rows: the AUC by DeLong's test, over groups where there are any, its p-values adjusted for their number.
func compareSlices(ctx context.Context, o *CompareOptions, g *ground, rivals []rival, cuts []slice, base int) ([]SliceComparison, error) {
	var out []SliceComparison
	for l, name := range g.names {
		first := len(out)
		for _, cut := range cuts {
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
			labels, weights, groups := pick(g.labels[l], cut.rows), pick(g.weights, cut.rows), pick(g.groups, cut.rows)
			s := SliceComparison{Value: cut.name, Rows: len(cut.rows)}
			if len(g.names) > 1 {
				s.Label = name
			}
			places := make([]*metric.Placement, len(rivals))
			for i, r := range rivals {
				var each []TaskFigures
				var runs []*metric.Placement
				for _, scores := range r.runs {
					picked := pick(scores[l], cut.rows)
					rows := &metric.Rows{}
					rows.Add(picked, labels, weights, groups)
					each, runs = append(each, taskFigures(rows)), append(runs, metric.Place(picked, labels, weights))
					s.Rate = Figure(rows.Rate())
				}
				places[i] = metric.MeanPlacement(runs)
				s.Models = append(s.Models, ModelComparison{Name: r.name, Runs: len(r.runs), TaskFigures: meanFigures(each)})
			}
			for i := range s.Models {
				m := &s.Models[i]
				m.RelaImpr = Figure(metric.RelaImpr(float64(m.AUC), float64(s.Models[base].AUC)))
				switch {
				case i == base:
				case groups != nil:
					m.Tests = []Test{newTest("auc", groupDeLong, places[base].CompareGroups(places[i], groups))}
				default:
					m.Tests = []Test{newTest("auc", deLong, places[base].Compare(places[i]))}
				}
			}
			out = append(out, s)
		}
		for i := range rivals {
			if i == base {
				continue
			}
			var ps []float64
			for _, s := range out[first:] {
				ps = append(ps, float64(s.Models[i].Tests[0].P))
			}
			for k, p := range metric.Holm(ps) {
				adjusted := Figure(p)
				out[first+k].Models[i].Tests[0].PHolm = &adjusted
			}
		}
	}
	return out, nil
}

// meanModels averages the labels' figures.
func meanModels(labels []string, tasks map[string][]ModelComparison, base int) []ModelComparison {
	out := slices.Clone(tasks[labels[0]])
	for i := range out {
		var each []TaskFigures
		for _, l := range labels {
			each = append(each, tasks[l][i].TaskFigures)
		}
		out[i].Tests, out[i].TaskFigures = nil, meanFigures(each)
	}
	for i := range out {
		out[i].RelaImpr = Figure(metric.RelaImpr(float64(out[i].AUC), float64(out[base].AUC)))
	}
	return out
}

// unlike says that two contenders are not of the same rows.
func unlike(path string, format string, args ...any) error {
	return &features.DataError{File: path, Reason: fmt.Sprintf(format, args...)}
}
