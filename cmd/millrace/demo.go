package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

type demoFlags struct {
	seconds  int
	headless bool
	json     bool
	listen   string
	dir      string
	seed     uint64
	backfill int64
}

// demoListen is where the live page is, unless told.
const demoListen = "127.0.0.1:8080"

func demoCommand() *cobra.Command {
	var f demoFlags
	c := &cobra.Command{
		Use:   "demo",
		Short: "Run the whole river in one process, with a simulated audience and a live page",
		Long: `Starts an embedded Kafka and Redis, the consumer daemon and the scoring server in one process, and a simulated audience that reacts to what the server ranks.
First a backfill of the audience's past is learned, for at most a minute; then everything is live: requests are scored over HTTP, what is shown and clicked goes
to Kafka, and comes back as fresher weights a second or two later. The audience's true click probabilities are known, so the page shows how much of the best
reachable AUC the model has, and how popularity ranking does.`,
		Example: `  millrace demo
  millrace demo --seconds 40 --headless --json`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return demo(c.Context(), f, c.Flags().Changed("listen"), c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	fl := c.Flags()
	fl.IntVar(&f.seconds, "seconds", 0, "live time, after the backfill; 0 runs until Ctrl-C")
	fl.BoolVar(&f.headless, "headless", false, "no page for people: a free port and a temporary folder unless told")
	fl.BoolVar(&f.json, "json", false, "print the figures of the live time as one JSON object at the end")
	fl.StringVar(&f.listen, "listen", demoListen, "address of the page and the scoring API")
	fl.StringVar(&f.dir, "data-dir", "", "folder for checkpoints and Kafka's log (default: millrace-demo in the temporary folder, one of its own when headless)")
	fl.Uint64Var(&f.seed, "seed", 1, "the simulated audience's seed")
	fl.Int64Var(&f.backfill, "backfill", 2_000_000, "how many events of the past to learn first, in at most a minute")
	return c
}

func demo(ctx context.Context, f demoFlags, listenSet bool, stdout, stderr io.Writer) error {
	if f.seconds < 0 {
		return wrong(fmt.Errorf("demo: --seconds %d is negative", f.seconds))
	}
	if f.backfill < 0 {
		return wrong(fmt.Errorf("demo: --backfill %d is negative", f.backfill))
	}
	if f.headless && !listenSet {
		f.listen = "127.0.0.1:0"
	}
	listener, err := net.Listen("tcp", f.listen)
	if err != nil {
		if errors.Is(err, syscall.EADDRINUSE) {
			return wrong(fmt.Errorf("demo: %s is taken by another program; choose another with --listen 127.0.0.1:PORT (0 takes a free one)", f.listen))
		}
		return wrong(fmt.Errorf("demo: --listen %s: %w", f.listen, err))
	}
	defer listener.Close()
	dir, unlock, err := demoFolder(f)
	if err != nil {
		return err
	}
	defer unlock()

	fmt.Fprintf(stderr, "data in %s\n", dir)
	r, err := startRiver(ctx, f, dir, listener, stderr)
	if err != nil {
		return err
	}
	err = r.run(ctx, f, stderr)
	figures, stopErr := r.stop(stderr)
	if err = errors.Join(err, stopErr); err != nil {
		return err
	}
	figures.print(stderr)
	if f.json {
		return json.NewEncoder(stdout).Encode(figures)
	}
	return nil
}

// demoMark is the file that tells a demo's folder from anything else; it is locked while a demo runs.
const demoMark = ".millrace-demo"

// demoFolder makes the data folder ready: new, or one of an earlier demo, emptied. It stays after the demo.
func demoFolder(f demoFlags) (dir string, unlock func(), err error) {
	switch {
	case f.dir != "":
		dir, err = filepath.Abs(f.dir)
	case f.headless:
		dir, err = os.MkdirTemp("", "millrace-demo-")
	default:
		dir = filepath.Join(os.TempDir(), fmt.Sprintf("millrace-demo-%d", os.Getuid()))
	}
	if err == nil {
		err = os.MkdirAll(dir, 0o755)
	}
	if err != nil {
		return "", nil, wrong(fmt.Errorf("demo: data folder: %w", err))
	}
	mark := filepath.Join(dir, demoMark)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", nil, wrong(fmt.Errorf("demo: data folder: %w", err))
	}
	if _, err := os.Stat(mark); err != nil && len(entries) > 0 {
		return "", nil, wrong(fmt.Errorf("demo: %s is not empty and not from a demo; choose another with --data-dir DIR", dir))
	}
	lock, err := os.OpenFile(mark, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return "", nil, wrong(fmt.Errorf("demo: data folder: %w", err))
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		lock.Close()
		return "", nil, wrong(fmt.Errorf("demo: %s is in use by another demo; choose another with --data-dir DIR", dir))
	}
	for _, e := range entries {
		if e.Name() == demoMark {
			continue
		}
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			lock.Close()
			return "", nil, fmt.Errorf("demo: clear the data folder of an earlier demo: %w", err)
		}
	}
	return dir, func() { lock.Close() }, nil
}

// run plays the past, then lives for the given time or until the context ends.
func (r *river) run(ctx context.Context, f demoFlags, stderr io.Writer) error {
	if err := r.backfill(ctx, f.backfill, stderr); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	r.board.begin()
	if f.headless {
		fmt.Fprintf(stderr, "live on http://%s\n", r.addr)
	} else {
		fmt.Fprintf(stderr, "live: open http://%s/ (Ctrl-C ends)\n", r.addr)
	}
	live := ctx
	if f.seconds > 0 {
		var cancel context.CancelFunc
		live, cancel = context.WithTimeout(ctx, time.Duration(f.seconds)*time.Second)
		defer cancel()
	}
	report := make(chan struct{})
	go func() {
		defer close(report)
		r.report(live, stderr)
	}()
	err := r.audience.live(live)
	<-report
	return err
}
