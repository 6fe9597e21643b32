package features

import (
	"io"
	"math/rand/v2"
)

// groupPass serves batches of whole groups. Data that fits in the buffer is one window; else windows of as many rows as the buffer has follow each other in the order of the files, and a group
// that lies on both sides of a border comes in two parts: a request's rows, which a log has next to each other, seldom do.
type groupPass struct {
	loader  *Loader
	stream  *stream // nil: all rows are kept
	random  *rand.Rand
	packing *packing
	skip    int

	rows  *packedRows
	group []uint64 // of each row of the window
	order []uint32
	ends  []int // of the window's batches, in order
	next  int   // batch
	at    int   // of the stream's batch
	read  int64
	ended bool
}

func (g *groupPass) fill(b *Batch) (bool, error) {
	for g.next == len(g.ends) || g.skip > 0 {
		if left := len(g.ends) - g.next; g.skip > 0 && left > 0 {
			n := min(left, g.skip)
			g.skip, g.next = g.skip-n, g.next+n
			continue
		}
		more, err := g.window()
		if err != nil || !more {
			return false, err
		}
		g.cut()
	}
	from := 0
	if g.next > 0 {
		from = g.ends[g.next-1]
	}
	g.packing.empty(b, len(g.loader.encoder.schema.Labels))
	for _, row := range g.order[from:g.ends[g.next]] {
		g.packing.unpack(g.rows.row(int(row)), b)
	}
	g.next++
	return true, nil
}

// window takes the next rows; false when there are none.
func (g *groupPass) window() (bool, error) {
	if g.ended {
		return false, nil
	}
	if g.stream == nil {
		g.ended = true
		g.rows, g.group, g.packing = g.loader.kept, g.loader.groups, g.loader.packing
		return true, nil
	}
	g.rows, g.group = &packedRows{}, g.group[:0]
	var row []byte
	for len(g.group) < g.loader.options.BufferRows {
		if s := &g.stream.batch; g.at < s.Rows {
			row = g.packing.pack(row[:0], s, g.at)
			g.rows.add(row)
			g.group = append(g.group, s.Groups[g.at])
			g.at++
			continue
		}
		g.at = 0
		err := g.stream.next()
		if err == io.EOF {
			g.ended = true
			break
		}
		if err != nil {
			return false, err
		}
		if g.packing == nil {
			g.packing = newPacking(g.loader.encoder.schema, &g.stream.batch)
		}
	}
	g.read += int64(len(g.group))
	if g.ended {
		if g.read == 0 {
			return false, emptyPart(g.loader.options.Part, g.loader.files)
		}
		g.loader.learn(g.read, g.stream.reader.BadRows())
	}
	return len(g.group) > 0, nil
}

// cut orders the window's rows by group, groups as they first appear or shuffled, and ends a batch where the next group does not fit in it. A group of more rows than a batch has
// is cut into equal parts, each a batch of its own.
func (g *groupPass) cut() {
	size, shuffle := g.loader.options.BatchSize, g.loader.options.Shuffle
	number := map[uint64]int{}
	var rows [][]uint32
	for r, id := range g.group {
		k, known := number[id]
		if !known {
			k = len(rows)
			number[id] = k
			rows = append(rows, nil)
		}
		rows[k] = append(rows[k], uint32(r))
	}
	if shuffle {
		g.random.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
	}
	g.order, g.ends, g.next = g.order[:0], g.ends[:0], 0
	began := 0
	end := func() {
		if len(g.order) > began {
			began = len(g.order)
			g.ends = append(g.ends, began)
		}
	}
	for _, of := range rows {
		if len(g.order)-began+len(of) > size {
			end()
		}
		if len(of) <= size {
			g.order = append(g.order, of...)
			continue
		}
		if shuffle {
			g.random.Shuffle(len(of), func(i, j int) { of[i], of[j] = of[j], of[i] })
		}
		parts := (len(of) + size - 1) / size
		for p := range parts {
			g.order = append(g.order, of[p*len(of)/parts:(p+1)*len(of)/parts]...)
			end()
		}
	}
	end()
}

func (g *groupPass) close() error {
	if g.stream == nil {
		return nil
	}
	return g.stream.reader.Close()
}

// negatives thins out the rows whose first label is negative.
type negatives struct {
	rate float64
	seed uint64
	row  uint64 // of the pass
	raw  Batch
}

// KeepsRow draws, by a seed and the number of a row, whether one that is kept with probability rate is.
func KeepsRow(seed, row uint64, rate float64) bool {
	return float64(mix(row+0x9e3779b97f4a7c15, mix(seed, 0x2545f4914f6cdd1d))>>11)/(1<<53) < rate
}

// thin moves the rows that stay from raw to b.
func (n *negatives) thin(b *Batch) {
	b.Reset()
	for r := range n.raw.Rows {
		if n.raw.Labels[0][r] != 0 || KeepsRow(n.seed, n.row, n.rate) {
			b.Append(&n.raw, r)
		}
		n.row++
	}
}
