package models_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/millrace/millrace/core/kernel"
	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/models"
	"github.com/millrace/millrace/models/modeltest"
)

func lookupTrainer(tb testing.TB, fields, ids, rows, units int, settings string) (*models.Trainer, []*features.Batch) {
	var schema strings.Builder
	schema.WriteString("labels: [{name: click}]\nfields:\n")
	for i := range fields {
		fmt.Fprintf(&schema, "  - {name: f%d}\n", i)
	}
	p := modeltest.Program(tb, schema.String(), fmt.Sprintf("model: DNN\nembedding_dim: 16\nhidden_units: [%d]\n", units)+settings)
	v := features.Vocabulary{}
	for i := range fields {
		for id := range ids {
			v[fmt.Sprintf("f%d", i)] = append(v[fmt.Sprintf("f%d", i)], uint64(id+1))
		}
	}
	tr, err := p.NewTrainer(v, false)
	if err != nil {
		tb.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(5, 6))
	var batches []*features.Batch
	for range 8 {
		b := &features.Batch{Rows: rows, Columns: make([]features.Column, fields), Labels: [][]float32{make([]float32, rows)}}
		for r := range rows {
			for c := range b.Columns {
				b.Columns[c].IDs = append(b.Columns[c].IDs, 1+rng.Uint64N(uint64(ids)))
			}
			b.Labels[0][r] = float32(rng.IntN(2))
		}
		batches = append(batches, b)
	}
	return tr, batches
}

// BenchmarkLookups is a step that is nearly all lookups: 20 tables of 10,000 rows of 16 under a tower of one unit.
func BenchmarkLookups(b *testing.B) {
	defer kernel.SetThreads(0)
	for _, threads := range []int{1, 2} {
		b.Run(fmt.Sprintf("threads%d", threads), func(b *testing.B) {
			kernel.SetThreads(threads)
			tr, batches := lookupTrainer(b, 20, 10_000, 4096, 1, "embedding_optimizer: sparse_adam\n")
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if _, _, err := tr.Train(batches[i%8]); err != nil {
					b.Fatal(err)
				}
				i++
			}
		})
	}
}
