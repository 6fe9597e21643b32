package kernel

// What a product costs, in cycles of one thread for each step of k, as measured on Sapphire Rapids: tiles in the second-level cache, operands
// to be split from beyond it, and vectors at 92 % of their peak of 32 multiply-adds a cycle.
const (
	pairCost   = 8.8  // a panel of two row tiles by one column tile
	singleCost = 5.5  // one row tile by one column tile
	splitCost  = 0.65 // an element of A or B
	turnCost   = 1.2  // an element of a transposed A
	vectorCost = 1 / (0.92 * 32)
	tilesGain  = 1.12 // how many times cheaper than vectors tiles must be, for the model is rough
)

// tilesPay reports whether tiles are in use and faster than vectors at the shape, on one thread: threads may not decide, or bits would
// depend on their number. It is asked before B is split, or after, of a B that is packed.
func tilesPay(m, n, k int, transA, packed bool) bool {
	if !tiles || level != avx512 || m < tileRows || n < tilePanel || k < tileSteps {
		return false
	}
	whole := float64((k+tileSteps-1)/tileSteps*tileSteps) / float64(k)
	one := tileGrid{1, 1}
	return tilesGain*one.cost(m, n, transA, packed, whole) < vectorCost*float64(m)*float64(n)
}

// tileGrid is how C is shared out: rows times cols parts.
type tileGrid struct{ rows, cols int }

// cost is what the largest part of the grid costs; whole is the steps of k in whole tiles over those there are.
func (g tileGrid) cost(m, n int, transA, packed bool, whole float64) float64 {
	panels, pairs := (m+tilePanel-1)/tilePanel, (n+tilePanel-1)/tilePanel
	// The last part may have fewer rows than its panels, but is the largest only when it is alone.
	rows := min(m, (panels+g.rows-1)/g.rows*tilePanel)
	cols := min(n, (pairs+g.cols-1)/g.cols*tilePanel)
	rowTiles, colTiles := (rows+tileRows-1)/tileRows, (cols+tileRows-1)/tileRows
	cost := whole * float64(colTiles) * (float64(rowTiles/panelTiles)*pairCost + float64(rowTiles%panelTiles)*singleCost)
	if transA {
		cost += turnCost * float64(rows)
	} else {
		cost += splitCost * float64(rows)
	}
	if !packed {
		cost += splitCost * float64(cols)
	}
	return cost
}

// shareTiles is the cheapest grid for so many threads: of one part a thread, or of more, which leave the parts of a thread that was
// late to the others, where that costs little.
func shareTiles(threads, m, n int, transA, packed bool) tileGrid {
	best, least := cheapestGrid(threads, m, n, transA, packed)
	if threads == 1 {
		return best
	}
	for each := partsPerThread; each > 1; each /= 2 {
		const little = 1.03
		if g, cost := cheapestGrid(threads*each, m, n, transA, packed); g.rows*g.cols == threads*each && cost*float64(each) < little*least {
			return g
		}
	}
	return best
}

// cheapestGrid is the cheapest grid of so many parts or fewer, and its cost.
func cheapestGrid(parts, m, n int, transA, packed bool) (best tileGrid, least float64) {
	best = tileGrid{1, 1}
	least = best.cost(m, n, transA, packed, 1)
	for rows := 1; rows <= parts && parts > 1; rows++ {
		g := tileGrid{min(rows, (m+tilePanel-1)/tilePanel), min(parts/rows, (n+tilePanel-1)/tilePanel)}
		if cost := g.cost(m, n, transA, packed, 1); cost < least {
			best, least = g, cost
		}
	}
	return best, least
}
