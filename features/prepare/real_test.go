package prepare

import (
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"

	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/internal/testkit"
)

// TestMovieLens compares the recipe with a second writing of it over maps of rows, and reads the files with the example's schema.
func TestMovieLens(t *testing.T) {
	if testing.Short() {
		t.Skip("reads a million ratings")
	}
	dir := testkit.RequireData(t, "ml-1m")
	text, err := os.ReadFile("../../examples/ml-1m/prepare.yaml")
	if err != nil {
		t.Fatal(err)
	}
	recipe, err := ParseRecipe(text)
	if err != nil {
		t.Fatal(err)
	}
	out := t.TempDir()
	report, err := recipe.Run(context.Background(), dir, out, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(report.Rows, report.Parts); got != "970009 map[test:97002 train:776007 valid:97000]" {
		t.Errorf("rows %s", got)
	}

	lines := expectedMovieLens(t, dir)
	for _, part := range partNames {
		for i, got := range movieLensRows(t, filepath.Join(out, part+".parquet")) {
			if got != lines[i] {
				t.Fatalf("%s row %d: %s\nwant %s", part, i, got, lines[i])
			}
		}
		lines = lines[report.Parts[part]:]
	}
	if len(lines) > 0 {
		t.Errorf("%d rows are missing", len(lines))
	}

	yaml, err := os.ReadFile("../../examples/ml-1m/schema.yaml")
	if err != nil {
		t.Fatal(err)
	}
	schema, err := features.ParseSchema(yaml)
	if err != nil {
		t.Fatal(err)
	}
	if n := encoded(t, schema, filepath.Join(out, "test.parquet")); n != 97002 {
		t.Errorf("the schema reads %d rows of the test part", n)
	}
}

// movieLensRows shows label, user, movie, histories and time of each row.
func movieLensRows(t *testing.T, path string) []string {
	schema := &features.Schema{Labels: []features.Label{{Name: "label"}}, User: "user", Item: "movie", Timestamp: "timestamp",
		Fields: []features.Field{{Name: "hist_movie", Kind: features.Sequence, Max: 30}, {Name: "hist_rating", Kind: features.Sequence, Max: 30}}}
	if err := schema.Complete(); err != nil {
		t.Fatal(err)
	}
	r, err := features.Open(schema, []string{path}, features.ReadOptions{Labels: true})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var out []string
	for {
		rec, err := r.Next()
		if err == io.EOF {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		for i := range int(rec.NumRows()) {
			value := func(name string) string { return show(rec.Column(rec.Schema().FieldIndices(name)[0]), i) }
			out = append(out, strings.Join([]string{value("label"), value("user"), value("movie"), value("hist_movie"), value("hist_rating"), value("timestamp")}, " "))
		}
		rec.Release()
	}
}

func expectedMovieLens(t *testing.T, dir string) []string {
	f, err := os.Open(filepath.Join(dir, "ratings.csv.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	records, err := csv.NewReader(z).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	type rating struct{ user, item, rating, time int }
	var all []rating
	for _, r := range records[1:] {
		var v [4]int
		for i := range v {
			if v[i], err = strconv.Atoi(r[i]); err != nil {
				t.Fatal(err)
			}
		}
		all = append(all, rating{v[0], v[1], v[2], v[3]})
	}
	slices.SortFunc(all, func(a, b rating) int {
		return slices.Compare([]int{a.time, a.user, a.item}, []int{b.time, b.user, b.item})
	})
	past := map[int][]rating{}
	var out []string
	for _, r := range all {
		if h := past[r.user]; len(h) >= 5 {
			var items, stars []int
			for _, e := range h[max(0, len(h)-30):] {
				items, stars = append(items, e.item), append(stars, e.rating)
			}
			label := 0
			if r.rating > 3 {
				label = 1
			}
			out = append(out, fmt.Sprint(label, r.user, r.item, items, stars, r.time))
		}
		past[r.user] = append(past[r.user], r)
	}
	return out
}

// encoded is how many rows of a file the schema encodes.
func encoded(t *testing.T, s *features.Schema, path string) int {
	stats, _, err := features.Fit(s, []string{path}, nil, features.ReadOptions{Labels: true}, nil)
	if err != nil {
		t.Fatal(err)
	}
	e, err := features.NewEncoder(s, stats)
	if err != nil {
		t.Fatal(err)
	}
	r, err := features.Open(s, []string{path}, features.ReadOptions{Labels: true})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	n, b := 0, new(features.Batch)
	for {
		rec, err := r.Next()
		if err == io.EOF {
			return n
		}
		if err != nil {
			t.Fatal(err)
		}
		err = e.EncodeInto(b, rec)
		rec.Release()
		if err != nil {
			t.Fatal(err)
		}
		n += b.Rows
	}
}
