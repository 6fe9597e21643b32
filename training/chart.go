package training

import (
	"fmt"
	"html/template"
	"math"
	"strconv"
	"strings"

	"github.com/millrace/millrace/core/metric"
)

// Charts are plain SVG drawn on a 460×260 canvas; colours come from the page's style sheet.
const (
	chartWidth, chartHeight = 460.0, 260.0
	padLeft, padRight       = 58.0, 14.0
	padTop, padBottom       = 14.0, 38.0
)

// series is one line of a chart; class picks its colour.
type series struct {
	name  string
	y     []float64
	class string
}

// canvas maps data to the drawing.
type canvas struct {
	strings.Builder
	x0, x1, y0, y1 float64
}

func newCanvas(x0, x1, y0, y1 float64) *canvas {
	if x1 <= x0 {
		x0, x1 = x0-0.5, x0+0.5
	}
	if y1 <= y0 {
		y0, y1 = y0-0.5*math.Max(math.Abs(y0), 1e-3), y0+0.5*math.Max(math.Abs(y0), 1e-3)
	}
	c := &canvas{x0: x0, x1: x1, y0: y0, y1: y1}
	fmt.Fprintf(c, `<svg viewBox="0 0 %g %g" role="img">`, chartWidth, chartHeight)
	return c
}

func (c *canvas) x(v float64) float64 {
	return padLeft + (v-c.x0)/(c.x1-c.x0)*(chartWidth-padLeft-padRight)
}

func (c *canvas) y(v float64) float64 {
	return chartHeight - padBottom - (v-c.y0)/(c.y1-c.y0)*(chartHeight-padTop-padBottom)
}

// axes draws a grid with labels at round numbers.
func (c *canvas) axes(xName, yName string, wholeX bool) {
	for _, v := range ticks(c.y0, c.y1, 5) {
		fmt.Fprintf(c, `<line class="grid" x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f"/><text class="tick" x="%.1f" y="%.1f" text-anchor="end">%s</text>`,
			padLeft, chartWidth-padRight, c.y(v), c.y(v), padLeft-7, c.y(v)+4, tickText(v, c.y1-c.y0))
	}
	for _, v := range ticks(c.x0, c.x1, 8) {
		if wholeX && v != math.Trunc(v) {
			continue
		}
		fmt.Fprintf(c, `<text class="tick" x="%.1f" y="%.1f" text-anchor="middle">%s</text>`, c.x(v), chartHeight-padBottom+17, tickText(v, c.x1-c.x0))
	}
	fmt.Fprintf(c, `<line class="axis" x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f"/>`, padLeft, chartWidth-padRight, c.y(c.y0), c.y(c.y0))
	fmt.Fprintf(c, `<text class="name" x="%.1f" y="%.1f" text-anchor="middle">%s</text>`, (padLeft+chartWidth-padRight)/2, chartHeight-5, template.HTMLEscapeString(xName))
	if yName != "" {
		fmt.Fprintf(c, `<text class="name" transform="translate(12 %.1f) rotate(-90)" text-anchor="middle">%s</text>`, (padTop+chartHeight-padBottom)/2, template.HTMLEscapeString(yName))
	}
}

func (c *canvas) line(class string, xs, ys []float64) {
	var d strings.Builder
	pen := "M"
	for i := range xs {
		if math.IsNaN(ys[i]) {
			pen = "M"
			continue
		}
		fmt.Fprintf(&d, "%s%.1f %.1f", pen, c.x(xs[i]), c.y(ys[i]))
		pen = "L"
	}
	fmt.Fprintf(c, `<path class="line %s" d="%s"/>`, class, d.String())
}

func (c *canvas) dot(class string, x, y float64, title string) {
	fmt.Fprintf(c, `<circle class="dot %s" cx="%.1f" cy="%.1f" r="3"><title>%s</title></circle>`, class, c.x(x), c.y(y), template.HTMLEscapeString(title))
}

func (c *canvas) done() template.HTML {
	c.WriteString("</svg>")
	return template.HTML(c.String())
}

