package models

import (
	"slices"

	"github.com/millrace/millrace/core/kernel"
	"github.com/millrace/millrace/core/nn"
	"github.com/millrace/millrace/core/table"
	"github.com/millrace/millrace/features"
)

// rowSource gives embedding rows by index: table slots in training, positions in the gathered rows in scoring.
type rowSource interface {
	Row(i uint32) []float32
}

const (
	gatherRows = 128 // rows of an input that one thread fills for all lookups in turn, while they are in its cache
	rowsListed = 128 // rows whose places are listed for one call of a kernel
)

// gatherJob fills inputs with rows, on all threads.
type gatherJob struct {
	jobs []lookupJob
	rows int // the most of any input
	body func(lo, hi int)
}

// lookupJob is one lookup with where its rows come from and go to.
type lookupJob struct {
	l       *lookupFeed
	source  rowSource
	offsets []int32
	dst     []float32
	stride  int
	rows    int // of the input
}

func (g *gatherJob) add(l *lookupFeed, b *features.Batch, source rowSource) {
	j := lookupJob{l: l, source: source, offsets: b.Columns[l.column].Offsets, dst: l.input.tensor.F32, stride: l.Node.Cols, rows: b.Rows}
	if l.Pool == nn.PoolRagged {
		j.rows = len(l.rows)
	}
	g.rows = max(g.rows, j.rows)
	g.jobs = append(g.jobs, j)
}

func (g *gatherJob) run() {
	if len(g.jobs) > 0 {
		kernel.Parallel((g.rows+gatherRows-1)/gatherRows, max(1, 8/len(g.jobs)), g.body)
	}
	clear(g.jobs)
}

// blocks fills blocks of gatherRows rows of every input.
func (g *gatherJob) blocks(first, last int) {
	for i := first; i < last; i++ {
		for k := range g.jobs {
			j := &g.jobs[k]
			if lo, hi := i*gatherRows, min((i+1)*gatherRows, j.rows); lo < hi {
				j.fill(lo, hi)
			}
		}
	}
}

// fewRows is up to how many rows a range is filled row by row: a list is not worth clearing for them.
const fewRows = 8

func (j *lookupJob) fill(lo, hi int) {
	pooled := j.l.Pool == nn.PoolSum || j.l.Pool == nn.PoolMean
	switch {
	case pooled && hi-lo > fewRows:
		j.pool(lo, hi)
	case pooled:
		j.poolFew(lo, hi)
	case hi-lo > fewRows:
		j.copy(lo, hi)
	default:
		for i := lo; i < hi; i++ {
			copy(j.dst[i*j.stride+j.l.Col:][:j.l.Dim], j.source.Row(j.l.rows[i]))
		}
	}
}

func (j *lookupJob) copy(lo, hi int) {
	var list [rowsListed][]float32
	for ; lo < hi; lo += rowsListed {
		idx := j.l.rows[lo:min(lo+rowsListed, hi)]
		rows := list[:len(idx)]
		locate(rows, j.source, idx)
		kernel.CopyRows(j.dst[lo*j.stride+j.l.Col:], j.stride, j.l.Dim, rows)
	}
}

// locate lists the rows of indices.
func locate(rows [][]float32, source rowSource, idx []uint32) {
	rows = rows[:len(idx)]
	switch s := source.(type) {
	case *table.Table:
		for i, k := range idx {
			rows[i] = s.Row(k)
		}
	case *rowBlock:
		for i, k := range idx {
			rows[i] = s.Row(k)
		}
	default:
		for i, k := range idx {
			rows[i] = source.Row(k)
		}
	}
}

