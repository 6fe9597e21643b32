// Package clock lets time be injected: code that waits or measures takes a Clock, tests drive one by hand.
package clock

import (
	"context"
	"sync"
	"time"
)

// Clock tells the time and waits. Clocks are safe for concurrent use.
type Clock interface {
	// Now is the current time.
	Now() time.Time
	// Sleep waits for d, or until ctx ends and returns its error.
	Sleep(ctx context.Context, d time.Duration) error
	// Ticker sends the time every d; slow readers miss ticks.
	Ticker(d time.Duration) Ticker
}

// Ticker sends ticks on C until Stop.
type Ticker interface {
	C() <-chan time.Time
	Stop()
}

// System is the machine's clock.
var System Clock = system{}

type system struct{}

func (system) Now() time.Time { return time.Now() }

func (system) Sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (system) Ticker(d time.Duration) Ticker { return systemTicker{time.NewTicker(d)} }

type systemTicker struct{ t *time.Ticker }

func (t systemTicker) C() <-chan time.Time { return t.t.C }
func (t systemTicker) Stop()               { t.t.Stop() }

// Fake is a clock that moves only by Advance. The zero value is not usable: NewFake.
type Fake struct {
	mu    sync.Mutex
	now   time.Time
	waits map[*wait]struct{}
}

// wait is a sleeper (every is 0) or a ticker.
type wait struct {
	at    time.Time
	every time.Duration
	c     chan time.Time
}

// NewFake returns a clock that stands at now.
func NewFake(now time.Time) *Fake { return &Fake{now: now, waits: map[*wait]struct{}{}} }

// Now is where the clock stands.
func (f *Fake) Now() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.now
}

// Sleep waits until the clock was advanced by d.
func (f *Fake) Sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	w := f.add(d, 0)
	defer f.remove(w)
	select {
	case <-w.c:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Ticker ticks as the clock is advanced.
func (f *Fake) Ticker(d time.Duration) Ticker { return fakeTicker{f, f.add(d, d)} }

// Waiters is the number of sleepers and tickers that wait.
func (f *Fake) Waiters() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.waits)
}

// Advance moves the clock and wakes what is due.
func (f *Fake) Advance(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.now = f.now.Add(d)
	for w := range f.waits {
		if w.at.After(f.now) {
			continue
		}
		select {
		case w.c <- f.now:
		default:
		}
		if w.every == 0 {
			delete(f.waits, w)
			continue
		}
		for !w.at.After(f.now) {
			w.at = w.at.Add(w.every)
		}
	}
}

func (f *Fake) add(d, every time.Duration) *wait {
	f.mu.Lock()
	defer f.mu.Unlock()
	w := &wait{at: f.now.Add(d), every: every, c: make(chan time.Time, 1)}
	f.waits[w] = struct{}{}
	return w
}

func (f *Fake) remove(w *wait) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.waits, w)
}

type fakeTicker struct {
	f *Fake
	w *wait
}

func (t fakeTicker) C() <-chan time.Time { return t.w.c }
func (t fakeTicker) Stop()               { t.f.remove(t.w) }
