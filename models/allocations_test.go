package models_test

import (
	"runtime"
	"testing"

	"github.com/millrace/millrace/core/kernel"
	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/models"
	"github.com/millrace/millrace/models/modeltest"
)

// allocations counts what the process allocates in calls of f, in the quietest of several rounds: the runtime allocates now and then on its own account.
func allocations(f func()) uint64 {
	least := ^uint64(0)
	for round := 0; round < 8 && least > 0; round++ {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range 6 {
			f()
		}
		runtime.ReadMemStats(&after)
		least = min(least, after.Mallocs-before.Mallocs)
	}
	return least
}

// Once its buffers have grown, neither a training step with its optimizer nor a call of the scorer allocates, on one thread and on two, of batches whose
// distinct ids and lengths differ.
func TestNothingAllocates(t *testing.T) {
	defer kernel.SetThreads(0)
	f := func(name, text string, threads int) {
		t.Helper()
		kernel.SetThreads(threads)
		p := modeltest.Program(t, schema, text+"batch_size: 100\n")
		tr := modeltest.Trainer(t, p, 1000)
		var batches []*features.Batch
		for seed := range uint64(5) {
			batches = append(batches, modeltest.Batch(p.Schema(), 100, 1000, seed))
		}
		next := 0
		train := func() {
			if _, _, err := tr.Train(batches[next%len(batches)]); err != nil {
				t.Fatal(err)
			}
			next++
		}
		for range 2 * len(batches) {
			train()
		}
		if n := allocations(train); n > 0 {
			t.Errorf("%s on %d threads: %d allocations in 6 training steps", name, threads, n)
		}
		w, err := p.NewWeights("v", tr.Step.Dense())
		if err != nil {
			t.Fatal(err)
		}
		s, err := p.NewScorer()
		if err != nil {
			t.Fatal(err)
		}
		var out [][]float32
		var rows models.Rows = models.TableRows(tr.Tables)
		score := func() {
			if out, err = s.Score(batches[next%len(batches)], w, rows, out); err != nil {
				t.Fatal(err)
			}
			next++
		}
		for range 2 * len(batches) {
			score()
		}
		if n := allocations(score); n > 0 {
			t.Errorf("%s on %d threads: %d allocations in 6 calls of the scorer", name, threads, n)
		}
	}
	for name, text := range all {
		for _, threads := range []int{1, 2} {
			f(name, text, threads)
		}
	}
	f("sparse", "model: dnn\nembedding_dim: 16\nhidden_units: [32]\nembedding_optimizer: sparse_adam\n", 2)
}
