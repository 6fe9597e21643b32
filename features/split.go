package features

import (
	"fmt"
	"io"
	"math"
	"math/bits"
	"slices"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/zeebo/xxh3"

	"github.com/millrace/millrace/internal/strict"
)

// Part selects rows of a share split: by a seeded hash of the row, or by a field (a timestamp: the newest last; a group: whole groups).
type Part struct {
	Of   *Split
	Name string // "train", "valid", "test"
}

// Split cuts one set of rows into parts.
type Split struct {
	Valid, Test float64 // shares
	By          string  // column, empty: hash of the row
	Seed        uint64

	planned         bool
	ordered         bool      // by time or number
	validAt, testAt threshold // of an ordered split
}

// threshold is the first value of a part; none holds no value.
type threshold struct {
	from int64
	none bool
}

func (t threshold) holds(v int64) bool { return !t.none && v >= t.from }

// column returns the index in the layout of the column a split goes by, -1 for the whole row, and whether it is ordered.
func (sp *Split) column(l *layout) (at int, ordered bool, err error) {
	for _, share := range []float64{sp.Valid, sp.Test} {
		if !(share >= 0 && share < 1) {
			return 0, false, &SchemaError{Reason: fmt.Sprintf("split: a share of %v; want 0 to 1", share)}
		}
	}
	if sp.Valid+sp.Test >= 1 {
		return 0, false, &SchemaError{Reason: fmt.Sprintf("split: shares %v and %v leave nothing to train on", sp.Valid, sp.Test)}
	}
	if sp.By == "" {
		return -1, false, nil
	}
	at = l.at(sp.By)
	if i := l.schema.Field(sp.By); at < 0 && i >= 0 {
		at = l.at(l.schema.Fields[i].Column)
	}
	if at < 0 {
		return 0, false, &SchemaError{Reason: fmt.Sprintf("split by %q: the schema reads no such column%s", sp.By, strict.Meant(sp.By, l.names()))}
	}
	c := &l.columns[at]
	if c.form == listForm {
		return 0, false, &SchemaError{Reason: fmt.Sprintf("split by %q: a list cannot order or group rows", sp.By)}
	}
	return at, c.time || c.form == numberForm, nil
}

// PlanSplit learns what a split by timestamp needs (one pass); other splits need none.
func PlanSplit(s *Schema, files []string, sp *Split, o ReadOptions) error {
	l := newLayout(s)
	at, ordered, err := sp.column(l)
	if err != nil {
		return err
	}
	sp.planned, sp.ordered = true, ordered
	if !ordered {
		return nil
	}
	r, err := Open(s, files, o)
	if err != nil {
		return err
	}
	defer r.Close()
	var seen values
	for {
		rec, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		err = eachOrder(rec, l, at, func(_ int, v int64) { seen.add(v) })
		rec.Release()
		if err != nil {
			return err
		}
	}
	seen.compact()
	sp.validAt, sp.testAt = seen.cut(sp.Valid, sp.Test)
	return nil
}

// eachOrder visits the values an ordered split goes by; a missing one is older than all.
func eachOrder(rec arrow.Record, l *layout, at int, visit func(r int, v int64)) error {
	c := &l.columns[at]
	i := indexOf(rec.Schema(), c.name)
	if i < 0 {
		return &SchemaError{Reason: fmt.Sprintf("split by %q: the rows have no such column", c.name)}
	}
	if c.time {
		times := make([]int64, rec.NumRows())
		if err := encodeTimes(times, c, rec.Column(i)); err != nil {
			return err
		}
		for r, t := range times {
			visit(r, t)
		}
		return nil
	}
	return eachNumber(rec.Column(i), c.name, func(r int, v float64, ok bool) error {
		key := int64(math.MinInt64)
		if ok {
			key = orderKey(v)
		}
		visit(r, key)
		return nil
	})
}

// orderKey maps numbers to integers in the same order.
func orderKey(v float64) int64 {
	b := int64(math.Float64bits(v + 0))
	if b < 0 {
		b ^= math.MaxInt64
	}
	return b
}

// values counts distinct values exactly; memory grows with the distinct ones.
type values struct {
	fresh  []int64
	value  []int64
	counts []int64
}

func (s *values) add(v int64) {
	if s.fresh = append(s.fresh, v); len(s.fresh) >= 1<<20 {
		s.compact()
	}
}

func (s *values) compact() {
	slices.Sort(s.fresh)
	value, counts := make([]int64, 0, len(s.value)), make([]int64, 0, len(s.value))
	put := func(v int64, n int64) {
		if k := len(value); k > 0 && value[k-1] == v {
			counts[k-1] += n
			return
		}
		value, counts = append(value, v), append(counts, n)
	}
	i := 0
	for _, v := range s.fresh {
		for ; i < len(s.value) && s.value[i] <= v; i++ {
			put(s.value[i], s.counts[i])
		}
		put(v, 1)
	}
	for ; i < len(s.value); i++ {
		put(s.value[i], s.counts[i])
	}
	s.value, s.counts, s.fresh = value, counts, s.fresh[:0]
}

