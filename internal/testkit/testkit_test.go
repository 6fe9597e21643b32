package testkit

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
)

// TestKafka writes to a real broker, crashes it, starts it again and reads.
func TestKafka(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a JVM three times")
	}
	k := StartKafka(t)
	k.Topic(t, "a", 1)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	w := &kafka.Writer{Addr: kafka.TCP(k.Addr), Topic: "a", RequiredAcks: kafka.RequireAll}
	if err := w.WriteMessages(ctx, kafka.Message{Value: []byte("one")}); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	k.Kill()
	if c, err := net.Dial("tcp", k.Addr); err == nil {
		c.Close()
		t.Fatal("the broker was killed and still listens")
	}
	k.Restart(t)
	r := kafka.NewReader(kafka.ReaderConfig{Brokers: []string{k.Addr}, Topic: "a"})
	defer r.Close()
	m, err := r.ReadMessage(ctx)
	if err != nil || string(m.Value) != "one" {
		t.Fatalf("read %q, %v", m.Value, err)
	}
}

func TestRedis(t *testing.T) {
	r := StartRedis(t)
	ping := func() {
		t.Helper()
		c, err := net.Dial("tcp", r.Addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		answer := make([]byte, 5)
		if _, err := c.Write([]byte("PING\r\n")); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(answer); err != nil || string(answer) != "+PONG" {
			t.Fatalf("answer %q, %v", answer, err)
		}
	}
	ping()
	r.Kill()
	r.Restart(t)
	ping()
}

func TestProcessThatFails(t *testing.T) {
	p, err := startProcess(t.TempDir()+"/log", "sh", "-c", "echo no such thing; exit 3")
	if err != nil {
		t.Fatal(err)
	}
	if err := p.listening("127.0.0.1:1", 5*time.Second); err == nil {
		t.Fatal("a program that ended is said to listen")
	} else if got := err.Error(); got != "it ended at once: no such thing" {
		t.Fatal(got)
	}
}
