// Package metric holds exact offline metrics in float64: AUC with ties, GAUC, logloss, normalised entropy, calibration, ROC.
// Accumulators can be merged, and their results do not depend on the order of rows.
package metric

// Rows collects (score, label, weight, group) of a binary task. The zero value is ready.
type Rows struct{}

// Add appends rows; weights and groups may be nil (weight 1, no groups). A NaN label is a missing label and is dropped. A score is a probability.
func (r *Rows) Add(scores, labels, weights []float32, groups []uint64) { panic("contract") }

// Merge appends another accumulator's rows.
func (r *Rows) Merge(o *Rows) { panic("contract") }

// Len is the number of rows held.
func (r *Rows) Len() int { panic("contract") }

// AUC is the rank-sum AUC with average ranks for ties, NaN when one class is absent.
func (r *Rows) AUC() float64 { panic("contract") }

// GAUC is Σ w_u·AUC_u / Σ w_u over groups with both classes, w_u the group's rows (din.md section 8); NaN when there is none.
func (r *Rows) GAUC() float64 { panic("contract") }

// Logloss is the mean of −y·ln p − (1−y)·ln(1−p), p clipped to [1e-7, 1−1e-7]; NaN when empty.
func (r *Rows) Logloss() float64 { panic("contract") }

// Point is a point of a curve.
type Point struct{ X, Y float64 }

// ROC returns at most n points of the curve; Calibration n bins of equal counts with mean score X, observed rate Y and rows N.
func (r *Rows) ROC(n int) []Point       { panic("contract") }
func (r *Rows) Calibration(n int) []Bin { panic("contract") }

// Bin is one bin of a calibration plot.
type Bin struct {
	Score, Rate float64
	Rows        int
}
