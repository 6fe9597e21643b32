package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"
)

// list is a list of objects among the figures.
func list(t *testing.T, m map[string]any, key string) []map[string]any {
	t.Helper()
	all, ok := m[key].([]any)
	if !ok || len(all) == 0 {
		t.Fatalf("%s is %v, want a list", key, m[key])
	}
	var out []map[string]any
	for _, x := range all {
		out = append(out, x.(map[string]any))
	}
	return out
}

func wantKeys(t *testing.T, m map[string]any, want ...string) {
	t.Helper()
	slices.Sort(want)
	if got := slices.Sorted(maps.Keys(m)); !slices.Equal(got, want) {
		t.Errorf("keys %v, want %v", got, want)
	}
}

func positive(t *testing.T, m map[string]any, keys ...string) {
	t.Helper()
	for _, k := range keys {
		if x := number(t, m, k); x <= 0 {
			t.Errorf("%s is %g, want more than 0", k, x)
		}
	}
}

func TestBenchKernel(t *testing.T) {
	m := done(t, "bench", "kernel", "--json", "--repeat", "1", "--min-time", "1us").figures(t)
	wantKeys(t, m, "peak_gflops", "gemm")
	var sizes []string
	for _, g := range list(t, m, "gemm") {
		wantKeys(t, g, "m", "n", "k", "threads", "gflops", "peak_share")
		positive(t, g, "gflops", "peak_share")
		sizes = append(sizes, fmt.Sprintf("%v: %vx%vx%v", g["threads"], g["m"], g["n"], g["k"]))
	}
	var want []string
	for _, threads := range []string{"1", "2"} {
		for _, size := range []string{"4096x400x400", "4096x320x400", "512x400x400", "100x400x400", "16x400x400", "1x400x400", "400x400x4096"} {
			want = append(want, threads+": "+size)
		}
	}
	if !slices.Equal(sizes, want) {
		t.Errorf("products %v, want %v", sizes, want)
	}
	for i, p := range list(t, m, "peak_gflops") {
		wantKeys(t, p, "threads", "gflops")
		positive(t, p, "gflops")
		if got := number(t, p, "threads"); got != float64(i+1) {
			t.Errorf("peak %d is of %g threads", i, got)
		}
	}
	one := done(t, "bench", "kernel", "--json", "--repeat", "1", "--min-time", "1us", "--threads", "1", "--product", "16x400x400,16x400x400").figures(t)
	if got := len(list(t, one, "gemm")); got != 1 {
		t.Errorf("%d products for one asked for", got)
	}
	refused(t, []string{"bench", "kernel", "--product", "3x3x3"}, "3x3x3", "16x400x400")
	refused(t, []string{"bench", "kernel", "--repeat", "0"}, "--repeat")
	refused(t, []string{"bench", "kernel", "--min-time", "0s"}, "--min-time")
	refused(t, []string{"bench", "kernel", "--threads", "0"}, "--threads")
	refused(t, []string{"bench"}, "kernel")
	refused(t, []string{"bench", "kernels"}, "kernels")
}

func TestBenchTrain(t *testing.T) {
	m := done(t, "bench", "train", "--json", "--min-time", "1us", "--rows", "64", "--collector").figures(t)
	wantKeys(t, m, "peak_gflops", "train")
	steps := list(t, m, "train")
	if len(steps) != 4 {
		t.Errorf("%d kinds of steps, want two for each of two numbers of threads", len(steps))
	}
	for _, s := range steps {
		positive(t, s, "fastest_ms", "median_ms", "max_ms", "rows_per_second", "gflops", "peak_share", "steps", "rows")
		if number(t, s, "fastest_ms") > number(t, s, "median_ms") || number(t, s, "median_ms") > number(t, s, "max_ms") {
			t.Errorf("fastest, median and slowest step are out of order: %v", s)
		}
	}
	refused(t, []string{"bench", "train", "--model", "cnn"}, "cnn", "mlp")
	refused(t, []string{"bench", "train", "--rows", "0"}, "--rows")
}

func TestBenchScore(t *testing.T) {
	m := done(t, "bench", "score", "--json", "--repeat", "1", "--min-time", "1us").figures(t)
	wantKeys(t, m, "peak_gflops", "score")
	for i, s := range list(t, m, "score") {
		positive(t, s, "fastest_ms", "candidates_per_second")
		if got, want := s["candidates"], json.Number(fmt.Sprint(requests[i].candidates)); got != want {
			t.Errorf("request %d has %v candidates, want %v", i, got, want)
		}
	}
}

// TestBenchRepetitions: the first repetition warms up and does not count, the fastest of the others does, and no call is lost.
func TestBenchRepetitions(t *testing.T) {
	pauses := []time.Duration{0, 4 * time.Millisecond, 2 * time.Millisecond, 8 * time.Millisecond}
	calls := 0
	r := repetition{minTime: time.Nanosecond, call: func() error {
		time.Sleep(pauses[calls])
		calls++
		return nil
	}}
	for range pauses {
		if err := r.run(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	if calls != len(pauses) || r.best < 2*time.Millisecond || r.best >= 4*time.Millisecond {
		t.Errorf("best %s after %d calls, want the 2 ms of the third of 4", r.best, calls)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	calls = 0
	if err := r.run(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v of a cancelled measurement", err)
	}
}
