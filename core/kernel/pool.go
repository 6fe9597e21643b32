package kernel

import (
	"runtime"
	"sync/atomic"
	"time"
)

const (
	maxThreads     = 256
	partsPerThread = 4    // ranges for each thread, so that one that was late or interrupted leaves its share to the others
	spinRounds     = 1000 // about 100 µs: past the usual gap between two products, which waking a parked worker would cost too
	idleExit       = 100 * time.Millisecond
)

// Parallel runs body over [0, n) cut into contiguous ranges of at least grain, on the pool's threads, and returns when all are done.
// The cut depends only on n, grain and Threads, never on timing; which thread runs which range does.
//
// It may be called from any goroutine. One call at a time has the workers: a call made meanwhile, or from within a body, runs
// the same ranges one after another on its own goroutine. A panic in a body is raised again in the caller.
// body escapes: a caller that must not allocate builds it once.
func Parallel(n, grain int, body func(lo, hi int)) {
	if n < 2*max(grain, 1) {
		if n > 0 {
			body(0, n)
		}
		return
	}
	threads := Threads()
	if threads == 1 {
		body(0, n)
		return
	}
	parts := min(n/max(grain, 1), partsPerThread*threads)
	if !workers.busy.CompareAndSwap(false, true) {
		for i := range parts {
			body(i*n/parts, (i+1)*n/parts)
		}
		return
	}
	workers.run(n, parts, threads, body)
}

// SetThreads sets how many threads Parallel and the kernels use; Threads reads it. The default, restored by n < 1, is GOMAXPROCS.
func SetThreads(n int) { threadSetting.Store(int32(min(max(n, 0), maxThreads))) }

// Threads returns the number of threads in use.
func Threads() int {
	if n := threadSetting.Load(); n > 0 {
		return int(n)
	}
	return min(runtime.GOMAXPROCS(0), maxThreads)
}

var (
	threadSetting atomic.Int32
	workers       pool
)

// pool is the set of workers behind Parallel. Whoever holds busy owns n, parts and body. Each thread has a region of the
// parts, so that equal calls find their data in the same core's cache; a thread whose region is empty takes from the others.
// A worker reads the job only after it has claimed a part, which the job cannot end without, so a worker that wakes late finds
// nothing to claim and touches nothing.
type pool struct {
	busy   atomic.Bool
	_      [60]byte
	seq    atomic.Uint32 // number of the job last published; workers spin on it
	_      [60]byte
	left   atomic.Int32 // parts not yet finished
	asleep atomic.Bool  // the caller waits on done
	_      [56]byte

	n, parts int
	threads  atomic.Int32
	body     func(lo, hi int)
	failure  atomic.Pointer[failure]
	done     chan struct{}
	region   [maxThreads]region
	worker   [maxThreads]worker // worker[0] is the caller and stays unused
}

type failure struct{ value any }

// region packs the job's number, the end and the next part of one thread's share into one word, claimed by compare-and-swap.
type region struct {
	word atomic.Uint64
	_    [56]byte
}

func packRegion(seq uint32, next, end int) uint64 {
	return uint64(seq)<<32 | uint64(end)<<16 | uint64(next)
}

// claim takes the next part of the region, or returns -1 when none is left.
func (r *region) claim() int {
	for {
		w := r.word.Load()
		next, end := int(w&0xffff), int(w>>16&0xffff)
		if next >= end {
			return -1
		}
		if r.word.CompareAndSwap(w, w+1) {
			return next
		}
	}
}

const (
	workerAbsent int32 = iota
	workerAwake
	workerParked
)

type worker struct {
	state atomic.Int32
	wake  chan struct{}
	_     [48]byte
}

func (p *pool) run(n, parts, threads int, body func(lo, hi int)) {
	if p.done == nil {
		p.done = make(chan struct{}, 1)
	}
	p.n, p.parts, p.body = n, parts, body
	p.threads.Store(int32(threads))
	p.left.Store(int32(parts))
	seq := p.seq.Load() + 1
	for t := range threads {
		p.region[t].word.Store(packRegion(seq, t*parts/threads, (t+1)*parts/threads))
	}
	p.seq.Store(seq)
	for t := 1; t < min(threads, parts); t++ {
		p.rouse(t)
	}
	p.work(0, threads)
	p.wait()
	f := p.failure.Swap(nil)
	p.body = nil
	p.busy.Store(false)
	if f != nil {
		panic(f.value)
	}
}

// rouse makes sure worker t looks at the job: it is started when absent and woken when parked.
func (p *pool) rouse(t int) {
	w := &p.worker[t]
	switch w.state.Load() {
	case workerAbsent:
		if w.state.CompareAndSwap(workerAbsent, workerAwake) {
			if w.wake == nil {
				w.wake = make(chan struct{}, 1)
			}
			go p.serve(t, p.seq.Load()-1)
		}
	case workerParked:
		if w.state.CompareAndSwap(workerParked, workerAwake) {
			w.wake <- struct{}{}
		} else {
			p.rouse(t)
		}
	}
}

// work claims and runs parts until none is left, its own region first.
func (p *pool) work(t, threads int) {
	for i := range threads {
		r := &p.region[(t+i)%threads]
		for part := r.claim(); part >= 0; part = r.claim() {
			p.runPart(part)
		}
	}
}

func (p *pool) runPart(i int) {
	defer p.finish()
	p.body(i*p.n/p.parts, (i+1)*p.n/p.parts)
}

func (p *pool) finish() {
	if v := recover(); v != nil {
		p.failure.CompareAndSwap(nil, &failure{v})
	}
	if p.left.Add(-1) == 0 && p.asleep.CompareAndSwap(true, false) {
		p.done <- struct{}{}
	}
}

// wait returns when every part is finished. The finisher of an earlier job may still be about to look at asleep, so a wake-up
// alone proves nothing.
func (p *pool) wait() {
	for i := 0; p.left.Load() != 0; i++ {
		if i < spinRounds {
			spin()
			continue
		}
		p.asleep.Store(true)
		if p.left.Load() == 0 && p.asleep.CompareAndSwap(true, false) {
			return
		}
		<-p.done
	}
}

// serve is a worker: it spins past the usual gap between two products, then parks, and ends after idleExit without work, so that
// an idle process holds no goroutine of ours.
func (p *pool) serve(t int, seen uint32) {
	w := &p.worker[t]
	timer := time.NewTimer(idleExit)
	defer timer.Stop()
	for {
		for i := 0; p.seq.Load() == seen; i++ {
			if i < spinRounds {
				spin()
				continue
			}
			w.state.Store(workerParked)
			if p.seq.Load() != seen && w.state.CompareAndSwap(workerParked, workerAwake) {
				break
			}
			timer.Reset(idleExit)
			select {
			case <-w.wake:
			case <-timer.C:
				if w.state.CompareAndSwap(workerParked, workerAbsent) {
					return
				}
				<-w.wake
			}
		}
		seen = p.seq.Load()
		if threads := int(p.threads.Load()); t < threads {
			p.work(t, threads)
		}
	}
}

// spin waits a fraction of a microsecond and lets other goroutines and the collector in.
//
//go:noinline
func spin() {
	for range 8 {
		spinStep.Load()
	}
	runtime.Gosched()
}

var spinStep atomic.Int32
