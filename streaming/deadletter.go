package streaming

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
)

// Headers of a dead letter; its key and value are the event's own, unchanged.
const (
	headerTopic     = "topic"
	headerPartition = "partition"
	headerOffset    = "offset"
	headerReason    = "reason"
	// headerTruncated is there, with the original length, when the broker refused the whole value for its size.
	headerTruncated = "truncated"
)

// letterID tells an event by where it came from.
type letterID struct {
	topic     string
	partition int
	offset    int64
}

// letter is an event that could not be used.
type letter struct {
	letterID
	key, value []byte
	reason     string
	truncated  int
}

// deadLetters writes letters so that each is there once, crashes included: letters are on disk before the checkpoint that covers their events, and after a
// restart, or a write that failed halfway, the topic's tail tells which are there already. It belongs to the processing goroutine.
type deadLetters struct {
	broker  *broker
	topic   string
	ends    []int64 // of the topic's partitions, as of the last checkpoint: what lies before is of older events
	waiting []letter
	written map[letterID]bool // read back from the tail
}

// Limits of letters in memory and in one request.
const (
	lettersWaiting = 1000
	letterBytes    = 512 << 10
)

// open makes the topic where it is missing, and reads back what was written after the checkpoint.
func (d *deadLetters) open(ctx context.Context, partitions int, ends []int64) error {
	return d.broker.retry(ctx, "open the dead-letter topic "+d.topic, func(ctx context.Context) error {
		found, err := d.broker.partitions(ctx, d.topic)
		if err != nil {
			return err
		}
		if found[d.topic] == 0 {
			if err := d.broker.create(ctx, d.topic, partitions); err != nil {
				return err
			}
			// It takes a moment until every broker knows of it.
			for range 20 {
				if err := d.broker.clock.Sleep(ctx, 50*time.Millisecond); err != nil {
					return err
				}
				if found, err = d.broker.partitions(ctx, d.topic); err != nil || found[d.topic] > 0 {
					break
				}
			}
			if err != nil || found[d.topic] == 0 {
				return errors.Join(err, fmt.Errorf("topic %s was made and is not there yet", d.topic))
			}
		}
		first, next, err := d.broker.offsets(ctx, d.topic, found[d.topic])
		if err != nil {
			return err
		}
		d.ends = make([]int64, found[d.topic])
		for p := range d.ends {
			switch {
			case ends == nil:
				// No checkpoint: whatever is there may be of events that are about to be read again.
				d.ends[p] = first[p]
			case p < len(ends):
				d.ends[p] = min(max(ends[p], first[p]), next[p])
			}
		}
		return d.readBack(ctx)
	})
}

// readBack reads the letters behind d.ends.
func (d *deadLetters) readBack(ctx context.Context) error {
	_, next, err := d.broker.offsets(ctx, d.topic, len(d.ends))
	if err != nil {
		return err
	}
	written := map[letterID]bool{}
	for p := range d.ends {
		part := &partition{topic: d.topic, id: p}
		for from := d.ends[p]; from < next[p]; {
			res, err := d.broker.client.Fetch(ctx, &kafka.FetchRequest{Topic: d.topic, Partition: p, Offset: from, MinBytes: 1, MaxBytes: fetchBytes, MaxWait: fetchWait})
			if err == nil {
				err = res.Error
			}
			if err != nil {
				return fmt.Errorf("read back topic %s partition %d: %w", d.topic, p, err)
			}
			c := &chunk{part: part, next: from}
			if err := c.takeIDs(res.Records, written); err != nil {
				return fmt.Errorf("read back topic %s partition %d: %w", d.topic, p, err)
			}
			if c.next == from {
				c.skipEmpty(res.Records)
			}
			if c.next == from {
				if err := d.broker.clock.Sleep(ctx, fetchWait/10); err != nil {
					return err
				}
			}
			from = c.next
		}
	}
	d.written = written
	return nil
}

// takeIDs reads which events a fetch's letters are of.
func (c *chunk) takeIDs(records kafka.RecordReader, into map[letterID]bool) error {
	for {
		r, err := records.ReadRecord()
		if err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		if r.Offset >= c.next {
			c.next = r.Offset + 1
			id := letterID{}
			for _, h := range r.Headers {
				var err error
				switch h.Key {
				case headerTopic:
					id.topic = string(h.Value)
				case headerPartition:
					id.partition, err = strconv.Atoi(string(h.Value))
				case headerOffset:
					id.offset, err = strconv.ParseInt(string(h.Value), 10, 64)
				}
				if err != nil {
					id.topic = "" // somebody else's message
				}
			}
			if id.topic != "" {
				into[id] = true
			}
		}
		release(r)
	}
}

