package testkit

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// Redis is a real redis-server.
type Redis struct {
	Addr string // host:port
	args []string
	log  string
	p    *process
}

// StartRedis starts redis-server without persistence, with further arguments if given; the test skips where there is none.
func StartRedis(t testing.TB, args ...string) *Redis {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		absent(t, "redis", "redis-server is not installed")
	}
	dir := t.TempDir()
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	r := &Redis{Addr: fmt.Sprintf("127.0.0.1:%d", port), log: filepath.Join(dir, "redis.log")}
	r.args = append([]string{"--bind", "127.0.0.1", "--port", strconv.Itoa(port), "--dir", dir, "--save", "", "--appendonly", "no"}, args...)
	if err := r.start(); err != nil {
		absent(t, "redis", "redis-server does not start: %v", err)
	}
	t.Cleanup(r.Kill)
	return r
}

func (r *Redis) start() error {
	p, err := startProcess(r.log, "redis-server", r.args...)
	if err != nil {
		return err
	}
	r.p = p
	if err := p.listening(r.Addr, 15*time.Second); err != nil {
		p.kill()
		return err
	}
	return nil
}

// Kill ends the server at once; what it held is lost.
func (r *Redis) Kill() { r.p.kill() }

// Restart starts the server again on the same address, empty, after Kill.
func (r *Redis) Restart(t testing.TB) {
	t.Helper()
	if err := r.start(); err != nil {
		t.Fatalf("restart redis-server: %v", err)
	}
}
