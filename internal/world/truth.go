package world

import "math"

// Examination is the chance that a user looks at a position at all, 1 for the first (position 0).
func Examination(position int) float64 { return 1 / (1 + biasDecay*float64(position)) }

// Attraction is the true probability that a user who looks at an item clicks it, in a session with the given intent and device.
func (w *World) Attraction(v Visit, item int) float64 {
	return sigmoid(w.logit(v, item))
}

// Probability is the true click probability of an item shown at a position: examination times attraction.
func (w *World) Probability(v Visit, item, position int) float64 {
	return Examination(position) * w.Attraction(v, item)
}

// Average is the true click probability averaged over the positions a request shows: the best score there is for a row whose position was drawn at random.
func (w *World) Average(v Visit, item int) float64 {
	sum := 0.0
	for p := range w.cfg.Shown {
		sum += Examination(p)
	}
	return sum / float64(w.cfg.Shown) * w.Attraction(v, item)
}

// Visit is the state of a user's mind at a request: who, when, on which device, and the hidden intent of the session (a category).
type Visit struct {
	User   int
	TimeMS int64
	Device int
	intent int
}

// DeviceName returns the device's name.
func (v Visit) DeviceName() string { return devices[v.Device] }

// Hour is the hour of the day of the visit, UTC.
func (v Visit) Hour() int { return int(v.TimeMS / 3_600_000 % 24) }

func (w *World) logit(v Visit, item int) float64 {
	d := w.drift[item]
	z := intercept + w.appeal[item] + float64(w.taste[v.User][w.category[item]]) + w.device[v.Device] +
		d.amplitude*math.Sin(2*math.Pi*float64(v.TimeMS)/d.period+d.phase)
	if w.category[item] == v.intent {
		z += intentBoost
	}
	return z
}

func sigmoid(z float64) float64 { return 1 / (1 + math.Exp(-z)) }
