package streaming

import (
	"context"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/embedded/kafka"
	"github.com/millrace/millrace/internal/testkit"
)

func ensure(t *testing.T, addr string) {
	t.Helper()
	ctx := context.Background()
	for range 2 {
		if err := EnsureTopics(ctx, []string{addr}, EventTopics(3)); err != nil {
			t.Fatal(err)
		}
	}
	p := NewProducer([]string{addr})
	defer p.Close()
	if err := p.Write(ctx, Message{Topic: "impressions", Key: []byte("u"), Value: []byte("1")}, Message{Topic: "items", Key: []byte("i"), Value: []byte("2")}); err != nil {
		t.Fatal(err)
	}
	if got := testkit.ReadTopic(t, addr, "items"); len(got) != 1 || string(got[0].Value) != "2" {
		t.Errorf("items hold %v", got)
	}
}

func TestEnsureTopics(t *testing.T) {
	b, err := kafka.StartWith(kafka.Options{Topics: map[string]int{"impressions": 5}})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	ensure(t, b.Addr())
	have, err := leaders(context.Background(), []string{b.Addr()}, []string{"impressions", "actions", "items", "users", "none"})
	if err != nil {
		t.Fatal(err)
	}
	for topic, n := range map[string]int{"impressions": 5, "actions": 5, "items": 1, "users": 1, "none": 0} {
		if have[topic] != n {
			t.Errorf("%s has %d partitions, want %d", topic, have[topic], n)
		}
	}
}

func TestEnsureTopicsOfRealKafka(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a real Kafka")
	}
	ensure(t, testkit.StartKafka(t).Addr)
}

func TestEnsureTopicsRefuses(t *testing.T) {
	for addr, want := range map[string]string{"nowhere": "host:port", "127.0.0.1:1": "127.0.0.1:1"} {
		if err := EnsureTopics(context.Background(), []string{addr}, EventTopics(1)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", addr, err)
		}
	}
}
