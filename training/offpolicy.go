package training

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/zeebo/xxh3"

	"github.com/millrace/millrace/core/metric"
	"github.com/millrace/millrace/features"
)

// OffPolicyOptions describe an off-policy estimate: what another policy would have earned on logged choices. The target policy is one of the four.
type OffPolicyOptions struct {
	Data       []string
	Dialect    features.Dialect
	Action     string   // column of the action chosen
	Reward     string   // column of the reward; a number
	Propensity string   // column of the logging policy's probability of that action
	By         []string // columns by which policies and rewards differ, such as a position
	Group      string   // column whose rows are not independent of each other, such as the user; empty: all are

	Uniform      bool         // every action with the same probability
	TargetData   []string     // logs of the target policy: its probability of an action, by the columns By, is the action's share there
	Model        *ModelPolicy // by a checkpoint's scores of all actions
	TargetColumn string       // column of Data with the target policy's probability of the logged action: no doubly robust estimate without its other actions

	Clip    float64 // weights above it are cut; 0: none
	Samples int     // of the bootstrap for the intervals; 0: normal intervals
	Seed    uint64
}

// OffPolicyResult is the JSON of offpolicy.
type OffPolicyResult struct {
	Rows       int             `json:"rows"`
	Actions    int             `json:"actions"`
	Logged     ValueFigures    `json:"logged"`              // the logging policy's own value
	Estimates  []ValueFigures  `json:"estimates"`           // of the target policy
	OnPolicy   *ValueFigures   `json:"on_policy,omitempty"` // the target policy's value in its own logs
	Weights    WeightFigures   `json:"weights"`
	Unlogged   Figure          `json:"unlogged"` // share of the target policy's choices that the logs hold no example of
	Warnings   []string        `json:"warnings,omitempty"`
	Difference *DifferenceTest `json:"difference,omitempty"` // of the estimates from the target policy's own logs
}

// ValueFigures are an estimate of a policy's value.
type ValueFigures struct {
	Method string `json:"method"`
	Value  Figure `json:"value"`
	StdErr Figure `json:"std_err"`
	Low    Figure `json:"low"`
	High   Figure `json:"high"`
}

// WeightFigures say how far the two policies are from each other.
type WeightFigures struct {
	Mean      Figure `json:"mean"` // 1 but for chance
	MeanError Figure `json:"mean_std_err"`
	Max       Figure `json:"max"`
	Effective Figure `json:"effective"` // how many unweighted choices carry as much
	Clipped   int    `json:"clipped"`
}

// DifferenceTest is how far each estimate is from the value in the target policy's own logs, in standard errors of the difference.
type DifferenceTest map[string]Figure

// Methods of off-policy estimates.
const (
	ipsMethod    = "ips"
	snipsMethod  = "snips"
	directMethod = "direct"
	robustMethod = "dr"
)

// folds is into how many parts the choices are cut for the reward model, which never sees the part it is asked about.
const folds = 5

