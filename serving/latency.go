package serving

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// latencies counts durations in buckets of a sixteenth of their power of two, so quantiles are within 3 %.
type latencies struct {
	counts [latencyBuckets]atomic.Int64
	n      atomic.Int64
}

const (
	latencySteps   = 16
	latencyBuckets = 36 * latencySteps // up to some hours, in units of 64 ns
	latencyUnit    = 64
)

func latencyBucket(d time.Duration) int {
	x := uint64(max(d, 0)) / latencyUnit
	if x < latencySteps {
		return int(x)
	}
	e := bits.Len64(x) - 5 // x>>e lies in [16, 32)
	return min((e+1)*latencySteps+int(x>>e)-latencySteps, latencyBuckets-1)
}

// latencyMiddle is the middle of a bucket in nanoseconds.
func latencyMiddle(b int) float64 {
	if b < latencySteps {
		return (float64(b) + 0.5) * latencyUnit
	}
	e := b/latencySteps - 1
	return (float64(b%latencySteps+latencySteps) + 0.5) * float64(uint64(1)<<e) * latencyUnit
}

func (l *latencies) add(d time.Duration) {
	l.counts[latencyBucket(d)].Add(1)
	l.n.Add(1)
}

// quantile is in seconds; 0 when nothing was counted.
func (l *latencies) quantile(q float64) float64 {
	n := l.n.Load()
	if n == 0 {
		return 0
	}
	rank := int64(q*float64(n-1)) + 1
	var sum int64
	last := 0
	for b := range l.counts {
		c := l.counts[b].Load()
		if c == 0 {
			continue
		}
		last = b
		if sum += c; sum >= rank {
			break
		}
	}
	return latencyMiddle(last) / 1e9
}
