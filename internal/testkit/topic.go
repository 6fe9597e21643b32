package testkit

import (
	"context"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
)

// Message is one message of a topic as a broker holds it.
type Message struct {
	Partition  int
	Offset     int64
	Key, Value []byte
	Headers    map[string]string
}

// ReadTopic reads everything that a topic holds, partition by partition, in order of offsets.
func ReadTopic(t testing.TB, broker, topic string) []Message {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := kafka.DialContext(ctx, "tcp", broker)
	if err != nil {
		t.Fatalf("read topic %s: %v", topic, err)
	}
	defer conn.Close()
	partitions, err := conn.ReadPartitions(topic)
	if err != nil {
		t.Fatalf("read topic %s: %v", topic, err)
	}
	var out []Message
	for _, p := range partitions {
		out = append(out, readPartition(t, ctx, broker, topic, p.ID)...)
	}
	return out
}

func readPartition(t testing.TB, ctx context.Context, broker, topic string, partition int) []Message {
	t.Helper()
	conn, err := kafka.DialLeader(ctx, "tcp", broker, topic, partition)
	if err != nil {
		t.Fatalf("read topic %s partition %d: %v", topic, partition, err)
	}
	defer conn.Close()
	_, end, err := conn.ReadOffsets()
	if err != nil {
		t.Fatalf("read topic %s partition %d: %v", topic, partition, err)
	}
	r := kafka.NewReader(kafka.ReaderConfig{Brokers: []string{broker}, Topic: topic, Partition: partition, MaxBytes: 16 << 20, MaxWait: 100 * time.Millisecond})
	defer r.Close()
	var out []Message
	for next := int64(0); next < end; {
		m, err := r.ReadMessage(ctx)
		if err != nil {
			t.Fatalf("read topic %s partition %d after %d messages: %v", topic, partition, len(out), err)
		}
		next = m.Offset + 1
		headers := map[string]string{}
		for _, h := range m.Headers {
			headers[h.Key] = string(h.Value)
		}
		out = append(out, Message{Partition: partition, Offset: m.Offset, Key: m.Key, Value: m.Value, Headers: headers})
	}
	return out
}
