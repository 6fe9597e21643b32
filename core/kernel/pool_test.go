package kernel

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func withThreads(t testing.TB, n int) {
	old := threadSetting.Load()
	SetThreads(n)
	t.Cleanup(func() { threadSetting.Store(old) })
}

func TestParallelCoversOnce(t *testing.T) {
	for _, threads := range []int{1, 2, 3, 8} {
		withThreads(t, threads)
		for _, n := range []int{0, 1, 2, 7, 64, 1000} {
			for _, grain := range []int{0, 1, 3, 100} {
				hits := make([]int32, n)
				Parallel(n, grain, func(lo, hi int) {
					if hi-lo < min(grain, n) {
						t.Errorf("threads %d n %d: range [%d,%d) is below the grain %d", threads, n, lo, hi, grain)
					}
					for i := lo; i < hi; i++ {
						atomic.AddInt32(&hits[i], 1)
					}
				})
				for i, h := range hits {
					if h != 1 {
						t.Fatalf("threads %d n %d grain %d: %d ran %d times", threads, n, grain, i, h)
					}
				}
			}
		}
	}
}

func TestParallelSameCutWhetherBusyOrNot(t *testing.T) {
	withThreads(t, 4)
	cut := func() []string {
		var mu sync.Mutex
		var got []string
		Parallel(1003, 10, func(lo, hi int) {
			mu.Lock()
			got = append(got, fmt.Sprint(lo, hi))
			mu.Unlock()
		})
		slices.Sort(got)
		return got
	}
	alone := cut()
	var nested []string
	Parallel(2, 1, func(lo, hi int) {
		if lo == 0 {
			nested = cut()
		}
	})
	if !slices.Equal(alone, nested) {
		t.Fatalf("cut alone %v, nested %v", alone, nested)
	}
}

func TestParallelFromManyGoroutines(t *testing.T) {
	withThreads(t, 3)
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			sum := make([]int, 97)
			for range 300 {
				Parallel(len(sum), 1, func(lo, hi int) {
					for i := lo; i < hi; i++ {
						sum[i]++
					}
				})
			}
			for i, s := range sum {
				if s != 300 {
					t.Errorf("element %d ran %d times, want 300", i, s)
				}
			}
		})
	}
	wg.Wait()
}

func TestParallelPanicReachesCaller(t *testing.T) {
	withThreads(t, 2)
	func() {
		defer func() {
			if v := recover(); v != "seven" {
				t.Fatalf("recovered %v, want seven", v)
			}
		}()
		Parallel(8, 1, func(lo, hi int) {
			if lo <= 7 && 7 < hi {
				panic("seven")
			}
		})
	}()
	ran := atomic.Int32{}
	Parallel(8, 1, func(lo, hi int) { ran.Add(int32(hi - lo)) })
	if ran.Load() != 8 {
		t.Fatalf("after a panic %d of 8 ran", ran.Load())
	}
}

func TestParallelAfterParking(t *testing.T) {
	withThreads(t, 2)
	for _, gap := range []time.Duration{0, time.Millisecond, idleExit / 2, idleExit + 20*time.Millisecond} {
		time.Sleep(gap)
		ran := atomic.Int32{}
		Parallel(100, 1, func(lo, hi int) { ran.Add(int32(hi - lo)) })
		if ran.Load() != 100 {
			t.Fatalf("after %v %d of 100 ran", gap, ran.Load())
		}
	}
}

func TestParallelAllocatesNothing(t *testing.T) {
	withThreads(t, 2)
	body := func(lo, hi int) {}
	Parallel(100, 1, body)
	if n := testing.AllocsPerRun(100, func() { Parallel(100, 1, body) }); n != 0 {
		t.Fatalf("%v allocations a call", n)
	}
}

func TestWorkersLeaveWhenIdle(t *testing.T) {
	withThreads(t, 3)
	Parallel(100, 1, func(lo, hi int) {})
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		gone := true
		for i := range workers.worker {
			gone = gone && workers.worker[i].state.Load() == workerAbsent
		}
		if gone {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("workers are still there after five seconds without work")
		}
	}
}

func BenchmarkParallel(b *testing.B) {
	b.ReportAllocs()
	body := func(lo, hi int) {}
	for b.Loop() {
		Parallel(2, 1, body)
	}
}
