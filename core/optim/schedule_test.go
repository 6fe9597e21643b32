package optim

import (
	"math"
	"testing"
)

func TestSchedule(t *testing.T) {
	f := func(s Schedule, steps uint64, epochs, want float64) {
		t.Helper()
		if err := s.Check(); err != nil {
			t.Errorf("%+v: %v", s, err)
		}
		if got := s.Factor(steps, epochs); math.Abs(got-want) > 1e-15 {
			t.Errorf("%+v after %d steps, %g epochs: %g, want %g", s, steps, epochs, got, want)
		}
	}
	f(Schedule{}, 0, 0, 1)
	f(Schedule{}, 999, 7, 1)
	f(Schedule{WarmupSteps: 4}, 0, 0, .25)
	f(Schedule{WarmupSteps: 4}, 3, 0, 1)
	f(Schedule{WarmupSteps: 4}, 400, 0, 1)
	cosine := Schedule{Kind: CosineSchedule, Epochs: 10, EndFactor: .1}
	f(cosine, 0, 0, 1)
	f(cosine, 0, 5, .55)
	f(cosine, 0, 10, .1)
	f(cosine, 0, 12, .1)
	f(cosine, 0, 2.5, .1+.9*(1+math.Sqrt2/2)/2)
	linear := Schedule{Kind: LinearSchedule, Epochs: 4, WarmupSteps: 2}
	f(linear, 0, 0, .5)
	f(linear, 9, 1, .75)
	f(linear, 9, 4, 0)
	step := Schedule{Kind: StepSchedule, StepEpochs: 2, StepFactor: .5}
	f(step, 9, 1.99, 1)
	f(step, 9, 2, .5)
	f(step, 9, 5, .25)

	for _, s := range []Schedule{
		{Kind: "sine"}, {WarmupSteps: -1}, {Kind: CosineSchedule}, {Kind: LinearSchedule, Epochs: 2, EndFactor: 2}, {Kind: StepSchedule, StepFactor: .5}, {Kind: StepSchedule, StepEpochs: 1}, {Kind: StepSchedule, StepEpochs: 1, StepFactor: 2},
	} {
		if s.Check() == nil {
			t.Errorf("%+v is taken", s)
		}
	}
	if !(Schedule{}).Fixed() || (Schedule{WarmupSteps: 1}).Fixed() || cosine.Fixed() || !(Schedule{Kind: ConstantSchedule}).Fixed() {
		t.Error("Fixed")
	}
}