// cut finds the thresholds whose parts come nearest to the shares, equal values on one side.
func (s *values) cut(valid, test float64) (validAt, testAt threshold) {
	var total int64
	for _, n := range s.counts {
		total += n
	}
	testAt = s.newest(int64(math.Round(test*float64(total))), 0)
	before := int64(0)
	for k := len(s.value) - 1; k >= 0 && testAt.holds(s.value[k]); k-- {
		before += s.counts[k]
	}
	validAt = s.newest(before+int64(math.Round(valid*float64(total))), before)
	if valid == 0 {
		validAt = testAt
	}
	return validAt, testAt
}

// newest returns the threshold above which as near as can be want rows lie, and more than taken.
func (s *values) newest(want, taken int64) threshold {
	if want <= taken {
		return threshold{none: true}
	}
	var above int64
	for k := len(s.value) - 1; k >= 0; k-- {
		next := above + s.counts[k]
		if next >= want {
			if above > taken && want-above < next-want {
				return threshold{from: s.value[k+1]}
			}
			return threshold{from: s.value[k]}
		}
		above = next
	}
	return threshold{none: true}
}

// selector picks the rows of a part from canonical records.
type selector struct {
	layout *layout
	part   *Part
	at     int
	hashes []uint64
	keep   []bool
}

func newSelector(s *Schema, part *Part) (*selector, error) {
	l := newLayout(s)
	at, ordered, err := part.Of.column(l)
	if err != nil {
		return nil, err
	}
	if ordered && !part.Of.planned {
		return nil, &SchemaError{Reason: fmt.Sprintf("split by %q was not planned", part.Of.By)}
	}
	if !slices.Contains([]string{"train", "valid", "test"}, part.Name) {
		return nil, &SchemaError{Reason: fmt.Sprintf("split: no part %q", part.Name)}
	}
	return &selector{layout: l, part: part, at: at}, nil
}

// rows says for each row of a record whether it belongs to the part; the slice is valid until the next call.
func (s *selector) rows(rec arrow.Record) ([]bool, error) {
	n := int(rec.NumRows())
	s.keep, s.hashes = resize(s.keep, n), resize(s.hashes, n)
	sp := s.part.Of
	if sp.ordered {
		return s.keep, eachOrder(rec, s.layout, s.at, func(r int, v int64) {
			name := "train"
			if sp.testAt.holds(v) {
				name = "test"
			} else if sp.validAt.holds(v) {
				name = "valid"
			}
			s.keep[r] = name == s.part.Name
		})
	}
	clear(s.hashes)
	for i := range s.layout.columns {
		if s.at >= 0 && s.at != i {
			continue
		}
		k := indexOf(rec.Schema(), s.layout.columns[i].name)
		if k < 0 {
			if s.at >= 0 {
				return nil, &SchemaError{Reason: fmt.Sprintf("split by %q: the rows have no such column", sp.By)}
			}
			continue
		}
		hashColumn(s.hashes, rec.Column(k))
	}
	for r, h := range s.hashes {
		s.keep[r] = sp.partOf(h) == s.part.Name
	}
	return s.keep, nil
}

// partOf draws a row's part from its hash.
func (sp *Split) partOf(h uint64) string {
	u := float64(mix(h, sp.Seed^0x9e3779b97f4a7c15)>>11) / (1 << 53)
	switch {
	case u < sp.Test:
		return "test"
	case u < sp.Test+sp.Valid:
		return "valid"
	}
	return "train"
}

func mix(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a^0xa0761d6478bd642f, b^0xe7037ed1a0b428db)
	return hi ^ lo
}

// hashColumn folds a canonical column's values into the rows' hashes.
func hashColumn(hashes []uint64, arr arrow.Array) {
	for r := range hashes {
		h := uint64(0x2545f4914f6cdd1d) // of a missing value
		if !arr.IsNull(r) {
			switch a := arr.(type) {
			case *array.String:
				h = hashText(a.Value(r), 0)
			case *array.Float64:
				h = math.Float64bits(a.Value(r) + 0) // -0 is 0
			case *array.Int64:
				h = uint64(a.Value(r))
			case *array.List:
				from, to := a.ValueOffsets(r)
				texts := a.ListValues().(*array.String)
				h = uint64(to - from)
				for i := int(from); i < int(to); i++ {
					e := uint64(0x2545f4914f6cdd1d)
					if !texts.IsNull(i) {
						e = xxh3.HashString(texts.Value(i))
					}
					h = mix(h, e)
				}
			}
		}
		hashes[r] = mix(hashes[r]+0x9e3779b97f4a7c15, h)
	}
}
