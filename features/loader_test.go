package features

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const loaderSchema = `{user: u, timestamp: t, labels: [{name: y}], fields: [{name: id}, {name: u}, {name: n, type: numeric}, {name: l, type: sequence, max: 3, shares: id}, {name: t, type: numeric, column: t}]}`

// numbered writes files of rows whose number is id, n and t.
func numbered(t testing.TB, files, rows int) []string {
	t.Helper()
	var out []string
	k := 0
	for f := range files {
		var text strings.Builder
		text.WriteString("id,u,n,l,y,t\n")
		for range rows {
			fmt.Fprintf(&text, "%d,%d,%d,%s,%d,%d\n", k, k%7, k, strings.Repeat("x|", k%5), k%2, k/2)
			k++
		}
		out = append(out, written(t, fmt.Sprintf("f%d.csv", f), []byte(text.String())))
	}
	return out
}

func loaderOver(t testing.TB, files []string, o LoaderOptions) *Loader {
	t.Helper()
	e, err := NewEncoder(mustSchema(t, loaderSchema), nil)
	if err != nil {
		t.Fatal(err)
	}
	o.Read.Labels = true
	l, err := NewLoader(e, files, o)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// epochOf returns the row numbers of each batch, checking that the rows came whole.
func epochOf(t testing.TB, l *Loader, epoch, skip int) [][]int {
	t.Helper()
	ep, err := l.Epoch(epoch, skip)
	if err != nil {
		t.Fatal(err)
	}
	defer ep.Close()
	var out [][]int
	for {
		b, err := ep.Next()
		if err == io.EOF {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		var batch []int
		for r := range b.Rows {
			k := int(b.Columns[2].Values[r])
			length := b.Columns[3].Offsets[r+1] - b.Columns[3].Offsets[r]
			want := int32(min(3, k%5+1))
			if k%5 == 0 {
				want = 0
			}
			if b.Columns[0].IDs[r] != ID("id", fmt.Sprint(k)) || b.Labels[0][r] != float32(k%2) || b.Times[r] != int64(k/2) || length != want || len(b.Groups) != b.Rows || b.Weights != nil {
				t.Fatalf("row %d came mixed: sequence of %d, want %d", k, length, want)
			}
			batch = append(batch, k)
		}
		out = append(out, batch)
	}
}

func TestLoaderOrders(t *testing.T) {
	files := numbered(t, 3, 100)
	all := make([]int, 300)
	for i := range all {
		all[i] = i
	}
	for _, buffer := range []int{0, 50, 300, 299, -1} {
		for _, shuffle := range []bool{false, true} {
			name := fmt.Sprintf("buffer %d, shuffle %v", buffer, shuffle)
			o := LoaderOptions{BatchSize: 64, Shuffle: shuffle, Seed: 5, BufferRows: buffer, Read: ReadOptions{BatchRows: 17}}
			l := loaderOver(t, files, o)
			first := epochOf(t, l, 0, 0)
			if len(first) != 5 || len(first[4]) != 300-4*64 || l.Rows() != 300 {
				t.Fatalf("%s: %d batches, %d rows", name, len(first), l.Rows())
			}
			flat := slices.Concat(first...)
			if slices.IsSorted(flat) == (shuffle && buffer >= 0) {
				t.Errorf("%s: %v", name, flat[:10])
			}
			slices.Sort(flat)
			if !slices.Equal(flat, all) {
				t.Errorf("%s: rows are lost or doubled", name)
			}
			second := epochOf(t, l, 1, 0)
			if shuffle && buffer >= 0 && slices.Equal(first[0], second[0]) {
				t.Errorf("%s: two epochs in one order", name)
			}
			again := loaderOver(t, files, o)
			for skip := range 6 {
				if rest := epochOf(t, again, 1, skip); !slices.EqualFunc(rest, second[min(skip, 5):], slices.Equal) {
					t.Errorf("%s, %d skipped: other batches", name, skip)
				}
			}
		}
	}
}

func TestLoaderEnds(t *testing.T) {
	files := append(numbered(t, 1, 100), written(t, "z.csv", []byte("id,u,n,l,y,t\n1,2,bad,,1,1\n")))
	for _, buffer := range []int{0, 10, -1} {
		l := loaderOver(t, files, LoaderOptions{BatchSize: 30, BufferRows: buffer})
		ep, err := l.Epoch(0, 0)
		if err == nil {
			for err == nil {
				_, err = ep.Next()
			}
			ep.Close()
		}
		if !IsInput(err) {
			t.Errorf("buffer %d: %v", buffer, err)
		}
		l = loaderOver(t, files, LoaderOptions{BatchSize: 30, BufferRows: buffer, Read: ReadOptions{SkipBad: 1}})
		if n := len(epochOf(t, l, 0, 0)); n != 4 || l.BadRows() != 1 || l.Rows() != 100 {
			t.Errorf("buffer %d: %d batches, %d bad rows of %d", buffer, n, l.BadRows(), l.Rows())
		}
		ep, err = l.Epoch(0, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ep.Next(); err != nil {
			t.Fatal(err)
		}
		if err := ep.Close(); err != nil {
			t.Fatal(err)
		}
	}
	e, err := NewEncoder(mustSchema(t, loaderSchema), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewLoader(e, []string{"/nowhere.csv"}, LoaderOptions{BatchSize: 1}); !IsInput(err) {
		t.Error(err)
	}
}

func TestLoaderAllocates(t *testing.T) {
	l := loaderOver(t, numbered(t, 1, 2000), LoaderOptions{BatchSize: 10, Shuffle: true})
	ep, err := l.Epoch(0, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer ep.Close()
	next := func() {
		if _, err := ep.Next(); err != nil {
			t.Fatal(err)
		}
	}
	for range 20 {
		next()
	}
	if n := testing.AllocsPerRun(100, next); n > 1 {
		t.Errorf("%v allocations a batch", n)
	}
}
