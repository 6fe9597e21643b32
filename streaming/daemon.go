// Package streaming is the Kafka side: it reads impressions, actions, items and users, joins impressions with later actions in event time, keeps user
// histories, hands Arrow records to a Learner, publishes what changed, and writes checkpoints whose offsets belong to the weights beside them.
//
// Each partition has a goroutine that fetches, one publishes, one looks for new partitions; everything else (decoding, the join, histories, training,
// checkpoints) happens on the goroutine of Run, which owns all state, so that no event costs a lock.
package streaming

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/apache/arrow/go/v15/arrow"

	"github.com/millrace/millrace/core/snapshot"
	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/internal/clock"
)

// Learner trains on joined impressions. training.Incremental satisfies it. The daemon calls it from one goroutine.
type Learner interface {
	Learn(rec arrow.Record) (rows int64, err error)
	Flush() (rows int64, err error)
	// Update may be used by the publisher while the daemon goes on training.
	Update() (*snapshot.Update, error)
	Snapshot() (snapshot.Manifest, []snapshot.Part, error)
}

// Refresher is a Learner whose next update can be made a full one, for a store that lost what a delta builds on.
type Refresher interface{ Full() }

// Publisher is where fresh weights, histories and features go. serving/store satisfies it. Calls come from one goroutine only; a failing call is retried by the daemon.
// An error of Publish with a method NeedFull() bool that returns true says that the store cannot build on the delta: the daemon then publishes everything
// anew, where the learner is a Refresher.
type Publisher interface {
	Publish(ctx context.Context, u *snapshot.Update) error
	PutHistories(ctx context.Context, hs []features.UserHistory) error
	PutItems(ctx context.Context, es []features.Entity) error
	PutUsers(ctx context.Context, es []features.Entity) error
}

// Options wire a daemon.
type Options struct {
	Config    *Config
	Schema    *features.Schema
	Learner   Learner
	Publisher Publisher // nil: train and checkpoint only
	// Trained, when set, is called after an update is published, with the impressions first covered by that version. It is called on the publisher's goroutine.
	Trained func(version string, impressionIDs []string)
	State   *snapshot.Snapshot // the daemon's own checkpoint to go on from; nil: start at the topics' beginning
	Clock   clock.Clock        // nil: the machine's
	// OnRetry, when set, hears of everything that failed and is tried again: what was being done, why it failed, and when the next attempt comes. It is called
	// from several goroutines.
	OnRetry func(what string, err error, in time.Duration)
}

// recordRows is how many rows go to the learner at once.
const recordRows = 1024

// Daemon is the consumer. Run returns when ctx ends, after a last checkpoint, or on an error that cannot be retried.
type Daemon struct {
	o       Options
	c       *Config
	clock   clock.Clock
	broker  *broker
	decoder *decoder
	join    *join
	marks   watermark
	letters *deadLetters
	asm     *features.Assembler
	row     features.Row
	resumed *position
	counts  counts

	parts       []*partition
	chunks      chan *chunk
	readers     context.Context
	stopReaders context.CancelFunc

	publisher      *publisher
	publishing     atomic.Pointer[publisher] // the same, for other goroutines
	nextPublish    time.Time
	nextCheckpoint time.Time
	checkpointed   time.Time
	version        string
	covered        []string // impressions trained on since the last published update
	dirtyItems     map[string]struct{}
	dirtyUsers     map[string]struct{}
	dirtyHistories map[string]struct{}

	commits   sync.WaitGroup
	retries   atomic.Int64
	shown     atomic.Pointer[shown]
	listening atomic.Pointer[string]
	abandon   chan struct{} // tests: end as a killed process does
}

// New checks the configuration against the schema and takes the checkpoint's state in. Nothing is dialled before Run.
func New(o Options) (*Daemon, error) {
	if o.Config == nil || o.Schema == nil || o.Learner == nil {
		return nil, errors.New("a daemon needs a configuration, a schema and a learner")
	}
	c := *o.Config
	if err := c.complete(); err != nil {
		return nil, err
	}
	if o.Clock == nil {
		o.Clock = clock.System
	}
	j, err := newJoin(o.Schema, &c.Join, c.HistoryUsers)
	if err != nil {
		return nil, err
	}
	d := &Daemon{
		o: o, c: &c, clock: o.Clock, join: j,
		decoder: newDecoder(o.Schema, c.Kafka.MaxBytes),
		marks:   watermark{late: c.Join.Late.milliseconds(), idle: c.Join.Idle.milliseconds()},
		asm:     features.NewAssembler(o.Schema, true),
		counts:  counts{Events: map[string]int64{}, Letters: map[string]int64{}},
		chunks:  make(chan *chunk),
		abandon: make(chan struct{}),
	}
	d.broker = newBroker(c.Kafka.Brokers, o.Clock, func(what string, err error, in time.Duration) {
		d.retries.Add(1)
		if o.OnRetry != nil {
			o.OnRetry(what, err, in)
		}
	})
	d.letters = &deadLetters{broker: d.broker, topic: c.Kafka.DeadLetters}
	if o.Publisher != nil {
		d.dirtyItems, d.dirtyUsers, d.dirtyHistories = map[string]struct{}{}, map[string]struct{}{}, map[string]struct{}{}
		j.touched = func(user string) { d.dirtyHistories[user] = struct{}{} }
	}
	if o.State != nil {
		if err := d.restore(o.State); err != nil {
			return nil, err
		}
	}
	d.show(true)
	return d, nil
}

