package main

import (
	"sync"
	"time"

	"github.com/millrace/millrace/internal/world"
	"github.com/millrace/millrace/serving"
	"github.com/millrace/millrace/streaming"
)

// probes measure freshness: after a sampled click, the same user and items are scored every 100 ms until the answer's version has learned from it.
// They are no part of any other figure.
type probes struct {
	a *audience

	mu      sync.Mutex
	last    time.Time
	waits   []time.Duration
	open    map[string]time.Time // impression → time of the click
	story   *clickStory
	running sync.WaitGroup
	ended   chan struct{}
	once    sync.Once
}

// clickStory is one click as the page tells it: the scores just after it and once it was learned.
type clickStory struct {
	User, Item, Category string
	Seconds              float64
	Items                []storyItem
}

type storyItem struct {
	Item, Category string
	Before, After  float32
	Clicked        bool
}

const (
	probeGap   = 200 * time.Millisecond // between sampled clicks
	probeEvery = 100 * time.Millisecond
	probeLimit = 20 * time.Second // a click not learned by then counts as that long
)

func newProbes(a *audience) *probes {
	return &probes{a: a, open: map[string]time.Time{}, ended: make(chan struct{})}
}

// consider samples a click that happens now.
func (p *probes) consider(r *world.Request, shown []int, action streaming.Action) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if now.Sub(p.last) < probeGap {
		return
	}
	select {
	case <-p.ended:
		return
	default:
	}
	p.last = now
	p.open[action.ImpressionID] = now
	p.a.r.covered.watch(action.ImpressionID)
	request := *r
	p.running.Go(func() { p.follow(&request, shown, action, now) })
}

// follow scores the user until the click is covered.
func (p *probes) follow(r *world.Request, shown []int, action streaming.Action, clicked time.Time) {
	n := p.a.r.told.narrator
	req := serving.ScoreRequest{UserID: action.UserID, Context: n.context(r)}
	for _, i := range shown {
		req.Candidates = append(req.Candidates, n.w.Items()[i].ID)
	}
	defer p.a.r.covered.forget(action.ImpressionID)
	var before *serving.ScoreResponse
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	for time.Since(clicked) < probeLimit {
		res, _, err := p.a.post(&req)
		if err != nil {
			p.a.fail(err)
			return
		}
		if before == nil {
			before = res
		}
		if p.a.r.covered.covered(res.Version, action.ImpressionID) {
			p.answer(r, shown, action, clicked, before, res)
			return
		}
		select {
		case <-tick.C:
		case <-p.ended:
			return
		}
	}
}

func (p *probes) answer(r *world.Request, shown []int, action streaming.Action, clicked time.Time, before, after *serving.ScoreResponse) {
	wait := time.Since(clicked)
	n := p.a.r.told.narrator
	s := &clickStory{User: action.UserID, Seconds: wait.Seconds()}
	for i, item := range shown {
		it := n.w.Items()[item]
		hit := impressionID(r.Number, i) == action.ImpressionID
		if hit {
			s.Item, s.Category = it.ID, it.Category
		}
		s.Items = append(s.Items, storyItem{it.ID, it.Category, before.Scores[i], after.Scores[i], hit})
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.open, action.ImpressionID)
	p.waits = append(p.waits, wait)
	p.story = s
}

// freshness returns the waits so far; clicks that are not learned yet count as their wait until now.
func (p *probes) freshness() (waits []time.Duration, story *clickStory) {
	p.mu.Lock()
	defer p.mu.Unlock()
	waits = append(waits, p.waits...)
	for _, at := range p.open {
		waits = append(waits, time.Since(at))
	}
	return waits, p.story
}

// wait lets the probes under way find their answer for as long as a window and a publish take, then ends them: what is unanswered stays in the figures as the wait so far.
func (p *probes) wait() {
	done := make(chan struct{})
	go func() {
		p.running.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(demoWindow + demoLate + 4*demoPublish):
	}
	p.once.Do(func() { close(p.ended) })
	<-done
	p.mu.Lock()
	defer p.mu.Unlock()
	for id, at := range p.open {
		p.waits = append(p.waits, time.Since(at))
		delete(p.open, id)
	}
}
