package training

import "github.com/millrace/millrace/models"

// AuxiliaryFigures are the mean of a loss that the model adds to training, and its weight: DIEN's guess of the next behaviour, AITM's calibrator.
type AuxiliaryFigures struct {
	Name   string  `json:"name"`
	Weight float64 `json:"weight"`
	Loss   Figure  `json:"loss"`
}

// auxiliarySum is what a run keeps of one over the epoch under way.
type auxiliarySum struct {
	Name   string  `json:"name"`
	Weight float64 `json:"weight"`
	Sum    float64 `json:"sum"`
}

// addAuxiliary adds the losses of a step on n rows to the sums.
func (s *runState) addAuxiliary(losses []models.AuxiliaryLoss, n float64) {
	if s.Auxiliary == nil {
		for _, x := range losses {
			s.Auxiliary = append(s.Auxiliary, auxiliarySum{Name: x.Name, Weight: x.Weight})
		}
	}
	for i, x := range losses {
		s.Auxiliary[i].Sum += n * x.Value
	}
}

// endAuxiliary returns the epoch's means and begins anew.
func (s *runState) endAuxiliary() []AuxiliaryFigures {
	var out []AuxiliaryFigures
	for _, x := range s.Auxiliary {
		out = append(out, AuxiliaryFigures{x.Name, x.Weight, Figure(x.Sum / float64(s.Rows))})
	}
	s.Auxiliary = nil
	return out
}

// OfModel is the part of the epoch's loss that the model added itself.
func (e *EpochFigures) OfModel() Figure {
	var sum Figure
	for _, x := range e.Auxiliary {
		sum += Figure(x.Weight) * x.Loss
	}
	return sum
}