// OffPolicy estimates a target policy's value from another's logs: by inverse propensities, self-normalised, and doubly robust.
func OffPolicy(ctx context.Context, o OffPolicyOptions) (result *OffPolicyResult, err error) {
	logs, err := readChoices(ctx, o.Data, &o, o.Propensity, o.TargetColumn)
	if err != nil {
		return nil, err
	}
	result = &OffPolicyResult{Rows: len(logs.action), Unlogged: Figure(math.NaN())}
	var target *policyTable
	var model *modelChoices
	switch {
	case o.TargetColumn != "":
		result.Actions = len(logs.actions.values)
	case o.Model != nil:
		result.Actions = len(logs.actions.values)
		files, err := expandInOrder(o.Data)
		if err != nil {
			return nil, err
		}
		if model, err = newModelChoices(ctx, o.Model, files, logs); err != nil {
			return nil, err
		}
		defer func() {
			if cerr := model.reader.Close(); err == nil {
				err = cerr
			}
		}()
	default:
		actions, strata := logs.actions, logs.strata
		var own *choices
		if !o.Uniform {
			if own, err = readChoices(ctx, o.TargetData, &o, ""); err != nil {
				return nil, err
			}
			own.renumber(logs)
			actions, strata = logs.actions, logs.strata
			v := valueOf("on policy", onPolicy(own))
			result.OnPolicy = &v
		}
		result.Actions = len(actions.values)
		target = newPolicyTable(len(strata.values), len(actions.values), own)
		if err := target.covers(logs, &o); err != nil {
			return nil, err
		}
		result.Unlogged = Figure(target.unlogged(logs))
	}
	estimates := &metric.OffPolicy{Clip: o.Clip, Grouped: o.Group != ""}
	rewards := newRewardModel(logs, len(logs.strata.values), len(logs.actions.values))
	var means [folds][]float64
	if target != nil {
		means = rewards.means(target)
	}
	for i := range logs.action {
		c := metric.Choice{Reward: logs.reward[i], Propensity: logs.propensity[i], Group: logs.group[i]}
		a, s, fold := logs.action[i], logs.stratum[i], foldOf(logs.group[i])
		switch {
		case target != nil:
			c.Target, c.Modelled, c.TargetModelled = target.at(s, a), rewards.at(fold, s, a), means[fold][s]
		case model != nil:
			p, err := model.probabilities()
			if err != nil {
				return nil, err
			}
			c.Target, c.Modelled = p[a], rewards.at(fold, s, a)
			for b, x := range p {
				c.TargetModelled += x * rewards.at(fold, s, uint32(b))
			}
		default:
			c.Target = logs.target[i]
		}
		if !estimates.Add(c) {
			return nil, &features.DataError{File: o.Data[0], Reason: fmt.Sprintf("row %d: reward %g, propensity %g, target probability %g: want finite numbers, a propensity above 0 and at most 1, and a probability", i, c.Reward, c.Propensity, c.Target)}
		}
	}
	ips, snips, dr := estimates.IPS(), estimates.SNIPS(), estimates.DoublyRobust()
	if o.Samples > 0 {
		ips, snips, dr = estimates.Percentiles(o.Samples, o.Seed)
	}
	result.Logged = valueOf("logged", estimates.Logged())
	result.Estimates = []ValueFigures{valueOf(ipsMethod, ips), valueOf(snipsMethod, snips)}
	if target != nil || model != nil {
		result.Estimates = append(result.Estimates, valueOf(robustMethod, dr), valueOf(directMethod, estimates.Direct()))
	}
	mean := estimates.MeanWeight()
	result.Weights = WeightFigures{Figure(mean.Value), Figure(mean.StdErr), Figure(estimates.MaxWeight()), Figure(estimates.Effective()), estimates.Clipped()}
	result.warn(o.Clip > 0)
	if result.OnPolicy != nil {
		d := DifferenceTest{}
		for _, e := range result.Estimates {
			d[e.Method] = (e.Value - result.OnPolicy.Value) / Figure(math.Hypot(float64(e.StdErr), float64(result.OnPolicy.StdErr)))
		}
		result.Difference = &d
	}
	return result, nil
}

func valueOf(method string, e metric.Estimate) ValueFigures {
	return ValueFigures{method, Figure(e.Value), Figure(e.StdErr), Figure(e.Low), Figure(e.High)}
}

// warn says in words what makes the estimates doubtful.
func (r *OffPolicyResult) warn(clipped bool) {
	w := &r.Warnings
	if d := math.Abs(float64(r.Weights.Mean) - 1); !clipped && d > 4*float64(r.Weights.MeanError) && d > 0.01 {
		*w = append(*w, fmt.Sprintf("the weights' mean is %.4g ± %.2g, not 1: the propensities are not those by which the actions were chosen, or the target policy chooses what the logs never hold", r.Weights.Mean, r.Weights.MeanError))
	}
	if r.Unlogged > 0.01 {
		*w = append(*w, fmt.Sprintf("%.1f %% of the target policy's choices have no example in the logs: its value there is not known", 100*r.Unlogged))
	}
	if r.Weights.Effective < 0.05*Figure(r.Rows) {
		*w = append(*w, fmt.Sprintf("the weighted choices carry as much as %.0f of %d: the policies are far apart", r.Weights.Effective, r.Rows))
	}
}

