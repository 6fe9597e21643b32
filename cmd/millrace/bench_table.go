package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/core/kernel"
	"github.com/millrace/millrace/core/table"
)

type tableFigures struct {
	Tables  []tableSpeed  `json:"tables"`
	Widths  []tableWidth  `json:"widths"`
	Skipped []skippedSize `json:"skipped"`
}

// tableSpeed is of one number of rows. Rates are a second and one thread.
type tableSpeed struct {
	Rows        int     `json:"rows"`
	Dim         int     `json:"dim"`
	Lookups     float64 `json:"lookups_per_s"`
	Resolved    float64 `json:"resolved_per_s"`
	MapLookups  float64 `json:"map_lookups_per_s"`
	Ratio       float64 `json:"ratio"`
	Lines       float64 `json:"random_lines_per_s"`
	LineShare   float64 `json:"line_share"`
	Inserts     float64 `json:"inserts_per_s"`
	MapInserts  float64 `json:"map_inserts_per_s"`
	PerRow      float64 `json:"bytes_per_row"`
	RSSPerRow   float64 `json:"rss_per_row"`
	MaxPerRow   float64 `json:"max_bytes_per_row_growing"`
	MaxRSS      int64   `json:"max_rss_growing"`
	GrowthRatio float64 `json:"growth_ratio"`
	MapRSS      float64 `json:"map_rss_per_row"`
}

type tableWidth struct {
	Dim    int     `json:"dim"`
	Rows   int     `json:"rows"`
	PerRow float64 `json:"bytes_per_row"`
}

type skippedSize struct {
	Rows  int   `json:"rows"`
	Needs int64 `json:"needs_bytes"`
	Free  int64 `json:"free_bytes"`
}

const (
	tableBatch   = 4096
	tableQueries = 1 << 21 // ids looked up in turn, so that what was looked up lately does not help
	widthRows    = 200_000
)

func benchTableCommand() *cobra.Command {
	f := benchFlags{threads: []int{1}}
	var sizes []string
	dim := 16
	c := &cobra.Command{
		Use:   "table",
		Short: "Embedding tables: look-ups and memory, beside a Go map with a slice",
		Long: `Tables of random 64-bit ids with --dim floats and Adam's state a row, ages and counts kept; each size beside a map[uint64]uint32 with a slice of rows, the same
ids in the same run, each alone in memory. A look-up finds an id's slot and copies its row, in batches of 4096 ids, on one thread; the fastest repetition counts.

Keys of --json, a table size an object in "tables":
  lookups_per_s, map_lookups_per_s, ratio   ids to rows, of the table, of the map with the slice, and the first over the second
  resolved_per_s                            ids to slots alone
  random_lines_per_s                        the machine's limit in this run: rows touched at random whose places are known beforehand
  line_share                                what part of that limit the look-ups reach, counting the cache lines of the index and of the row
  inserts_per_s, map_inserts_per_s          rows admitted a second while growing from nothing, the table's with their initial values and state written
  bytes_per_row, rss_per_row                as counted by the table, and as the process grew
  max_bytes_per_row_growing                 the largest count a row in the midst of growth, from a tenth of the rows on
  max_rss_growing, growth_ratio             the most the process grew meanwhile, and that over its growth at the end
  map_rss_per_row                           of the map with the slice, which has no optimizer state
"widths" has bytes_per_row at other widths; "skipped" the sizes that did not fit into free memory.`,
		Example: "  millrace bench table --json\n  millrace bench table --rows 1e5,1e6 --dim 32",
		Args:    cobra.NoArgs,
	}
	c.Flags().StringSliceVar(&sizes, "rows", []string{"1e4", "1e5", "1e6", "1e7", "5e7"}, "numbers of rows to measure at")
	c.Flags().IntVar(&dim, "dim", dim, "floats a row")
	c.Flags().IntVar(&f.repeat, "repeat", 40, "repetitions, of which the fastest counts")
	c.Flags().DurationVar(&f.minTime, "min-time", 5*time.Millisecond, "least duration of a repetition, short so that some fall between a busy machine's interruptions")
	c.Flags().BoolVar(&f.json, "json", false, "print the figures as one JSON object on the last line")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if err := f.check(); err != nil {
			return err
		}
		if dim < 1 || dim > 1024 {
			return wrong(fmt.Errorf("--dim is %d, want 1 to 1024", dim))
		}
		rows, err := rowCounts(sizes)
		if err != nil {
			return err
		}
		printMachine(c.ErrOrStderr())
		r, err := benchTable(c.Context(), &f, rows, dim, c.ErrOrStderr())
		if err != nil {
			return err
		}
		r.print(c.ErrOrStderr())
		return printJSON(c.OutOrStdout(), f.json, r)
	}
	return c
}