// pool fills rows [lo, hi) with sums or means, as many in one call as the list holds.
func (j *lookupJob) pool(lo, hi int) {
	var list [rowsListed][]float32
	var scales [rowsListed]float32
	var counts [rowsListed]uint32
	sums, terms := 0, 0
	flush := func(end int) { // rows [end-sums, end) are listed
		if sums > 0 {
			kernel.SumRows(j.dst[(end-sums)*j.stride+j.l.Col:], j.stride, j.l.Dim, counts[:sums], list[:terms], scales[:terms], false)
		}
		sums, terms = 0, 0
	}
	for b := lo; b < hi; b++ {
		idx := j.l.rows[j.offsets[b]:j.offsets[b+1]]
		if len(idx) == 0 || terms+len(idx) > rowsListed {
			flush(b)
		}
		scale := j.l.scale(len(idx))
		switch dst := j.dst[b*j.stride+j.l.Col:][:j.l.Dim]; {
		case len(idx) == 0:
			clear(dst)
		case len(idx) > rowsListed:
			for acc := false; len(idx) > 0; acc = true {
				n := min(len(idx), rowsListed)
				locate(list[:n], j.source, idx[:n])
				for i := range n {
					scales[i] = scale
				}
				counts[0] = uint32(n)
				kernel.SumRows(dst, j.stride, j.l.Dim, counts[:1], list[:n], scales[:n], acc)
				idx = idx[n:]
			}
		default:
			locate(list[terms:terms+len(idx)], j.source, idx)
			for i := range idx {
				scales[terms+i] = scale
			}
			counts[sums] = uint32(len(idx))
			sums, terms = sums+1, terms+len(idx)
		}
	}
	flush(hi)
}

// poolFew is pool row by row, with the same sums.
func (j *lookupJob) poolFew(lo, hi int) {
	for b := lo; b < hi; b++ {
		dst := j.dst[b*j.stride+j.l.Col:][:j.l.Dim]
		clear(dst)
		idx := j.l.rows[j.offsets[b]:j.offsets[b+1]]
		scale := j.l.scale(len(idx))
		for _, k := range idx {
			kernel.Axpy(scale, j.source.Row(k), dst)
		}
	}
}

// scale is what each of n rows counts for in a pooled value.
func (l *lookupFeed) scale(n int) float32 {
	if l.Pool == nn.PoolMean && n > 1 {
		return 1 / float32(n)
	}
	return 1
}

// rowLookup finds the slots of a batch's ids and fills the inputs with their rows.
type rowLookup struct {
	feed   *feed
	source []*table.Table // of each of the feed's tables
	admit  bool
	parts  []lookupPart
	body   func(lo, hi int)
}

// lookupPart is a range of one lookup's ids.
type lookupPart struct {
	table *table.Table
	slots []uint32
	ids   []uint64
}

// resolveGrain is how many ids one thread looks up in one piece.
const resolveGrain = 1024

func newRowLookup(f *feed, source []*table.Table, admit bool) *rowLookup {
	r := &rowLookup{feed: f, source: source, admit: admit}
	r.body = func(lo, hi int) {
		for i := range r.parts[lo:hi] {
			p := &r.parts[lo+i]
			p.table.Resolve(p.slots, p.ids)
		}
	}
	return r
}

func (r *rowLookup) run(b *features.Batch) {
	r.parts = r.parts[:0]
	for i, t := range r.feed.tables {
		for _, l := range t.lookups {
			ids := b.Columns[l.column].IDs
			l.rows = slices.Grow(l.rows[:0], len(ids))[:len(ids)]
			for lo := 0; lo < len(ids); lo += resolveGrain {
				hi := min(lo+resolveGrain, len(ids))
				r.parts = append(r.parts, lookupPart{r.source[i], l.rows[lo:hi], ids[lo:hi]})
			}
		}
	}
	kernel.Parallel(len(r.parts), 1, r.body)
	if r.admit {
		for _, p := range r.parts {
			for i, id := range p.ids {
				if p.slots[i] == 0 && id != table.UnknownID {
					p.slots[i] = p.table.Admit(id)
				}
			}
		}
	}
	clear(r.parts)
	g := &r.feed.gather
	g.jobs, g.rows = g.jobs[:0], b.Rows
	for i, t := range r.feed.tables {
		for _, l := range t.lookups {
			g.add(l, b, r.source[i])
		}
	}
	g.run()
}
