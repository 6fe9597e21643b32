package dien_test

import (
	"testing"

	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/models"
	"github.com/millrace/millrace/models/modeltest"
)

const sized = "embedding_dim: 16\nattention_type: din_attention\nattention_hidden_units: [64]\nattention_activation: sigmoid\ndnn_hidden_units: [200, 80]\ndnn_activations: prelu\nbatch_norm: true\n"

// long gives every row of a batch a history of 1 to 59 behaviours.
func long(b *features.Batch) *features.Batch {
	for _, c := range b.Columns[2:] {
		for r := range b.Rows {
			c.Offsets[r+1] = c.Offsets[r] + 1 + int32(37*r%59)
		}
	}
	for i := range b.Columns[2:] {
		c := &b.Columns[2+i]
		c.IDs = nil
		for k := range c.Offsets[b.Rows] {
			c.IDs = append(c.IDs, uint64(1+(7*k+int32(i))%500))
		}
	}
	return b
}

// BenchmarkStep is a training step of 1024 rows with 30 behaviours of two fields on average, with and without the auxiliary loss.
func BenchmarkStep(b *testing.B) {
	for name, keys := range map[string]string{"plain": "aux_loss_alpha: 0\n", "auxiliary": "aux_loss_alpha: 0.5\n"} {
		b.Run(name, func(b *testing.B) {
			p := modeltest.Program(b, pairs, "model: DIEN\n"+sized+keys)
			tr := modeltest.Trainer(b, p, 500)
			batch := long(modeltest.Batch(p.Schema(), 1024, 500, 1))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := tr.Step.Run(batch, 1); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(1024*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

// BenchmarkScore is scoring 200 candidates of one user with a history of 50.
func BenchmarkScore(b *testing.B) {
	p := modeltest.Program(b, pairs, "model: DIEN\n"+sized)
	tr := modeltest.Trainer(b, p, 500)
	batch := modeltest.Batch(p.Schema(), 200, 500, 1)
	for i := range batch.Columns[2:] {
		c := &batch.Columns[2+i]
		c.IDs = c.IDs[:0]
		for r := range batch.Rows {
			for k := range uint64(50) {
				c.IDs = append(c.IDs, 1+7*k)
			}
			c.Offsets[r+1] = int32(len(c.IDs))
		}
	}
	w, err := p.NewWeights("v", tr.Step.Dense())
	if err != nil {
		b.Fatal(err)
	}
	s, err := p.NewScorer()
	if err != nil {
		b.Fatal(err)
	}
	var out [][]float32
	b.ReportAllocs()
	for b.Loop() {
		if out, err = s.Score(batch, w, models.TableRows(tr.Tables), out); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(200*float64(b.N)/b.Elapsed().Seconds(), "candidates/s")
}
