package autoint_test

import (
	"strings"
	"testing"

	"github.com/millrace/millrace/models/modeltest"
)

// BenchmarkStep is a training step of AutoInt+ in the benchmark's setting for Frappe: ten fields, five layers of 128 in four heads, a tower 400×3, batch 4096.
func BenchmarkStep(b *testing.B) {
	fields := "labels: [{name: y}]\nfields:\n" + strings.Repeat("  - {name: fX}\n", 10)
	for _, name := range "abcdefghij" {
		fields = strings.Replace(fields, "fX", string(name), 1)
	}
	p := modeltest.Program(b, fields, "model: AutoInt+\nattention_layers: 5\nattention_dim: 128\nnum_heads: 4\nuse_scale: true\nlayer_norm: true\ndnn_hidden_units: [400, 400, 400]\nbatch_norm: true\nnet_dropout: 0.1\n")
	tr := modeltest.Trainer(b, p, 500)
	batch := modeltest.Batch(p.Schema(), 4096, 500, 1)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := tr.Step.Run(batch, 1); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(4096*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}
