// Package inspect proposes a schema for a raw data file: it finds out how the file is written, reads it once from end to end with the readers that training uses, and writes
// a schema whose comments say what each column holds and why it is read as it is.
//
// Memory is bounded: distinct values are counted exactly up to a limit and estimated above it, and quantiles come from a sample of rows; both depend on the file's content alone,
// so the same file gives the same schema.
package inspect

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/millrace/millrace/features"
)

const (
	sniffBytes = 1 << 20
	sniffLines = 2000
)

// delimiters are tried in this order; of those that fit equally well the first wins.
var delimiters = []string{"::", "\t", ",", "|", ";", "\x01", " "}

// sniff finds the dialect of a text file from its first megabyte. notes say what it saw.
func sniff(path string) (d features.Dialect, names []string, notes []string, err error) {
	lines, whole, err := firstLines(path)
	if err != nil {
		return d, nil, nil, err
	}
	if len(lines) == 0 {
		return d, nil, nil, &features.DataError{File: path, Line: 1, Reason: "the file is empty"}
	}
	if whole {
		notes = append(notes, fmt.Sprintf("dialect and header from all %d lines", len(lines)))
	} else {
		notes = append(notes, fmt.Sprintf("dialect and header from the first %d lines", len(lines)))
	}
	for _, l := range lines {
		if !utf8.ValidString(l) {
			d.Encoding = "latin1"
			notes = append(notes, "the text is not UTF-8; read as latin1")
			break
		}
	}
	if n := pairs(lines); n > 0 {
		d.Format = "libfm"
		for i := range n {
			names = append(names, fmt.Sprintf("f%d", i+1))
		}
		return d, names, append(notes, fmt.Sprintf("libfm: a label and %d index:value pairs a line", n)), nil
	}
	delimiter, columns, err := delimiterOf(path, lines)
	if err != nil {
		return d, nil, nil, err
	}
	d.Delimiter = delimiter
	if delimiter == "|" {
		d.ListSeparator = ";"
	}
	rows := make([][]string, 0, len(lines))
	for _, l := range lines {
		if r := cut(l, delimiter); len(r) == columns {
			rows = append(rows, r)
		}
	}
	d.Trim = padded(rows)
	if d.Trim {
		for _, r := range rows {
			for i := range r {
				r[i] = strings.TrimSpace(r[i])
			}
		}
	}
	header := hasHeader(rows)
	d.Header = &header
	if header {
		names = rows[0]
		if n := twice(names); n != "" {
			return d, nil, nil, &features.DataError{File: path, Line: 1, Field: n, Reason: "the column stands twice"}
		}
		return d, names, notes, nil
	}
	for i := range columns {
		names = append(names, "c"+strconv.Itoa(i))
	}
	d.Names = names
	return d, names, append(notes, "no header: the columns are called c0, c1, … in their order"), nil
}

// firstLines returns the lines of the first megabyte that are not blank; whole says that these are all.
func firstLines(path string) (lines []string, whole bool, err error) {
	r, err := features.OpenBytes(path)
	if err != nil {
		return nil, false, err
	}
	defer r.Close()
	b := make([]byte, sniffBytes)
	n, err := io.ReadFull(r, b)
	whole = errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
	if err != nil && n == 0 && !errors.Is(err, io.EOF) {
		return nil, false, &features.DataError{File: path, Line: 1, Reason: err.Error()}
	}
	b = bytes.TrimPrefix(b[:n], []byte("\ufeff"))
	if !whole {
		if i := bytes.LastIndexByte(b, '\n'); i >= 0 {
			b = b[:i]
		}
	}
	for l := range strings.SplitSeq(string(b), "\n") {
		if l = strings.TrimSuffix(l, "\r"); l != "" {
			if lines = append(lines, l); len(lines) == sniffLines {
				return lines, false, nil
			}
		}
	}
	return lines, whole, nil
}

// pairs returns how many index:value pairs every line has after its label, 0 if the lines are not libfm.
func pairs(lines []string) int {
	n := 0
	for i, l := range lines {
		f := strings.Fields(l)
		if len(f) < 2 || i > 0 && len(f) != n+1 {
			return 0
		}
		n = len(f) - 1
		if _, ok := number(f[0]); !ok {
			return 0
		}
		for _, p := range f[1:] {
			index, value, ok := strings.Cut(p, ":")
			_, err := strconv.ParseUint(index, 10, 64)
			if _, isNumber := number(value); !ok || err != nil || !isNumber {
				return 0
			}
		}
	}
	return n
}

