package optim

import (
	"math/rand/v2"
	"testing"

	"github.com/millrace/millrace/core/graph"
	"github.com/millrace/millrace/core/table"
)

// BenchmarkStep is a step over a tower of 3 × 400 × 400 and a table of 100,000 rows of 10, of which the batch has 5,000.
func BenchmarkStep(b *testing.B) {
	for _, rule := range rowNames {
		b.Run(rule, func(b *testing.B) {
			c := Config{EmbeddingOptimizer: rule, EmbeddingL2: 0.05, MaxNorm: 10}
			o, err := New(c)
			if err != nil {
				b.Fatal(err)
			}
			var dense []Dense
			for _, name := range []string{"a", "b", "c"} {
				dense = append(dense, Dense{name, graph.NewTensor(400, 400), graph.NewTensor(400, 400)})
			}
			e, err := table.New("e", table.Options{Dim: 10, State: c.StateSize(10), InitStd: 0.1})
			if err != nil {
				b.Fatal(err)
			}
			for id := range uint64(100_000) {
				e.Admit(id)
			}
			rows := []Rows{{Table: e, Grads: make([]float32, 50_000)}}
			for _, s := range rand.New(rand.NewPCG(1, 2)).Perm(100_000)[:5000] {
				rows[0].Slots = append(rows[0].Slots, uint32(s))
			}
			b.ReportAllocs()
			for b.Loop() {
				for i := range rows[0].Grads {
					rows[0].Grads[i] = 0.01
				}
				if _, _, err := o.Step(dense, rows); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
