package kernel

import (
	"runtime"
	"sync/atomic"
	"testing"
	"time"
)

// A thread deep in products, or in one long vector, must not keep the collector waiting. Where it does, a collection takes
// seconds, which a merely busy machine does not bring about.
func TestCollectorIsNotHeldUp(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a second")
	}
	withThreads(t, 2)
	f := func(name string, work func()) {
		t.Helper()
		stop := atomic.Bool{}
		done := make(chan struct{})
		go func() {
			defer close(done)
			for !stop.Load() {
				work()
			}
		}()
		time.Sleep(10 * time.Millisecond)
		const rounds = 10
		start := time.Now()
		for range rounds {
			runtime.GC()
		}
		took := time.Since(start)
		stop.Store(true)
		<-done
		if took > rounds*time.Second {
			t.Errorf("%s: %d collections took %v", name, rounds, took)
		}
	}
	const n = 256
	a, b, c := make([]float32, n*n*16), make([]float32, n*n), make([]float32, n*n*16)
	f("products", func() { Gemm(false, false, 16*n, n, n, a, n, b, n, false, c, n) })
	f("weight gradients", func() { Gemm(true, false, n, n, 16*n, a, n, c, n, false, b, n) })
	f("small products", func() { Gemm(false, true, 4, 16, 16, a, 16, b, 16, false, c, 16) })
	f("long vectors", func() { Sigmoid(c, a) })
}

func TestMultiplyAddsCounts(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		lanes := map[instructions]float64{portable: 1, avx2: 8, avx512: 16}[level]
		if got := MultiplyAdds(5000); got != 2*12*lanes*5000 {
			t.Fatalf("%v operations, want %v", got, 2*12*lanes*5000)
		}
	})
}
