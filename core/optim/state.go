package optim

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/millrace/millrace/core/graph"
)

// State returns the dense state as named tensors (adam: name+"/m", name+"/v"; adagrad: name+"/sum"; ftrl: name+"/z", name+"/n"; lamb as adam) and the step count, for a checkpoint; Load restores it.
// The tensors are the optimizer's own: they change with the next step.
func (o *Optimizer) State() (map[string]*graph.Tensor, uint64) {
	state := make(map[string]*graph.Tensor, 2*len(o.params))
	for _, p := range o.params {
		for j, suffix := range stateNames(o.c.Optimizer) {
			state[p.name+suffix] = p.state[j]
		}
	}
	return state, o.steps
}

// Load restores what State returned, from copies of the tensors. An error leaves the optimizer as it was.
func (o *Optimizer) Load(state map[string]*graph.Tensor, steps uint64) error {
	suffixes := stateNames(o.c.Optimizer)
	var params []param
	used := 0
	for _, key := range slices.Sorted(maps.Keys(state)) {
		if len(suffixes) == 0 || !strings.HasSuffix(key, suffixes[0]) {
			continue
		}
		p := param{name: strings.TrimSuffix(key, suffixes[0])}
		for j, suffix := range suffixes {
			t := state[p.name+suffix]
			if t == nil || len(t.F32) != t.Rows*t.Cols {
				return fmt.Errorf("load optimizer state: %s is missing or not float32 of its shape", p.name+suffix)
			}
			p.state[j] = graph.NewTensor(t.Rows, t.Cols)
			copy(p.state[j].F32, t.F32)
			used++
		}
		params = append(params, p)
	}
	if used != len(state) {
		return fmt.Errorf("load optimizer state: %d tensors, %s knows %d of them", len(state), o.c.Optimizer, used)
	}
	o.params, o.steps, o.fixed = params, steps, len(params) > 0
	return nil
}
