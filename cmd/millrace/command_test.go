package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// asCommand is the environment variable that makes the test binary be the command itself: what a test starts to kill is the real program.
const asCommand = "MILLRACE_TEST_AS_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// outcome is what a command line ended with.
type outcome struct {
	code           int
	stdout, stderr string
}

// locked is a buffer that a command's goroutines write and a test reads.
type locked struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *locked) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// millrace runs a command line in this process.
func millrace(args ...string) outcome {
	var stdout, stderr locked
	code := run(args, &stdout, &stderr)
	return outcome{code, stdout.String(), stderr.String()}
}

// done runs a command line that must succeed.
func done(t testing.TB, args ...string) outcome {
	t.Helper()
	o := millrace(args...)
	if o.code != exitDone {
		t.Fatalf("millrace %s: exit %d\n%s", strings.Join(args, " "), o.code, o.stderr)
	}
	return o
}

// refused runs a command line whose request is wrong: exit 2, nothing on standard output, and on standard error a message with all of these texts.
func refused(t testing.TB, args []string, texts ...string) {
	t.Helper()
	o := millrace(args...)
	if o.code != exitWrong {
		t.Errorf("millrace %s: exit %d, want 2\n%s", strings.Join(args, " "), o.code, o.stderr)
		return
	}
	if o.stdout != "" {
		t.Errorf("millrace %s: standard output %q, want nothing", strings.Join(args, " "), o.stdout)
	}
	_, message, _ := strings.Cut(o.stderr, "millrace: ")
	for _, want := range texts {
		if !strings.Contains(message, want) {
			t.Errorf("millrace %s: the message lacks %q:\n%s", strings.Join(args, " "), want, o.stderr)
		}
	}
}

// figures reads the JSON object that must be the last line of standard output.
func (o outcome) figures(t testing.TB) map[string]any {
	t.Helper()
	if !strings.HasSuffix(o.stdout, "\n") {
		t.Fatalf("standard output does not end a line: %q", o.stdout)
	}
	lines := strings.Split(strings.TrimSuffix(o.stdout, "\n"), "\n")
	m := map[string]any{}
	dec := json.NewDecoder(strings.NewReader(lines[len(lines)-1]))
	dec.UseNumber()
	if err := dec.Decode(&m); err != nil {
		t.Fatalf("the last line of standard output is no JSON object: %v\n%s", err, o.stdout)
	}
	return m
}

// number is a figure that must be there, finite.
func number(t testing.TB, m map[string]any, key string) float64 {
	t.Helper()
	n, ok := m[key].(json.Number)
	if !ok {
		t.Fatalf("%s is %v, want a number; all: %v", key, m[key], m)
	}
	x, err := n.Float64()
	if err != nil || math.IsInf(x, 0) || math.IsNaN(x) {
		t.Fatalf("%s is %s, want a finite number", key, n)
	}
	return x
}

// started is a command that runs in a process of its own.
type started struct {
	t              testing.TB
	cmd            *exec.Cmd
	stdout, stderr *locked
	ended          chan struct{}
	err            error
}

// start runs a command line in a process of its own, which does not outlive the test.
func start(t testing.TB, args ...string) *started {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &started{t: t, cmd: exec.Command(self, args...), stdout: &locked{}, stderr: &locked{}, ended: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), asCommand+"=1")
	p.cmd.Stdout, p.cmd.Stderr = p.stdout, p.stderr
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.ended)
		p.err = p.cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.ended
	})
	return p
}

// over reports whether the process has ended.
func (p *started) over() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// wait returns what the process ended with by itself; a signal is exit −1.
func (p *started) wait() outcome {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(2 * time.Minute):
		p.t.Fatalf("%s still runs after 2 minutes\n%s", strings.Join(p.cmd.Args[1:], " "), p.stderr)
	}
	var exit *exec.ExitError
	if p.err != nil && !errors.As(p.err, &exit) {
		p.t.Fatal(p.err)
	}
	return outcome{p.cmd.ProcessState.ExitCode(), p.stdout.String(), p.stderr.String()}
}

