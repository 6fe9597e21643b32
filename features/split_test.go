package features

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
)

// partsOf returns the row numbers of each part of a split.
func partsOf(t testing.TB, s *Schema, files []string, sp *Split) (parts [3][]int) {
	t.Helper()
	if err := PlanSplit(s, files, sp, ReadOptions{Labels: true}); err != nil {
		t.Fatal(err)
	}
	for i, name := range []string{"train", "valid", "test"} {
		r, err := openPart(s, files, &Part{Of: sp, Name: name}, ReadOptions{Labels: true})
		if err != nil {
			t.Fatal(err)
		}
		e, err := NewEncoder(s, nil)
		if err != nil {
			t.Fatal(err)
		}
		var b Batch
		for {
			rec, err := r.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if err := e.EncodeInto(&b, rec); err != nil {
				t.Fatal(err)
			}
			rec.Release()
			for _, v := range b.Columns[2].Values {
				parts[i] = append(parts[i], int(v))
			}
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return parts
}

func TestSplits(t *testing.T) {
	s := mustSchema(t, loaderSchema)
	files := numbered(t, 2, 1000)
	whole := func(p [3][]int) {
		t.Helper()
		all := slices.Concat(p[0], p[1], p[2])
		slices.Sort(all)
		if len(slices.Compact(all)) != 2000 {
			t.Errorf("%d rows in %d, %d, %d", len(all), len(p[0]), len(p[1]), len(p[2]))
		}
	}
	near := func(n, want, by int) {
		t.Helper()
		if n < want-by || n > want+by {
			t.Errorf("a part of %d rows, want %d ± %d", n, want, by)
		}
	}
	byHash := partsOf(t, s, files, &Split{Valid: 0.1, Test: 0.2, Seed: 3})
	whole(byHash)
	near(len(byHash[1]), 200, 60)
	near(len(byHash[2]), 400, 80)
	if again := partsOf(t, s, files, &Split{Valid: 0.1, Test: 0.2, Seed: 3}); !slices.Equal(again[1], byHash[1]) {
		t.Error("the same seed gives another split")
	}
	if other := partsOf(t, s, files, &Split{Valid: 0.1, Test: 0.2, Seed: 4}); slices.Equal(other[1], byHash[1]) {
		t.Error("another seed gives the same split")
	}
	// Two rows share each time; 1999 is the newest row.
	byTime := partsOf(t, s, files, &Split{Valid: 0.1, Test: 0.1, By: "t"})
	whole(byTime)
	near(len(byTime[1]), 200, 0)
	near(len(byTime[2]), 200, 0)
	if slices.Max(byTime[0]) >= slices.Min(byTime[1]) || slices.Max(byTime[1]) >= slices.Min(byTime[2]) {
		t.Error("parts by time overlap")
	}
	near(slices.Min(byTime[2])%2, 0, 0)
	byUser := partsOf(t, s, files, &Split{Valid: 0.4, By: "u", Seed: 1})
	whole(byUser)
	users := func(rows []int) (u []int) {
		for _, k := range rows {
			u = append(u, k%7)
		}
		slices.Sort(u)
		return slices.Compact(u)
	}
	for _, u := range users(byUser[1]) {
		if slices.Contains(users(byUser[0]), u) {
			t.Errorf("user %d stands in two parts", u)
		}
	}
	f := func(sp Split, want string) {
		t.Helper()
		err := PlanSplit(s, files, &sp, ReadOptions{Labels: true})
		if err == nil || !IsInput(err) || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v", sp, err)
		}
	}
	f(Split{Valid: 0.1, By: "v"}, `no such column`)
	f(Split{Valid: 0.1, By: "l"}, "a list")
	f(Split{Valid: 0.6, Test: 0.5}, "nothing to train on")
	f(Split{Valid: -1}, "share")
}

func TestSplitTies(t *testing.T) {
	f := func(times string, valid, test float64, want string) {
		t.Helper()
		var v values
		for _, c := range times {
			v.add(int64(c))
		}
		v.compact()
		sp := &Split{}
		sp.validAt, sp.testAt = v.cut(valid, test)
		var got strings.Builder
		for _, c := range times {
			switch {
			case sp.testAt.holds(int64(c)):
				got.WriteByte('T')
			case sp.validAt.holds(int64(c)):
				got.WriteByte('V')
			default:
				got.WriteByte('.')
			}
		}
		if got.String() != want {
			t.Errorf("%s %v %v: %s; want %s", times, valid, test, got.String(), want)
		}
	}
	f("abcdefghij", 0.2, 0.1, ".......VVT")
	f("abcdefghij", 0.2, 0, "........VV")
	f("abcdefghij", 0, 0.3, ".......TTT")
	f("jihgfedcba", 0.2, 0.1, "TVV.......")
	f("aaaaaaabbb", 0.1, 0, ".......VVV")
	f("aaaabbbbbc", 0.2, 0, ".........V")
	f("abcddddddd", 0.1, 0.1, "..VTTTTTTT")
	f("aaaaaaaaaa", 0.1, 0, "VVVVVVVVVV")
}

func TestEmptyPart(t *testing.T) {
	s := mustSchema(t, loaderSchema)
	path := written(t, "f.csv", []byte("id,u,n,l,y,t\n1,1,1,,1,5\n2,1,2,,0,5\n"))
	sp := &Split{Valid: 0.5, By: "t"}
	if err := PlanSplit(s, []string{path}, sp, ReadOptions{Labels: true}); err != nil {
		t.Fatal(err)
	}
	_, _, err := Fit(s, []string{path}, &Part{Of: sp, Name: "train"}, ReadOptions{Labels: true}, nil)
	if err == nil || !IsInput(err) || !strings.Contains(err.Error(), "the train part of the split is empty") {
		t.Error(err)
	}
	for _, buffer := range []int{0, 1, -1} {
		l := loaderOver(t, []string{path}, LoaderOptions{BatchSize: 2, BufferRows: buffer, Part: &Part{Of: sp, Name: "train"}})
		ep, err := l.Epoch(0, 0)
		if err == nil {
			_, err = ep.Next()
			ep.Close()
		}
		if err == nil || !strings.Contains(err.Error(), "empty") {
			t.Errorf("buffer %d: %v", buffer, err)
		}
	}
}

// TestSplitIsOfContent: the rows' form in the file does not move them between parts.
func TestSplitIsOfContent(t *testing.T) {
	s := mustSchema(t, loaderSchema)
	var plain, odd strings.Builder
	plain.WriteString("id,u,n,l,y,t\n")
	odd.WriteString("t,y,extra,l,n,u,id\r\n")
	for k := range 200 {
		fmt.Fprintf(&plain, "%d,%d,%d,a|b,1,%d\n", k, k, k, k)
		fmt.Fprintf(&odd, "%d,1.0,x,a|b,%d.0,\"%d\",%d\r\n", k, k, k, k)
	}
	a := partsOf(t, s, []string{written(t, "a.csv", []byte(plain.String()))}, &Split{Valid: 0.3})
	b := partsOf(t, s, []string{written(t, "b.csv", []byte(odd.String()))}, &Split{Valid: 0.3})
	if !slices.Equal(a[1], b[1]) {
		t.Error("the split depends on how the rows are written")
	}
}
