package streaming

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/segmentio/kafka-go"

	"github.com/millrace/millrace/internal/clock"
)

// broker is the connection to Kafka that readers, the dead letters and the offsets of the group share. Every request is bounded in time.
type broker struct {
	client    *kafka.Client
	transport *kafka.Transport
	clock     clock.Clock
	onRetry   func(what string, err error, in time.Duration)
}

// requestTimeout bounds one request beyond what it may wait for data.
const requestTimeout = 20 * time.Second

func newBroker(addresses []string, c clock.Clock, onRetry func(string, error, time.Duration)) *broker {
	t := &kafka.Transport{
		DialTimeout: 5 * time.Second,
		ClientID:    "millrace",
		// Leaders that moved are found again this soon.
		MetadataTTL: 3 * time.Second,
	}
	return &broker{client: &kafka.Client{Addr: kafka.TCP(addresses...), Transport: t}, transport: t, clock: c, onRetry: onRetry}
}

func (b *broker) close() { b.transport.CloseIdleConnections() }

// backOff waits from 50 ms doubling to 5 s, with jitter.
func backOff() *backoff.ExponentialBackOff {
	e := backoff.NewExponentialBackOff()
	e.InitialInterval, e.MaxInterval, e.Multiplier = 50*time.Millisecond, 5*time.Second, 2
	return e
}

// errGiveUp marks errors that trying again does not mend.
type errGiveUp struct{ error }

func (e errGiveUp) Unwrap() error { return e.error }

// retry calls do until it succeeds, gives up, or ctx ends.
func (b *broker) retry(ctx context.Context, what string, do func(context.Context) error) error {
	wait := backOff()
	for {
		attempt, cancel := context.WithTimeout(ctx, requestTimeout)
		err := do(attempt)
		cancel()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if g := (errGiveUp{}); errors.As(err, &g) {
			return fmt.Errorf("%s: %w", what, g.error)
		}
		in := wait.NextBackOff()
		b.onRetry(what, err, in)
		if err := b.clock.Sleep(ctx, in); err != nil {
			return err
		}
	}
}

// partitions returns the number of partitions of each topic that exists. Their ids are 0 to n-1.
func (b *broker) partitions(ctx context.Context, topics ...string) (map[string]int, error) {
	// A transport of its own: the shared one answers from a cache that does not know new topics.
	t := &kafka.Transport{DialTimeout: 5 * time.Second, ClientID: "millrace"}
	defer t.CloseIdleConnections()
	res, err := (&kafka.Client{Addr: b.client.Addr, Transport: t}).Metadata(ctx, &kafka.MetadataRequest{Topics: topics})
	if err != nil {
		return nil, fmt.Errorf("read the topics' partitions: %w", err)
	}
	found := map[string]int{}
	for _, t := range res.Topics {
		if t.Error != nil {
			if errors.Is(t.Error, kafka.UnknownTopicOrPartition) {
				continue
			}
			return nil, fmt.Errorf("read the partitions of topic %s: %w", t.Name, t.Error)
		}
		found[t.Name] = len(t.Partitions)
	}
	return found, nil
}

// offsets returns the first and the next offset of a topic's partitions.
func (b *broker) offsets(ctx context.Context, topic string, partitions int) (first, next []int64, err error) {
	req := &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{}}
	for p := range partitions {
		req.Topics[topic] = append(req.Topics[topic], kafka.FirstOffsetOf(p), kafka.LastOffsetOf(p))
	}
	res, err := b.client.ListOffsets(ctx, req)
	if err != nil {
		return nil, nil, fmt.Errorf("read the offsets of topic %s: %w", topic, err)
	}
	first, next = make([]int64, partitions), make([]int64, partitions)
	seen := 0
	for _, p := range res.Topics[topic] {
		if p.Error != nil {
			return nil, nil, fmt.Errorf("read the offsets of topic %s partition %d: %w", topic, p.Partition, p.Error)
		}
		if p.Partition < partitions {
			first[p.Partition], next[p.Partition] = p.FirstOffset, p.LastOffset
			seen++
		}
	}
	if seen != partitions {
		return nil, nil, fmt.Errorf("read the offsets of topic %s: %d of %d partitions answered", topic, seen, partitions)
	}
	return first, next, nil
}

// create makes a topic where it is missing.
func (b *broker) create(ctx context.Context, topic string, partitions int) error {
	res, err := b.client.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{{Topic: topic, NumPartitions: partitions, ReplicationFactor: -1}}})
	if err != nil {
		return fmt.Errorf("create topic %s: %w", topic, err)
	}
	if err := res.Errors[topic]; err != nil && !errors.Is(err, kafka.TopicAlreadyExists) {
		return fmt.Errorf("create topic %s: %w", topic, err)
	}
	return nil
}

// commit tells the group's coordinator how far the checkpoint has come: for those who watch the lag, never read back.
func (b *broker) commit(ctx context.Context, group string, offsets map[string][]int64) error {
	req := &kafka.OffsetCommitRequest{GroupID: group, GenerationID: -1, Topics: map[string][]kafka.OffsetCommit{}}
	for topic, os := range offsets {
		for p, o := range os {
			req.Topics[topic] = append(req.Topics[topic], kafka.OffsetCommit{Partition: p, Offset: o})
		}
	}
	res, err := b.client.OffsetCommit(ctx, req)
	if err != nil {
		return fmt.Errorf("commit offsets to group %s: %w", group, err)
	}
	for topic, ps := range res.Topics {
		for _, p := range ps {
			if p.Error != nil {
				return fmt.Errorf("commit the offset of topic %s partition %d to group %s: %w", topic, p.Partition, group, p.Error)
			}
		}
	}
	return nil
}

// resolve reports which configured address cannot be one at all, before anything is retried.
func resolve(addresses []string) error {
	for _, a := range addresses {
		if _, _, err := net.SplitHostPort(a); err != nil {
			return fmt.Errorf("kafka broker %q is not host:port: %w", a, err)
		}
	}
	return nil
}