// add takes a letter in, to be written by the next flush; the bytes must stay as they are until then.
func (d *deadLetters) add(l letter) { d.waiting = append(d.waiting, l) }

func (d *deadLetters) full() bool { return len(d.waiting) >= lettersWaiting }

// flush writes the letters that wait. It returns an error only when ctx ends.
func (d *deadLetters) flush(ctx context.Context) error {
	if len(d.waiting) == 0 {
		return nil
	}
	failed := false
	err := d.broker.retry(ctx, "write dead letters to topic "+d.topic, func(ctx context.Context) error {
		if failed {
			// Some of them may be there: an answer can get lost after the write.
			if err := d.readBack(ctx); err != nil {
				return err
			}
		}
		failed = true
		return d.write(ctx)
	})
	if err != nil {
		return err
	}
	for _, l := range d.waiting {
		delete(d.written, l.letterID)
	}
	clear(d.waiting)
	d.waiting = d.waiting[:0]
	return nil
}

// write produces the waiting letters that are not there yet, partition by partition.
func (d *deadLetters) write(ctx context.Context) error {
	byPartition := make([][]letter, len(d.ends))
	for _, l := range d.waiting {
		if !d.written[l.letterID] {
			p := l.partition % len(d.ends)
			byPartition[p] = append(byPartition[p], l)
		}
	}
	for p, ls := range byPartition {
		for len(ls) > 0 {
			n, size := 0, 0
			for n < len(ls) && (n == 0 || size+len(ls[n].key)+len(ls[n].value) < letterBytes) {
				size += len(ls[n].key) + len(ls[n].value)
				n++
			}
			err := d.produce(ctx, p, ls[:n])
			if errors.Is(err, kafka.MessageSizeTooLarge) && n == 1 && len(ls[0].value) > 0 {
				// The headers made it larger than the topic takes: what fits is better than nothing, and the event stays in its own topic.
				cut := ls[0]
				cut.truncated = len(cut.value)
				cut.value = cut.value[:len(cut.value)/2]
				err = d.produce(ctx, p, []letter{cut})
			}
			if err != nil {
				return err
			}
			ls = ls[n:]
		}
	}
	return nil
}

func (d *deadLetters) produce(ctx context.Context, partition int, ls []letter) error {
	records := make([]kafka.Record, len(ls))
	for i, l := range ls {
		hs := []kafka.Header{
			{Key: headerTopic, Value: []byte(l.topic)},
			{Key: headerPartition, Value: strconv.AppendInt(nil, int64(l.partition), 10)},
			{Key: headerOffset, Value: strconv.AppendInt(nil, l.offset, 10)},
			{Key: headerReason, Value: []byte(l.reason)},
		}
		if l.truncated > 0 {
			hs = append(hs, kafka.Header{Key: headerTruncated, Value: strconv.AppendInt(nil, int64(l.truncated), 10)})
		}
		records[i] = kafka.Record{Key: protocol.NewBytes(l.key), Value: protocol.NewBytes(l.value), Headers: hs}
	}
	res, err := d.broker.client.Produce(ctx, &kafka.ProduceRequest{Topic: d.topic, Partition: partition, RequiredAcks: kafka.RequireAll, Records: kafka.NewRecordReader(records...)})
	if err != nil {
		return fmt.Errorf("write %d letters to topic %s partition %d: %w", len(ls), d.topic, partition, err)
	}
	if res.Error != nil {
		return fmt.Errorf("write %d letters to topic %s partition %d: %w", len(ls), d.topic, partition, res.Error)
	}
	return nil
}

// mark returns where letters of events after a checkpoint can begin in the topic, for that checkpoint; all letters of events before it are written. While letters
// are there of events that are still to come (a process that crashed had come further), that is where it was before.
func (d *deadLetters) mark(ctx context.Context, parts []*partition) ([]int64, error) {
	to := map[letterID]int64{}
	for _, p := range parts {
		to[letterID{topic: p.topic, partition: p.id}] = p.next
	}
	for id := range d.written {
		if next, read := to[letterID{topic: id.topic, partition: id.partition}]; !read || id.offset < next {
			delete(d.written, id)
		}
	}
	if len(d.written) > 0 {
		return d.ends, nil
	}
	var ends []int64
	err := d.broker.retry(ctx, "read the ends of the dead-letter topic "+d.topic, func(ctx context.Context) (err error) {
		_, ends, err = d.broker.offsets(ctx, d.topic, len(d.ends))
		return err
	})
	return ends, err
}
