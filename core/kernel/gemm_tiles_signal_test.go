//go:build unix

package kernel

import (
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"runtime/pprof"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A signal that arrives while tile registers are live saves and restores them on Go's signal stack: no bit of a product changes.
func TestTilesSurviveSignals(t *testing.T) {
	withTiles(t)
	withThreads(t, 2)
	caught := make(chan os.Signal, 1)
	signal.Notify(caught, syscall.SIGUSR1)
	defer signal.Stop(caught)
	if err := pprof.StartCPUProfile(io.Discard); err == nil {
		defer pprof.StopCPUProfile()
	}
	var sender sync.WaitGroup
	stop := make(chan struct{})
	sent := 0
	sender.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-caught:
			default:
			}
			if err := syscall.Kill(os.Getpid(), syscall.SIGUSR1); err == nil {
				sent++
			}
			time.Sleep(5 * time.Microsecond)
		}
	})
	const m, n, k = 300, 200, 300
	rng := rand.New(rand.NewPCG(30, 31))
	a, b := random(rng, m*k), random(rng, k*n)
	want := make([]float32, m*n)
	gemmTiled(false, false, m, n, k, a, k, b, n, false, want, n)
	end := 2 * time.Second
	if testing.Short() {
		end = 200 * time.Millisecond
	}
	products := 0
	for start := time.Now(); time.Since(start) < end; products++ {
		c := make([]float32, m*n) // garbage, so that collections stop the world meanwhile
		gemmTiled(false, false, m, n, k, a, k, b, n, false, c, n)
		sameBits(t, c, want)
	}
	close(stop)
	sender.Wait()
	t.Logf("%d products, %d signals", products, sent)
}
