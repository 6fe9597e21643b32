package training

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/zeebo/xxh3"

	"github.com/millrace/millrace/features"
)

// predictions are the rows of a file that predict wrote, or of one laid out like it.
type predictions struct {
	path    string
	names   []string    // one a score: the label's name, "" where the file does not tell
	scores  [][]float32 // one a name: [rows]
	labels  [][]float32 // one a name, nil where the file has not got it; NaN where missing
	groups  []uint64    // nil: none
	numbers []int64     // the input rows' numbers; nil: the rows as they come
	rows    int
	cuts    []*slicer
}

// layOut finds out which columns of a prediction file are what: row, then what was taken over from the input (the last of it groups the rows), labels, and score, or score_LABEL for each of several labels.
func layOut(columns []string, label, group string) (scores, labels []string, groupColumn string, err error) {
	first := -1
	for i, c := range columns {
		if c == "score" || strings.HasPrefix(c, "score_") {
			if scores = append(scores, c); first < 0 {
				first = i
			}
		}
	}
	if first < 0 {
		return nil, nil, "", fmt.Errorf("there is no column score or score_LABEL, as predict writes them; the columns are %s", strings.Join(columns, ", "))
	}
	has := func(name string) bool { return slices.Contains(columns, name) }
	labels = make([]string, len(scores))
	end := first // of the columns before the labels
	if len(scores) == 1 && scores[0] == "score" {
		switch {
		case label != "":
			if !has(label) {
				return nil, nil, "", fmt.Errorf("there is no column %q for the label; the columns are %s", label, strings.Join(columns, ", "))
			}
			labels[0] = label
		case first > 0 && columns[first-1] != "row":
			labels[0] = columns[first-1]
		}
	} else {
		for i, s := range scores {
			if name := strings.TrimPrefix(s, "score_"); has(name) {
				labels[i] = name
			}
		}
	}
	for _, l := range labels {
		if at := slices.Index(columns, l); at >= 0 {
			end = min(end, at)
		}
	}
	switch {
	case group != "":
		if !has(group) {
			return nil, nil, "", fmt.Errorf("there is no column %q for the groups; the columns are %s", group, strings.Join(columns, ", "))
		}
		groupColumn = group
	case end > 0 && columns[end-1] != "row":
		groupColumn = columns[end-1]
	}
	return scores, labels, groupColumn, nil
}

// readPredictions reads a prediction file; label and group name columns where they are not where predict puts them. Slicers take columns of the file.
func readPredictions(ctx context.Context, path, label, group string, slicers []*slicer) (*predictions, error) {
	columns, err := columnNames(path, features.Dialect{})
	if err != nil {
		return nil, err
	}
	scores, labels, groupColumn, err := layOut(columns, label, group)
	if err != nil {
		return nil, &features.DataError{File: path, Reason: err.Error()}
	}
	numbers := slices.Clone(scores)
	for _, l := range labels {
		if l != "" {
			numbers = append(numbers, l)
		}
	}
	if slices.Contains(columns, "row") {
		numbers = append(numbers, "row")
	}
	var wanted []string
	if groupColumn != "" {
		wanted = append(wanted, groupColumn)
	}
	for _, s := range slicers {
		if !slices.Contains(columns, s.column) {
			return nil, &features.DataError{File: path, Reason: fmt.Sprintf("there is no column %q to slice by; the columns are %s", s.column, strings.Join(columns, ", "))}
		}
		if !slices.Contains(wanted, s.column) {
			wanted = append(wanted, s.column)
		}
	}
	f, err := readFrame(ctx, []string{path}, features.Dialect{}, numbers, wanted)
	if err != nil {
		return nil, err
	}
	p := &predictions{path: path, rows: f.rows, cuts: slicers}
	for i, s := range scores {
		name := strings.TrimPrefix(s, "score_")
		if s == "score" {
			name = labels[i]
		}
		p.names = append(p.names, name)
		p.scores = append(p.scores, singles(f.numbers[s]))
		if labels[i] == "" {
			p.labels = append(p.labels, nil)
			continue
		}
		for r, y := range f.numbers[labels[i]] {
			if y != 0 && y != 1 && y == y {
				return nil, &features.DataError{File: path, Reason: fmt.Sprintf("row %d: column %q is %g, want a label, 0 or 1", r, labels[i], y)}
			}
		}
		p.labels = append(p.labels, singles(f.numbers[labels[i]]))
	}
	if rows, ok := f.numbers["row"]; ok {
		p.numbers = make([]int64, len(rows))
		for i, x := range rows {
			if x != math.Trunc(x) || i > 0 && int64(x) <= p.numbers[i-1] {
				return nil, &features.DataError{File: path, Reason: fmt.Sprintf("row %d: column \"row\" is %g, want numbers that rise", i, x)}
			}
			p.numbers[i] = int64(x)
		}
	}
	if t := f.texts[groupColumn]; t != nil {
		hashes := make([]uint64, len(t.values))
		for i, v := range t.values {
			hashes[i] = xxh3.HashString(v)
		}
		for _, id := range t.ids {
			p.groups = append(p.groups, hashes[id])
		}
	}
	for _, s := range slicers {
		t := f.texts[s.column]
		s.ids, s.values, s.known, s.rows = t.ids, t.values, t.known, f.rows
	}
	return p, nil
}

func singles(values []float64) []float32 {
	out := make([]float32, len(values))
	for i, x := range values {
		out[i] = float32(x)
	}
	return out
}