// restore goes on from a checkpoint of a daemon.
func (d *Daemon) restore(s *snapshot.Snapshot) error {
	p, err := readPosition(s)
	if err != nil {
		return err
	}
	if p == nil {
		return fmt.Errorf("the checkpoint in %s is not a daemon's: it has no offsets", s.Dir)
	}
	if err := d.join.restore(s); err != nil {
		return err
	}
	d.resumed = p
	d.counts = p.Counts
	if d.counts.Events == nil {
		d.counts.Events = map[string]int64{}
	}
	if d.counts.Letters == nil {
		d.counts.Letters = map[string]int64{}
	}
	d.join.n = joinCounts{late: p.Counts.Late, duplicates: p.Counts.Duplicates, unmatched: p.Counts.Unmatched, ignored: p.Counts.Ignored}
	d.join.past.evicts += p.Counts.Evicted
	d.marks.at = p.WatermarkMS
	d.version = s.Manifest.Version
	if d.o.Publisher != nil {
		// The store may have lost what it held, and Learner.Update begins with everything too.
		d.publishAll()
	}
	return nil
}

// publishAll marks everything that the store holds beside the weights as changed.
func (d *Daemon) publishAll() {
	for id := range d.join.items.by {
		d.dirtyItems[id] = struct{}{}
	}
	for id := range d.join.users.by {
		d.dirtyUsers[id] = struct{}{}
	}
	for user := range d.join.past.users {
		d.dirtyHistories[user] = struct{}{}
	}
}

// Run reads, trains and publishes until ctx ends; then it writes a last checkpoint and returns nil. It may be called once.
func (d *Daemon) Run(ctx context.Context) (err error) {
	defer d.broker.close()
	stop, err := d.serve()
	if err != nil {
		return err
	}
	defer stop()
	d.readers, d.stopReaders = context.WithCancel(ctx)
	publishing, stopPublishing := context.WithCancel(context.WithoutCancel(ctx))
	if d.o.Publisher != nil {
		d.publisher = startPublisher(publishing, &d.o, d.broker)
		d.publishing.Store(d.publisher)
	}
	grown := make(chan map[string]int)
	var watch sync.WaitGroup
	defer func() {
		d.stopReaders()
		for _, p := range d.parts {
			<-p.down
		}
		watch.Wait()
		stopPublishing()
		if d.publisher != nil {
			<-d.publisher.down
		}
		d.commits.Wait()
	}()

	if err := d.open(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	watch.Go(func() { d.watch(d.readers, grown) })
	return d.loop(ctx, grown)
}

// loop is the processing: chunks, ticks, the end.
func (d *Daemon) loop(ctx context.Context, grown <-chan map[string]int) error {
	tick := d.clock.Ticker(min(max(time.Duration(d.c.Publish.Every)/4, 5*time.Millisecond), 50*time.Millisecond))
	defer tick.Stop()
	now := d.clock.Now()
	d.nextPublish, d.nextCheckpoint, d.checkpointed = now, now.Add(time.Duration(d.c.CheckpointEvery)), now
	for {
		var err error
		select {
		case <-d.abandon:
			return errors.New("abandoned")
		case <-ctx.Done():
			d.stopReaders()
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
			defer cancel()
			err := d.checkpoint(last)
			d.show(true)
			return err
		case c := <-d.chunks:
			err = d.take(ctx, c)
		case <-tick.C():
			err = d.tick(ctx)
		case n := <-grown:
			err = d.grow(ctx, n)
		}
		if err != nil && ctx.Err() == nil {
			return err
		}
		d.show(false)
	}
}

// tick moves event time with the clock, and does what is due.
func (d *Daemon) tick(ctx context.Context) error {
	if err := d.advance(); err != nil {
		return err
	}
	if err := d.unpark(ctx); err != nil {
		return err
	}
	if err := d.letters.flush(ctx); err != nil {
		return err
	}
	if err := d.publish(ctx); err != nil {
		return err
	}
	if d.clock.Now().Before(d.nextCheckpoint) {
		return nil
	}
	return d.checkpoint(ctx)
}

// dir is the folder of the daemon's checkpoint.
func (d *Daemon) dir() string { return filepath.Join(d.c.Checkpoint, "checkpoint") }
