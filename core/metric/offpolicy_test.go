package metric

import (
	"math"
	"math/rand/v2"
	"testing"
)

func TestOffPolicyByHand(t *testing.T) {
	var o OffPolicy
	for _, c := range []Choice{
		{Reward: 1, Propensity: .5, Target: .25, Modelled: .5, TargetModelled: .4},
		{Reward: 0, Propensity: .25, Target: .5, Modelled: .5, TargetModelled: .4},
		{Reward: 1, Propensity: .5, Target: .5, Modelled: .5, TargetModelled: .4},
	} {
		if !o.Add(c) {
			t.Fatalf("%+v is refused", c)
		}
	}
	near(t, "logged", o.Logged().Value, 2./3, 1e-15)
	near(t, "IPS", o.IPS().Value, (.5+0+1)/3, 1e-15)
	near(t, "SNIPS", o.SNIPS().Value, 1.5/3.5, 1e-15)
	near(t, "DR", o.DoublyRobust().Value, .4+(.5*.5-2*.5+.5)/3, 1e-15)
	near(t, "direct", o.Direct().Value, .4, 1e-15)
	near(t, "mean weight", o.MeanWeight().Value, 3.5/3, 1e-15)
	near(t, "largest weight", o.MaxWeight(), 2, 0)
	near(t, "effective choices", o.Effective(), 3.5*3.5/(.25+4+1), 1e-14)
	near(t, "IPS error", o.IPS().StdErr, math.Sqrt((0+.25+.25)/2/3), 1e-15) // w·r is 0.5, 0, 1

	clipped := OffPolicy{Clip: 1}
	clipped.Add(Choice{Reward: 1, Propensity: .25, Target: .5})
	near(t, "clipped", clipped.IPS().Value, 1, 0)
	if clipped.Clipped() != 1 {
		t.Errorf("%d clipped, want 1", clipped.Clipped())
	}
	for _, c := range []Choice{{Propensity: 0, Target: .5}, {Propensity: -1, Target: .5}, {Propensity: 1.5, Target: .5}, {Propensity: nan, Target: .5}, {Propensity: .5, Target: nan}, {Propensity: .5, Target: 2}, {Reward: nan, Propensity: .5}} {
		if o.Add(c) {
			t.Errorf("%+v is taken", c)
		}
	}
	var none OffPolicy
	near(t, "nothing", none.IPS().Value, nan, 0)
	near(t, "nothing", none.MaxWeight(), nan, 0)
}

// TestOffPolicyIdentities: where the target policy is the logging one, all weights are 1 and the estimates are the mean reward.
func TestOffPolicyIdentities(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	rows, grouped := OffPolicy{}, OffPolicy{Grouped: true}
	for i := range 500 {
		p := .1 + .8*rng.Float64()
		c := Choice{Reward: float64(rng.IntN(2)), Propensity: p, Target: p, Group: uint64(i)}
		rows.Add(c)
		grouped.Add(c)
	}
	for _, e := range []Estimate{rows.IPS(), rows.SNIPS(), rows.DoublyRobust(), grouped.IPS()} {
		near(t, "value", e.Value, rows.Logged().Value, 1e-12)
		near(t, "error", e.StdErr, rows.Logged().StdErr, 1e-12) // groups of one row are rows
	}
	ips, _, _ := rows.Percentiles(2000, 1)
	near(t, "error by samples, over the normal one", ips.StdErr/rows.IPS().StdErr, 1, .08)
	near(t, "low", ips.Low, rows.IPS().Low, .01)

	// Each choice twice in one group: the same value, and the error of half as many.
	twice := OffPolicy{Grouped: true}
	for i := range rows.weight {
		c := Choice{Reward: rows.reward[i], Propensity: .5, Target: .5, Group: uint64(i)}
		twice.Add(c)
		twice.Add(c)
	}
	near(t, "value", twice.IPS().Value, rows.IPS().Value, 1e-12)
	near(t, "error", twice.IPS().StdErr, rows.IPS().StdErr, 1e-12)
}

// TestOffPolicyCoverage draws logs of a world with known rewards: the estimates are unbiased, their intervals hold the truth as often as they say, and a good reward model narrows the doubly robust one.
func TestOffPolicyCoverage(t *testing.T) {
	const actions, choices = 6, 800
	runs := 400
	if testing.Short() {
		runs = 200
	}
	rng := rand.New(rand.NewPCG(8, 1))
	reward := func(x float64, a int) float64 { return 1 / (1 + math.Exp(1-x*math.Cos(float64(a))-float64(a)/4)) }
	policy := func(x, heat float64) (p [actions]float64) {
		var sum float64
		for a := range p {
			p[a] = math.Exp(heat * math.Sin(float64(a)+x))
			sum += p[a]
		}
		for a := range p {
			p[a] /= sum
		}
		return p
	}
	var truth float64
	const fine = 20_000
	for i := range fine {
		x := (float64(i) + .5) / fine
		for a, p := range policy(x, 1.5) {
			truth += p * reward(x, a) / fine
		}
	}
	var covered, bias, errors [3]float64
	for range runs {
		var o OffPolicy
		for range choices {
			x := rng.Float64()
			logging, target := policy(x, -.7), policy(x, 1.5)
			a, u := 0, rng.Float64()
			for ; a < actions-1 && u >= logging[a]; a++ {
				u -= logging[a]
			}
			c := Choice{Propensity: logging[a], Target: target[a], Modelled: reward(x, a)}
			if rng.Float64() < reward(x, a) {
				c.Reward = 1
			}
			for b, p := range target {
				c.TargetModelled += p * reward(x, b)
			}
			o.Add(c)
		}
		for k, e := range []Estimate{o.IPS(), o.SNIPS(), o.DoublyRobust()} {
			if e.Low <= truth && truth <= e.High {
				covered[k] += 1 / float64(runs)
			}
			bias[k] += (e.Value - truth) / float64(runs)
			errors[k] += e.StdErr / float64(runs)
		}
	}
	for k, name := range []string{"IPS", "SNIPS", "DR"} {
		if covered[k] < .91 || covered[k] > .985 {
			t.Errorf("%s: %.3f of the intervals hold the truth, want about 0.95", name, covered[k])
		}
		near(t, name+": bias in standard errors of the mean", bias[k]/errors[k]*math.Sqrt(float64(runs)), 0, 3.5)
	}
	if !(errors[2] < errors[1] && errors[1] < errors[0]) {
		t.Errorf("standard errors of IPS, SNIPS, DR: %.4f, want them to fall", errors)
	}
}
