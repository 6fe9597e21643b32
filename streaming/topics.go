package streaming

import (
	"context"
	"fmt"
	"time"
)

// open finds the topics, reads the dead letters' tail back and starts the readers.
func (d *Daemon) open(ctx context.Context) error {
	k := &d.c.Kafka
	var found map[string]int
	err := d.broker.retry(ctx, "find the event topics", func(ctx context.Context) (err error) {
		found, err = d.broker.partitions(ctx, k.Impressions, k.Actions, k.Items, k.Users)
		if err != nil {
			return err
		}
		for _, topic := range []string{k.Impressions, k.Actions} {
			if found[topic] == 0 {
				return fmt.Errorf("topic %s does not exist yet", topic)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := d.samePartitions(found); err != nil {
		return err
	}
	var ends []int64
	if d.resumed != nil {
		ends = d.resumed.DeadLetters
	}
	if err := d.letters.open(ctx, found[k.Impressions], ends); err != nil {
		return err
	}
	return d.start(ctx, found)
}

// samePartitions checks what the join relies on: a user's impressions and actions are in partitions of the same number.
func (d *Daemon) samePartitions(found map[string]int) error {
	k := &d.c.Kafka
	if found[k.Impressions] == found[k.Actions] {
		return nil
	}
	return fmt.Errorf("topics %s and %s have %d and %d partitions: they must have the same number, keyed by user", k.Impressions, k.Actions, found[k.Impressions], found[k.Actions])
}

// start begins to read every partition that is not read yet.
func (d *Daemon) start(ctx context.Context, found map[string]int) error {
	k := &d.c.Kafka
	for _, t := range []struct {
		name string
		kind topicKind
	}{{k.Items, topicItems}, {k.Users, topicUsers}, {k.Impressions, topicImpressions}, {k.Actions, topicActions}} {
		have := 0
		for _, p := range d.parts {
			if p.topic == t.name {
				have++
			}
		}
		n := found[t.name]
		if n <= have {
			continue
		}
		var first, next []int64
		err := d.broker.retry(ctx, "read the offsets of topic "+t.name, func(ctx context.Context) (err error) {
			first, next, err = d.broker.offsets(ctx, t.name, n)
			return err
		})
		if err != nil {
			return err
		}
		for id := have; id < n; id++ {
			p := &partition{topic: t.name, id: id, kind: t.kind, next: first[id], high: next[id], down: make(chan struct{}), resume: make(chan struct{}, 1)}
			if t.kind == topicItems || t.kind == topicUsers {
				p.target = next[id]
			} else {
				p.clock = d.marks.add(d.now())
			}
			if r := d.resumed; r != nil && id < len(r.Offsets[t.name]) {
				p.next = r.Offsets[t.name][id]
				if p.clock != nil && id < len(r.Newest[t.name]) {
					p.clock.newest = r.Newest[t.name][id]
				}
			}
			p.resume <- struct{}{}
			d.parts = append(d.parts, p)
			go d.broker.read(d.readers, p, p.next, d.chunks)
		}
	}
	return nil
}

// watchEvery is how often new partitions are looked for.
const watchEvery = 30 * time.Second

// watch reports the topics' partitions now and then.
func (d *Daemon) watch(ctx context.Context, out chan<- map[string]int) {
	k := &d.c.Kafka
	for {
		if d.clock.Sleep(ctx, watchEvery) != nil {
			return
		}
		attempt, cancel := context.WithTimeout(ctx, requestTimeout)
		found, err := d.broker.partitions(attempt, k.Impressions, k.Actions, k.Items, k.Users)
		cancel()
		if err != nil {
			if ctx.Err() != nil {
				return
			}
			d.broker.onRetry("look for new partitions", err, watchEvery)
			continue
		}
		select {
		case out <- found:
		case <-ctx.Done():
			return
		}
	}
}

// grow starts readers for partitions that came since. While only one of the event topics has grown, its new partitions wait for the other's.
func (d *Daemon) grow(ctx context.Context, found map[string]int) error {
	k := &d.c.Kafka
	if err := d.samePartitions(found); err != nil {
		d.broker.onRetry("look for new partitions", err, watchEvery)
		delete(found, k.Impressions)
		delete(found, k.Actions)
	}
	return d.start(ctx, found)
}
