package features

import (
	"maps"
	"slices"
	"testing"
)

// TestCountOccurrences: an id counts in every field that reads its table, whatever the minimum count, and only in the training rows.
func TestCountOccurrences(t *testing.T) {
	s := mustSchema(t, `{labels: [{name: y}], fields: [{name: a, min_count: 3}, {name: h, type: sequence, max: 3, shares: a}, {name: c}]}`)
	files := []string{written(t, "f.csv", []byte("a,h,c,y\n1,2|1,8,0\n1,3|3,8,1\n4,,9,1\n"))}
	f := func(part *Part, table string, want ...uint32) {
		t.Helper()
		counts, err := CountOccurrences(s, files, part, ReadOptions{Labels: true})
		if err != nil {
			t.Fatal(err)
		}
		if got := slices.Sorted(maps.Values(counts[table])); !slices.Equal(got, want) {
			t.Errorf("table %s: counts %v, want %v", table, got, want)
		}
	}
	f(nil, "a", 1, 1, 2, 3) // 2 and 4 once, 3 twice, 1 three times
	f(nil, "c", 1, 2)
	split := &Split{Valid: 0.5, Seed: 1}
	if err := PlanSplit(s, files, split, ReadOptions{Labels: true}); err != nil {
		t.Fatal(err)
	}
	rows := 0
	for _, name := range []string{"train", "valid"} {
		counts, err := CountOccurrences(s, files, &Part{Of: split, Name: name}, ReadOptions{Labels: true})
		if err != nil {
			continue // a part may be empty
		}
		for _, n := range counts["c"] {
			rows += int(n)
		}
	}
	if rows != 3 {
		t.Errorf("%d rows counted in all parts, want 3", rows)
	}
}
