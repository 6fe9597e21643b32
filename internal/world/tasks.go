package world

import (
	"fmt"
	"math"
	"math/rand/v2"
)

// TasksConfig sizes a world of two tasks. Zero values take the defaults named.
type TasksConfig struct {
	Users  int     // default 300
	Items  int     // default 1,000
	Topics int     // an item has one; default 4
	Styles int     // and one of these; default 4
	Levels int     // values of each trait; default 6
	Memory int     // behaviours of a kind that a user remembers, the newest; default 8
	Pull   float64 // logits that a remembered mood adds or takes; default 2.5
	Clash  float64 // how much each task is repelled by what the other is drawn to, in shares of the pull; default 0.25
	Seed   uint64  // any
}

// Tasks is a world in which two tasks, click and save, want different things of the same behaviours. A user remembers the moods in which earlier clicks and saves left him. He clicks an item
// whose topic pleased him, whatever its style, and saves one whose style did, whatever its topic; and what draws one task repels the other.
// Besides, a mode decides which of three traits of the moment counts, and it is another one for each task. Both tasks read the same behaviours with the same attributes, so a
// representation that has to serve both mixes what each must tell apart. Tasks is not safe for concurrent use.
type Tasks struct {
	cfg          TasksConfig
	rng          *rand.Rand
	topic, style []int       // [items]
	appeal       []float64   // [items] logit
	effect       [][]float64 // [traits][levels] logit
	past         [2][][]memory
	now          int64
}

// memory is one remembered behaviour.
type memory struct {
	topic, style int
	mood         float64
}

// Traits is how many traits a moment has, and how many modes there are.
const Traits = 3

// TaskNames are the two tasks.
var TaskNames = [2]string{"click", "save"}

const (
	taskIntercept = -0.8
	taskAppeal    = 0.3
	traitStd      = 1.5
	stepMS        = 1000
)

// TaskRow is one impression with its outcome. Mood is how the user felt afterwards, -1 or 1: it is remembered with the behaviour and not known beforehand.
type TaskRow struct {
	User, Item, Topic, Style, Mode int
	Traits                         [Traits]int
	TimeMS                         int64
	Probability                    [2]float64
	Label                          [2]bool
	Mood                           int
}

// NewTasks makes the world of a configuration.
func NewTasks(c TasksConfig) (*Tasks, error) {
	for _, d := range []struct {
		p *int
		x int
	}{{&c.Users, 300}, {&c.Items, 1000}, {&c.Topics, 4}, {&c.Styles, 4}, {&c.Levels, 6}, {&c.Memory, 8}} {
		if *d.p == 0 {
			*d.p = d.x
		}
		if *d.p < 1 {
			return nil, fmt.Errorf("world of tasks: a size is %d, want at least 1", *d.p)
		}
	}
	if c.Pull == 0 {
		c.Pull = 2.5
	}
	if c.Clash == 0 {
		c.Clash = 0.25
	}
	rng := rand.New(rand.NewPCG(c.Seed, 0x74_61_73_6b_73))
	w := &Tasks{cfg: c, rng: rng, now: 1_767_571_200_000}
	for range c.Items {
		w.topic, w.style = append(w.topic, rng.IntN(c.Topics)), append(w.style, rng.IntN(c.Styles))
		w.appeal = append(w.appeal, taskAppeal*rng.NormFloat64())
	}
	for range Traits {
		var of []float64
		for range c.Levels {
			of = append(of, traitStd*rng.NormFloat64())
		}
		w.effect = append(w.effect, of)
	}
	for k := range w.past {
		w.past[k] = make([][]memory, c.Users)
	}
	return w, nil
}

// Next returns the next impression and lets the user remember it.
func (w *Tasks) Next() TaskRow {
	w.now += stepMS
	r := TaskRow{User: w.rng.IntN(w.cfg.Users), Item: w.rng.IntN(w.cfg.Items), Mode: w.rng.IntN(Traits), TimeMS: w.now, Mood: 2*w.rng.IntN(2) - 1}
	r.Topic, r.Style = w.topic[r.Item], w.style[r.Item]
	for f := range r.Traits {
		r.Traits[f] = w.rng.IntN(w.cfg.Levels)
	}
	r.Probability = w.probabilities(&r)
	for task := range r.Label {
		r.Label[task] = w.rng.Float64() < r.Probability[task]
	}
	for k, did := range r.Label {
		if !did {
			continue
		}
		past := append(w.past[k][r.User], memory{r.Topic, r.Style, float64(r.Mood)})
		w.past[k][r.User] = past[max(0, len(past)-w.cfg.Memory):]
	}
	return r
}

// probabilities are those of click and save, from what the user remembers.
func (w *Tasks) probabilities(r *TaskRow) [2]float64 {
	topic := func(m memory) bool { return m.topic == r.Topic }
	style := func(m memory) bool { return m.style == r.Style }
	clicks, saves := w.past[0][r.User], w.past[1][r.User]
	draws := [2]float64{felt(clicks, topic) + felt(saves, topic), felt(clicks, style) + felt(saves, style)}
	var p [2]float64
	for task := range p {
		trait := (r.Mode + task) % Traits
		z := taskIntercept + w.appeal[r.Item] + w.cfg.Pull*(draws[task]-w.cfg.Clash*draws[1-task]) + w.effect[trait][r.Traits[trait]]
		p[task] = sigmoid(z)
	}
	return p
}

// felt is the mean mood of the behaviours that are alike, 0 for none.
func felt(past []memory, alike func(memory) bool) float64 {
	sum, n := 0.0, 0
	for _, m := range past {
		if alike(m) {
			sum += m.mood
			n++
		}
	}
	return sum / math.Max(1, float64(n))
}
