package prepare

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/apache/arrow/go/v15/parquet"
	"github.com/apache/arrow/go/v15/parquet/file"
	"github.com/apache/arrow/go/v15/parquet/pqarrow"
)

// folder writes files, given as name and content, into a folder.
func folder(t *testing.T, files ...string) string {
	t.Helper()
	dir := t.TempDir()
	for i := 0; i < len(files); i += 2 {
		if err := os.WriteFile(filepath.Join(dir, files[i]), []byte(files[i+1]), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func run(t *testing.T, recipe, dir string) (string, error) {
	t.Helper()
	r, err := ParseRecipe([]byte(recipe))
	if err != nil {
		return "", err
	}
	out := t.TempDir()
	_, err = r.Run(context.Background(), dir, out, nil)
	return out, err
}

// rows reads a Parquet file back, a text a row: values parted by blanks, lists in brackets, missing values as ~.
func rows(t *testing.T, path string) []string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	pf, err := file.NewParquetReader(f, file.WithReadProps(parquet.NewReaderProperties(memory.DefaultAllocator)))
	if err != nil {
		t.Fatal(err)
	}
	r, err := pqarrow.NewFileReader(pf, pqarrow.ArrowReadProperties{BatchSize: 1 << 16}, memory.DefaultAllocator)
	if err != nil {
		t.Fatal(err)
	}
	records, err := r.GetRecordReader(context.Background(), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer records.Release()
	var out []string
	for {
		rec, err := records.Read()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		for i := range int(rec.NumRows()) {
			var values []string
			for _, c := range rec.Columns() {
				values = append(values, show(c, i))
			}
			out = append(out, strings.Join(values, " "))
		}
	}
}

func show(a arrow.Array, r int) string {
	if a.IsNull(r) {
		return "~"
	}
	if l, ok := a.(*array.List); ok {
		from, to := l.ValueOffsets(r)
		var e []string
		for i := from; i < to; i++ {
			e = append(e, show(l.ListValues(), int(i)))
		}
		return "[" + strings.Join(e, " ") + "]"
	}
	return a.ValueStr(r)
}

func want(t *testing.T, path string, lines ...string) {
	t.Helper()
	if got := rows(t, path); strings.Join(got, "\n") != strings.Join(lines, "\n") {
		t.Errorf("%s:\n%s\nwant\n%s", filepath.Base(path), strings.Join(got, "\n"), strings.Join(lines, "\n"))
	}
}

const ratings = "user,item,rating,ts\n2,20,5,30\n1,10,4,10\n1,20,1,20\n1,30,5,20\n2,10,2,40\n1,40,3,50\n2,30,4,50\n1,10,4,60\n"

const films = "10::Heat::Action|Crime\n20::Clueless::Comedy\n30::Babe::Family|Drama\n"

const sequenceRecipe = `
name: tiny
sources:
  ratings: {file: ratings.csv, types: {user: integer, item: integer, rating: integer, ts: integer}}
  films: {file: films.dat, csv: {delimiter: "::", names: [item, title, genres]}, types: {item: integer}}
from: ratings
steps:
  - join: {source: films, on: item, columns: [genres]}
  - first: {column: genres, into: genre}
  - label: {column: rating, above: 3, into: label}
  - sort: [ts, user, item]
  - history: {user: user, %s max: 2, min: 1, attributes: {h_item: item, h_rating: rating}}
cut: {by: order, shares: [0.6, 0.2, 0.2]}
columns: [label, user, item, genre, h_item, h_rating]
`

func TestSequenceRecipe(t *testing.T) {
	dir := folder(t, "ratings.csv", ratings, "films.dat", films)
	out, err := run(t, fmt.Sprintf(sequenceRecipe, ""), dir)
	if err != nil {
		t.Fatal(err)
	}
	// By time: 1:10@10 1:20@20 1:30@20 2:20@30 2:10@40 1:40@50 2:30@50 1:10@60; the first of each user is dropped, 6 stay: int(3.6), int(1.2), rest.
	want(t, out+"/train.parquet", "0 1 20 Comedy [10] [4]", "1 1 30 Family [10 20] [4 1]", "0 2 10 Action [20] [5]")
	want(t, out+"/valid.parquet", "0 1 40 ~ [20 30] [1 5]")
	want(t, out+"/test.parquet", "1 2 30 Family [20 10] [5 2]", "1 1 10 Action [30 40] [5 3]")
}

func TestHistoryOfStrictlyEarlierTimes(t *testing.T) {
	dir := folder(t, "ratings.csv", ratings, "films.dat", films)
	out, err := run(t, fmt.Sprintf(sequenceRecipe, "time: ts,"), dir)
	if err != nil {
		t.Fatal(err)
	}
	want(t, out+"/train.parquet", "0 1 20 Comedy [10] [4]", "1 1 30 Family [10] [4]", "0 2 10 Action [20] [5]")
}

func TestHistoryWhere(t *testing.T) {
	dir := folder(t, "e.csv", "u,i,y\n1,a,1\n1,b,0\n1,c,1\n1,d,0\n")
	out, err := run(t, `
sources: {e: {file: e.csv}}
steps:
  - history: {user: u, max: 9, attributes: {liked: i}, where: {column: y, is: ["1"]}}
cut: {by: order, shares: [0.5, 0.5]}`, dir)
	if err != nil {
		t.Fatal(err)
	}
	want(t, out+"/train.parquet", "1 a 1 []", "1 b 0 [a]")
	want(t, out+"/valid.parquet", "1 c 1 [a]", "1 d 0 [a c]")
	if _, err := os.Stat(out + "/test.parquet"); err == nil {
		t.Error("a part nobody asked for was written")
	}
}

const pairRecipe = `
sources:
  s: {file: s.txt, format: sequences, columns: [user, item], types: {item: integer}}
  a: {file: a.json, format: json, columns: [item, attributes], types: {item: integer}}
from: s
steps:
  - join: {source: a, on: item}
  - first: {column: attributes, into: category}
  - history: {user: user, max: 50, min: 1, attributes: {hist: item}}
  - negatives: {user: user, item: item, label: label, per: 1, seed: 7, of_item: [category]}
cut: {by: last, column: user, valid: 1, test: 1}
columns: [user, item, category, label, hist]
`

func TestPairsWithNegatives(t *testing.T) {
	dir := folder(t, "s.txt", "u1 1 2 3 4\nu2 3 5 6 7\nu3 8 9 1 5\n", "a.json", `{"1":[11],"2":[12],"3":[13],"4":[14],"5":[15],"6":[16],"7":[17],"8":[18]}`)
	used := map[string]string{"u1": "1 2 3 4", "u2": "3 5 6 7", "u3": "8 9 1 5"}
	out, err := run(t, pairRecipe, dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"train", "valid", "test"} {
		got := rows(t, out+"/"+part+".parquet")
		if len(got) != 6 {
			t.Fatalf("%s: %d rows, want a pair for each of 3 users", part, len(got))
		}
		for i := 0; i < 6; i += 2 {
			p, n := strings.SplitN(got[i], " ", 5), strings.SplitN(got[i+1], " ", 5)
			if p[0] != n[0] || p[4] != n[4] || p[3] != "1" || n[3] != "0" {
				t.Errorf("%s: not a pair of one event: %q, %q", part, got[i], got[i+1])
			}
			if strings.Contains(" "+used[n[0]]+" ", " "+n[1]+" ") {
				t.Errorf("%s: %s has used the negative %s", part, n[0], n[1])
			}
			for _, r := range [][]string{p, n} {
				if wantCategory := "1" + r[1]; r[2] != wantCategory && !(r[1] == "9" && r[2] == "~") {
					t.Errorf("%s: item %s has category %s", part, r[1], r[2])
				}
			}
		}
	}
	if got := rows(t, out+"/test.parquet")[0]; got != "u1 4 14 1 [1 2 3]" {
		t.Errorf("first test row %q", got)
	}
}

func TestSameBytes(t *testing.T) {
	dir := folder(t, "s.txt", "u1 1 2 3 4\nu2 3 5 6 7\nu3 8 9 1 5\n", "a.json", `{"1":[11]}`)
	var first string
	for i := range 2 {
		out, err := run(t, pairRecipe, dir)
		if err != nil {
			t.Fatal(err)
		}
		all := ""
		for _, n := range partNames {
			b, err := os.ReadFile(filepath.Join(out, n+".parquet"))
			if err != nil {
				t.Fatal(err)
			}
			all += string(b)
		}
		if i == 1 && all != first {
			t.Error("two runs gave different bytes")
		}
		first = all
	}
}

func TestDrawIsUniform(t *testing.T) {
	r := strings.NewReplacer("per: 1", "per: 3")
	// Item 10 alone is used; of the 9 others 3 are drawn 900 times: each 300 times on average, deviation 14.
	var s strings.Builder
	for u := range 900 {
		fmt.Fprintf(&s, "u%d 10 10\n", u)
	}
	dir := folder(t, "s.txt", s.String()+"v 1 2 3 4 5 6 7 8 9 0\n", "a.json", "{}")
	recipe, err := ParseRecipe([]byte(strings.Replace(r.Replace(pairRecipe), "seed: 7", "seed: 8", 1)))
	if err != nil {
		t.Fatal(err)
	}
	p := &pipeline{sources: &sources{recipe: recipe, dir: dir, report: func(string, ...any) {}, read: map[string]*table{}}}
	if err := p.start(context.Background()); err != nil {
		t.Fatal(err)
	}
	p.keep(func(r int) bool { return r < 1800 && r%2 == 0 })
	p.events, err = p.sources.load(context.Background(), "s")
	if err != nil {
		t.Fatal(err)
	}
	if err := p.negatives(context.Background(), &Negatives{User: "user", Item: "item", Label: "y", Per: 3, Seed: 1}); err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	item, label := p.table.find("item"), p.table.find("y")
	for r := range p.table.rows {
		if label.ints[r] == 0 {
			count[item.text(r)]++
		}
	}
	if len(count) != 10 {
		t.Fatalf("drawn items %v", count)
	}
	for i, n := range count {
		if n < 200 || n > 340 {
			t.Errorf("item %s drawn %d times, want about 270", i, n)
		}
	}
}

func TestCuts(t *testing.T) {
	dir := folder(t, "e.csv", "g,v\na,1\nb,1\na,2\nc,3\nb,2\na,3\nc,1\nd,2\n")
	f := func(cut string, sizes ...int) string {
		t.Helper()
		out, err := run(t, "sources: {e: {file: e.csv}}\ncut: "+cut, dir)
		if err != nil {
			t.Error(err)
			return ""
		}
		all := ""
		for i, n := range partNames[:len(sizes)] {
			got := rows(t, out+"/"+n+".parquet")
			if len(got) != sizes[i] {
				t.Errorf("cut %s: %s has %d rows, want %d", cut, n, len(got), sizes[i])
			}
			all += strings.Join(got, ",") + ";"
		}
		return all
	}
	f("{by: order, shares: [0.5, 0.25, 0.25]}", 4, 2, 2)
	f("{by: random, shares: [0.5, 0.25, 0.25], seed: 3}", 4, 2, 2)
	if got := f("{by: value, column: v, values: [1, 2, 3]}", 3, 3, 2); got != "a 1,b 1,c 1;a 2,b 2,d 2;c 3,a 3;" {
		t.Errorf("by value: %s", got)
	}
	if got := f("{by: last, column: g, test: 1, valid: 1}", 1, 3, 4); got != "a 1;b 1,a 2,c 3;b 2,a 3,c 1,d 2;" {
		t.Errorf("by last: %s", got)
	}
	out, err := run(t, "sources: {e: {file: e.csv}}\ncut: {by: group, column: g, shares: [0.5, 0.5], seed: 1}", dir)
	if err != nil {
		t.Fatal(err)
	}
	side := map[string]int{}
	for i, n := range partNames[:2] {
		for _, r := range rows(t, out+"/"+n+".parquet") {
			side[r[:1]] |= 1 << i
		}
	}
	for g, s := range side {
		if s == 3 {
			t.Errorf("group %s stands on both sides", g)
		}
	}
}

func TestSteps(t *testing.T) {
	dir := folder(t, "e.csv", "k,x,when\nb,3,2017-11-07 09:30:38\na,,2017-11-05 23:00:00\nb,1.5,2017-11-07 09:30:38\n", "k.csv", "k,tags\nb,red; blue\n")
	f := func(steps string, lines ...string) {
		t.Helper()
		out, err := run(t, "sources: {e: {file: e.csv, types: {x: number, when: time}}, k: {file: k.csv}}\nfrom: e\nsteps: ["+steps+"]\ncut: {by: order, shares: [1, 0]}", dir)
		if err != nil {
			t.Error(err)
			return
		}
		want(t, out+"/train.parquet", lines...)
	}
	f("{match: {column: k, pattern: '^(b)'}}, {time_part: {column: when, part: hour}}", "b 3 9", "~ ~ 23", "b 1.5 9")
	f("{match: {column: k, pattern: 'b?', into: k}}, {time_part: {column: when, part: hour}}", "b 3 9", "~ ~ 23", "b 1.5 9")
	f("{bucket: {column: x, bounds: [1.5, 2], into: x}}, {time_part: {column: when, part: hour}}", "b 2 9", "a ~ 23", "b 1 9")
	f("{time_part: {column: when, part: weekday}}, {distinct: {columns: [k], keep: last}}", "a ~ 0", "b 1.5 2")
	f("{filter: {column: x, above: 1.5}}, {time_part: {column: when, part: date}}", "b 3 2017-11-07")
	f("{filter: {column: k, count: 2}}, {sort: [x]}, {time_part: {column: when, part: hour}}", "b 1.5 9", "b 3 9")
	f("{join: {source: k, on: k}}, {split: {column: tags, separator: ;}}, {time_part: {column: when, part: hour}}, {sort: [-k, -x]}", "b 3 9 [red blue]", "b 1.5 9 [red blue]", "a ~ 23 []")
	f("{join: {source: k, on: k, missing: drop}}, {time_part: {column: when, part: hour}}, {rename: {tags: t}}, {first: {column: t, separator: ;}}", "b 3 9 red", "b 1.5 9 red")
	f("{join: {source: k, on: k, missing: drop}}, {time_part: {column: when, part: hour}}, {last: {column: tags, separator: ;}}", "b 3 9 blue", "b 1.5 9 blue")
	f("{join: {source: k, on: k, missing: drop}}, {time_part: {column: when, part: hour}}, {last: {column: tags, separator: none of it}}", "b 3 9 red; blue", "b 1.5 9 red; blue")
	f("{join: {source: k, on: k}}, {split: {column: tags, separator: ;}}, {last: {column: tags}}, {time_part: {column: when, part: hour}}", "b 3 9 blue", "a ~ 23 ~", "b 1.5 9 blue")
}

func TestWrongRecipesAndData(t *testing.T) {
	dir := folder(t, "e.csv", "u,i,x\n1,2,3\n1,3,oops\n", "dup.csv", "u,z\n1,a\n1,b\n")
	f := func(recipe, message string) {
		t.Helper()
		_, err := run(t, recipe, dir)
		if err == nil || !strings.Contains(err.Error(), message) {
			t.Errorf("%q: error %v, want %q", recipe, err, message)
		} else if !IsInput(err) {
			t.Errorf("%q: %v is not the input's fault", recipe, err)
		}
	}
	const cut = "\ncut: {by: order, shares: [0.5, 0.5]}"
	f("", "the file is empty")
	f("sources: {e: {fil: e.csv}}", `line 1: unknown key "fil" in sources.e; did you mean "file"?`)
	f("sources: {e: {file: e.csv}}\nsteps:\n  - histroy: {user: u}", `line 3: unknown key "histroy" in steps[0]; did you mean "history"?`)
	f("sources: {e: {file: e.csv}}\nsteps: [{sort: [u], rename: {u: v}}]"+cut, "a step is one key")
	f("sources: {e: {file: e.csv}}", "no cut")
	f("sources: {e: {file: e.csv}}\ncut: {by: order, shares: [0.5, 0.4]}", "the shares sum to 0.9")
	f("sources: {e: {file: ../e.csv}}"+cut, "not under the data folder")
	f("sources: {e: {file: no.csv}}"+cut, "no such file")
	f("sources: {e: {file: e.csv}}\nsteps: [{match: {column: u, pattern: '('}}]"+cut, "match: pattern: ")
	f("sources: {e: {file: e.csv, types: {x: integer}}}"+cut, `e.csv line 3, field "x", value "oops"`)
	f("sources: {e: {file: e.csv}}\nsteps: [{sort: [usr]}]"+cut, `no column "usr"; did you mean "u"?`)
	f("sources: {e: {file: e.csv}}\nsteps: [{label: {column: x, above: 1, into: y}}]"+cut, `column "x", value "oops": not a number`)
	f("sources: {e: {file: e.csv}, d: {file: dup.csv}}\nfrom: e\nsteps: [{join: {source: d, on: u}}]"+cut, `key "1" stands in its rows 1 and 2`)
	f("sources: {e: {file: e.csv}}\nsteps: [{negatives: {user: u, item: i, label: y}}]"+cut, `user "1" has used 2 of 2 items`)
	f("sources: {e: {file: e.csv}}\ncut: {by: order, shares: [0.9, 0.05, 0.05]}", "no row of 2 falls to valid")
	f("sources: {e: {file: e.csv}}\ncolumns: [u, u]"+cut, `"u" stands twice`)
}

func FuzzParseRecipe(f *testing.F) {
	f.Add(fmt.Sprintf(sequenceRecipe, ""))
	f.Add(pairRecipe)
	f.Add("a: &a [*a]")
	f.Add("sources: {e: {file: e.csv}}\nsteps: [{}, null, {sort: a}]\ncut: {by: last, column: x, test: 9999999999999}")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := ParseRecipe([]byte(text))
		var wrong *RecipeError
		if err != nil && !errors.As(err, &wrong) {
			t.Fatalf("%T: %v", err, err)
		}
		if (r == nil) == (err == nil) {
			t.Fatal("a recipe and an error, or neither")
		}
	})
}