// rowCounts reads numbers such as 50000 and 5e7.
func rowCounts(sizes []string) ([]int, error) {
	var rows []int
	for _, s := range sizes {
		x, err := strconv.ParseFloat(s, 64)
		if err != nil || x != math.Trunc(x) || x < 1 || x > 4e9 {
			return nil, wrong(fmt.Errorf("--rows %s: want whole numbers from 1 to 4e9, such as 50000 or 5e7", s))
		}
		rows = append(rows, int(x))
	}
	if len(rows) == 0 {
		return nil, wrong(fmt.Errorf("--rows is empty"))
	}
	return rows, nil
}

func (r *tableFigures) print(w io.Writer) {
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(tab, "rows\tmillion look-ups/s\tmap and slice\tratio\tof random lines\tmillion inserts/s\tmap\tB/row\tRSS B/row\tmost growing\tover the end\t\n")
	for _, t := range r.Tables {
		fmt.Fprintf(tab, "%d\t%.1f\t%.1f\t%.2f\t%.0f %%\t%.2f\t%.2f\t%.1f\t%.1f\t%.1f\t%.2f\t\n", t.Rows, t.Lookups/1e6, t.MapLookups/1e6, t.Ratio, 100*t.LineShare,
			t.Inserts/1e6, t.MapInserts/1e6, t.PerRow, t.RSSPerRow, t.MaxPerRow, t.GrowthRatio)
	}
	tab.Flush()
	for _, x := range r.Widths {
		fmt.Fprintf(w, "%d floats with Adam's state: %.1f bytes a row at %d rows\n", x.Dim, x.PerRow, x.Rows)
	}
}

func benchTable(ctx context.Context, f *benchFlags, rows []int, dim int, w io.Writer) (*tableFigures, error) {
	defer kernel.SetThreads(0)
	kernel.SetThreads(1)
	r := &tableFigures{Tables: []tableSpeed{}, Skipped: []skippedSize{}}
	for _, n := range rows {
		needs := int64(n)*int64(12*dim+48)*11/10 + 256<<20
		if free := availableMemory(); free > 0 && needs > free {
			fmt.Fprintf(w, "%d rows need %.1f GB and %.1f GB are free: skipped\n", n, float64(needs)/1e9, float64(free)/1e9)
			r.Skipped = append(r.Skipped, skippedSize{n, needs, free})
			continue
		}
		fmt.Fprintf(w, "%d rows\n", n)
		s := tableSpeed{Rows: n, Dim: dim}
		if err := s.measureTable(ctx, f); err != nil {
			return nil, err
		}
		debug.FreeOSMemory()
		if err := s.measureMap(ctx, f); err != nil {
			return nil, err
		}
		debug.FreeOSMemory()
		s.Ratio = s.Lookups / s.MapLookups
		r.Tables = append(r.Tables, s)
	}
	for _, d := range []int{8, 16, 32, 64} {
		t, err := benchedTable(d)
		if err != nil {
			return nil, err
		}
		for i := range widthRows {
			t.Admit(benchID(i))
		}
		r.Widths = append(r.Widths, tableWidth{d, t.Len(), float64(t.Bytes()) / float64(t.Len())})
		t.Close()
	}
	return r, nil
}

