package metric

import (
	"math"
	"math/rand/v2"
	"slices"
)

// Choice is one logged decision as an off-policy estimate sees it: which reward came, how probable the action was under the logging policy and would be under the target policy,
// and what a reward model makes of it. Where there is no reward model, Modelled and TargetModelled are 0.
type Choice struct {
	Reward         float64
	Propensity     float64 // of the logged action under the logging policy, above 0
	Target         float64 // of the logged action under the target policy
	Modelled       float64 // the reward model at the logged action
	TargetModelled float64 // the reward model's mean over all actions under the target policy
	Group          uint64  // rows of a group, such as a user's, are not independent
}

// OffPolicy collects logged choices and estimates the reward that the target policy would have had. The zero value is ready; it takes 32 bytes a choice. It is for one goroutine.
type OffPolicy struct {
	Clip    float64 // weights Target/Propensity above it are cut to it; 0: none is
	Grouped bool    // errors count whole groups

	weight, reward []float64
	residual       []float64 // TargetModelled + w·(Reward − Modelled)
	model          []float64 // TargetModelled
	group          []uint64
	clipped        int
}

// Estimate is the value of a policy with its standard error and 95 % interval.
type Estimate struct {
	Value, StdErr, Low, High float64
}

// Add appends a choice. A propensity that is not above 0 and at most 1, or anything not finite, is refused with false.
func (o *OffPolicy) Add(c Choice) bool {
	w := c.Target / c.Propensity
	if !(c.Propensity > 0 && c.Propensity <= 1) || !(c.Target >= 0 && c.Target <= 1) || !finite(w) || !finite(c.Reward) || !finite(c.Modelled) || !finite(c.TargetModelled) {
		return false
	}
	if o.Clip > 0 && w > o.Clip {
		w = o.Clip
		o.clipped++
	}
	o.weight, o.reward = append(o.weight, w), append(o.reward, c.Reward)
	o.residual = append(o.residual, c.TargetModelled+w*(c.Reward-c.Modelled))
	o.model = append(o.model, c.TargetModelled)
	if o.Grouped {
		o.group = append(o.group, c.Group)
	}
	return true
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }

// Len is the number of choices; Clipped how many had their weight cut.
func (o *OffPolicy) Len() int     { return len(o.weight) }
func (o *OffPolicy) Clipped() int { return o.clipped }

// Logged is the mean reward of the choices as they are: the value of the logging policy.
func (o *OffPolicy) Logged() Estimate { return o.mean(func(i int) float64 { return o.reward[i] }) }

// IPS is the mean of w·r, w the target policy's probability over the logging policy's (Horvitz and Thompson 1952): unbiased where the logging policy chooses everything that the target policy does.
func (o *OffPolicy) IPS() Estimate {
	return o.mean(func(i int) float64 { return o.weight[i] * o.reward[i] })
}

// SNIPS is Σ w·r / Σ w (Swaminathan and Joachims 2015), with the error of a ratio by linearisation: a small bias for less spread.
func (o *OffPolicy) SNIPS() Estimate {
	var wr, w float64
	for i := range o.weight {
		wr, w = wr+o.weight[i]*o.reward[i], w+o.weight[i]
	}
	return o.around(wr/w, w, func(i int) float64 { return o.weight[i] * (o.reward[i] - wr/w) })
}

// Direct is the mean of the reward model under the target policy; its error, mostly that of the model, is not known.
func (o *OffPolicy) Direct() Estimate {
	nan := math.NaN()
	return Estimate{o.mean(func(i int) float64 { return o.model[i] }).Value, nan, nan, nan}
}

// DoublyRobust is the mean of q̄ + w·(r − q) (Dudík, Langford and Li 2011): right when the propensities or the reward model are. The reward model must not have seen the choice itself.
func (o *OffPolicy) DoublyRobust() Estimate {
	return o.mean(func(i int) float64 { return o.residual[i] })
}

// MeanWeight is the weights' mean: 1 but for chance where the propensities are right and the logging policy chooses everything that the target policy does.
func (o *OffPolicy) MeanWeight() Estimate {
	return o.mean(func(i int) float64 { return o.weight[i] })
}