// lineChart draws values by epoch and marks the best one.
func lineChart(x []float64, lines []series, best float64) template.HTML {
	lo, hi := math.Inf(1), math.Inf(-1)
	for _, s := range lines {
		for _, v := range s.y {
			if !math.IsNaN(v) {
				lo, hi = min(lo, v), max(hi, v)
			}
		}
	}
	if len(x) == 0 || lo > hi {
		return ""
	}
	margin, top := 0.06*(hi-lo), 0.06*(hi-lo)
	if len(lines) > 1 {
		top = 0.18 * (hi - lo) // for the names of the lines
	}
	c := newCanvas(x[0], x[len(x)-1], lo-margin, hi+top)
	c.axes("epoch", "", true)
	fmt.Fprintf(c, `<line class="best" x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f"/>`, c.x(best), c.x(best), padTop, chartHeight-padBottom)
	for _, s := range lines {
		c.line(s.class, x, s.y)
		for i, v := range s.y {
			if !math.IsNaN(v) {
				c.dot(s.class, x[i], v, fmt.Sprintf("epoch %g, %s: %.6f", x[i], s.name, v))
			}
		}
	}
	if len(lines) > 1 {
		at := padLeft + 12.0
		for _, s := range lines {
			fmt.Fprintf(c, `<circle class="dot %s" cx="%.1f" cy="%.1f" r="4"/><text class="name" x="%.1f" y="%.1f">%s</text>`, s.class, at, padTop+4, at+8, padTop+8, s.name)
			at += 24 + 6.5*float64(len(s.name))
		}
	}
	return c.done()
}

// rocChart draws the ROC curve over the diagonal of chance.
func rocChart(points []metric.Point) template.HTML {
	if len(points) == 0 {
		return ""
	}
	c := newCanvas(0, 1, 0, 1)
	c.axes("false positive rate", "true positive rate", false)
	c.line("chance", []float64{0, 1}, []float64{0, 1})
	var xs, ys []float64
	for _, p := range points {
		xs, ys = append(xs, p.X), append(ys, p.Y)
	}
	c.line("a", xs, ys)
	return c.done()
}

// calibrationChart draws the observed rate of each bin against its mean score; on the diagonal the model is calibrated.
func calibrationChart(bins []metric.Bin) template.HTML {
	if len(bins) == 0 {
		return ""
	}
	var top float64
	var xs, ys []float64
	for _, b := range bins {
		top = max(top, b.Score, b.Rate)
		xs, ys = append(xs, b.Score), append(ys, b.Rate)
	}
	top = min(1, top*1.05)
	c := newCanvas(0, top, 0, top)
	c.axes("mean score", "observed rate", false)
	c.line("chance", []float64{0, top}, []float64{0, top})
	c.line("a", xs, ys)
	for i, b := range bins {
		c.dot("a", xs[i], ys[i], fmt.Sprintf("%s rows: score %.4f, rate %.4f", thousands(int64(b.Rows)), b.Score, b.Rate))
	}
	return c.done()
}

// barChart draws importances as horizontal bars around zero.
func barChart(bars []Importance) template.HTML {
	if len(bars) == 0 {
		return ""
	}
	const row, label, width = 22.0, 230.0, 960.0
	lo, hi := 0.0, 1e-9
	for _, b := range bars {
		if v := float64(b.Drop); !math.IsNaN(v) {
			lo, hi = min(lo, v), max(hi, v)
		}
	}
	scale := (width - label - 90) / (hi - lo)
	zero := label - lo*scale
	var w strings.Builder
	fmt.Fprintf(&w, `<svg class="bars" viewBox="0 0 %g %g" role="img">`, width, row*float64(len(bars))+6)
	for i, b := range bars {
		v, y := float64(b.Drop), row*float64(i)+3
		if math.IsNaN(v) {
			v = 0
		}
		from, to := min(zero, zero+v*scale), max(zero, zero+v*scale)
		fmt.Fprintf(&w, `<text class="name" x="%g" y="%.1f" text-anchor="end">%s</text><rect class="bar" x="%.1f" y="%.1f" width="%.1f" height="%.1f"/><text class="tick" x="%.1f" y="%.1f">%.5f</text>`,
			label-8, y+row*0.62, template.HTMLEscapeString(shorten(b.Fields, 36)), from, y+2, max(to-from, 0.8), row-7, to+6, y+row*0.62, v)
	}
	fmt.Fprintf(&w, `<line class="axis" x1="%.1f" x2="%.1f" y1="0" y2="%.1f"/></svg>`, zero, zero, row*float64(len(bars))+6)
	return template.HTML(w.String())
}

func shorten(s string, runes int) string {
	if r := []rune(s); len(r) > runes {
		return string(r[:runes-1]) + "…"
	}
	return s
}

// ticks returns about n round numbers within [lo, hi].
func ticks(lo, hi float64, n int) []float64 {
	step := math.Pow(10, math.Floor(math.Log10((hi-lo)/float64(n))))
	for _, m := range []float64{1, 2, 5, 10} {
		if (hi-lo)/(step*m) <= float64(n) {
			step *= m
			break
		}
	}
	var out []float64
	for i := math.Ceil(lo/step - 1e-9); i*step <= hi+step*1e-9; i++ {
		out = append(out, i*step)
	}
	return out
}

func tickText(v, span float64) string {
	digits := max(0, int(math.Ceil(-math.Log10(span)))+1)
	s := strconv.FormatFloat(v, 'f', digits, 64)
	if strings.Contains(s, ".") {
		s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
	}
	if s == "-0" {
		s = "0"
	}
	return s
}
