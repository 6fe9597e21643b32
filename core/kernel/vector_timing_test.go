package kernel

import "testing"

// BenchmarkVector times the element-wise functions on 4096 elements, first with the best instruction set, then portable.
func BenchmarkVector(b *testing.B) {
	const n = 4096
	x, y, z, w := constant(n, 0.3), constant(n, 0.7), make([]float32, n), make([]float32, n)
	mean, variance := make([]float64, 64), make([]float64, 64)
	for i := range x {
		x[i] = float32(i%100)*0.1 - 5
		z[i] = float32(i%100) * 0.01
	}
	best := level
	defer func() { level = best }()
	for _, l := range []instructions{best, portable} {
		f := func(name string, call func()) {
			b.Run(name+"/"+l.String(), func(b *testing.B) {
				level = l
				b.ReportAllocs()
				for b.Loop() {
					call()
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/element")
			})
		}
		f("exp", func() { Exp(w, x) })
		f("log", func() { Log(w, y) })
		f("sigmoid", func() { Sigmoid(w, x) })
		f("tanh", func() { Tanh(w, x) })
		f("softplus", func() { Softplus(w, x) })
		f("add", func() { Add(w, x, y) })
		f("axpy", func() { Axpy(0.1, x, w) })
		f("dot", func() { Dot(x, y) })
		f("sum", func() { Sum(x) })
		f("softmax 64", func() {
			for i := 0; i < n; i += 64 {
				SoftmaxRow(w[i:i+64], x[i:i+64])
			}
		})
		f("column sums", func() { ColSums(w[:64], x, n/64, 64, 64, false) })
		f("column moments", func() { ColMoments(mean, variance, x, n/64, 64, 64) })
		f("adam", func() { Adam(w, y, z, x, 1e-3, 0.9, 0.999, 1e-8, 1, 1) })
	}
}

func BenchmarkGatherScatter(b *testing.B) {
	const rows, dim, n = 1 << 16, 16, 4096
	table, out, idx := make([]float32, rows*dim), make([]float32, n*dim), make([]uint32, n)
	for i := range idx {
		idx[i] = uint32(i * 2654435761 % rows)
	}
	b.Run("gather", func(b *testing.B) {
		for b.Loop() {
			Gather(out, dim, table, dim, idx)
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/row")
	})
	b.Run("scatter-add", func(b *testing.B) {
		for b.Loop() {
			ScatterAdd(table, dim, idx, out, dim)
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/row")
	})
}
