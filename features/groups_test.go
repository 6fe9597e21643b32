package features

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
)

// requests writes files of rows whose number is id, in groups of 3 that lie next to each other.
func requests(t testing.TB, files, rows int) []string {
	t.Helper()
	var out []string
	k := 0
	for f := range files {
		var text strings.Builder
		text.WriteString("id,u,n,l,y,t\n")
		for range rows {
			fmt.Fprintf(&text, "%d,%d,%d,%s,%d,%d\n", k, k/3, k, strings.Repeat("x|", k%5), k%2, k/2)
			k++
		}
		out = append(out, written(t, fmt.Sprintf("r%d.csv", f), []byte(text.String())))
	}
	return out
}

func TestBatchesOfWholeGroups(t *testing.T) {
	files := requests(t, 3, 99)
	for _, buffer := range []int{0, 45, 297, 296} { // in memory, and windows whose borders lie between groups
		for _, shuffle := range []bool{false, true} {
			name := fmt.Sprintf("buffer %d, shuffle %v", buffer, shuffle)
			o := LoaderOptions{BatchSize: 16, Shuffle: shuffle, Seed: 5, BufferRows: buffer, WholeGroups: true, Read: ReadOptions{BatchRows: 17}}
			l := loaderOver(t, files, o)
			first := epochOf(t, l, 0, 0)
			flat := slices.Concat(first...)
			if slices.IsSorted(flat) == shuffle || l.Rows() != 297 {
				t.Errorf("%s: %d rows, in order: %v", name, l.Rows(), !shuffle)
			}
			slices.Sort(flat)
			if len(flat) != 297 || len(slices.Compact(flat)) != 297 {
				t.Errorf("%s: rows are lost or doubled", name)
			}
			cut := map[int]bool{}
			for _, batch := range first {
				rows := map[int]int{}
				for _, k := range batch {
					rows[k/3]++
				}
				for g, n := range rows {
					if n != 3 {
						cut[g] = true
					}
				}
				if len(batch) > 15 {
					t.Errorf("%s: a batch of %d rows, want at most 15", name, len(batch))
				}
			}
			if (buffer != 296 || len(cut) != 1) && len(cut) > 0 { // of 296, a border lies within a group
				t.Errorf("%s: groups %v are cut", name, cut)
			}
			second := epochOf(t, l, 1, 0)
			if shuffle && slices.Equal(first[0], second[0]) {
				t.Errorf("%s: two epochs in one order", name)
			}
			again := loaderOver(t, files, o)
			for skip := range len(second) + 1 {
				if rest := epochOf(t, again, 1, skip); !slices.EqualFunc(rest, second[skip:], slices.Equal) {
					t.Errorf("%s, %d skipped: other batches", name, skip)
				}
			}
		}
	}
}

// TestLargeGroupsAreCut: a group of more rows than a batch has comes in equal parts.
func TestLargeGroupsAreCut(t *testing.T) {
	l := loaderOver(t, numbered(t, 1, 70), LoaderOptions{BatchSize: 4, WholeGroups: true}) // 7 groups of 10
	batches := epochOf(t, l, 0, 0)
	for _, b := range batches {
		if len(b) < 3 || b[0]%7 != b[len(b)-1]%7 {
			t.Errorf("batch %v", b)
		}
	}
	if len(batches) != 21 {
		t.Errorf("%d batches, want 3 of each group", len(batches))
	}
	e, err := NewEncoder(mustSchema(t, `{labels: [{name: y}], fields: [{name: id}]}`), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewLoader(e, requests(t, 1, 3), LoaderOptions{BatchSize: 4, WholeGroups: true, Read: ReadOptions{Labels: true}}); err == nil || !strings.Contains(err.Error(), "neither group nor user") {
		t.Errorf("no group column: %v", err)
	}
}

// TestNegativesAreThinnedOut: every positive stays, of the negatives the share, the same ones in every pass over the same files, and with other options of the loader too.
func TestNegativesAreThinnedOut(t *testing.T) {
	files := numbered(t, 2, 2000)
	var want []int
	for _, o := range []LoaderOptions{{}, {Shuffle: true}, {WholeGroups: true}, {BufferRows: -1}, {BufferRows: 1000}} {
		o.BatchSize, o.Seed, o.Negatives, o.Read.BatchRows = 64, 9, .3, 500
		l := loaderOver(t, files, o)
		rows := slices.Concat(epochOf(t, l, 0, 0)...)
		again := slices.Concat(epochOf(t, l, 1, 0)...)
		slices.Sort(rows)
		slices.Sort(again)
		if want == nil {
			want = rows
		}
		if !slices.Equal(rows, want) || !slices.Equal(again, want) {
			t.Errorf("%+v: %d and %d rows, want the %d of the others", o, len(rows), len(again), len(want))
		}
		if l.Rows() != int64(len(rows)) {
			t.Errorf("%d rows, served %d", l.Rows(), len(rows))
		}
	}
	positives := 0
	for _, k := range want {
		positives += k % 2
	}
	if kept := len(want) - positives; positives != 2000 || math.Abs(float64(kept)-600) > 4*math.Sqrt(2000*.3*.7) {
		t.Errorf("%d positives and %d negatives, want 2000 and about 600", positives, kept)
	}
	none := 0
	for row := range uint64(1000) {
		if KeepsRow(1, row, 0) || !KeepsRow(1, row, 1) {
			none++
		}
	}
	if none > 0 {
		t.Errorf("%d rows are drawn against rates 0 and 1", none)
	}
}
