package training

import (
	_ "embed" // the page
	"fmt"
	"html/template"
	"io"
	"math"
	"slices"
	"strings"
	"text/tabwriter"
)

//go:embed explain.html
var explainPage string

var explainTemplate = page("explain", explainPage)

// explainData is what the page shows.
type explainData struct {
	Title, Subtitle string
	Rows            []explainRow
}

type explainRow struct {
	Title   string
	Labels  []explainLabel
	Figures []figureSVG
}

type explainLabel struct {
	Name    string
	Cards   []card
	Effects []effectRow
}

type effectRow struct {
	Fields, Value, Without, Alone string
	Bar                           template.HTML
}

// WriteExplained writes the page of an explanation.
func WriteExplained(path string, e *Explained) error {
	d := &explainData{
		Title:    fmt.Sprintf("Why %s scores as it does", e.Model),
		Subtitle: fmt.Sprintf("%d rows · checkpoint %s", len(e.Rows), e.Version),
	}
	for i := range e.Rows {
		d.Rows = append(d.Rows, explainedPage(&e.Rows[i]))
	}
	return writePage(path, explainTemplate, d)
}

// title names a row.
func (r *ExplainedRow) title() string {
	text := fmt.Sprintf("Row %d", r.Row)
	if r.User != "" {
		text += " · user " + r.User
	}
	if r.Item != "" {
		text += " · item " + r.Item
	}
	return text
}

func explainedPage(r *ExplainedRow) explainRow {
	out := explainRow{Title: r.title()}
	for i := range r.Labels {
		l := &r.Labels[i]
		actual := "not in the data"
		if !math.IsNaN(float64(l.Actual)) {
			actual = "in the data: " + decimal(l.Actual, 0)
		}
		part := explainLabel{Name: l.Label, Cards: []card{
			{"Score", decimal(l.Score, 5), actual},
			{"Logit", logitText(l.Logit), "log of the odds"},
			{"Nothing known", logitText(l.Baseline), "the logit with every field unknown"},
			{"Fields by themselves", logitText(l.Logit - l.Baseline - l.Interactions), "the sum of the column without"},
			{"Interactions", logitText(l.Interactions), "what the sum leaves over"},
		}}
		most := 1e-9
		for _, x := range l.Effects {
			most = max(most, math.Abs(float64(x.Without)), math.Abs(float64(x.Alone)))
		}
		for _, x := range l.Effects {
			part.Effects = append(part.Effects, effectRow{x.Fields, shorten(x.Value, 60), logitText(x.Without), logitText(x.Alone), effectBar(x, most)})
		}
		out.Labels = append(out.Labels, part)
	}
	for i := range r.Behaviours {
		w := &r.Behaviours[i]
		out.Figures = append(out.Figures, figureSVG{"Weights of the behaviours beside the candidate, newest first: " + w.Name, behaviourChart(r, w)})
	}
	for _, g := range r.Gates {
		out.Figures = append(out.Figures, figureSVG{"Gates, the mean over a field's columns (1 leaves it as it is): " + g.Name, gateChart(&g)})
	}
	for _, a := range r.Attention {
		out.Figures = append(out.Figures, figureSVG{"Attention of each field (row) to all fields, the mean over heads: " + a.Name, attentionChart(&a)})
	}
	return out
}

// logitText writes a difference of logits.
func logitText(f Figure) string {
	if math.IsNaN(float64(f)) {
		return "–"
	}
	if f == 0 { // no minus before a zero
		f = 0
	}
	return fmt.Sprintf("%+.4f", float64(f))
}

// effectBar draws the effect without a field, and thinner that of the field alone, from the middle.
func effectBar(e Effect, most float64) template.HTML {
	const width, height = 220.0, 18.0
	var b strings.Builder
	fmt.Fprintf(&b, `<svg viewBox="0 0 %g %g" style="width:220px"><line class="axis" x1="%g" x2="%g" y1="0" y2="%g"/>`, width, height, width/2, width/2, height)
	for _, x := range []struct {
		v    Figure
		y, h float64
	}{{e.Without, 2, 9}, {e.Alone, 12, 3}} {
		w := math.Abs(float64(x.v)) / most * width / 2
		from, class := width/2, "dot a"
		if x.v < 0 {
			from, class = width/2-w, "dot b"
		}
		fmt.Fprintf(&b, `<rect class="%s" x="%.1f" y="%g" width="%.1f" height="%g"/>`, class, from, x.y, w, x.h)
	}
	b.WriteString("</svg>")
	return template.HTML(b.String())
}