// cut parts a line; a value that begins with a quote runs to its closing one.
func cut(line, delimiter string) []string {
	if !strings.Contains(line, `"`) {
		return strings.Split(line, delimiter)
	}
	var out []string
	for {
		value, rest, more := strings.Cut(line, delimiter)
		if strings.HasPrefix(line, `"`) {
			end := 1
			for {
				i := strings.IndexByte(line[end:], '"')
				if i < 0 {
					break
				}
				if end += i + 1; end < len(line) && line[end] == '"' {
					end++
					continue
				}
				if after, ok := strings.CutPrefix(line[end:], delimiter); ok {
					value, rest, more = strings.ReplaceAll(line[1:end-1], `""`, `"`), after, true
				} else if end == len(line) {
					value, rest, more = strings.ReplaceAll(line[1:end-1], `""`, `"`), "", false
				}
				break
			}
		}
		out = append(out, value)
		if !more {
			return out
		}
		line = rest
	}
}

// delimiterOf chooses the delimiter by which the most lines have the same number of values, more than one.
func delimiterOf(path string, lines []string) (string, int, error) {
	best, columns, share := "", 1, 0.0
	for _, d := range delimiters {
		count := map[int]int{}
		for _, l := range lines {
			count[len(cut(l, d))]++
		}
		modal := 0
		for n, k := range count {
			if k > count[modal] || k == count[modal] && n > modal {
				modal = n
			}
		}
		fit := float64(count[modal]) / float64(len(lines))
		if modal > 1 && fit >= 0.9 && (fit > share+0.01 || fit > share-0.001 && modal > columns) && !(d == " " && share > 0) {
			best, columns, share = d, modal, fit
		}
	}
	if best != "" {
		return best, columns, nil
	}
	for _, l := range lines {
		if strings.ContainsAny(l, "\t ,;|") {
			return "", 0, &features.DataError{File: path, Line: 1, Reason: "no delimiter gives the lines equally many values; sequences of items a line become a table by millrace prepare (format: sequences)"}
		}
	}
	return ",", 1, nil
}

// padded reports whether values carry blanks around them: most values after the first do.
func padded(rows [][]string) bool {
	with, all := 0, 0
	for _, r := range rows {
		for _, v := range r[1:] {
			if v != "" {
				all++
				if v != strings.TrimSpace(v) {
					with++
				}
			}
		}
	}
	return all > 0 && 2*with > all
}

// hasHeader reports whether the first row names the columns: no value of it is a number or stands twice, and it differs in kind from what follows.
func hasHeader(rows [][]string) bool {
	first := rows[0]
	for i, v := range first {
		if _, ok := number(v); ok || v == "" && i > 0 || isMissing(v) && v != "" {
			return false
		}
	}
	if len(rows) == 1 {
		return true
	}
	repeated := twice(first) != ""
	for i, v := range first {
		numbers, all := 0, 0
		for _, r := range rows[1:] {
			if isMissing(r[i]) {
				continue
			}
			all++
			if _, ok := number(r[i]); ok {
				numbers++
			}
			repeated = repeated || r[i] == v
		}
		if all > 0 && 10*numbers > 9*all {
			return true
		}
	}
	return !repeated && !slices.ContainsFunc(first, func(v string) bool { return len(v) > 60 })
}

// twice returns a name that stands twice, or "".
func twice(names []string) string {
	for i, n := range names {
		if n != "" && slices.Contains(names[:i], n) {
			return n
		}
	}
	return ""
}

// markers are the texts by which files say that a value is missing.
var markers = []string{"?", "NA", "N/A", "NaN", "nan", "NULL", "null", "None", `\N`}

func isMissing(v string) bool { return v == "" || slices.Contains(markers, v) }

// number reads what the readers of training would take for a number.
func number(s string) (float64, bool) {
	for i := range len(s) {
		switch c := s[i]; {
		case '0' <= c && c <= '9', c == '+', c == '-', c == '.', c == 'e', c == 'E':
		default:
			return 0, false
		}
	}
	v, err := strconv.ParseFloat(s, 64)
	return v, err == nil
}
