package streaming

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
)

// Sizes of a fetch: answered as soon as there is a byte, or after the wait.
const (
	fetchWait  = 100 * time.Millisecond
	fetchBytes = 1 << 20
)

// message is one message of a chunk.
type message struct {
	offset     int64
	key, value []byte // nil for null
}

// chunk is what one fetch of a partition brought. Its bytes are its own.
type chunk struct {
	part     *partition
	messages []message
	next     int64 // the offset after the chunk
	high     int64 // the partition's end as of the fetch
	lost     int64 // events that retention removed before they were read
	err      error // the partition cannot be read on: a wrong cluster
}

// partition is one partition being read. The reader's goroutine owns nothing of it but its own position; the rest belongs to the processing goroutine.
type partition struct {
	topic  string
	id     int
	kind   topicKind
	clock  *progress     // of the event topics; nil for items and users
	next   int64         // the offset after the last processed message
	target int64         // items and users: read this far before the first event
	high   int64         // the end as last heard
	down   chan struct{} // closed once the reader has ended
	resume chan struct{} // a token: the chunk was processed, the next may come
	parked *chunk
}

type topicKind int

const (
	topicImpressions topicKind = iota
	topicActions
	topicItems
	topicUsers
)

// read fetches a partition from an offset on, one chunk ahead of the processing, until ctx ends.
func (b *broker) read(ctx context.Context, p *partition, from int64, out chan<- *chunk) {
	defer close(p.down)
	next := from
	told := false // whether the processing knows that the end was reached
	wait := backOff()
	for ctx.Err() == nil {
		c, err := b.fetch(ctx, p, next)
		if err != nil {
			if ctx.Err() != nil {
				return
			}
			if g := (errGiveUp{}); errors.As(err, &g) {
				c = &chunk{part: p, next: next, err: g.error}
			} else {
				in := wait.NextBackOff()
				b.onRetry(fmt.Sprintf("read topic %s partition %d at offset %d", p.topic, p.id, next), err, in)
				if told {
					// Not heard from is not the same as silent.
					told = false
					if !send(ctx, p, &chunk{part: p, next: next, high: next + 1}, out) {
						return
					}
				}
				if b.clock.Sleep(ctx, in) != nil {
					return
				}
				continue
			}
		}
		wait.Reset()
		end := c.next >= c.high
		if len(c.messages) == 0 && c.lost == 0 && c.err == nil && c.next == next && (told || !end) {
			if !end && b.clock.Sleep(ctx, fetchWait/10) != nil {
				return
			}
			continue
		}
		told, next = end, c.next
		if !send(ctx, p, c, out) || c.err != nil {
			return
		}
	}
}

// send hands a chunk over once the one before was processed.
func send(ctx context.Context, p *partition, c *chunk, out chan<- *chunk) bool {
	select {
	case <-p.resume:
	case <-ctx.Done():
		return false
	}
	select {
	case out <- c:
		return true
	case <-ctx.Done():
		return false
	}
}

// fetch asks once for messages from an offset on; there may be none.
func (b *broker) fetch(ctx context.Context, p *partition, from int64) (*chunk, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	res, err := b.client.Fetch(ctx, &kafka.FetchRequest{Topic: p.topic, Partition: p.id, Offset: from, MinBytes: 1, MaxBytes: fetchBytes, MaxWait: fetchWait})
	if err != nil {
		return nil, err
	}
	if errors.Is(res.Error, kafka.OffsetOutOfRange) {
		return b.outOfRange(ctx, p, from)
	}
	if res.Error != nil {
		return nil, res.Error
	}
	c := &chunk{part: p, next: from, high: res.HighWatermark}
	if err := c.take(res.Records); err != nil {
		if len(c.messages) == 0 {
			return nil, err
		}
		// What came before the broken batch is used; the next fetch begins at it and reports it.
	}
	c.skipEmpty(res.Records)
	return c, nil
}

// outOfRange decides what an offset outside of the partition means: below it, events were removed before they were read, which is counted; beyond its end, the
// checkpoint belongs to another log.
func (b *broker) outOfRange(ctx context.Context, p *partition, from int64) (*chunk, error) {
	res, err := b.client.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{
		p.topic: {kafka.FirstOffsetOf(p.id), kafka.LastOffsetOf(p.id)},
	}})
	if err != nil {
		return nil, err
	}
	for _, o := range res.Topics[p.topic] {
		switch {
		case o.Partition != p.id:
		case o.Error != nil:
			return nil, o.Error
		case from < o.FirstOffset:
			return &chunk{part: p, next: o.FirstOffset, high: o.LastOffset, lost: o.FirstOffset - from}, nil
		case from > o.LastOffset:
			return nil, errGiveUp{fmt.Errorf("topic %s partition %d ends at offset %d, the checkpoint stands at %d: it belongs to another cluster, or the topic was made anew", p.topic, p.id, o.LastOffset, from)}
		default:
			// It is within by now.
			return &chunk{part: p, next: from, high: o.LastOffset}, nil
		}
	}
	return nil, fmt.Errorf("no offsets of topic %s partition %d", p.topic, p.id)
}

// take copies a fetch's records from c.next on into the chunk.
func (c *chunk) take(records kafka.RecordReader) error {
	var arena []byte
	for {
		r, err := records.ReadRecord()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if r.Offset < c.next {
			release(r)
			continue
		}
		m := message{offset: r.Offset}
		for _, part := range []struct {
			from kafka.Bytes
			to   *[]byte
		}{{r.Key, &m.key}, {r.Value, &m.value}} {
			if part.from == nil {
				continue
			}
			n := part.from.Len()
			if n > cap(arena)-len(arena) {
				arena = make([]byte, 0, max(n, 64<<10))
			}
			*part.to = arena[len(arena) : len(arena)+n : len(arena)+n]
			arena = arena[:len(arena)+n]
			if _, err := io.ReadFull(part.from, *part.to); err != nil {
				release(r)
				return err
			}
		}
		release(r)
		c.messages = append(c.messages, m)
		c.next = r.Offset + 1
	}
}

func release(r *kafka.Record) {
	if r.Key != nil {
		r.Key.Close()
	}
	if r.Value != nil {
		r.Value.Close()
	}
}

// skipEmpty moves on when a fetch brought batches of which compaction or a transaction left nothing from c.next on. An answer without batches moves nothing: it
// may say no more than that the data was not ready.
func (c *chunk) skipEmpty(records kafka.RecordReader) {
	s, ok := records.(*protocol.RecordStream)
	if !ok || len(s.Records) == 0 || len(c.messages) > 0 {
		return
	}
	c.next++
	for _, r := range s.Records {
		if b, ok := r.(interface{ Offset() int64 }); ok {
			c.next = max(c.next, b.Offset()+1)
		}
	}
}
