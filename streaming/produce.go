package streaming

import (
	"context"
	"fmt"
	"time"

	"github.com/segmentio/kafka-go"
)

// Message is a keyed value for a topic, as a producer writes it.
type Message struct {
	Topic string
	Key   []byte
	Value []byte // nil deletes in a compacted topic
}

// Producer writes events to Kafka, partitioned by key as the Java client does, so that every topic keeps a user's events in partitions of the same number.
// It is safe for concurrent use.
type Producer struct {
	w         *kafka.Writer
	transport *kafka.Transport
}

// NewProducer returns a producer for the brokers; nothing is dialled yet.
func NewProducer(brokers []string) *Producer {
	t := &kafka.Transport{DialTimeout: 5 * time.Second, ClientID: "millrace"}
	return &Producer{transport: t, w: &kafka.Writer{
		Transport:    t,
		Addr:         kafka.TCP(brokers...),
		Balancer:     kafka.Murmur2Balancer{},
		BatchSize:    1000,
		BatchTimeout: 5 * time.Millisecond,
		RequiredAcks: kafka.RequireAll,
	}}
}

// Write sends messages and returns when the brokers have them. Order is kept within a key.
func (p *Producer) Write(ctx context.Context, ms ...Message) error {
	out := make([]kafka.Message, len(ms))
	for i, m := range ms {
		out[i] = kafka.Message{Topic: m.Topic, Key: m.Key, Value: m.Value}
	}
	if err := p.w.WriteMessages(ctx, out...); err != nil {
		return fmt.Errorf("write %d messages to Kafka: %w", len(ms), err)
	}
	return nil
}

// Close flushes and closes the connections.
func (p *Producer) Close() error {
	defer p.transport.CloseIdleConnections()
	return p.w.Close()
}
