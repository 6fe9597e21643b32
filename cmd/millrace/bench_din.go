package main

import (
	"math/rand/v2"

	"github.com/millrace/millrace/features"
)

// Lengths of the histories that DIN trains on: geometric with a mean, cut.
const (
	dinMeanLength    = 10
	dinLongestLength = 100
)

// makeDINStep builds the model of bench score and goes round over batches of uniform ids.
func makeDINStep(rows int) (func() error, error) {
	_, trainer, err := dinTrainer()
	if err != nil {
		return nil, err
	}
	rng := rand.New(rand.NewPCG(9, 10))
	batches := make([]*features.Batch, 16)
	for i := range batches {
		batches[i] = dinBatch(rng, rows)
	}
	return trainRound(trainer, batches), nil
}

func dinBatch(rng *rand.Rand, rows int) *features.Batch {
	draw := func(vocabulary string) uint64 { return 1 + rng.Uint64N(uint64(dinSizes[vocabulary])) }
	b := &features.Batch{Rows: rows, Columns: make([]features.Column, 5), Labels: [][]float32{make([]float32, rows)}}
	items, categories := &b.Columns[3], &b.Columns[4]
	items.Offsets, categories.Offsets = []int32{0}, []int32{0}
	for r := range rows {
		b.Columns[0].IDs = append(b.Columns[0].IDs, draw("user"))
		b.Columns[1].IDs = append(b.Columns[1].IDs, draw("item"))
		b.Columns[2].IDs = append(b.Columns[2].IDs, draw("category"))
		length := 1
		for length < dinLongestLength && rng.Float64() < 1-1./dinMeanLength {
			length++
		}
		for range length {
			items.IDs, categories.IDs = append(items.IDs, draw("item")), append(categories.IDs, draw("category"))
		}
		items.Offsets = append(items.Offsets, int32(len(items.IDs)))
		categories.Offsets = append(categories.Offsets, int32(len(categories.IDs)))
		b.Labels[0][r] = float32(rng.IntN(2))
	}
	return b
}
