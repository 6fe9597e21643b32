package streaming

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/millrace/millrace/core/snapshot"
)

// OpenState opens the checkpoint that a daemon with this configuration left, or returns nil where there is none yet.
func OpenState(c *Config) (*snapshot.Snapshot, error) {
	dir := filepath.Join(c.Checkpoint, "checkpoint")
	if _, err := os.Stat(filepath.Join(dir, "manifest.json")); err != nil {
		if os.IsNotExist(err) {
			return nil, nil
		}
		return nil, fmt.Errorf("look for the daemon's checkpoint: %w", err)
	}
	s, err := snapshot.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("open the daemon's checkpoint in %s: %w", dir, err)
	}
	return s, nil
}

// checkpoint writes the weights and, beside them, exactly the state that led to them: letters first, then everything at once.
func (d *Daemon) checkpoint(ctx context.Context) error {
	if err := d.learn(); err != nil {
		return err
	}
	if _, err := d.o.Learner.Flush(); err != nil {
		return fmt.Errorf("train on the rows that wait: %w", err)
	}
	if err := d.letters.flush(ctx); err != nil {
		return err
	}
	ends, err := d.letters.mark(ctx, d.parts)
	if err != nil {
		return err
	}
	m, parts, err := d.o.Learner.Snapshot()
	if err != nil {
		return fmt.Errorf("take the model's state for a checkpoint: %w", err)
	}
	at := d.position(ends)
	raw, err := json.Marshal(at)
	if err != nil {
		return fmt.Errorf("write the daemon's state: %w", err)
	}
	state := map[string]json.RawMessage{stateKey: raw}
	for k, v := range m.State {
		if k != stateKey {
			state[k] = v
		}
	}
	m.State = state
	written, err := snapshot.Write(d.dir(), m, append(parts, d.join.parts()...))
	if err != nil {
		return fmt.Errorf("write the checkpoint: %w", err)
	}
	now := d.clock.Now()
	d.version, d.checkpointed, d.nextCheckpoint = written.Version, now, now.Add(time.Duration(d.c.CheckpointEvery))
	d.letters.ends = ends
	d.commits.Wait() // of the last checkpoint, long done
	d.commits.Go(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if err := d.broker.commit(ctx, d.c.Kafka.Group, at.Offsets); err != nil {
			// For watching the lag only: the next checkpoint tries again.
			d.broker.onRetry("tell the group's offsets", err, time.Duration(d.c.CheckpointEvery))
		}
	})
	return nil
}

// position is where the daemon stands now.
func (d *Daemon) position(ends []int64) *position {
	p := &position{Format: formatVersion, Offsets: map[string][]int64{}, Newest: map[string][]int64{}, WatermarkMS: d.marks.at, DeadLetters: ends, Counts: d.total()}
	for _, part := range d.parts {
		p.Offsets[part.topic] = append(p.Offsets[part.topic], part.next)
		if part.clock != nil {
			p.Newest[part.topic] = append(p.Newest[part.topic], part.clock.newest)
		}
	}
	return p
}

// total gathers the counts of the daemon's parts.
func (d *Daemon) total() counts {
	n := d.counts
	j := &d.join.n
	n.Late, n.Duplicates, n.Unmatched, n.Ignored = j.late, j.duplicates, j.unmatched, j.ignored
	n.Evicted = d.join.past.evicts
	return n
}
