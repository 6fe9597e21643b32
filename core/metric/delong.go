package metric

import (
	"math"
	"slices"
)

// Placement is a model's AUC on some rows together with each row's part in its error: the structural components of DeLong, DeLong and Clarke-Pearson (1988), from midranks in
// O(n log n) (Sun and Xu 2014). Two placements over the same rows give the paired test of their AUCs.
//
// A weight is one of importance: it counts in the AUC as that many rows would, but one row stays one observation.
type Placement struct {
	AUC float64

	rows, positives, negatives int // rows given; those of each class with a weight above 0
	part                       []float64
	class                      []int8 // 1 positive, 0 negative, −1 left out
}

// Place ranks the rows; weights may be nil. Rows with a NaN label are left out; a NaN score or a broken weight makes everything NaN, as does a missing class.
func Place(scores, labels, weights []float32) *Placement {
	p := &Placement{AUC: math.NaN(), rows: len(scores), part: make([]float64, len(scores)), class: make([]int8, len(scores))}
	weight := func(i uint32) float64 {
		if weights == nil {
			return 1
		}
		return float64(weights[i])
	}
	order := make([]uint64, 0, len(scores)) // score, then row
	var pos, neg float64
	for i, s := range scores {
		y, w := labels[i], weight(uint32(i))
		if y != y || w == 0 {
			p.class[i] = -1
			continue
		}
		if s != s || !(w > 0 && w <= math.MaxFloat32) {
			return p
		}
		if y > 0.5 {
			p.class[i], pos, p.positives = 1, pos+w, p.positives+1
		} else {
			neg, p.negatives = neg+w, p.negatives+1
		}
		order = append(order, pack(s, false, 0)&^(1<<32-1)|uint64(i))
	}
	if p.positives == 0 || p.negatives == 0 {
		return p
	}
	slices.Sort(order)
	var below, belowPos, pairs float64 // weights of the negatives and positives that score lower
	for i := 0; i < len(order); {
		j := i
		var n, m float64 // of this score
		for ; j < len(order) && order[j]>>32 == order[i]>>32; j++ {
			if row := uint32(order[j]); p.class[row] == 1 {
				m += weight(row)
			} else {
				n += weight(row)
			}
		}
		for ; i < j; i++ {
			if row := uint32(order[i]); p.class[row] == 1 {
				p.part[row] = (below + n/2) / neg
			} else {
				p.part[row] = (pos - belowPos - m/2) / pos
			}
		}
		pairs += m * (below + n/2)
		below, belowPos = below+n, belowPos+m
	}
	p.AUC = pairs / (pos * neg)
	for i := range p.part {
		switch p.class[i] {
		case 1:
			p.part[i] = (p.part[i] - p.AUC) * weight(uint32(i)) / pos
		case 0:
			p.part[i] = (p.part[i] - p.AUC) * weight(uint32(i)) / neg
		}
	}
	return p
}

// StdErr is the standard error of the AUC where rows are independent of each other; NaN with fewer than two rows of a class.
func (p *Placement) StdErr() float64 {
	if math.IsNaN(p.AUC) {
		return math.NaN()
	}
	return math.Sqrt(p.variance(func(i int) float64 { return p.part[i] }))
}

// variance sums the squares of the rows' parts, each class with its n/(n−1).
func (p *Placement) variance(part func(i int) float64) float64 {
	var squares [2]float64
	for i, c := range p.class {
		if c >= 0 {
			x := part(i)
			squares[c] += x * x
		}
	}
	m, n := float64(p.positives), float64(p.negatives)
	return squares[1]*m/(m-1) + squares[0]*n/(n-1)
}

// Compare is DeLong's test of o's AUC against p's, both over the same rows, each independent of the others.
func (p *Placement) Compare(o *Placement) Difference {
	if math.IsNaN(p.AUC) || math.IsNaN(o.AUC) || !slices.Equal(p.class, o.class) {
		return undefinedDifference()
	}
	return normalDifference(o.AUC-p.AUC, p.variance(func(i int) float64 { return o.part[i] - p.part[i] }))
}

// CompareGroups is the same test where the rows of a group, such as a user's, are not independent of each other: the parts of a group count as one observation (Obuchowski 1997).
func (p *Placement) CompareGroups(o *Placement, groups []uint64) Difference {
	if math.IsNaN(p.AUC) || math.IsNaN(o.AUC) || !slices.Equal(p.class, o.class) || len(groups) != p.rows {
		return undefinedDifference()
	}
	sums := map[uint64]float64{}
	for i, c := range p.class {
		if c >= 0 {
			sums[groups[i]] += o.part[i] - p.part[i]
		}
	}
	// In an order of their own, for the last bit does not depend on the map's.
	squares := make([]float64, 0, len(sums))
	for _, s := range sums {
		squares = append(squares, s*s)
	}
	slices.Sort(squares)
	var sum float64
	for _, s := range squares {
		sum += s
	}
	n := float64(len(sums))
	return normalDifference(o.AUC-p.AUC, sum*n/(n-1))
}

// MeanPlacement is the mean of several models' AUCs over the same rows, such as those of one model trained with several seeds. Its error is that of the rows; the models stay as they are.
func MeanPlacement(models []*Placement) *Placement {
	if len(models) == 1 {
		return models[0]
	}
	first := models[0]
	out := &Placement{rows: first.rows, positives: first.positives, negatives: first.negatives, class: first.class, part: make([]float64, len(first.part))}
	n := float64(len(models))
	for _, m := range models {
		if !slices.Equal(m.class, first.class) {
			out.AUC = math.NaN()
			return out
		}
		out.AUC += m.AUC / n
		for i, x := range m.part {
			out.part[i] += x / n
		}
	}
	return out
}

// MeanDraws is the mean of several models' draws over the same samples.
func MeanDraws(models []Draws) Draws {
	mean := func(of func(d *Draws) []float64) []float64 {
		out := make([]float64, len(of(&models[0])))
		for k := range models {
			for i, x := range of(&models[k]) {
				out[i] += x / float64(len(models))
			}
		}
		return out
	}
	return Draws{mean(func(d *Draws) []float64 { return d.AUC }), mean(func(d *Draws) []float64 { return d.GAUC }), mean(func(d *Draws) []float64 { return d.Logloss })}
}
