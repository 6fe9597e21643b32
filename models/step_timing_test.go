package models_test

import (
	"testing"

	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/models"
	"github.com/millrace/millrace/models/modeltest"
)

func report(b *testing.B, rows int) {
	b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}

func BenchmarkStep(b *testing.B) {
	for name, text := range all {
		b.Run(name, func(b *testing.B) {
			p := modeltest.Program(b, schema, text+"batch_size: 1024\n")
			tr := modeltest.Trainer(b, p, 10_000)
			batch := modeltest.Batch(p.Schema(), 1024, 10_000, 1)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := tr.Step.Run(batch, 1); err != nil {
					b.Fatal(err)
				}
			}
			report(b, 1024)
		})
	}
}

func BenchmarkScore(b *testing.B) {
	for name, text := range all {
		for _, rows := range []int{1, 200, 4096} {
			b.Run(name+"/"+map[int]string{1: "1", 200: "200", 4096: "4096"}[rows], func(b *testing.B) {
				p := modeltest.Program(b, schema, text)
				tr := modeltest.Trainer(b, p, 10_000)
				w, err := p.NewWeights("v", tr.Step.Dense())
				if err != nil {
					b.Fatal(err)
				}
				s, err := p.NewScorer()
				if err != nil {
					b.Fatal(err)
				}
				batch := modeltest.Batch(p.Schema(), rows, 10_000, 1)
				var out [][]float32
				b.ReportAllocs()
				for b.Loop() {
					if out, err = s.Score(batch, w, models.TableRows(tr.Tables), out); err != nil {
						b.Fatal(err)
					}
				}
				report(b, rows)
			})
		}
	}
}

// BenchmarkScoreCandidates is a request: one user with a history of 100, 200 candidates, sizes of a small production model.
func BenchmarkScoreCandidates(b *testing.B) {
	p := modeltest.Program(b, schema, "model: din\nembedding_dim: 16\ndnn_hidden_units: [200, 80]\nattention_hidden_units: [80, 40]\nattention_hidden_activations: sigmoid\ndin_use_softmax: true\n")
	tr := modeltest.Trainer(b, p, 10_000)
	w, err := p.NewWeights("v", tr.Step.Dense())
	if err != nil {
		b.Fatal(err)
	}
	s, err := p.NewScorer()
	if err != nil {
		b.Fatal(err)
	}
	const candidates, length = 200, 100
	batch := modeltest.Batch(p.Schema(), candidates, 10_000, 1)
	for i := 5; i < 8; i++ {
		c := &batch.Columns[i]
		*c = features.Column{Offsets: []int32{0}}
		for r := range candidates {
			for k := range length {
				c.IDs = append(c.IDs, uint64(1+k*37))
			}
			c.Offsets = append(c.Offsets, int32((r+1)*length))
		}
	}
	var out [][]float32
	b.ReportAllocs()
	for b.Loop() {
		if out, err = s.Score(batch, w, models.TableRows(tr.Tables), out); err != nil {
			b.Fatal(err)
		}
	}
	report(b, candidates)
}
