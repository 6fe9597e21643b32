package clock

import (
	"context"
	"testing"
	"time"
)

func TestFake(t *testing.T) {
	start := time.Unix(1_000_000, 0)
	f := NewFake(start)
	tick := f.Ticker(time.Second)
	slept := make(chan error)
	go func() { slept <- f.Sleep(context.Background(), 3*time.Second) }()
	for f.Waiters() < 2 {
		time.Sleep(time.Millisecond)
	}
	f.Advance(900 * time.Millisecond)
	select {
	case <-tick.C():
		t.Fatal("ticked before its time")
	default:
	}
	f.Advance(2500 * time.Millisecond)
	if got := <-tick.C(); !got.Equal(start.Add(3400 * time.Millisecond)) {
		t.Fatalf("tick at %v", got)
	}
	if err := <-slept; err != nil {
		t.Fatal(err)
	}
	f.Advance(500 * time.Millisecond)
	select {
	case <-tick.C():
		t.Fatal("missed ticks were sent later")
	default:
	}
	tick.Stop()
	if n := f.Waiters(); n != 0 {
		t.Fatalf("%d still wait", n)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for _, c := range []Clock{f, System} {
		if err := c.Sleep(ctx, time.Hour); err != context.Canceled {
			t.Fatalf("sleep under a cancelled context: %v", err)
		}
	}
	if n := f.Waiters(); n != 0 {
		t.Fatalf("%d still wait", n)
	}
}

func TestSystem(t *testing.T) {
	tick := System.Ticker(time.Millisecond)
	defer tick.Stop()
	if at := <-tick.C(); System.Now().Before(at) {
		t.Fatal("the clock went back")
	}
	if err := System.Sleep(context.Background(), time.Millisecond); err != nil {
		t.Fatal(err)
	}
}
