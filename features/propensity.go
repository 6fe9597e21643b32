package features

// Propensity says with which probability the logging policy showed each row, so that training can count rows as if all had been shown alike (inverse
// propensity weights: Horvitz and Thompson, 1952; Joachims and others, WSDM 2017). A row weighs 1/p, at most Clip; beside a weight column, the weight times that.
// Losses and metrics divide by the sum of weights. A row without a propensity weighs as one that was certain. Online, the column is the impression's own propensity.
type Propensity struct {
	Column string  `yaml:"column,omitempty"`
	Clip   float64 `yaml:"clip,omitempty"` // the largest weight; 0: none
}

func (p *Propensity) complete() error {
	switch {
	case p.Column == "" && p.Clip != 0:
		return &SchemaError{Reason: "propensity: no column"}
	case p.Clip != 0 && !(p.Clip >= 1 && p.Clip < 1e30):
		return &SchemaError{Reason: "propensity.clip: want 1 or more, the weight of a row that was certain being 1"}
	}
	return nil
}

// weight is what a row counts for that was shown with probability x.
func (p *Propensity) weight(x float64) float64 {
	w := 1 / x
	if p.Clip > 0 {
		w = min(w, p.Clip)
	}
	return w
}

// Weighted reports whether rows have weights: a column of them, or propensities.
func (s *Schema) Weighted() bool { return s.Weight != "" || s.Propensity.Column != "" }

// noPropensity is why a number is none.
const noPropensity = "a propensity must be more than 0 and at most 1"

func isPropensity(x float64) bool { return x > 0 && x <= 1 }
