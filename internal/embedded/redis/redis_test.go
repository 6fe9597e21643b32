package redis

import (
	"context"
	"net"
	"strconv"
	"testing"
	"time"

	client "github.com/redis/go-redis/v9"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestServer(t *testing.T) {
	s, err := Start()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	c := client.NewClient(&client.Options{Addr: s.Addr()})
	defer c.Close()
	ctx := context.Background()
	if err := c.Set(ctx, "kept", "1", time.Hour).Err(); err != nil {
		t.Fatal(err)
	}
	if err := c.Set(ctx, "short", "1", time.Minute).Err(); err != nil {
		t.Fatal(err)
	}
	s.FastForward(2 * time.Minute)
	if n, err := c.Exists(ctx, "kept", "short").Result(); err != nil || n != 1 {
		t.Fatalf("%d keys after two minutes, %v, want the one that lives an hour", n, err)
	}
	s.FlushAll()
	if n, err := c.DBSize(ctx).Result(); err != nil || n != 0 {
		t.Fatalf("%d keys after FlushAll, %v", n, err)
	}
}

// TestExpiry waits for the server's own clock.
func TestExpiry(t *testing.T) {
	if testing.Short() {
		t.Skip("waits two seconds of the wall clock")
	}
	s, err := Start()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	c := client.NewClient(&client.Options{Addr: s.Addr()})
	defer c.Close()
	ctx := context.Background()
	if err := c.Set(ctx, "k", "1", 500*time.Millisecond).Err(); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		if n, _ := c.Exists(ctx, "k").Result(); n == 0 {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatal("a key of half a second is still there after five")
}

func TestPortTaken(t *testing.T) {
	s, err := Start()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	s.Close()
	a, err := StartPort(0)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if b, err := StartPort(portOf(t, a.Addr())); err == nil {
		b.Close()
		t.Fatal("two servers on one port")
	}
}

func portOf(t *testing.T, addr string) int {
	t.Helper()
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
