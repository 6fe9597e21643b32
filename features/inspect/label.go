package inspect

import (
	"fmt"
	"math"
	"slices"
	"sort"
	"strings"

	"github.com/millrace/millrace/features"
)

// labelRule is how the label column becomes 0 and 1, and why.
type labelRule struct {
	positive []string
	above    *float64
	of       []bool // by place of the label value; nil where too many values to tell
	why      string
}

var affirmative = []string{"yes", "y", "true", "t", "positive", "click", "clicked"}

// rule proposes how the label is read.
func (s *survey) rule() (*labelRule, error) {
	p := s.label
	r := &labelRule{}
	switch {
	case p.present() == 0:
		return nil, &features.SchemaError{Reason: fmt.Sprintf("column %q has no values and cannot be the label", p.name)}
	case p.values == nil || s.tooMany:
		if !p.allNumbers() {
			return nil, &features.SchemaError{Reason: fmt.Sprintf("column %q has more than %d values and cannot be the label", p.name, labelValues)}
		}
		median := p.quantile(0.5)
		r.above, r.why = &median, "positive above its median"
		return r, nil
	}
	values := p.known()
	r.of = make([]bool, len(s.values))
	counts := make([]string, 0, len(values))
	for _, v := range values {
		counts = append(counts, fmt.Sprintf("%s %d", shown(v), p.counts[v]))
	}
	seen := "values " + strings.Join(counts, ", ")
	switch {
	case len(values) == 1:
		r.why = seen + "; one value only, so there is nothing to learn"
		if values[0] != "0" && values[0] != "1" {
			r.positive = values
		}
	case len(values) == 2 && p.counts["0"] > 0 && p.counts["1"] > 0:
		r.why = seen
	case p.allNumbers() && len(values) == 2:
		a, _ := number(values[0])
		b, _ := number(values[1])
		r.positive, r.why = []string{values[1]}, seen+"; the greater is positive"
		if a > b {
			r.positive = []string{values[0]}
		}
	case p.allNumbers():
		t := p.halfway(values)
		r.above, r.why = &t, fmt.Sprintf("%s; above %v is nearest to half of the rows", seen, t)
	case len(values) == 2:
		r.positive, r.why = values[1:], seen+"; the rarer is positive"
		for _, v := range values {
			if slices.Contains(affirmative, strings.ToLower(v)) {
				r.positive, r.why = []string{v}, seen
			}
		}
	default:
		r.positive, r.why = values[1:], seen+"; all but the commonest are positive"
	}
	for v, at := range s.place {
		x, _ := number(v)
		switch {
		case r.above != nil:
			r.of[at] = x > *r.above
		case r.positive != nil:
			r.of[at] = slices.Contains(r.positive, v)
		default:
			r.of[at] = x == 1
		}
	}
	return r, nil
}

// halfway is the value for which the share of rows above it is nearest to a half.
func (p *profile) halfway(values []string) float64 {
	type count struct {
		x float64
		n int64
	}
	var all []count
	for _, v := range values {
		x, _ := number(v)
		all = append(all, count{x, p.counts[v]})
	}
	sort.Slice(all, func(i, j int) bool { return all[i].x < all[j].x })
	best, distance, below := all[0].x, math.Inf(1), int64(0)
	for _, c := range all[:len(all)-1] {
		below += c.n
		if d := math.Abs(float64(below)/float64(p.present()) - 0.5); d < distance {
			best, distance = c.x, d
		}
	}
	return best
}

const (
	leakAUC       = 0.99
	leakPositives = 20 // fewer positives prove nothing
)

// leak says why a column looks made from the label, or "".
func (s *survey) leak(p *profile, r *labelRule) string {
	if r == nil || r.of == nil {
		return ""
	}
	all := s.split(s.label.perLabel(s), r)
	if all[1] < leakPositives || all[0] < leakPositives {
		return ""
	}
	missing := s.split(p.missingBy, r)
	present := [2]float64{1 - missing[0]/all[0], 1 - missing[1]/all[1]}
	switch auc := 0.5 + (present[1]-present[0])/2; {
	case auc > leakAUC:
		return fmt.Sprintf("likely a leak: it is present in %.2f%% of the positive rows and %.2f%% of the others", 100*present[1], 100*present[0])
	case auc < 1-leakAUC:
		return fmt.Sprintf("likely a leak: it is missing in %.2f%% of the positive rows and %.2f%% of the others", 100-100*present[1], 100-100*present[0])
	}
	if p.values != nil && int64(len(p.values)) <= max(2, s.rows/50) {
		var groups [][2]float64
		for _, v := range p.known() {
			groups = append(groups, s.split(*p.values[v], r))
		}
		groups = append(groups, missing)
		if auc := groupsAUC(groups); auc > leakAUC {
			return fmt.Sprintf("likely a leak: its value alone tells the label, AUC %.4f", auc)
		}
	}
	if auc := s.numberAUC(p, r); auc > leakAUC || auc < 1-leakAUC {
		return fmt.Sprintf("likely a leak: its number alone orders the label, AUC %.4f in a sample", auc)
	}
	return ""
}

// perLabel counts the label column's own rows by label value.
func (p *profile) perLabel(s *survey) labelled {
	out := make(labelled, len(s.values))
	for i, v := range s.values {
		out[i] = p.counts[v]
	}
	return out
}

// split sums counts by label value into negatives and positives.
func (s *survey) split(l labelled, r *labelRule) (n [2]float64) {
	for i, k := range l {
		if r.of[i] {
			n[1] += float64(k)
		} else {
			n[0] += float64(k)
		}
	}
	return n
}

// groupsAUC is the AUC of ranking groups of rows by their share of positives; rows of one group tie.
func groupsAUC(groups [][2]float64) float64 {
	sort.SliceStable(groups, func(i, j int) bool { return groups[i][1]*groups[j][0] < groups[j][1]*groups[i][0] })
	var below, positives, pairs float64
	for _, g := range groups {
		pairs += g[1] * (below + g[0]/2)
		below += g[0]
		positives += g[1]
	}
	if below == 0 || positives == 0 {
		return 0.5
	}
	return pairs / (below * positives)
}

// numberAUC is the AUC of the column's number in the sampled rows, 0.5 where there are too few.
func (s *survey) numberAUC(p *profile, r *labelRule) float64 {
	if !p.allNumbers() {
		return 0.5
	}
	type row struct {
		x        float32
		positive bool
	}
	var rows []row
	var n [2]int
	for i, x := range p.sampled {
		if l := s.labels[i]; l >= 0 && x == x {
			rows = append(rows, row{x, r.of[l]})
			if r.of[l] {
				n[1]++
			} else {
				n[0]++
			}
		}
	}
	if n[0] < leakPositives || n[1] < leakPositives {
		return 0.5
	}
	sort.Slice(rows, func(i, j int) bool { return rows[i].x < rows[j].x })
	var below, pairs float64
	for i := 0; i < len(rows); {
		var tie [2]float64
		for j := rows[i].x; i < len(rows) && rows[i].x == j; i++ {
			if rows[i].positive {
				tie[1]++
			} else {
				tie[0]++
			}
		}
		pairs += tie[1] * (below + tie[0]/2)
		below += tie[0]
	}
	return pairs / (float64(n[0]) * float64(n[1]))
}