// eventually polls until the condition holds; it fails the test after a minute.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !holds(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("still waiting after a minute: %s", what)
		}
	}
}

// write makes a file in a folder and returns its path.
func write(t testing.TB, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func gzipped(t testing.TB, text string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func zstandard(t testing.TB, text string) string {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	return string(w.EncodeAll([]byte(text), nil))
}

// contents maps every file under a folder, by its name within, to the hash of its bytes.
func contents(t testing.TB, dir string) map[string]string {
	t.Helper()
	m := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		m[rel] = fmt.Sprintf("%x", sha256.Sum256(data))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(m) == 0 {
		t.Fatalf("%s holds no files", dir)
	}
	return m
}

// sameFiles compares two folders byte by byte.
func sameFiles(t testing.TB, a, b string) {
	t.Helper()
	x, y := contents(t, a), contents(t, b)
	for name, sum := range x {
		if y[name] != sum {
			t.Errorf("%s differs between %s and %s", name, a, b)
		}
	}
	if len(x) != len(y) {
		t.Errorf("%s holds %d files, %s holds %d", a, len(x), b, len(y))
	}
}

// shopSchema and shopModel describe shopRows: small, but with everything that a run's state holds (dropout, batch norm, statistics, a vocabulary with a minimum
// count, a sequence).
const (
	shopSchema = `name: shop
user: user
item: item
timestamp: time
labels: [{name: click}]
fields:
  - {name: user, from: user}
  - {name: item, from: item, min_count: 2}
  - {name: age, type: numeric, from: user, standardise: true}
  - {name: past, type: sequence, from: history, shares: item, max: 4}
`
	shopModel = `model: DNN
embedding_dim: 4
hidden_units: [16, 8]
net_dropout: 0.1
batch_norm: true
learning_rate: 0.02
embedding_initializer_std: 0.1
batch_size: 32
epochs: 3
`
	shopHeader = "user,item,age,past,time,click\n"
)

// shopRows writes rows of a shop with better and worse items, whose users like those of their own kind more: CSV, the header first.
func shopRows(rows int, seed uint64) string {
	rng := rand.New(rand.NewPCG(seed, 7))
	var b strings.Builder
	b.WriteString(shopHeader)
	for r := range rows {
		user, item := rng.IntN(40), rng.IntN(30)
		logit := float64(item%5) - 2
		if user%3 == item%3 {
			logit += 1
		}
		click := 0
		if rng.Float64() < 1/(1+math.Exp(-logit)) {
			click = 1
		}
		var past []string
		for range rng.IntN(4) {
			past = append(past, fmt.Sprintf("i%d", rng.IntN(30)))
		}
		fmt.Fprintf(&b, "u%d,i%d,%d,%s,%d,%d\n", user, item, 18+user, strings.Join(past, "|"), 1_700_000_000+r, click)
	}
	return b.String()
}

// shop is a folder with data to train on.
type shop struct{ dir, schema, model, train, valid, test string }

func newShop(t testing.TB) shop {
	t.Helper()
	dir := t.TempDir()
	return shop{
		dir:    dir,
		schema: write(t, dir, "schema.yaml", shopSchema),
		model:  write(t, dir, "model.yaml", shopModel),
		train:  write(t, dir, "train.csv", shopRows(700, 1)),
		valid:  write(t, dir, "valid.csv", shopRows(200, 2)),
		test:   write(t, dir, "test.csv", shopRows(150, 3)),
	}
}

// out is a run's folder by name.
func (s shop) out(name string) string { return filepath.Join(s.dir, name) }

// args is a command line that trains on the shop's files into a folder, with more flags.
func (s shop) args(out string, more ...string) []string {
	return append([]string{"train", "--schema", s.schema, "--model", s.model, "--train", s.train, "--valid", s.valid, "--test", s.test, "--out", s.out(out), "--json"}, more...)
}
