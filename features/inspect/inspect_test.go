package inspect

import (
	"context"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/zeebo/xxh3"

	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/internal/testkit"
)

func inspected(t *testing.T, name, text string, o Options) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	out, err := File(context.Background(), path, o, nil)
	if err != nil {
		t.Fatal(err)
	}
	if n := encodes(t, out, path); n == 0 {
		t.Error("the schema encodes no rows")
	}
	return string(out)
}

// encodes is how many rows of a file a schema encodes.
func encodes(t *testing.T, yaml []byte, path string) int {
	t.Helper()
	s, err := features.ParseSchema(yaml)
	if err != nil {
		t.Fatalf("%v\n%s", err, yaml)
	}
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

// table writes a text file of 400 rows, whose values are functions of the row's number.
func table(header, delimiter string, columns ...func(i int) any) string {
	var b strings.Builder
	if header != "" {
		b.WriteString(header + "\n")
	}
	for i := range 400 {
		for k, c := range columns {
			if k > 0 {
				b.WriteString(delimiter)
			}
			fmt.Fprint(&b, c(i))
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// noise is a number below n that tells nothing of the row.
func noise(n int) func(int) any {
	rng := rand.New(rand.NewPCG(1, uint64(n)))
	values := make([]int, 400)
	for i := range values {
		values[i] = rng.IntN(n)
	}
	return func(i int) any { return values[i] }
}

func bit(i int) any { return i * i % 7 % 2 }

func TestDialects(t *testing.T) {
	f := func(text string, wants ...string) {
		t.Helper()
		out := inspected(t, "f.txt", text, Options{})
		for _, w := range wants {
			if !strings.Contains(out, w) {
				t.Errorf("no %q in\n%s", w, out)
			}
		}
	}
	text := func(i int) any { return []string{"a", "b", "c, d"}[i%3] }
	plain := func(i int) any { return []string{"a", "b", "c"}[i%3] }
	f(table("label,x", ",", bit, noise(9)), `delimiter: ","`, "- {name: label} # values", "- {name: x}")
	f(table("", "::", bit, text), `delimiter: "::"`, "header: false", "names: [c0, c1]", "- {name: c0} # values")
	f(table("x\tclick", "\t", noise(9), bit), `delimiter: "\t"`, "- {name: click} # values")
	f(table("", ", ", plain, noise(9), func(i int) any { return []string{"no.", "no.", "yes."}[i%3] }), "trim: true", `{name: c2, positive: ["yes."]}`)
	f(table("q,label", ",", func(i int) any { return fmt.Sprintf("\"%d, \"\"x\"\"\"", i%5) }, bit), `delimiter: ","`, "5 distinct")
	f(table("a|label", "|", plain, bit), `delimiter: "|"`, `list_separator: ";"`)
	f(table("label,m", ",", bit, func(i int) any { return []any{"?", 1.5, "NA", 2.5, 3.25}[i%5] }), `missing: ["", "?", NA]`, "- {name: m, type: numeric")
	f(table("", " ", bit, func(i int) any { return fmt.Sprintf("%d:1", i%5) }, func(i int) any { return fmt.Sprintf("%d:1", 5+i%3) }), "format: libfm", "- {name: f2}")
	f(table("", " ", bit, func(i int) any { return "7:1" }, func(i int) any { return fmt.Sprintf("%d:1", 5+i%3) }), "  - {name: f1} # constant, but pairs stand")
	f("label,c\n1,Mis\xe9rables\n0,b\n1,b\n0,Mis\xe9rables\n", "encoding: latin1")
}

func TestColumns(t *testing.T) {
	f := func(name string, values func(int) any, want string) {
		t.Helper()
		out := inspected(t, "f.csv", table("label,other,"+name, ",", bit, noise(5), values), Options{})
		for l := range strings.Lines(out) {
			if strings.Contains(l, "{name: "+name) && strings.Contains(l, want) {
				return
			}
		}
		t.Errorf("%s: no %q in\n%s", name, want, out)
	}
	f("c", func(int) any { return "always" }, "# - {name: c} # constant")
	f("k", func(i int) any { return 1000 + i }, "# - {name: k} # a row id: it counts the rows")
	f("hash", func(i int) any { return fmt.Sprintf("k%x", i*7919) }, "# - {name: hash} # a row id")
	f("ip", noise(1<<20), "  - {name: ip} # an id, by its name")
	f("big", func(i int) any { return uint64(1e19) + uint64(i*7919%9)<<20 }, "  - {name: big} # whole numbers too large to measure anything: ids")
	f("key", func(i int) any { return uint64(1e17) + uint64(i)*uint64(i)*99991<<17 }, "# - {name: key} # a row id: nearly every row has another number")
	f("ref", noise(1<<20), "  - {name: ref} # whole numbers spread over their range: ids")
	f("amount", noise(1<<20), "  - {name: amount, type: numeric, standardise: true}")
	f("tail", func(i int) any { return int(math.Exp(float64(i*37%400) / 25)) }, "  - {name: tail, type: numeric, log: true, standardise: true}")
	f("f", func(i int) any { return float64(i*31%77) / 7 }, "  - {name: f, type: numeric, standardise: true}")
	f("zip", func(i int) any { return fmt.Sprintf("%05d", i*31%9000) }, "  - {name: zip} # whole numbers with leading zeros")
	f("leaky", func(i int) any { return 10 * bit(i).(int) }, "# - {name: leaky} # likely a leak: its value alone tells the label")
	f("when", func(i int) any {
		if bit(i) == 1 {
			return "x" + fmt.Sprint(i%9)
		}
		return ""
	}, "# - {name: when} # likely a leak: it is present in 100.00% of the positive rows and 0.00%")
	f("order", func(i int) any { return float64(bit(i).(int)*1000+i*31%400) + 0.5 }, "# - {name: order} # likely a leak")
	f("tags", func(i int) any { return fmt.Sprintf("t%d|t%d|t%d", i%7, i%11, i%13) }, "  - {name: tags, type: multi}")
	f("click_time", func(i int) any { return fmt.Sprintf("2017-11-07 09:%02d:%02d", i*7%60, i*11%60) }, "# - {name: click_time} # the time of the row")
	f("ts", func(i int) any { return 1511544070 + i*977%86400 }, "# - {name: ts} # the time of the row")
	f("user_id", noise(50), "  - {name: user_id, from: user}")
	f("propensity_score", func(i int) any { return float64(i*31%77) / 7 }, "# - {name: propensity_score} # the chance")
	f("action_propensity", func(i int) any { return float64(i*31%77) / 7 }, "a line propensity: {column: action_propensity} weighs rows by it")
	f("user-item_affinity_0", noise(4), `  - {name: user-item_affinity_0, type: numeric, standardise: true} # a quantity, by its name`)
	f("movie_id", noise(50), "  - {name: movie_id, from: item}")
}

func TestLabels(t *testing.T) {
	f := func(label string, values func(int) any, o Options, want string) {
		t.Helper()
		out := inspected(t, "f.csv", table("x,"+label, ",", noise(9), values), o)
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	f("label", func(i int) any { return []string{"N", "Y"}[i%2] }, Options{}, `positive: ["Y"]`)
	f("label", func(i int) any { return i%2*2 - 1 }, Options{}, `positive: ["1"]`)
	f("what", func(i int) any { return []string{"pv", "pv", "pv", "cart", "buy"}[i%5] }, Options{Label: "what"}, "positive: [buy, cart]")
	f("rating", func(i int) any { return []int{1, 2, 3, 4, 4, 5, 5}[i%7] }, Options{Label: "rating"}, "above: 3")
	f("hours", func(i int) any { return float64(i%101-6) / 10 }, Options{Label: "hours"}, "{name: hours, above: 4.3} # positive above its median")
	f("what", func(i int) any { return []string{"pv", "cart"}[i%2] }, Options{}, "THE LABEL IS NOT NAMED. Run again with --label COLUMN. Columns of two to five values: what (\"cart\", \"pv\")")
}

func TestWrongFiles(t *testing.T) {
	f := func(text string, o Options, want string) {
		t.Helper()
		path := filepath.Join(t.TempDir(), "f.csv")
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		_, err := File(context.Background(), path, o, nil)
		if err == nil || !strings.Contains(err.Error(), want) || !features.IsInput(err) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	f("", Options{}, "the file is empty")
	f("a,b,a,label\n"+strings.Repeat("1,x,2,0\n3,y,4,1\n", 9), Options{}, `line 1, field "a": the column stands twice`)
	f("a,label\n", Options{}, "no rows")
	f("a,label\n1,0\n", Options{Label: "lable"}, `no column "lable"`)
	f("1 2 3 4 5\n2 6 7\n3 1\n4 5 6 7 8 9\n", Options{}, "format: sequences")
	f("a,label\n1,0\n1,1\n1,0\n", Options{}, "no column of")
	f("a,label\n"+strings.Repeat("x,0\ny,1\n", 50)+"x,1,9\n", Options{}, "line 102")
}

func TestDistinct(t *testing.T) {
	d := distinct{hashes: map[uint64]struct{}{}}
	const n = 1_000_000
	for i := range n {
		d.add(xxh3.HashString(fmt.Sprint(i)))
		if i == exactDistinct-1 && (!d.exact() || d.count() != exactDistinct) {
			t.Fatalf("%d of %d distinct, exact %v", d.count(), exactDistinct, d.exact())
		}
	}
	if got := float64(d.count()); math.Abs(got-n) > 0.03*n || d.exact() {
		t.Errorf("%v distinct, want about %d", got, n)
	}
}

func TestSampleKeepsColumnsInStep(t *testing.T) {
	var s sample
	p := newProfile("x", false)
	for row := range int64(5 * sampledRows) {
		keep := s.add(row, p.compact)
		p.add(fmt.Sprint(row), true, -1, keep)
	}
	if len(s.rows) != len(p.sampled) || len(s.rows) < sampledRows/4 {
		t.Fatalf("%d rows, %d numbers", len(s.rows), len(p.sampled))
	}
	for i, r := range s.rows {
		if float32(r) != p.sampled[i] {
			t.Fatalf("place %d: row %d has number %v", i, r, p.sampled[i])
		}
	}
}

func TestParquet(t *testing.T) {
	schema := arrow.NewSchema([]arrow.Field{
		{Name: "label", Type: arrow.PrimitiveTypes.Int64}, {Name: "price", Type: arrow.PrimitiveTypes.Float64, Nullable: true}, {Name: "tags", Type: arrow.ListOf(arrow.BinaryTypes.String)},
		{Name: "pair", Type: arrow.StructOf(arrow.Field{Name: "a", Type: arrow.PrimitiveTypes.Int64})},
	}, nil)
	b := array.NewRecordBuilder(memory.NewGoAllocator(), schema)
	defer b.Release()
	for i := range 200 {
		b.Field(0).(*array.Int64Builder).Append(int64(i % 2))
		if i%5 == 0 {
			b.Field(1).AppendNull()
		} else {
			b.Field(1).(*array.Float64Builder).Append(float64(i*31%77) / 8)
		}
		l := b.Field(2).(*array.ListBuilder)
		l.Append(true)
		l.ValueBuilder().(*array.StringBuilder).Append(fmt.Sprint("t", i%3))
		pair := b.Field(3).(*array.StructBuilder)
		pair.Append(true)
		pair.FieldBuilder(0).(*array.Int64Builder).Append(1)
	}
	done := false
	path := filepath.Join(t.TempDir(), "f.parquet")
	if _, err := features.WriteParquet(path, schema, func() (arrow.Record, error) {
		if done {
			return nil, io.EOF
		}
		done = true
		return b.NewRecord(), nil
	}); err != nil {
		t.Fatal(err)
	}
	out, err := File(context.Background(), path, Options{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range []string{"- {name: label} # values", "- {name: price, type: numeric, standardise: true} # numbers with fractions", "40 missing (20.0%)", "- {name: tags, type: multi}", "# column pair holds struct<"} {
		if !strings.Contains(string(out), w) {
			t.Errorf("no %q in\n%s", w, out)
		}
	}
	if n := encodes(t, out, path); n != 200 {
		t.Errorf("%d rows encoded", n)
	}
}

func TestRealFiles(t *testing.T) {
	if testing.Short() {
		t.Skip("reads whole files")
	}
	f := func(set, file string, o Options, rows int, wants ...string) {
		t.Helper()
		path := filepath.Join(testkit.RequireData(t, set), file)
		out, err := File(context.Background(), path, o, nil)
		if err != nil {
			t.Error(err)
			return
		}
		again, err := File(context.Background(), path, o, nil)
		if err != nil || string(again) != string(out) {
			t.Errorf("%s: a second look gives another schema (%v)", set, err)
		}
		for _, w := range wants {
			if !strings.Contains(string(out), w) {
				t.Errorf("%s: no %q in\n%s", set, w, out)
			}
		}
		if n := encodes(t, out, path); n != rows {
			t.Errorf("%s: %d rows encoded, want %d", set, n, rows)
		}
	}
	f("census-income", "census-income.test.gz", Options{}, 99762, `{name: c41, positive: ["50000+."]}`, "trim: true", `missing: ["", "?"]`)
	f("criteo-10k", "train_examples.txt.gz", Options{}, 10000, "- {name: c0} # values", `delimiter: "\t"`, "{name: c5, type: numeric, log: true")
	f("taobao-userbehavior", "UserBehavior.csv.gz", Options{}, 84475, "THE LABEL IS NOT NAMED", "timestamp: c4")
	f("taobao-userbehavior", "UserBehavior.csv.gz", Options{Label: "c3"}, 84475, "positive: [cart, fav, buy]", "  - {name: c1, ")
	f("zozo-obd", "bts_women.csv.gz", Options{}, 10000, "propensity: {column: propensity_score}", "{name: user-item_affinity_24, type: numeric", "item: item_id", "- {name: click} # values")
	f("avazu-9k", "dev.csv.gz", Options{Label: "c1"}, 480, "# - {name: c0} # a row id")
	f("ipinyou-deepctr", "train.fm.txt.gz", Options{}, 26773, "format: libfm", "- {name: f16}")
	f("ml-100k", "u.data.gz", Options{Label: "c2"}, 100000, "timestamp: c3", "{name: c2, above: 3}")
	f("ml-latest-small", "ratings.csv.gz", Options{Label: "rating"}, 100836, "user: userId", "item: movieId", "above: 3.5")
	f("steam-caserec", "game_play.dat.gz", Options{Label: "Hours"}, 70489, "{name: Hours, above: 4.4}")
	f("talkingdata-sample", "train_sample.csv.gz", Options{}, 100000, "# - {name: attributed_time} # likely a leak", "timestamp: click_time", "- {name: is_attributed} # values")
}

func FuzzFile(f *testing.F) {
	f.Add([]byte("label,a\n1,x\n0,y\n"))
	f.Add([]byte("1::2::\"3\n0::5::6\n"))
	f.Add([]byte("1 3:1\n0 4:1\n"))
	f.Add([]byte("y,n,null\n\x85a,\"b\nc\",1\nyes,no,2\n"))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text []byte) {
		path := filepath.Join(dir, "f.csv")
		if err := os.WriteFile(path, text, 0o666); err != nil {
			t.Fatal(err)
		}
		if _, err := File(context.Background(), path, Options{}, nil); err != nil && !features.IsInput(err) {
			t.Fatalf("%v", err)
		}
	})
}
