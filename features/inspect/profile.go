package inspect

import (
	"math"
	"math/bits"
	"slices"
	"strconv"
	"strings"

	"github.com/zeebo/xxh3"
)

const (
	exactDistinct = 1 << 16 // hashes kept a column: distinct values are exact up to here
	countedValues = 4096    // values whose labels are counted a column
	sampledRows   = 1 << 15 // rows whose numbers are kept
)

// distinct counts distinct values: exactly while its hashes fit, then by adaptive sampling (Wegman; Flajolet 1990): it keeps only hashes that end in depth zero bits
// and multiplies, with a standard error of about 1.2/√(limit/2), 0.7 %.
type distinct struct {
	hashes map[uint64]struct{}
	depth  int
}

func (d *distinct) add(h uint64) {
	if bits.TrailingZeros64(h) < d.depth {
		return
	}
	d.hashes[h] = struct{}{}
	for len(d.hashes) > exactDistinct {
		d.depth++
		for h := range d.hashes {
			if bits.TrailingZeros64(h) < d.depth {
				delete(d.hashes, h)
			}
		}
	}
}

func (d *distinct) count() int64 { return int64(len(d.hashes)) << d.depth }

func (d *distinct) exact() bool { return d.depth == 0 }

// sample keeps the same rows of every column: those whose number hashes to the most trailing zero bits.
type sample struct {
	rows  []int64
	depth int
}

// add offers a row; keep says that it belongs to the sample. When the sample is full, half of it is dropped first by compact, which gets the places that stay.
func (s *sample) add(row int64, compact func(stay []int)) (keep bool) {
	if rowZeros(row) < s.depth {
		return false
	}
	if len(s.rows) == sampledRows {
		s.depth++
		var stay []int
		for i, r := range s.rows {
			if rowZeros(r) >= s.depth {
				stay = append(stay, i)
			}
		}
		for to, i := range stay {
			s.rows[to] = s.rows[i]
		}
		s.rows = s.rows[:len(stay)]
		compact(stay)
		if rowZeros(row) < s.depth {
			return false
		}
	}
	s.rows = append(s.rows, row)
	return true
}

func rowZeros(row int64) int {
	var b [8]byte
	for i := range b {
		b[i] = byte(row >> (8 * i))
	}
	return bits.TrailingZeros64(xxh3.Hash(b[:]))
}

// labelled counts rows by label value.
type labelled []int64

func (l *labelled) add(label int) {
	if label < 0 {
		return
	}
	for len(*l) <= label {
		*l = append(*l, 0)
	}
	(*l)[label]++
}

// profile is what one pass finds out about a column.
type profile struct {
	name string
	list bool

	rows, missing int64
	distinct      distinct
	values        map[string]*labelled // nil once there are too many
	counts        map[string]int64     // rows by value, as long as values lives
	marked        map[string]int64     // rows by missing marker
	missingBy     labelled             // missing rows by label

	numbers, integers, dates, padded int64 // rows that are a number, a whole number, a date; leading zeros
	min, max, sum, first, step       float64
	rising, steady                   bool
	last                             float64
	longest                          int64
	sampled                          []float32 // numbers of the sampled rows, NaN where none
	separated                        [3]int64  // rows that hold each separator
	elements                         [3]distinct
}

var separators = [3]string{"|", ";", ","}

func newProfile(name string, list bool) *profile {
	p := &profile{name: name, list: list, values: map[string]*labelled{}, counts: map[string]int64{}, marked: map[string]int64{},
		min: math.Inf(1), max: math.Inf(-1), rising: true, steady: true}
	p.distinct.hashes = map[uint64]struct{}{}
	for i := range p.elements {
		p.elements[i].hashes = map[uint64]struct{}{}
	}
	return p
}

// add takes a row's value; label is the place of the row's label value, -1 where there is none.
func (p *profile) add(v string, present bool, label int, sampled bool) {
	p.rows++
	x := math.NaN()
	defer func() {
		if sampled {
			p.sampled = append(p.sampled, float32(x))
		}
	}()
	if !present || isMissing(v) {
		if present && v != "" {
			p.marked[v]++
		}
		p.missing++
		p.missingBy.add(label)
		return
	}
	p.distinct.add(xxh3.HashString(v))
	p.countValue(v, label)
	p.longest = max(p.longest, int64(len(v)))
	if y, ok := number(v); ok && !math.IsInf(y, 0) {
		x = y
		p.addNumber(y)
		if len(v) > 1 && v[0] == '0' && v[1] != '.' {
			p.padded++
		}
		return
	}
	p.rising = false
	if isDate(v) {
		p.dates++
	}
	for i, s := range separators {
		if strings.Contains(v, s) {
			p.separated[i]++
			for e := range strings.SplitSeq(v, s) {
				p.elements[i].add(xxh3.HashString(e))
			}
		} else {
			p.elements[i].add(xxh3.HashString(v))
		}
	}
}

func (p *profile) countValue(v string, label int) {
	if p.values == nil {
		return
	}
	c := p.values[v]
	if c == nil {
		if len(p.values) == countedValues {
			p.values, p.counts = nil, nil
			return
		}
		v = strings.Clone(v)
		c = &labelled{}
		p.values[v] = c
	}
	p.counts[v]++
	c.add(label)
}

func (p *profile) addNumber(x float64) {
	if p.numbers == 0 {
		p.first = x
	} else {
		p.rising = p.rising && x > p.last
		if p.numbers == 1 {
			p.step = x - p.last
		}
		p.steady = p.steady && x-p.last == p.step
	}
	p.last = x
	p.numbers++
	if x == math.Trunc(x) && math.Abs(x) < 1<<64 {
		p.integers++
	}
	p.sum += x
	p.min, p.max = min(p.min, x), max(p.max, x)
}

// huge reports whole numbers beyond what a number can tell apart: they name things and measure nothing.
func (p *profile) huge() bool { return p.allIntegers() && max(p.max, -p.min) >= 1<<53 }

func (p *profile) present() int64 { return p.rows - p.missing }

// allNumbers and allIntegers hold of the values that are present.
func (p *profile) allNumbers() bool  { return p.numbers > 0 && p.numbers == p.present() }
func (p *profile) allIntegers() bool { return p.integers > 0 && p.integers == p.present() }

// shortest is the number of the fewest digits that reads back as x, so that 4.4 of a file is 4.4 again.
func shortest(x float32) float64 {
	v, err := strconv.ParseFloat(strconv.FormatFloat(float64(x), 'g', -1, 32), 64)
	if err != nil {
		return float64(x)
	}
	return v
}

// quantile is of the sampled numbers; NaN where there are none.
func (p *profile) quantile(q float64) float64 {
	var have []float32
	for _, v := range p.sampled {
		if v == v {
			have = append(have, v)
		}
	}
	if len(have) == 0 {
		return math.NaN()
	}
	slices.Sort(have)
	return shortest(have[int(q*float64(len(have)-1))])
}

// known lists the values, the commonest first, ties by text.
func (p *profile) known() []string {
	out := make([]string, 0, len(p.values))
	for v := range p.values {
		out = append(out, v)
	}
	slices.SortFunc(out, func(a, b string) int {
		if d := p.counts[b] - p.counts[a]; d != 0 {
			return int(d)
		}
		return strings.Compare(a, b)
	})
	return out
}

func (p *profile) compact(stay []int) {
	for to, i := range stay {
		p.sampled[to] = p.sampled[i]
	}
	p.sampled = p.sampled[:len(stay)]
}
