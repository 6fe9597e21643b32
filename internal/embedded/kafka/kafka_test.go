package kafka

import (
	"context"
	"testing"
	"time"

	client "github.com/segmentio/kafka-go"
)

// TestRestart writes to a broker with a folder, starts another on the same folder and port, and reads what was written.
func TestRestart(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	b, err := StartWith(Options{Dir: dir, Topics: map[string]int{"a": 2, "c": 1}, Compacted: []string{"c"}})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := client.DialLeader(ctx, "tcp", b.Addr(), "a", 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.WriteMessages(client.Message{Key: []byte("k"), Value: []byte("one")}, client.Message{Value: []byte("two")}); err != nil {
		t.Fatal(err)
	}
	conn.Close()
	port := b.Port()
	b.Close()
	b.Close()

	b, err = StartWith(Options{Dir: dir, Topics: map[string]int{"a": 2, "new": 3}, Port: port})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	conn, err = client.DialLeader(ctx, "tcp", b.Addr(), "a", 1)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, want := range []string{"one", "two"} {
		m, err := conn.ReadMessage(1 << 10)
		if err != nil || string(m.Value) != want {
			t.Fatalf("read %q, %v; want %q", m.Value, err, want)
		}
	}
	ps, err := conn.ReadPartitions("new")
	if err != nil || len(ps) != 3 {
		t.Fatalf("topic new has %d partitions, %v; want 3", len(ps), err)
	}
}

func TestPortTaken(t *testing.T) {
	b, err := Start("", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if _, err := StartWith(Options{Port: b.Port()}); err == nil {
		t.Fatal("a second broker started on a port that is taken")
	}
}
