package graph

// gruOrder is the order in which a recurrence goes through ragged rows: segments by length, the longest first, cut into parts that are computed independently, and in a part step by step. The rows
// of one step that is computed are next to each other. It depends on the lengths alone.
type gruOrder struct {
	offsets []int32
	order   []int32 // segments by rank
	counts  []int32 // of lengths; afterwards scratch
	parts   int
	bases   []int // of each part the rows before it
}

// gruPartRows is how many segments a part has at least where there are enough, gruParts how many parts there are at most.
const (
	gruPartRows = 32
	gruParts    = 16
)

// sort takes the boundaries and orders the segments, equal lengths in the order of the batch.
func (g *gruOrder) sort(offsets []int32) {
	n := len(offsets) - 1
	g.offsets = offsets
	longest := int32(0)
	for b := range n {
		longest = max(longest, offsets[b+1]-offsets[b])
	}
	g.order, g.counts = resized(g.order, n), resized(g.counts, int(longest)+2)
	clear(g.counts)
	for b := range n {
		g.counts[longest-(offsets[b+1]-offsets[b])+1]++
	}
	for i := 1; i < len(g.counts); i++ {
		g.counts[i] += g.counts[i-1]
	}
	for b := range n {
		at := &g.counts[longest-(offsets[b+1]-offsets[b])]
		g.order[*at] = int32(b)
		*at++
	}
	g.parts = min(max(n/gruPartRows, 1), gruParts)
	g.bases = resized(g.bases, g.parts+1)
	rows := 0
	for p := range g.parts {
		g.bases[p] = rows
		lo, hi := g.ranks(p)
		for i := lo; i < hi; i++ {
			rows += g.length(i)
		}
	}
	g.bases[g.parts] = rows
}

// ranks are those of part p.
func (g *gruOrder) ranks(p int) (lo, hi int) { return chunk(p, g.parts, len(g.order)) }

// base is the place of part p's first row.
func (g *gruOrder) base(p int) int { return g.bases[p] }

func (g *gruOrder) length(rank int) int {
	b := g.order[rank]
	return int(g.offsets[b+1] - g.offsets[b])
}

// active returns how many of the segments from rank lo on, at most so many, have a row at step t.
func (g *gruOrder) active(lo, most, t int) int {
	for most > 0 && g.length(lo+most-1) <= t {
		most--
	}
	return most
}
