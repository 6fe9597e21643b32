package training

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/millrace/millrace/models"
	"gopkg.in/yaml.v3"
)

func (o *SearchOptions) check() error {
	if o.Method == "" {
		o.Method = RandomSearch
	}
	if o.Eta == 0 {
		o.Eta = 3
	}
	if o.MinEpochs == 0 {
		o.MinEpochs = 1
	}
	size := o.Grid.Size()
	switch {
	case !slices.Contains([]string{RandomSearch, Halving, GridSearch}, o.Method):
		return refuse("method %q: want random, halving or grid", o.Method)
	case o.Trials < 0 || o.Trials > 100_000:
		return refuse("%d trials: want 1 to 100000", o.Trials)
	case o.Method == GridSearch && size == 0:
		return refuse("method grid: a range without a step has no end of values; give a step or a list, or search at random")
	case o.Method == GridSearch && o.Trials > 0 && o.Trials < size:
		return refuse("method grid: the grid has %d combinations, more than the %d trials allowed", size, o.Trials)
	case o.Eta < 2:
		return refuse("eta is %d, want at least 2", o.Eta)
	case o.MinEpochs < 1:
		return refuse("the first round has %d epochs, want at least 1", o.MinEpochs)
	case o.Method == Halving && slices.ContainsFunc(o.Grid.vary, func(k gridKey) bool { return k.name == "epochs" }):
		return refuse("method halving deals out the epochs itself: epochs cannot be a choice")
	}
	if o.Trials == 0 {
		o.Trials = 20
	}
	if size > 0 && (size < o.Trials || o.Method == GridSearch) {
		o.Trials = size
	}
	return nil
}

// plan draws all trials and sees that each is a model before any is trained.
func (o *SearchOptions) plan() (*SearchResult, error) {
	schema, err := o.Schema.Marshal()
	if err != nil {
		return nil, err
	}
	r := &SearchResult{Method: o.Method, Seed: o.Seed, grid: o.Grid, Request: request{
		Grid: o.GridText, Schema: string(schema), Method: o.Method, Trials: o.Trials, DrawSeed: o.DrawSeed, MinEpochs: o.MinEpochs, Eta: o.Eta,
		Train: o.Train, Valid: o.Valid.String(), Test: o.Test.String(), SplitBy: o.SplitBy, Seed: o.Seed, SkipBad: o.SkipBad,
	}}
	seen := map[string]bool{}
	for len(r.Trials) < o.Trials {
		t := &Trial{Trial: len(r.Trials) + 1, State: trialWaiting, Monitor: Figure(math.NaN())}
		for try := 0; ; try++ {
			var chosen []gridKey
			if size := o.Grid.Size(); size == o.Trials {
				chosen = o.Grid.combination(len(r.Trials))
			} else {
				chosen = o.Grid.draw(rand.New(rand.NewPCG(o.DrawSeed, uint64(t.Trial)<<16|uint64(try))))
			}
			if t.file, err = o.Grid.file(chosen); err != nil {
				return nil, err
			}
			if seen[string(t.file)] && try < 1<<16-1 {
				continue
			}
			seen[string(t.file)] = true
			t.Params = nil
			for _, k := range chosen {
				text, err := yaml.Marshal(k.value)
				if err != nil {
					return nil, fmt.Errorf("trial %d: %w", t.Trial, err)
				}
				t.Params = append(t.Params, param{k.name, flow(k.value, text)})
			}
			break
		}
		if t.spec, err = models.Parse(t.file, o.Schema); err != nil {
			return nil, &RequestError{fmt.Errorf("trial %d (%s): %w", t.Trial, t.Params, err)}
		}
		r.Monitor = t.spec.Settings.Monitor
		r.Trials = append(r.Trials, t)
	}
	return r, nil
}
