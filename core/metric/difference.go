package metric

import (
	"math"
	"slices"
)

// Difference compares two models on the same rows: the second's metric less the first's, with its standard error, the 95 % interval, and the two-sided p-value
// of there being no difference. What is undefined is NaN.
type Difference struct {
	Value, StdErr, Low, High, P float64
}

// z95 is the 97.5 % quantile of the normal distribution.
const z95 = 1.959963984540054

// normalDifference is one whose error is normal. Without any spread, two equal models have p 1 and two different ones p 0.
func normalDifference(value, variance float64) Difference {
	se := math.Sqrt(max(variance, 0))
	d := Difference{Value: value, StdErr: se, Low: value - z95*se, High: value + z95*se}
	switch {
	case math.IsNaN(value) || math.IsNaN(variance):
		d = undefinedDifference()
	case se == 0 && value == 0:
		d.P = 1
	default:
		d.P = math.Erfc(math.Abs(value) / se / math.Sqrt2)
	}
	return d
}

func undefinedDifference() Difference {
	nan := math.NaN()
	return Difference{nan, nan, nan, nan, nan}
}

// quantile is the q-quantile of values in order, interpolated between neighbours.
func quantile(sorted []float64, q float64) float64 {
	if len(sorted) == 0 {
		return math.NaN()
	}
	at := q * float64(len(sorted)-1)
	i := min(int(at), len(sorted)-1)
	if i == len(sorted)-1 {
		return sorted[i]
	}
	return sorted[i] + (at-float64(i))*(sorted[i+1]-sorted[i])
}

// spreadOf is the mean and the sample standard deviation.
func spreadOf(values []float64) (mean, std float64) {
	n := float64(len(values))
	for _, v := range values {
		mean += v / n
	}
	var squares float64
	for _, v := range values {
		squares += (v - mean) * (v - mean)
	}
	return mean, math.Sqrt(squares / (n - 1))
}

// Holm adjusts p-values for the number of questions asked (Holm 1979): a value stays below its level when all of them together are wrong no more often than that. NaN stays and counts as no question.
func Holm(p []float64) []float64 {
	out := slices.Clone(p)
	var order []int
	for i, x := range p {
		if x == x {
			order = append(order, i)
		}
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case p[a] < p[b]:
			return -1
		case p[a] > p[b]:
			return 1
		}
		return 0
	})
	floor := 0.0
	for rank, i := range order {
		floor = max(floor, min(1, p[i]*float64(len(order)-rank)))
		out[i] = floor
	}
	return out
}