// namedBars draws a bar for each name.
func namedBars(names []string, values []float64, at func(v float64) string) template.HTML {
	const width, left, line = 460.0, 170.0, 20.0
	most := 1e-9
	for _, v := range values {
		most = max(most, math.Abs(v))
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg viewBox="0 0 %g %g" role="img">`, width, line*float64(len(names))+4)
	for i, name := range names {
		y, w := line*float64(i), math.Abs(values[i])/most*(width-left-70)
		class := "dot a"
		if values[i] < 0 {
			class = "dot b"
		}
		fmt.Fprintf(&b, `<text class="name" x="%g" y="%.1f" text-anchor="end">%s</text><rect class="%s" x="%g" y="%.1f" width="%.1f" height="12"/><text class="tick" x="%.1f" y="%.1f">%s</text>`,
			left-8, y+14, template.HTMLEscapeString(shorten(name, 24)), class, left, y+4, w, left+w+6, y+14, at(values[i]))
	}
	b.WriteString("</svg>")
	return template.HTML(b.String())
}

func behaviourChart(r *ExplainedRow, w *BehaviourWeights) template.HTML {
	var names []string
	var values []float64
	for i := len(w.Weights) - 1; i >= 0; i-- {
		names, values = append(names, r.behaviour(w, i)), append(values, float64(w.Weights[i]))
	}
	return namedBars(names, values, func(v float64) string { return fmt.Sprintf("%.4f", v) })
}

// behaviour names one behaviour by its values.
func (r *ExplainedRow) behaviour(w *BehaviourWeights, i int) string {
	var parts []string
	for _, f := range w.Fields {
		if v := r.Values[f]; i < len(v) {
			parts = append(parts, v[i])
		}
	}
	return strings.Join(parts, " · ")
}

func gateChart(g *FieldGates) template.HTML {
	values := make([]float64, len(g.Gates))
	for i, v := range g.Gates {
		values[i] = float64(v)
	}
	return namedBars(g.Fields, values, func(v float64) string { return fmt.Sprintf("%.3f", v) })
}

// mean is the attention of field m to field n, the mean over the heads.
func (a *FieldAttention) mean(m, n int) float64 {
	var sum float64
	for _, head := range a.Weights {
		sum += float64(head[m][n])
	}
	return sum / float64(len(a.Weights))
}

// attentionChart draws a square of fields by fields.
func attentionChart(a *FieldAttention) template.HTML {
	n := len(a.Fields)
	const left, top = 130.0, 96.0
	cell := min(28, (460-left-10)/float64(n))
	most := 0.0
	for m := range n {
		for k := range n {
			most = max(most, a.mean(m, k))
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg viewBox="0 0 460 %.0f" role="img">`, top+cell*float64(n)+10)
	for i, f := range a.Fields {
		name, at := template.HTMLEscapeString(shorten(f, 16)), cell*(float64(i)+0.5)
		fmt.Fprintf(&b, `<text class="tick" x="%g" y="%.1f" text-anchor="end">%s</text><text class="tick" transform="translate(%.1f %g) rotate(-60)">%s</text>`,
			left-6, top+at+4, name, left+at+3, top-6, name)
	}
	for m := range n {
		for k := range n {
			v := a.mean(m, k)
			fmt.Fprintf(&b, `<rect class="dot a" fill-opacity="%.3f" x="%.1f" y="%.1f" width="%.1f" height="%.1f"><title>%s to %s: %.4f</title></rect>`,
				v/max(most, 1e-9), left+cell*float64(k), top+cell*float64(m), cell-1, cell-1,
				template.HTMLEscapeString(a.Fields[m]), template.HTMLEscapeString(a.Fields[k]), v)
		}
	}
	b.WriteString("</svg>")
	return template.HTML(b.String())
}

// toldEffects is how many fields of a row are told on a terminal, toldWeights how many behaviours and pairs.
const (
	toldEffects = 12
	toldWeights = 5
)

// TellExplained writes an explanation for people, a short table a row.
func TellExplained(w io.Writer, e *Explained) {
	for i := range e.Rows {
		r := &e.Rows[i]
		fmt.Fprintln(w, r.title())
		for k := range r.Labels {
			r.Labels[k].tell(w)
		}
		for k := range r.Behaviours {
			b := &r.Behaviours[k]
			tellFurthest(w, b.Name, len(b.Weights), 0, func(i int) (string, float64) { return r.behaviour(b, i), float64(b.Weights[i]) })
		}
		for k := range r.Gates {
			g := &r.Gates[k]
			tellFurthest(w, g.Name, len(g.Gates), 1, func(i int) (string, float64) { return g.Fields[i], float64(g.Gates[i]) })
		}
		for k := range r.Attention {
			a, n := &r.Attention[k], len(r.Attention[k].Fields)
			tellFurthest(w, a.Name, n*n, 0, func(i int) (string, float64) { return a.Fields[i/n] + "→" + a.Fields[i%n], a.mean(i/n, i%n) })
		}
	}
}

func (l *ExplainedLabel) tell(w io.Writer) {
	actual := ""
	if !math.IsNaN(float64(l.Actual)) {
		actual = ", in the data " + decimal(l.Actual, 0)
	}
	fmt.Fprintf(w, "  %s: score %s (logit %s; nothing known %s)%s\n", l.Label, decimal(l.Score, 5), logitText(l.Logit), logitText(l.Baseline), actual)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "    field\tvalue\twithout\talone\n")
	for i, x := range l.Effects {
		if i == toldEffects {
			fmt.Fprintf(t, "    and %d more\t\t\t\n", len(l.Effects)-i)
			break
		}
		fmt.Fprintf(t, "    %s\t%s\t%s\t%s\n", x.Fields, shorten(x.Value, 32), logitText(x.Without), logitText(x.Alone))
	}
	fmt.Fprintf(t, "    interactions\t\t%s\t\n", logitText(l.Interactions))
	t.Flush()
}

// tellFurthest writes those of n named numbers that are furthest from a middle on one line.
func tellFurthest(w io.Writer, name string, n int, middle float64, at func(i int) (string, float64)) {
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		_, x := at(a)
		_, y := at(b)
		switch {
		case math.Abs(x-middle) > math.Abs(y-middle):
			return -1
		case math.Abs(x-middle) < math.Abs(y-middle):
			return 1
		}
		return 0
	})
	var parts []string
	for _, i := range order[:min(n, toldWeights)] {
		text, v := at(i)
		parts = append(parts, fmt.Sprintf("%s %.3f", shorten(text, 32), v))
	}
	if n > toldWeights {
		parts = append(parts, fmt.Sprintf("and %d more", n-toldWeights))
	}
	if n == 0 {
		parts = []string{"none"}
	}
	fmt.Fprintf(w, "  %s: %s\n", name, strings.Join(parts, ", "))
}
