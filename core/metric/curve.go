package metric

import "math"

// Point is a point of a curve.
type Point struct{ X, Y float64 }

// ROC returns at most n points of the curve (X false positive rate, Y true positive rate), from (0,0) to (1,1), evenly spread along it; nil when one class is absent or n < 2.
func (r *Rows) ROC(n int) []Point {
	keys := r.order()
	var neg, pos float64
	for _, k := range keys {
		if _, y, w := unpack(k); y {
			pos += w
		} else {
			neg += w
		}
	}
	if neg == 0 || pos == 0 || n < 2 {
		return nil
	}
	points := []Point{{0, 0}}
	var fp, tp float64
	next := 1.0 // step of (x+y)/2, in units of 1/(n−1), at which the next point is due
	for i := len(keys) - 1; i >= 0; {
		score := keys[i] >> 32
		for ; i >= 0 && keys[i]>>32 == score; i-- {
			if _, y, w := unpack(keys[i]); y {
				tp += w
			} else {
				fp += w
			}
		}
		at := (fp/neg + tp/pos) / 2 * float64(n-1)
		if i < 0 {
			break
		}
		if at >= next && len(points) < n-1 {
			points = append(points, Point{fp / neg, tp / pos})
			next = math.Floor(at) + 1
		}
	}
	return append(points, Point{1, 1})
}

// Bin is one bin of a calibration plot.
type Bin struct {
	Score, Rate float64
	Rows        int
}

// Calibration returns at most n bins of about equal counts with mean score, observed rate and rows. Rows of equal score share a bin.
func (r *Rows) Calibration(n int) []Bin {
	bins, _ := r.bins(n)
	return bins
}

// ECE is the expected calibration error over at most n bins of about equal counts: the mean of |score − rate|, by the bins' weights; NaN when empty.
func (r *Rows) ECE(n int) float64 {
	bins, weights := r.bins(n)
	var sum, weight float64
	for i, b := range bins {
		if weights[i] > 0 {
			sum, weight = sum+weights[i]*math.Abs(b.Score-b.Rate), weight+weights[i]
		}
	}
	return sum / weight
}

func (r *Rows) bins(n int) (bins []Bin, weights []float64) {
	keys := r.order()
	for i := 0; i < len(keys) && n > 0; {
		bin := i*n/len(keys) + 1
		end := min((bin*len(keys)+n-1)/n, len(keys))
		for end < len(keys) && keys[end]>>32 == keys[end-1]>>32 {
			end++
		}
		var score, rate, weight float64
		for _, k := range keys[i:end] {
			p, y, w := unpack(k)
			if y {
				rate += w
			}
			score, weight = score+w*p, weight+w
		}
		bins, weights = append(bins, Bin{score / weight, rate / weight, end - i}), append(weights, weight)
		i = end
	}
	return bins, weights
}