// choices are logged decisions by columns, numbered.
type choices struct {
	actions, strata *texts
	action, stratum []uint32
	reward          []float64
	propensity      []float64
	target          []float64
	group           []uint64 // the row's own number where rows are independent
}

// readChoices reads the columns of logs; propensity and target may be empty.
func readChoices(ctx context.Context, paths []string, o *OffPolicyOptions, optional ...string) (*choices, error) {
	files, err := expandInOrder(paths)
	if err != nil {
		return nil, err
	}
	numbers := []string{o.Reward}
	for _, n := range optional {
		if n != "" {
			numbers = append(numbers, n)
		}
	}
	wanted := append([]string{o.Action}, o.By...)
	if o.Group != "" && !slices.Contains(wanted, o.Group) {
		wanted = append(wanted, o.Group)
	}
	f, err := readFrame(ctx, files, o.Dialect, numbers, wanted)
	if err != nil {
		return nil, err
	}
	for _, n := range numbers {
		if i := slices.IndexFunc(f.numbers[n], math.IsNaN); i >= 0 {
			return nil, &features.DataError{File: files[0], Reason: fmt.Sprintf("row %d: column %q is missing", i, n)}
		}
	}
	c := &choices{actions: f.texts[o.Action], action: f.texts[o.Action].ids, reward: f.numbers[o.Reward], strata: &texts{known: map[string]uint32{}}, group: make([]uint64, f.rows)}
	if len(optional) > 0 {
		c.propensity = f.numbers[optional[0]]
	}
	if len(optional) > 1 {
		c.target = f.numbers[optional[1]]
	}
	for i := range f.rows {
		stratum := ""
		for k, b := range o.By {
			if k > 0 {
				stratum += ", "
			}
			stratum += b + " " + f.texts[b].text(i)
		}
		c.strata.add(stratum)
		if o.Group != "" {
			c.group[i] = xxh3.HashString(f.texts[o.Group].text(i))
		} else {
			c.group[i] = uint64(i)
		}
	}
	c.stratum = c.strata.ids
	return c, nil
}

// renumber gives actions and strata the numbers they have in o, adding to those what o has not got.
func (c *choices) renumber(o *choices) {
	into := func(from, to *texts, ids []uint32) []uint32 {
		numbers := make([]uint32, len(from.values))
		for i, v := range from.values {
			id, ok := to.known[v]
			if !ok {
				id = uint32(len(to.values))
				to.known[v], to.values = id, append(to.values, v)
			}
			numbers[i] = id
		}
		out := make([]uint32, len(ids))
		for i, id := range ids {
			out[i] = numbers[id]
		}
		return out
	}
	c.action, c.stratum = into(c.actions, o.actions, c.action), into(c.strata, o.strata, c.stratum)
}

// onPolicy is the mean reward of choices.
func onPolicy(c *choices) metric.Estimate {
	o := metric.OffPolicy{}
	for _, r := range c.reward {
		o.Add(metric.Choice{Reward: r, Propensity: 1, Target: 1})
	}
	return o.Logged()
}

// policyTable is a policy that depends on the stratum alone: a probability of each action.
type policyTable struct {
	actions int
	p       []float64 // [strata × actions]
}

