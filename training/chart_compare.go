package training

import (
	"fmt"
	"html/template"
	"math"
	"strings"
)

// seriesClasses is how many colours the style sheet has for series side by side.
const seriesClasses = 8

func seriesClass(i int) string { return fmt.Sprintf("s s%d", i%seriesClasses) }

// interval is a value with its interval, one row of a forest chart; series picks its colour.
type interval struct {
	name             string
	series           int
	value, low, high float64
	note             string
}

// forestChart draws intervals one under the other about zero, on a canvas of a width.
func forestChart(width float64, rows []interval) template.HTML {
	lo, hi := 0.0, 0.0
	drawn := 0
	for _, r := range rows {
		if !math.IsNaN(r.low) && !math.IsNaN(r.high) {
			lo, hi = min(lo, r.low), max(hi, r.high)
			drawn++
		}
	}
	if drawn == 0 {
		return ""
	}
	if hi-lo < 1e-9 {
		lo, hi = -1e-4, 1e-4
	}
	const row = 24.0
	label := width * 0.24
	margin := 0.06 * (hi - lo)
	lo, hi = lo-margin, hi+margin
	height := row*float64(len(rows)) + 30
	x := func(v float64) float64 { return label + (v-lo)/(hi-lo)*(width-label-76) }
	var w strings.Builder
	fmt.Fprintf(&w, `<svg viewBox="0 0 %g %g" role="img">`, width, height)
	for _, v := range ticks(lo, hi, int(width/100)) {
		fmt.Fprintf(&w, `<line class="grid" x1="%.1f" x2="%.1f" y1="0" y2="%.1f"/><text class="tick" x="%.1f" y="%.1f" text-anchor="middle">%s</text>`,
			x(v), x(v), height-22, x(v), height-6, tickText(v, hi-lo))
	}
	fmt.Fprintf(&w, `<line class="axis" x1="%.1f" x2="%.1f" y1="0" y2="%.1f"/>`, x(0), x(0), height-22)
	for i, r := range rows {
		y := row*float64(i) + row/2
		fmt.Fprintf(&w, `<text class="name" x="%g" y="%.1f" text-anchor="end">%s</text>`, label-8, y+4, template.HTMLEscapeString(shorten(r.name, int(label/7))))
		if math.IsNaN(r.low) || math.IsNaN(r.high) {
			fmt.Fprintf(&w, `<text class="tick" x="%.1f" y="%.1f">undefined</text>`, x(0)+6, y+4)
			continue
		}
		class := seriesClass(r.series)
		fmt.Fprintf(&w, `<line class="whisker %s" x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f"/><circle class="dot %s" cx="%.1f" cy="%.1f" r="4"><title>%s: %.6f (%.6f to %.6f), %s</title></circle>`,
			class, x(r.low), x(r.high), y, y, class, x(r.value), y, template.HTMLEscapeString(r.name), r.value, r.low, r.high, template.HTMLEscapeString(r.note))
		fmt.Fprintf(&w, `<text class="tick" x="%.1f" y="%.1f">%s</text>`, width-70, y+4, template.HTMLEscapeString(r.note))
	}
	w.WriteString("</svg>")
	return template.HTML(w.String())
}

// overlayChart draws several models' lines within the unit square over its diagonal; cut shows only as much of it as there are points.
func overlayChart(xName, yName string, names []string, lines [][][2]float64, cut bool) template.HTML {
	top := 1.0
	if cut {
		top = 0
		for _, l := range lines {
			for _, p := range l {
				top = max(top, p[0], p[1])
			}
		}
		top = min(1, top*1.05)
	}
	if !(top > 0) {
		return ""
	}
	c := newCanvas(0, top, 0, top)
	c.axes(xName, yName, false)
	c.line("chance", []float64{0, top}, []float64{0, top})
	for i, l := range lines {
		var xs, ys []float64
		for _, p := range l {
			xs, ys = append(xs, p[0]), append(ys, p[1])
		}
		c.line(seriesClass(i), xs, ys)
		if cut {
			for k := range xs {
				c.dot(seriesClass(i), xs[k], ys[k], fmt.Sprintf("%s: %.4f, %.4f", names[i], xs[k], ys[k]))
			}
		}
	}
	for i, n := range names {
		at, y := padLeft+12, padTop+12+16*float64(i)
		if !cut { // below a curve that rises early
			at, y = chartWidth-padRight-150, chartHeight-padBottom-10-16*float64(len(names)-1-i)
		}
		fmt.Fprintf(c, `<circle class="dot %s" cx="%.1f" cy="%.1f" r="4"/><text class="name" x="%.1f" y="%.1f">%s</text>`,
			seriesClass(i), at, y-4, at+8, y, template.HTMLEscapeString(shorten(n, 24)))
	}
	return c.done()
}
