// Package testkit starts the real servers that tests talk to and finds the data sets they read. What is not there makes a test skip with one clear line, or fail
// where the environment variable MILLRACE_REQUIRE names it (a comma-separated list of kafka, redis, data, onnx). Servers listen on free loopback ports, keep their data
// in the test's temporary folder, and end with the test, or with the test's process however that ends.
package testkit

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// absent skips the test, or fails it where the part is required.
func absent(t testing.TB, part, format string, args ...any) {
	t.Helper()
	why := fmt.Sprintf(format, args...)
	if slices.Contains(strings.Split(os.Getenv("MILLRACE_REQUIRE"), ","), part) {
		t.Fatalf("%s is required: %s", part, why)
	}
	t.Skipf("no %s: %s", part, why)
}

// RequireData returns the path of a data set by its name: a folder or file under $MILLRACE_DATA, or else under ../shared/data beside the project.
func RequireData(t testing.TB, name string) string {
	t.Helper()
	dir := os.Getenv("MILLRACE_DATA")
	if dir == "" {
		root, err := projectRoot()
		if err != nil {
			t.Fatal(err)
		}
		dir = filepath.Join(root, "..", "shared", "data")
	}
	path := filepath.Join(dir, filepath.FromSlash(name))
	if _, err := os.Stat(path); err != nil {
		absent(t, "data", "%s is not under MILLRACE_DATA or ../shared/data", name)
	}
	return path
}

// projectRoot is the nearest folder upwards that holds go.mod.
func projectRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", errors.New("no go.mod above the test's folder")
		}
		dir = up
	}
}

// guarded runs a program and kills it when its own standard input closes: when the test's process ends, in whatever way.
const guarded = `exec 3<&0
"$@" 3<&- </dev/null &
pid=$!
(cat <&3 >/dev/null; kill -KILL $pid 2>/dev/null) &
guard=$!
wait $pid
code=$?
kill $guard 2>/dev/null
exit $code`

// process is a running server.
type process struct {
	cmd   *exec.Cmd
	stdin interface{ Close() error }
	ended chan struct{}
	log   string
}

// startProcess starts a server whose output goes to the file log.
func startProcess(log, name string, args ...string) (*process, error) {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	cmd := exec.Command("sh", append([]string{"-c", guarded, "sh", name}, args...)...)
	cmd.Stdout, cmd.Stderr = out, out
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, stdin: stdin, ended: make(chan struct{}), log: log}
	go func() {
		// How it ended is in the log.
		_ = cmd.Wait()
		close(p.ended)
	}()
	return p, nil
}

// kill ends the server at once and waits until it is gone.
func (p *process) kill() {
	p.stdin.Close()
	<-p.ended
}

// listening waits until the address accepts connections.
func (p *process) listening(addr string, timeout time.Duration) error {
	for end := time.Now().Add(timeout); ; {
		c, err := net.DialTimeout("tcp", addr, time.Second)
		if err == nil {
			return c.Close()
		}
		select {
		case <-p.ended:
			return fmt.Errorf("it ended at once: %s", p.tail())
		case <-time.After(50 * time.Millisecond):
		}
		if time.Now().After(end) {
			return fmt.Errorf("not listening on %s after %v: %s", addr, timeout, p.tail())
		}
	}
}

// tail is the end of the server's log.
func (p *process) tail() string {
	data, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(data[max(0, len(data)-1500):]))
}

// freePort finds a port that nobody listens on.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
