package optim

// Plateau watches a validation metric, larger being better, as FuxiCTR does: no improvement lowers the learning rate, and Patience of them in a row stop the training.
// It is saved with a run as JSON. Zero constants take FuxiCTR's: MinDelta 1e-6, Factor 0.1, MinRate 1e-6, Patience 2.
type Plateau struct {
	MinDelta float64 `json:"min_delta"`
	Factor   float64 `json:"factor"`
	MinRate  float64 `json:"min_rate"`
	Patience int     `json:"patience"`

	Best float64 `json:"best"` // meaningful when Seen
	Seen bool    `json:"seen"`
	Bad  int     `json:"bad"` // evaluations without improvement in a row
}

// Observe takes the metric of an evaluation. Improved: it is above the best by more than MinDelta (the first one is; NaN never is), save the weights. Otherwise reduce:
// take Rate; stop: it was the last of Patience.
func (p *Plateau) Observe(metric float64) (improved, reduce, stop bool) {
	if metric == metric && (!p.Seen || metric > p.Best+or(p.MinDelta, 1e-6)) {
		p.Best, p.Seen, p.Bad = metric, true, 0
		return true, false, false
	}
	p.Bad++
	patience := p.Patience
	if patience == 0 {
		patience = 2
	}
	return false, true, p.Bad >= patience
}

// Rate is the learning rate after a reduction of lr.
func (p *Plateau) Rate(lr float64) float64 {
	return max(lr*or(p.Factor, 0.1), or(p.MinRate, 1e-6))
}

func or(x, zero float64) float64 {
	if x == 0 {
		return zero
	}
	return x
}
