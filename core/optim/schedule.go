package optim

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// Kinds of schedules.
const (
	ConstantSchedule = "constant"
	CosineSchedule   = "cosine" // half a cosine over all epochs (Loshchilov and Hutter 2017, equation 5, without restarts)
	LinearSchedule   = "linear" // a straight line over all epochs
	StepSchedule     = "step"   // a factor every so many epochs
)

var scheduleKinds = []string{ConstantSchedule, CosineSchedule, LinearSchedule, StepSchedule}

// Schedule says by what the learning rate is multiplied as a training goes on. The zero value is constant.
type Schedule struct {
	Kind        string
	WarmupSteps int     // the first steps rise on a straight line from 1/WarmupSteps of the rate to it (Goyal et al. 2017)
	Epochs      float64 // cosine, linear: how many until the end
	EndFactor   float64 // cosine, linear: what is left of the rate then
	StepEpochs  float64 // step: how often
	StepFactor  float64 // step: by what the rate is multiplied each time
}

// Check refuses what is no schedule.
func (s Schedule) Check() error {
	switch {
	case s.Kind != "" && !slices.Contains(scheduleKinds, s.Kind):
		return fmt.Errorf("schedule %q, want one of %s", s.Kind, strings.Join(scheduleKinds, ", "))
	case s.WarmupSteps < 0:
		return fmt.Errorf("%d warm-up steps, want at least 0", s.WarmupSteps)
	case (s.Kind == CosineSchedule || s.Kind == LinearSchedule) && !(s.Epochs > 0):
		return fmt.Errorf("a schedule over %g epochs, want more than 0", s.Epochs)
	case !(s.EndFactor >= 0 && s.EndFactor <= 1):
		return fmt.Errorf("end factor %g, want 0 to 1", s.EndFactor)
	case s.Kind == StepSchedule && !(s.StepEpochs > 0):
		return fmt.Errorf("a step every %g epochs, want more than 0", s.StepEpochs)
	case s.Kind == StepSchedule && !(s.StepFactor > 0 && s.StepFactor <= 1):
		return fmt.Errorf("step factor %g, want more than 0 and at most 1", s.StepFactor)
	}
	return nil
}

// Fixed reports whether the factor is 1 all the time.
func (s Schedule) Fixed() bool {
	return s.WarmupSteps == 0 && (s.Kind == "" || s.Kind == ConstantSchedule)
}

// Factor is what the rate is multiplied by in the step that follows steps others, epochs (a fraction too) of the training being behind.
func (s Schedule) Factor(steps uint64, epochs float64) float64 {
	f := 1.0
	switch s.Kind {
	case CosineSchedule:
		f = s.EndFactor + (1-s.EndFactor)*(1+math.Cos(math.Pi*s.share(epochs)))/2
	case LinearSchedule:
		f = s.EndFactor + (1-s.EndFactor)*(1-s.share(epochs))
	case StepSchedule:
		f = math.Pow(s.StepFactor, math.Floor(epochs/s.StepEpochs))
	}
	if n := uint64(s.WarmupSteps); steps < n {
		f *= float64(steps+1) / float64(n)
	}
	return f
}

func (s Schedule) share(epochs float64) float64 { return min(max(epochs/s.Epochs, 0), 1) }
