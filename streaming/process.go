package streaming

import (
	"context"
	"fmt"

	"github.com/millrace/millrace/features"
)

// take processes a chunk, or parks it while its partition is too far ahead of the others or the items and users are not there yet.
func (d *Daemon) take(ctx context.Context, c *chunk) error {
	if c.err != nil {
		return c.err
	}
	if d.mustWait(c.part) && len(c.messages) > 0 {
		c.part.parked = c
		c.part.clock.caughtUp = false
		return nil
	}
	if err := d.process(ctx, c); err != nil {
		return err
	}
	if err := d.advance(); err != nil {
		return err
	}
	return d.unpark(ctx)
}

// mustWait reports whether an event partition should not be read on yet.
func (d *Daemon) mustWait(p *partition) bool {
	if p.clock == nil {
		return false
	}
	for _, o := range d.parts {
		if o.next < o.target {
			return true
		}
	}
	return d.marks.tooFar(p.clock, d.now(), d.join.window+d.join.late)
}

// unpark processes parked chunks whose time has come, the partition furthest behind first.
func (d *Daemon) unpark(ctx context.Context) error {
	for {
		var least *partition
		for _, p := range d.parts {
			if p.parked != nil && (least == nil || p.clock.newest < least.clock.newest) {
				least = p
			}
		}
		if least == nil || d.mustWait(least) {
			return nil
		}
		c := least.parked
		least.parked = nil
		if err := d.process(ctx, c); err != nil {
			return err
		}
		if err := d.advance(); err != nil {
			return err
		}
	}
}

func (d *Daemon) now() int64 { return d.clock.Now().UnixMilli() }

// process takes every message of a chunk in.
func (d *Daemon) process(ctx context.Context, c *chunk) error {
	p := c.part
	now := d.now()
	d.decoder.latest = now + d.c.Join.Ahead.milliseconds()
	for i := range c.messages {
		m := &c.messages[i]
		if reason := d.message(p, m); reason != "" {
			d.counts.Letters[reason]++
			d.letters.add(letter{letterID: letterID{p.topic, p.id, m.offset}, key: m.key, value: m.value, reason: reason})
			if d.letters.full() {
				if err := d.letters.flush(ctx); err != nil {
					return err
				}
			}
		}
	}
	d.counts.Events[p.topic] += int64(len(c.messages))
	d.counts.Lost += c.lost
	p.next, p.high = c.next, c.high
	if p.clock != nil {
		p.clock.caughtUp = c.next >= c.high
		if len(c.messages) > 0 {
			p.clock.heard = now
		}
	}
	p.resume <- struct{}{}
	return nil
}

// message takes one message in, or returns why it cannot be used.
func (d *Daemon) message(p *partition, m *message) (reason string) {
	switch p.kind {
	case topicImpressions:
		i, reason := d.decoder.impression(m.key, m.value)
		if reason != "" {
			return reason
		}
		p.clock.see(i.t)
		d.join.impression(i)
	case topicActions:
		var a action
		if reason := d.decoder.action(m.key, m.value, &a); reason != "" {
			return reason
		}
		p.clock.see(a.t)
		d.join.action(&a, m.offset)
	case topicItems:
		e, reason := d.decoder.entity(m.key, m.value, &d.decoder.item)
		if reason != "" {
			return reason
		}
		if d.join.items.put(e) && d.dirtyItems != nil {
			d.dirtyItems[e.id] = struct{}{}
		}
	case topicUsers:
		e, reason := d.decoder.entity(m.key, m.value, &d.decoder.user)
		if reason != "" {
			return reason
		}
		if d.join.users.put(e) && d.dirtyUsers != nil {
			d.dirtyUsers[e.id] = struct{}{}
		}
	}
	return ""
}

// advance moves event time on and trains on the rows that leave the join.
func (d *Daemon) advance() error {
	return d.join.advance(d.marks.advance(d.now()), d.leave)
}

// leave puts a row whose window has closed before the learner.
func (d *Daemon) leave(r *row) error {
	d.join.fill(&d.row, r)
	if err := d.asm.Append(&d.row); err != nil {
		// The decoder's checks should have caught it; a row is not worth a daemon.
		d.counts.Rejected++
		return nil
	}
	if d.publisher != nil && d.o.Trained != nil {
		d.covered = append(d.covered, r.id)
	}
	if d.asm.Len() >= recordRows {
		return d.learn()
	}
	return nil
}

// learn hands the assembled rows to the learner.
func (d *Daemon) learn() error {
	n := d.asm.Len()
	if n == 0 {
		return nil
	}
	rec := d.asm.Record()
	defer rec.Release()
	if _, err := d.o.Learner.Learn(rec); err != nil {
		return fmt.Errorf("train on %d joined rows: %w", n, err)
	}
	d.counts.RowsTrained += int64(n)
	return nil
}

// Limits of one publication; what is left goes with the next.
const publishMost = 20_000

// publish hands what changed to the publisher, when it is due and the last round has arrived.
func (d *Daemon) publish(ctx context.Context) error {
	now := d.clock.Now()
	if now.Before(d.nextPublish) {
		return nil
	}
	if d.publisher == nil {
		d.nextPublish = now.Add(d.c.Publish.Every.duration())
		return d.learn()
	}
	select {
	case <-d.publisher.done:
	default:
		return nil
	}
	d.nextPublish = now.Add(d.c.Publish.Every.duration())
	if r := d.publisher.refused; r != nil {
		d.publisher.refused = nil
		d.covered = append(r.impressions, d.covered...)
		d.o.Learner.(Refresher).Full()
		d.publishAll()
	}
	if err := d.learn(); err != nil {
		return err
	}
	if _, err := d.o.Learner.Flush(); err != nil {
		return fmt.Errorf("train on the rows that wait: %w", err)
	}
	u, err := d.o.Learner.Update()
	if err != nil {
		return fmt.Errorf("collect what changed in the model: %w", err)
	}
	j := &publication{update: u}
	if u != nil {
		j.impressions, d.covered = d.covered, nil
	}
	j.items = entitiesOf(d.dirtyItems, d.join.items)
	j.users = entitiesOf(d.dirtyUsers, d.join.users)
	for user := range d.dirtyHistories {
		if len(j.histories) == publishMost {
			break
		}
		delete(d.dirtyHistories, user)
		j.histories = append(j.histories, features.UserHistory{User: user, History: d.join.past.newest(user)})
	}
	if j.update == nil && len(j.items)+len(j.users)+len(j.histories) == 0 {
		d.publisher.done <- struct{}{}
		return nil
	}
	select {
	case d.publisher.jobs <- j:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// entitiesOf moves changed entities out of a set of ids.
func entitiesOf(dirty map[string]struct{}, s *entities) []features.Entity {
	var out []features.Entity
	for id := range dirty {
		if len(out) == publishMost {
			break
		}
		delete(dirty, id)
		e := s.by[id]
		if e == nil {
			out = append(out, features.Entity{ID: id, Deleted: true})
			continue
		}
		out = append(out, features.Entity{ID: id, TimeMS: e.t, Features: values(e.features)})
	}
	return out
}