// MaxWeight is the largest weight, after clipping; NaN where there is none.
func (o *OffPolicy) MaxWeight() float64 {
	if len(o.weight) == 0 {
		return math.NaN()
	}
	return slices.Max(o.weight)
}

// Effective is how many unweighted choices carry as much as the weighted ones, (Σ w)² / Σ w² (Kish 1965).
func (o *OffPolicy) Effective() float64 {
	var sum, squares float64
	for _, w := range o.weight {
		sum, squares = sum+w, squares+w*w
	}
	return sum * sum / squares
}

func (o *OffPolicy) mean(of func(i int) float64) Estimate {
	var sum float64
	for i := range o.weight {
		sum += of(i)
	}
	n := float64(len(o.weight))
	return o.around(sum/n, n, func(i int) float64 { return of(i) - sum/n })
}

// around is the estimate whose error is that of the sum of parts over scale.
func (o *OffPolicy) around(value, scale float64, part func(i int) float64) Estimate {
	var squares float64
	units := float64(len(o.weight))
	if o.Grouped {
		order := o.byGroup()
		units = 0
		for i := 0; i < len(order); units++ {
			var sum float64
			for g := o.group[order[i]]; i < len(order) && o.group[order[i]] == g; i++ {
				sum += part(int(order[i]))
			}
			squares += sum * sum
		}
	} else {
		for i := range o.weight {
			x := part(i)
			squares += x * x
		}
	}
	se := math.Sqrt(squares*units/(units-1)) / scale
	return Estimate{value, se, value - z95*se, value + z95*se}
}

// byGroup lists the choices group by group.
func (o *OffPolicy) byGroup() []uint32 {
	order := make([]uint32, len(o.group))
	for i := range order {
		order[i] = uint32(i)
	}
	slices.SortStableFunc(order, func(a, b uint32) int {
		switch {
		case o.group[a] < o.group[b]:
			return -1
		case o.group[a] > o.group[b]:
			return 1
		}
		return 0
	})
	return order
}

// Percentiles replaces the normal intervals of IPS, SNIPS and the doubly robust estimate by those of the percentiles of samples drawn with replacement (of whole groups where Grouped): better where rewards are rare.
func (o *OffPolicy) Percentiles(samples int, seed uint64) (ips, snips, dr Estimate) {
	ips, snips, dr = o.IPS(), o.SNIPS(), o.DoublyRobust()
	type sums struct{ n, w, wr, dr float64 }
	var units []sums
	add := func(u *sums, i int) {
		u.n, u.w, u.wr, u.dr = u.n+1, u.w+o.weight[i], u.wr+o.weight[i]*o.reward[i], u.dr+o.residual[i]
	}
	if o.Grouped {
		order := o.byGroup()
		for k, i := range order {
			if k == 0 || o.group[i] != o.group[order[k-1]] {
				units = append(units, sums{})
			}
			add(&units[len(units)-1], int(i))
		}
	} else {
		units = make([]sums, len(o.weight))
		for i := range units {
			add(&units[i], i)
		}
	}
	if len(units) == 0 || samples < 2 {
		return ips, snips, dr
	}
	draws := [3][]float64{make([]float64, samples), make([]float64, samples), make([]float64, samples)}
	for s := range samples {
		rng := rand.New(rand.NewPCG(seed, uint64(s)))
		var t sums
		for range units {
			u := &units[rng.IntN(len(units))]
			t.n, t.w, t.wr, t.dr = t.n+u.n, t.w+u.w, t.wr+u.wr, t.dr+u.dr
		}
		draws[0][s], draws[1][s], draws[2][s] = t.wr/t.n, t.wr/t.w, t.dr/t.n
	}
	for i, e := range []*Estimate{&ips, &snips, &dr} {
		slices.Sort(draws[i])
		_, e.StdErr = spreadOf(draws[i])
		e.Low, e.High = quantile(draws[i], 0.025), quantile(draws[i], 0.975)
	}
	return ips, snips, dr
}