// benchID is the i-th of distinct, random ids.
func benchID(i int) uint64 {
	z := (uint64(i) + 1) * 0x9e3779b97f4a7c15 // odd: no two alike; the rest is SplitMix64's output function, one to one as well
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// benchQueries draws ids of n, in random order.
func benchQueries(n int) []uint64 {
	rng := rand.New(rand.NewPCG(uint64(n), 5))
	q := make([]uint64, tableQueries)
	for i := range q {
		q[i] = benchID(rng.IntN(n))
	}
	return q
}

func benchedTable(dim int) (*table.Table, error) {
	return table.New("bench", table.Options{Dim: dim, State: 2 * dim, InitStd: 1e-4, Track: true})
}

func (s *tableSpeed) measureTable(ctx context.Context, f *benchFlags) error {
	queries := benchQueries(s.Rows)
	slots, dst := make([]uint32, tableBatch), make([]float32, tableBatch*s.Dim)
	debug.FreeOSMemory()
	base := residentMemory()
	t, err := benchedTable(s.Dim)
	if err != nil {
		return err
	}
	defer t.Close()
	start := time.Now()
	every := max(s.Rows/64, 1)
	for i := range s.Rows {
		state := t.State(t.Admit(benchID(i)))
		for j := 0; j < len(state); j += 16 {
			state[j] = 1
		}
		if i%every == 0 {
			s.MaxRSS = max(s.MaxRSS, residentMemory()-base)
			if i >= s.Rows/10 {
				s.MaxPerRow = max(s.MaxPerRow, float64(t.Bytes())/float64(t.Len()))
			}
			if err := ctx.Err(); err != nil {
				return err
			}
		}
	}
	s.Inserts = float64(s.Rows) / time.Since(start).Seconds()
	if err := t.Err(); err != nil {
		return err
	}
	rss := residentMemory() - base
	s.MaxRSS = max(s.MaxRSS, rss)
	s.PerRow, s.RSSPerRow = float64(t.Bytes())/float64(t.Len()), float64(rss)/float64(t.Len())
	if rss > 0 {
		s.GrowthRatio = float64(s.MaxRSS) / float64(rss)
	}
	at := 0
	next := func() []uint64 {
		if at += tableBatch; at+tableBatch > len(queries) {
			at = 0
		}
		return queries[at:][:tableBatch]
	}
	rows := make([][]float32, tableQueries)
	for i := range rows {
		rows[i] = t.Row(t.Find(queries[i]))
	}
	place, sum := 0, float32(0)
	lines := repetition{minTime: f.minTime, call: func() error {
		if place += tableBatch; place+tableBatch > len(rows) {
			place = 0
		}
		for _, r := range rows[place:][:tableBatch] {
			sum += r[0]
		}
		return nil
	}}
	resolve := repetition{minTime: f.minTime, call: func() error {
		t.Resolve(slots, next())
		return nil
	}}
	look := repetition{minTime: f.minTime, call: func() error {
		t.Resolve(slots, next())
		t.Gather(dst, s.Dim, slots)
		return nil
	}}
	for range f.repeat + 1 {
		for _, r := range []*repetition{&lines, &resolve, &look} {
			if err := r.run(ctx); err != nil {
				return err
			}
		}
	}
	if sum != sum {
		return fmt.Errorf("rows are not numbers")
	}
	s.Lines, s.Resolved, s.Lookups = lines.rate(tableBatch), resolve.rate(tableBatch), look.rate(tableBatch)
	s.LineShare = s.Lookups * float64(1+(4*s.Dim+63)/64) / s.Lines
	return nil
}

// rate is how many of n things a call does are done a second.
func (r *repetition) rate(n int) float64 { return float64(n) / r.best.Seconds() }

func (s *tableSpeed) measureMap(ctx context.Context, f *benchFlags) error {
	queries := benchQueries(s.Rows)
	dst := make([]float32, tableBatch*s.Dim)
	debug.FreeOSMemory()
	base := residentMemory()
	slots := map[uint64]uint32{}
	var rows []float32
	row := make([]float32, s.Dim)
	start := time.Now()
	for i := range s.Rows {
		slots[benchID(i)] = uint32(i)
		row[0] = float32(i)
		rows = append(rows, row...)
	}
	s.MapInserts = float64(s.Rows) / time.Since(start).Seconds()
	debug.FreeOSMemory() // what the slice and the map were before they grew
	s.MapRSS = float64(residentMemory()-base) / float64(s.Rows)
	at := 0
	look := repetition{minTime: f.minTime, call: func() error {
		if at += tableBatch; at+tableBatch > len(queries) {
			at = 0
		}
		for i, id := range queries[at:][:tableBatch] {
			copy(dst[i*s.Dim:][:s.Dim], rows[int(slots[id])*s.Dim:])
		}
		return nil
	}}
	for range f.repeat + 1 {
		if err := look.run(ctx); err != nil {
			return err
		}
	}
	s.MapLookups = look.rate(tableBatch)
	return nil
}

// availableMemory is how many bytes the system could still give, 0 where it does not tell.
func availableMemory() int64 {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		var kb int64
		if _, err := fmt.Sscanf(line, "MemAvailable: %d kB", &kb); err == nil {
			return kb << 10
		}
	}
	return 0
}

// residentMemory is how many bytes of the process are in memory, 0 where the system does not tell.
func residentMemory() int64 {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	var size, resident int64
	if _, err := fmt.Sscan(string(text), &size, &resident); err != nil {
		return 0
	}
	return resident * int64(os.Getpagesize())
}