// newPolicyTable is the policy of some logs; nil: every action with the same probability.
func newPolicyTable(strata, actions int, logs *choices) *policyTable {
	t := &policyTable{actions, make([]float64, strata*actions)}
	if logs == nil {
		for i := range t.p {
			t.p[i] = 1 / float64(actions)
		}
		return t
	}
	rows := make([]float64, strata)
	for i, a := range logs.action {
		t.p[int(logs.stratum[i])*actions+int(a)]++
		rows[logs.stratum[i]]++
	}
	for i := range t.p {
		if n := rows[i/actions]; n > 0 {
			t.p[i] /= n
		}
	}
	return t
}

func (t *policyTable) at(stratum, action uint32) float64 {
	return t.p[int(stratum)*t.actions+int(action)]
}

// covers refuses logs with a stratum of which the target policy is not known.
func (t *policyTable) covers(logs *choices, o *OffPolicyOptions) error {
	for i, s := range logs.stratum {
		var sum float64
		for _, p := range t.p[int(s)*t.actions : (int(s)+1)*t.actions] {
			sum += p
		}
		if sum == 0 {
			return &features.DataError{File: o.Data[0], Reason: fmt.Sprintf("row %d: the target policy's logs hold no choice with %s", i, logs.strata.values[s])}
		}
	}
	return nil
}

// unlogged is the share of the policy's choices, over the logs' strata, that the logs have no example of.
func (t *policyTable) unlogged(logs *choices) float64 {
	seen := make([]bool, len(t.p))
	for i, a := range logs.action {
		seen[int(logs.stratum[i])*t.actions+int(a)] = true
	}
	var sum float64
	for _, s := range logs.stratum {
		for a, p := range t.p[int(s)*t.actions : (int(s)+1)*t.actions] {
			if !seen[int(s)*t.actions+a] {
				sum += p
			}
		}
	}
	return sum / float64(len(logs.stratum))
}

// foldOf spreads groups over the folds by Fibonacci hashing.
func foldOf(group uint64) int { return int(group * 0x9e3779b97f4a7c15 >> 32 % folds) }

// rewardModel is the mean reward of an action in a stratum, drawn towards the action's over all strata, and that towards the mean of all, each as strongly as one expected reward would;
// one model a fold, of the choices outside it.
type rewardModel struct {
	actions int
	q       [folds][]float64 // [strata × actions]
}

func newRewardModel(logs *choices, strata, actions int) *rewardModel {
	m := &rewardModel{actions: actions}
	type sum struct{ n, r float64 }
	cells := make([][]sum, folds+1) // the last: all
	for f := range cells {
		cells[f] = make([]sum, strata*actions)
	}
	for i, a := range logs.action {
		at := int(logs.stratum[i])*actions + int(a)
		for _, f := range []int{foldOf(logs.group[i]), folds} {
			cells[f][at].n++
			cells[f][at].r += logs.reward[i]
		}
	}
	for f := range folds {
		var all sum
		action := make([]sum, actions)
		for at := range cells[f] {
			c := &cells[f][at]
			c.n, c.r = cells[folds][at].n-c.n, cells[folds][at].r-c.r
			all.n, all.r = all.n+c.n, all.r+c.r
			action[at%actions].n += c.n
			action[at%actions].r += c.r
		}
		m.q[f] = make([]float64, strata*actions)
		if all.n == 0 || all.r == 0 {
			continue
		}
		mean := all.r / all.n
		strength := math.Max(1, 1/math.Abs(mean))
		for at, c := range cells[f] {
			a := action[at%actions]
			towards := (a.r + strength*mean) / (a.n + strength)
			m.q[f][at] = (c.r + strength*towards) / (c.n + strength)
		}
	}
	return m
}

func (m *rewardModel) at(fold int, stratum, action uint32) float64 {
	return m.q[fold][int(stratum)*m.actions+int(action)]
}

// means are the model's means over the actions of a policy, of each fold and stratum.
func (m *rewardModel) means(p *policyTable) (out [folds][]float64) {
	for f := range m.q {
		out[f] = make([]float64, len(p.p)/p.actions)
		for i, x := range p.p {
			out[f][i/p.actions] += x * m.q[f][i]
		}
	}
	return out
}
