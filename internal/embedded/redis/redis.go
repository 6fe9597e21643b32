// Package redis runs a Redis server inside the process: it speaks the wire protocol on a loopback port, so that the same client code runs against it and
// against a real server. It is for the demo, for tests and for trying things out: everything is in memory and one lock serves all clients.
package redis

import (
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/alicebob/miniredis/v2"
)

// expiryTick is how often keys with a time to live are looked at.
const expiryTick = time.Second

// Server is a running server.
type Server struct {
	mini *miniredis.Miniredis
	addr string
	once sync.Once
	stop chan struct{}
	done chan struct{}
}

// Start starts an empty server on a free port of 127.0.0.1.
func Start() (*Server, error) { return StartPort(0) }

// StartPort starts an empty server on a port of 127.0.0.1; 0 takes a free one.
func StartPort(port int) (*Server, error) {
	m := miniredis.NewMiniRedis()
	if err := m.StartAddr(net.JoinHostPort("127.0.0.1", strconv.Itoa(port))); err != nil {
		return nil, fmt.Errorf("start the embedded redis on port %d: %w", port, err)
	}
	s := &Server{mini: m, addr: m.Addr(), stop: make(chan struct{}), done: make(chan struct{})}
	go s.expire()
	return s, nil
}

// Addr is the server's address, host:port.
func (s *Server) Addr() string { return s.addr }

// FastForward makes keys with a time to live older by d.
func (s *Server) FastForward(d time.Duration) { s.mini.FastForward(d) }

// FlushAll removes every key, as a server that lost its memory.
func (s *Server) FlushAll() { s.mini.FlushAll() }

// Close stops the server and drops its clients. It may be called twice.
func (s *Server) Close() {
	s.once.Do(func() {
		close(s.stop)
		<-s.done
		s.mini.Close()
	})
}

// expire moves the server's clock, which stands still by itself: without it no key would ever expire.
func (s *Server) expire() {
	defer close(s.done)
	tick := time.NewTicker(expiryTick)
	defer tick.Stop()
	last := time.Now()
	for {
		select {
		case <-s.stop:
			return
		case now := <-tick.C:
			s.mini.FastForward(now.Sub(last))
			last = now
		}
	}
}

// Exists says whether a key is there.
func (s *Server) Exists(key string) bool { return s.mini.Exists(key) }

// Del removes a key, as an eviction would, and says whether it was there.
func (s *Server) Del(key string) bool { return s.mini.Del(key) }
