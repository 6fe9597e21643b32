package graph

import (
	"fmt"
	"testing"
	"time"
)

// BenchmarkOverhead prints how much of a step is the plan's own work, in percent: the same plan is run with the operations' code taken out, so that what
// is left is checking shapes, handing out memory and calling.
func BenchmarkOverhead(b *testing.B) {
	for _, batch := range []int{4096, 512, 64, 8} {
		b.Run(fmt.Sprint(batch), func(b *testing.B) {
			p, _, _ := mlp(b, batch, 320, 400, 400, 400, 1)
			run := func() {
				if err := p.Run(); err != nil {
					b.Fatal(err)
				}
			}
			run()
			b.ReportAllocs()
			whole := time.Duration(1 << 62)
			for b.Loop() {
				start := time.Now()
				run()
				whole = min(whole, time.Since(start))
			}
			b.StopTimer()
			steps := p.steps
			p.steps = append([]step(nil), steps...)
			for i := range p.steps {
				p.steps[i].run = func(in, out []*Tensor) {}
			}
			const calls = 1000
			own := time.Duration(1 << 62)
			for range 50 {
				start := time.Now()
				for range calls {
					run()
				}
				own = min(own, time.Since(start)/calls)
			}
			p.steps = steps
			b.ReportMetric(float64(own.Nanoseconds()), "own-ns/step")
			b.ReportMetric(100*own.Seconds()/whole.Seconds(), "own-%")
		})
	}
}
