package features

import (
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// tenColumns writes a CSV like Frappe's: a label and ten small categories.
func tenColumns(b *testing.B, rows int) (*Schema, string) {
	s := exampleSchema(b, "frappe")
	var text strings.Builder
	text.WriteString("label,user,item,daytime,weekday,isweekend,homework,cost,weather,country,city\n")
	r := rand.New(rand.NewPCG(1, 1))
	for range rows {
		fmt.Fprintf(&text, "%d,%d,%d,%d,%d,%d,%d,%d,%d,%d,%d\n", r.IntN(2), r.IntN(1000), 1000+r.IntN(4000), 5040+r.IntN(8), 5046+r.IntN(7), 5053+r.IntN(2), 5055+r.IntN(3), 5058+r.IntN(2), 5060+r.IntN(9), 5069+r.IntN(80), 5149+r.IntN(230))
	}
	path := filepath.Join(b.TempDir(), "rows.csv")
	if err := os.WriteFile(path, []byte(text.String()), 0o666); err != nil {
		b.Fatal(err)
	}
	return s, path
}

// BenchmarkCSV reads and encodes ten columns; ns/row is the figure.
func BenchmarkCSV(b *testing.B) {
	const rows = 200000
	s, path := tenColumns(b, rows)
	e, err := NewEncoder(s, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		r, err := Open(s, []string{path}, ReadOptions{Labels: true})
		if err != nil {
			b.Fatal(err)
		}
		var batch Batch
		for {
			rec, err := r.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				b.Fatal(err)
			}
			err = e.EncodeInto(&batch, rec)
			rec.Release()
			if err != nil {
				b.Fatal(err)
			}
		}
		if err := r.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(rows*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}

// BenchmarkEncode encodes one record of 4096 rows again and again.
func BenchmarkEncode(b *testing.B) {
	s, path := tenColumns(b, 4096)
	e, err := NewEncoder(s, nil)
	if err != nil {
		b.Fatal(err)
	}
	r, err := Open(s, []string{path}, ReadOptions{Labels: true})
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	rec, err := r.Next()
	if err != nil {
		b.Fatal(err)
	}
	defer rec.Release()
	var batch Batch
	b.ReportAllocs()
	for b.Loop() {
		if err := e.EncodeInto(&batch, rec); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(4096*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}

// BenchmarkFit is the pass before training.
func BenchmarkFit(b *testing.B) {
	const rows = 200000
	s, path := tenColumns(b, rows)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := Fit(s, []string{path}, nil, ReadOptions{Labels: true}, nil); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(rows*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}

// BenchmarkEpoch serves shuffled batches of rows kept in memory.
func BenchmarkEpoch(b *testing.B) {
	const rows = 200000
	s, path := tenColumns(b, rows)
	e, err := NewEncoder(s, nil)
	if err != nil {
		b.Fatal(err)
	}
	l, err := NewLoader(e, []string{path}, LoaderOptions{BatchSize: 4096, Shuffle: true, Read: ReadOptions{Labels: true}})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		ep, err := l.Epoch(i, 0)
		if err != nil {
			b.Fatal(err)
		}
		for {
			if _, err := ep.Next(); err == io.EOF {
				break
			} else if err != nil {
				b.Fatal(err)
			}
		}
		if err := ep.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(rows*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}

// BenchmarkAssemble makes and encodes 200 candidates with a history of 100.
func BenchmarkAssemble(b *testing.B) {
	s := mustSchema(b, `{user: user, item: item, fields: [{name: user}, {name: country, from: user}, {name: item}, {name: category, from: item}, {name: hour},
  {name: h_item, type: sequence, shares: item, max: 100}, {name: h_category, type: sequence, shares: category, max: 100}]}`)
	e, err := NewEncoder(s, nil)
	if err != nil {
		b.Fatal(err)
	}
	var h History
	for i := range 100 {
		h = append(h, Behaviour{Item: fmt.Sprint("item", i), Attributes: Values{"category": fmt.Sprint("category", i%20)}})
	}
	a := NewAssembler(s, false)
	var batch Batch
	b.ReportAllocs()
	for b.Loop() {
		for c := range 200 {
			if err := a.Append(&Row{User: "user7", Item: "item55", History: h, UserFeatures: Values{"country": "nl"}, ItemFeatures: Values{"category": "category3"}, Context: Values{"hour": c % 24}}); err != nil {
				b.Fatal(err)
			}
		}
		rec := a.Record()
		if err := e.EncodeInto(&batch, rec); err != nil {
			b.Fatal(err)
		}
		rec.Release()
	}
}
