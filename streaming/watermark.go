package streaming

// A watermark is how far event time has come: no event older than it is still expected. It is the least, over the partitions of both event topics, of the newest
// event time seen in each, less the allowance for disorder. A partition that was read to its end and has been silent for a while does not hold it back; when all
// are, event time goes on with the clock, so that the last windows close. All times are milliseconds; now is the clock's.
type watermark struct {
	late, idle int64
	parts      []*progress
	at         int64 // never goes back
}

// progress is how far one partition has come.
type progress struct {
	newest   int64 // event time; 0 before the first event
	caughtUp bool  // everything the broker had was read
	heard    int64 // when the last events came, or reading began
}

func (w *watermark) add(now int64) *progress {
	p := &progress{heard: now}
	w.parts = append(w.parts, p)
	return p
}

// see notes an event of the partition.
func (p *progress) see(t int64) {
	if t > p.newest {
		p.newest = t
	}
}

func (w *watermark) waitsFor(p *progress, now int64) bool {
	return !p.caughtUp || now-p.heard < w.idle
}

// reached is the event time that all partitions have reached; ok is false while it is unknown.
func (w *watermark) reached(now int64) (t int64, ok bool) {
	least, newest, heard, waits := int64(0), int64(0), int64(0), false
	for _, p := range w.parts {
		newest, heard = max(newest, p.newest), max(heard, p.heard)
		if w.waitsFor(p, now) {
			if p.newest == 0 {
				return 0, false
			}
			if !waits || p.newest < least {
				least, waits = p.newest, true
			}
		}
	}
	if waits {
		return least, true
	}
	return newest + now - heard, newest > 0
}

// advance moves the watermark and returns it.
func (w *watermark) advance(now int64) int64 {
	if t, ok := w.reached(now); ok {
		w.at = max(w.at, t-w.late)
	}
	return w.at
}

// tooFar reports whether a partition is so far ahead of the slowest that reading on would only fill memory.
func (w *watermark) tooFar(p *progress, now, slack int64) bool {
	t, ok := w.reached(now)
	if !ok {
		// Some partition has not spoken yet: those that have wait for it once they are one slack past the first of them.
		for _, o := range w.parts {
			if o.newest > 0 && (t == 0 || o.newest < t) {
				t = o.newest
			}
		}
		if t == 0 {
			return false
		}
	}
	return p.newest > t+slack
}
