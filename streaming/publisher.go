package streaming

import (
	"context"
	"errors"

	"fmt"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/core/snapshot"
	"github.com/millrace/millrace/features"
)

// publication is one round of what goes to the store: features and histories first, then the weights with their version.
type publication struct {
	items, users []features.Entity
	histories    []features.UserHistory
	update       *snapshot.Update
	impressions  []string
}

// publisher sends publications one at a time, each until it arrives, on a goroutine of its own: training goes on meanwhile, and what changes in the meantime is in
// the next. It is idle whenever done holds a token.
type publisher struct {
	to        Publisher
	trained   func(version string, impressionIDs []string)
	refreshes bool    // the learner can make a full update
	broker    *broker // for its clock and retries
	jobs      chan *publication
	done      chan struct{}
	down      chan struct{}
	version   atomic.Pointer[string]
	// refused is the publication whose update the store could not build on; the processing goroutine takes it while the publisher is idle.
	refused *publication
	errors  atomic.Int64
	count   atomic.Int64
}

// publishTimeout bounds one call of the store.
const publishTimeout = 30 * time.Second

func startPublisher(ctx context.Context, o *Options, b *broker) *publisher {
	p := &publisher{to: o.Publisher, trained: o.Trained, broker: b, jobs: make(chan *publication), done: make(chan struct{}, 1), down: make(chan struct{})}
	_, p.refreshes = o.Learner.(Refresher)
	p.done <- struct{}{}
	go p.run(ctx)
	return p
}

func (p *publisher) run(ctx context.Context) {
	defer close(p.down)
	for {
		select {
		case j := <-p.jobs:
			if p.send(ctx, j) != nil {
				return
			}
			p.done <- struct{}{}
		case <-ctx.Done():
			return
		}
	}
}

// send retries each step of a publication until it succeeds or ctx ends.
func (p *publisher) send(ctx context.Context, j *publication) error {
	step := func(what string, do func(context.Context) error) error {
		wait := backOff()
		for {
			attempt, cancel := context.WithTimeout(ctx, publishTimeout)
			err := do(attempt)
			cancel()
			if err == nil || ctx.Err() != nil {
				return ctx.Err()
			}
			p.errors.Add(1)
			if p.refreshes && needsFull(err) {
				return err
			}
			in := wait.NextBackOff()
			p.broker.onRetry(what, err, in)
			if err := p.broker.clock.Sleep(ctx, in); err != nil {
				return err
			}
		}
	}
	var err error
	if len(j.items) > 0 {
		err = step(fmt.Sprintf("publish %d items", len(j.items)), func(ctx context.Context) error { return p.to.PutItems(ctx, j.items) })
	}
	if err == nil && len(j.users) > 0 {
		err = step(fmt.Sprintf("publish %d users", len(j.users)), func(ctx context.Context) error { return p.to.PutUsers(ctx, j.users) })
	}
	if err == nil && len(j.histories) > 0 {
		err = step(fmt.Sprintf("publish %d histories", len(j.histories)), func(ctx context.Context) error { return p.to.PutHistories(ctx, j.histories) })
	}
	if err == nil && j.update != nil {
		err = step("publish the weights", func(ctx context.Context) error { return p.to.Publish(ctx, j.update) })
		if p.refreshes && needsFull(err) {
			p.broker.onRetry("publish the weights", err, 0)
			p.refused = j
			return nil
		}
		if err == nil {
			p.version.Store(&j.update.Version)
			p.count.Add(1)
			if p.trained != nil {
				p.trained(j.update.Version, j.impressions)
			}
		}
	}
	return err
}

// needsFull reports whether an error says that only a full update helps: the store lost what a delta builds on.
func needsFull(err error) bool {
	var full interface{ NeedFull() bool }
	return errors.As(err, &full) && full.NeedFull()
}
