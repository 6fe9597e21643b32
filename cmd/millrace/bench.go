package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/core/kernel"
)

// benchFlags are what the measurements have in common: on how many threads, how often and how long.
type benchFlags struct {
	threads []int
	repeat  int
	minTime time.Duration
	json    bool
}

func benchCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "bench",
		Short: "Measure this machine: matrix products, training steps, scoring, embedding tables",
		Long: "Measure this machine. Shares of peak are counted against a loop of multiply-adds between registers, timed in the same run;\n" +
			"a busy machine slows both, so compare shares and ratios rather than figures of different runs.",
		Example: "  millrace bench kernel --json",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return wrong(fmt.Errorf("bench wants one of: kernel, train, score, table"))
		},
	}
	c.AddCommand(benchKernelCommand(), benchTrainCommand(), benchScoreCommand(), benchTableCommand())
	return c
}

// add declares the flags; long says what a repetition is.
func (f *benchFlags) add(c *cobra.Command, threads []int, repeat int, minTime time.Duration, long string) {
	flags := c.Flags()
	flags.IntSliceVar(&f.threads, "threads", threads, "numbers of threads to measure with")
	flags.IntVar(&f.repeat, "repeat", repeat, "repetitions, of which the fastest counts")
	flags.DurationVar(&f.minTime, "min-time", minTime, long)
	flags.BoolVar(&f.json, "json", false, "print the figures as one JSON object on the last line")
}

func (f *benchFlags) check() error {
	if len(f.threads) == 0 || slices.Min(f.threads) < 1 || slices.Max(f.threads) > 256 {
		return wrong(fmt.Errorf("--threads is %v, want numbers from 1 to 256", f.threads))
	}
	if f.repeat < 1 {
		return wrong(fmt.Errorf("--repeat is %d, want at least 1", f.repeat))
	}
	if f.minTime <= 0 {
		return wrong(fmt.Errorf("--min-time is %s, want more than 0", f.minTime))
	}
	return nil
}

// peakSpeed is how fast so many threads multiply and add between registers.
type peakSpeed struct {
	Threads int     `json:"threads"`
	GFLOPs  float64 `json:"gflops"`
}

// peaks are the speeds of the numbers of threads measured; each is the fastest repetition of the run.
type peaks []peakSpeed

// loop returns what runs the multiply-adds on all threads that the kernels use now, and how many operations that is.
func (p *peaks) loop() (call func() error, flops float64) {
	threads := kernel.Threads()
	const rounds = 50_000
	body := func(lo, hi int) {
		for range hi - lo {
			kernel.MultiplyAdds(rounds)
		}
	}
	return func() error {
		kernel.Parallel(threads, 1, body)
		return nil
	}, float64(threads) * kernel.MultiplyAdds(rounds)
}

// keep notes a speed of the threads in use; the fastest stays.
func (p *peaks) keep(gflops float64) {
	threads := kernel.Threads()
	for i := range *p {
		if (*p)[i].Threads == threads {
			(*p)[i].GFLOPs = max((*p)[i].GFLOPs, gflops)
			return
		}
	}
	*p = append(*p, peakSpeed{threads, gflops})
}

// share is what part of the threads' peak a speed is.
func (p peaks) share(threads int, gflops float64) float64 {
	for _, s := range p {
		if s.Threads == threads {
			return gflops / s.GFLOPs
		}
	}
	return 0
}

func (p peaks) print(w io.Writer) {
	for _, s := range p {
		fmt.Fprintf(w, "peak, %d threads: %.1f GFLOP/s of multiply-adds between registers (%s)\n", s.Threads, s.GFLOPs, kernel.Instructions())
	}
}

// fastest returns the time of one call in the fastest of the repetitions, each of at least minTime, after a warm-up as long. Between the
// repetitions it times the peak in the same way: a clock or a neighbour that changes meets both.
func (f *benchFlags) fastest(ctx context.Context, p *peaks, call func() error) (time.Duration, error) {
	loop, flops := p.loop()
	timed, peak := repetition{call: call, minTime: f.minTime}, repetition{call: loop, minTime: f.minTime}
	for range f.repeat + 1 {
		for _, r := range []*repetition{&peak, &timed} {
			if err := r.run(ctx); err != nil {
				return 0, err
			}
		}
	}
	p.keep(flops / peak.best.Seconds() / 1e9)
	return timed.best, nil
}

// repetition times a call again and again; the first run is the warm-up.
type repetition struct {
	call    func() error
	minTime time.Duration
	calls   int           // between two looks at the clock
	best    time.Duration // of one call
}

func (r *repetition) run(ctx context.Context) error {
	warm := r.calls == 0
	r.calls = max(r.calls, 1)
	start := time.Now()
	done := 0
	for spent := time.Duration(0); spent < r.minTime; spent = time.Since(start) {
		for range r.calls {
			if err := r.call(); err != nil {
				return err
			}
		}
		done += r.calls
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	each := max(time.Since(start)/time.Duration(done), 1)
	if warm {
		r.calls = int(max(1, r.minTime/16/each))
	} else if r.best == 0 || each < r.best {
		r.best = each
	}
	return nil
}

// allocations returns how many allocations a call makes, averaged over so many, and rounded down as testing does: the runtime's own are not the call's.
func allocations(calls int, call func() error) (uint64, error) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range calls {
		if err := call(); err != nil {
			return 0, err
		}
	}
	runtime.ReadMemStats(&after)
	return (after.Mallocs - before.Mallocs) / uint64(calls), nil
}

// randomFloats returns n written values around zero: pages never written are all one page of zeros, which no cache ever misses.
func randomFloats(rng *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(rng.NormFloat64())
	}
	return x
}

// processor names the machine's processor, as far as the system tells.
func processor() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

func printMachine(w io.Writer) {
	fmt.Fprintf(w, "%s, %d processors, %s, %s\n", processor(), runtime.NumCPU(), runtime.Version(), kernel.Instructions())
}
