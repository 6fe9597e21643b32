package training

import (
	"bytes"
	"fmt"
	"html/template"
	"math"
	"strconv"
)

// runsMark is where a report has room for the runs of other seeds.
const runsMark = `<section id="runs"></section>`

var runsTemplate = template.Must(template.New("runs").Parse(`<section id="runs">
<h2>{{.Count}} runs</h2>
<div class="pair">
{{range .Charts}}<figure><figcaption>{{.Caption}}</figcaption>{{.SVG}}</figure>
{{end}}</div>
<p class="soft">A dot is a run; the line is their mean, the band its standard error to either side. All else on this page is the run of seed {{.Best}}, the best by validation.</p>
<div class="wide scroll" style="margin-top:12px"><table>
<tr><th>seed</th><th>AUC</th><th>logloss</th><th>GAUC</th><th>norm. entropy</th><th>ECE</th><th>valid AUC</th><th>best epoch</th></tr>
{{range .Rows}}<tr{{if .Best}} class="chosen"{{end}}>{{range .Cells}}<td>{{.}}</td>{{end}}</tr>
{{end}}</table></div>
</section>`))

type runsData struct {
	Count  int
	Best   uint64
	Charts []figureSVG
	Rows   []runsRow
}

type runsRow struct {
	Cells []string
	Best  bool
}

// withRuns puts the runs' table and pictures into the best run's report.
func (r *SeedsResult) withRuns(page []byte) ([]byte, error) {
	d := runsData{Count: len(r.Runs), Best: r.Seed}
	for _, m := range []struct {
		name          string
		mean, std, se Figure
		of            func(*Result) Figure
	}{
		{"AUC", r.AUCMean, r.AUCStd, r.AUCSE, func(r *Result) Figure { return r.AUC }},
		{"Logloss", r.LoglossMean, r.LoglossStd, r.LoglossSE, func(r *Result) Figure { return r.Logloss }},
		{"GAUC", r.GAUCMean, r.GAUCStd, r.GAUCSE, func(r *Result) Figure { return r.GAUC }},
	} {
		var values []float64
		var names []string
		for i := range r.Runs {
			values = append(values, float64(m.of(&r.Runs[i])))
			names = append(names, "seed "+strconv.FormatUint(r.Runs[i].Seed, 10))
		}
		if svg := spreadChart(names, values, float64(m.mean), float64(m.se)); svg != "" {
			d.Charts = append(d.Charts, figureSVG{fmt.Sprintf("%s %s ± %s, standard error %s", m.name, decimal(m.mean, 6), decimal(m.std, 6), decimal(m.se, 6)), svg})
		}
	}
	for i := range r.Runs {
		one := &r.Runs[i]
		d.Rows = append(d.Rows, runsRow{[]string{
			strconv.FormatUint(one.Seed, 10), decimal(one.AUC, 6), decimal(one.Logloss, 6), decimal(one.GAUC, 6), decimal(one.NE, 5), decimal(one.ECE, 4), decimal(one.Valid, 6),
			fmt.Sprintf("%d of %d", one.BestEpoch, one.Epochs),
		}, one.Seed == r.Seed})
	}
	with := func(mean, std Figure) string { return decimal(mean, 6) + " ± " + decimal(std, 6) }
	d.Rows = append(d.Rows, runsRow{Cells: []string{
		"mean ± std", with(r.AUCMean, r.AUCStd), with(r.LoglossMean, r.LoglossStd), with(r.GAUCMean, r.GAUCStd), decimal(r.NE, 5), decimal(r.ECE, 4), "", "",
	}})
	var section bytes.Buffer
	if err := runsTemplate.Execute(&section, d); err != nil {
		return nil, fmt.Errorf("write %s: %w", reportFile, err)
	}
	return bytes.Replace(page, []byte(runsMark), section.Bytes(), 1), nil
}

// spreadChart draws runs as dots about their mean, with a band of its standard error.
func spreadChart(names []string, values []float64, mean, se float64) template.HTML {
	if math.IsNaN(mean) || len(values) == 0 {
		return ""
	}
	lo, hi := mean, mean
	for _, v := range values {
		lo, hi = min(lo, v), max(hi, v)
	}
	if !math.IsNaN(se) {
		lo, hi = min(lo, mean-se), max(hi, mean+se)
	}
	margin := 0.1 * (hi - lo)
	c := newCanvas(0.5, float64(len(values))+0.5, lo-margin, hi+margin)
	if !math.IsNaN(se) {
		fmt.Fprintf(c, `<rect class="band" x="%.1f" y="%.1f" width="%.1f" height="%.1f"/>`, padLeft, c.y(mean+se), chartWidth-padLeft-padRight, c.y(mean-se)-c.y(mean+se))
	}
	c.axes("run", "", true)
	c.line("chance", []float64{0.5, float64(len(values)) + 0.5}, []float64{mean, mean})
	for i, v := range values {
		if !math.IsNaN(v) {
			c.dot("a", float64(i+1), v, fmt.Sprintf("%s: %.6f", names[i], v))
		}
	}
	return c.done()
}
