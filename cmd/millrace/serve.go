package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/internal/embedded/redis"
	"github.com/millrace/millrace/models"
	"github.com/millrace/millrace/serving"
	"github.com/millrace/millrace/serving/store"
)

type serveFlags struct {
	checkpoints []string
	redis       string
	listen      string
	timeout     time.Duration
	cacheMB     int64
	candidates  int
	threads     int
	json        bool
}

func serveCommand() *cobra.Command {
	var f serveFlags
	c := &cobra.Command{
		Use:   "serve --checkpoint [NAME=]DIR --redis ADDR|embedded --listen ADDR",
		Short: "Answer scoring requests over HTTP",
		Long: `Answers POST /v1/score: a user, candidates and the context in, a probability for each candidate out.

The checkpoint's rows go into Redis where that has not this version or one trained on from it; then the server is ready (GET /readyz). From then on it follows the
store: what the daemon publishes under the model's name is served within a fraction of a second, without dropping a request. --checkpoint may be given several
times; the first is the default model, and NAME= sets the name by which requests and the daemon know it. docs/scoring-api.md describes the API.`,
		Example: `  millrace serve --checkpoint runs/finalmlp --redis embedded --listen 127.0.0.1:8080
  millrace serve --checkpoint main=runs/din --checkpoint base=runs/lr --redis redis-1:6379,redis-2:6379 --listen :8080`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := setThreads(f.threads); err != nil {
				return err
			}
			figures, err := serve(c.Context(), f, c.ErrOrStderr())
			if err != nil {
				return err
			}
			return printJSON(c.OutOrStdout(), f.json, figures)
		},
	}
	fl := c.Flags()
	fl.StringArrayVar(&f.checkpoints, "checkpoint", nil, "a run's folder or a checkpoint's, with NAME= before it if it should have another name")
	fl.StringVar(&f.redis, "redis", "", "Redis: host:port, several of a cluster separated by commas, a redis:// or rediss:// address, or embedded; default $MILLRACE_REDIS")
	fl.StringVar(&f.listen, "listen", "127.0.0.1:8080", "address of the API; port 0 takes a free one")
	fl.DurationVar(&f.timeout, "timeout", 2*time.Second, "after which a request is answered 503")
	fl.Int64Var(&f.cacheMB, "cache-mb", 256, "memory for each model's near-cache of embedding rows, in MiB")
	fl.IntVar(&f.candidates, "max-candidates", 10_000, "most candidates of a request")
	fl.IntVar(&f.threads, "threads", 0, "threads of the numeric kernels (default: all processors)")
	fl.BoolVar(&f.json, "json", false, "print the figures as one JSON object on the last line")
	c.MarkFlagRequired("checkpoint")
	return c
}

// serveFigures are the figures of a server's life.
type serveFigures struct {
	Address     string   `json:"address"`
	Models      []string `json:"models"`
	Version     string   `json:"version"`
	Requests    int64    `json:"requests"`
	P50MS       float64  `json:"score_p50_ms"`
	P99MS       float64  `json:"score_p99_ms"`
	NearHits    int64    `json:"near_cache_hits"`
	NearMisses  int64    `json:"near_cache_misses"`
	RoundTrips  int64    `json:"store_round_trips"`
	StoreErrors int64    `json:"store_errors"`
	ServedFor   float64  `json:"seconds"`
	ReadyAfter  *float64 `json:"ready_after_s"` // null: it never was
}

// drainTime is how long requests under way may take once the server is told to stop.
const drainTime = 15 * time.Second

// serve runs a server until ctx ends.
func serve(ctx context.Context, f serveFlags, stderr io.Writer) (*serveFigures, error) {
	start := time.Now()
	if f.redis == "" {
		f.redis = os.Getenv("MILLRACE_REDIS")
	}
	switch {
	case f.redis == "":
		return nil, wrong(errors.New("serve: say where Redis is: --redis HOST:PORT, or --redis embedded to try it without one"))
	case f.timeout <= 0:
		return nil, wrong(fmt.Errorf("serve: --timeout %v: more than 0", f.timeout))
	case f.cacheMB < 1:
		return nil, wrong(fmt.Errorf("serve: --cache-mb %d: at least 1", f.cacheMB))
	case f.candidates < 1:
		return nil, wrong(fmt.Errorf("serve: --max-candidates %d: at least 1", f.candidates))
	}
	lines := &lineWriter{w: stderr}
	listener, err := listen(f.listen)
	if err != nil {
		return nil, err
	}
	defer listener.Close()
	o := serving.Options{
		Models: map[string]*models.Checkpoint{}, Timeout: f.timeout, CacheBytes: f.cacheMB << 20, Candidates: f.candidates,
		Notice: func(model, text string) {
			if model != "" {
				text = "model " + model + ": " + text
			}
			lines.line("%s", text)
		},
	}
	folders, err := loadModels(&o, f.checkpoints)
	if err != nil {
		return nil, err
	}
	o.Reload = func(model string) (*models.Checkpoint, error) { return models.LoadScoring(folders[model]) }
	addr := f.redis
	if addr == "embedded" {
		r, err := redis.Start()
		if err != nil {
			return nil, err
		}
		defer r.Close()
		addr = r.Addr()
		lines.line("Redis in process on %s", addr)
	}
	s, err := store.Open(ctx, addr)
	if err != nil {
		return nil, fmt.Errorf("serve: %w; --redis names it", err)
	}
	defer s.Close()
	o.Store = s
	server, err := serving.New(ctx, o)
	if err != nil {
		return nil, err
	}
	figures := &serveFigures{Address: listener.Addr().String(), Models: o.Order}
	o.Models = nil // the server lets go of the tables once they are in the store; so must we
	if err := answer(ctx, server, listener, lines, figures, start); err != nil {
		return nil, err
	}
	got := server.Figures()
	figures.Version, figures.Requests, figures.P50MS, figures.P99MS = got.Version, got.Requests, got.P50*1e3, got.P99*1e3
	figures.NearHits, figures.NearMisses = got.NearHits, got.NearMisses
	figures.RoundTrips, figures.StoreErrors = s.Traffic()
	figures.ServedFor = time.Since(start).Seconds()
	lines.line("stopped: %d requests scored, p50 %.2f ms, p99 %.2f ms", figures.Requests, figures.P50MS, figures.P99MS)
	return figures, nil
}

// answer serves until ctx ends, then lets the requests under way finish.
func answer(ctx context.Context, server *serving.Server, listener net.Listener, lines *lineWriter, figures *serveFigures, start time.Time) error {
	run, stop := context.WithCancel(ctx)
	defer stop()
	following := make(chan error, 1)
	go func() { following <- server.Run(run) }()
	web := &http.Server{Handler: server.Handler(), ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute}
	serving := make(chan error, 1)
	go func() { serving <- web.Serve(listener) }()
	lines.line("listening on http://%s", listener.Addr())

	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	var err error
wait:
	for {
		select {
		case <-ctx.Done():
			break wait
		case err = <-serving:
			break wait
		case <-tick.C:
			if figures.ReadyAfter == nil && server.Ready() == nil {
				after := time.Since(start).Seconds()
				figures.ReadyAfter = &after
				lines.line("ready after %.2f s", after)
				tick.Stop()
			}
		}
	}
	stop()
	err = errors.Join(err, <-following)
	if errors.Is(err, http.ErrServerClosed) {
		err = nil
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
	defer cancel()
	if shut := web.Shutdown(drain); shut != nil {
		lines.line("some requests did not end within %v", drainTime)
		err = errors.Join(err, web.Close())
	}
	return err
}

// listen takes an address; a taken one is the request's fault, and the error says what helps.
func listen(addr string) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, wrong(fmt.Errorf("serve: %s is taken by another program; choose another address with --listen HOST:PORT (port 0 takes a free one)", addr))
	}
	if err != nil {
		return nil, wrong(fmt.Errorf("serve: --listen %s: %w", addr, err))
	}
	return l, nil
}

// loadModels reads the checkpoints that --checkpoint names and returns the folder of each model.
func loadModels(o *serving.Options, checkpoints []string) (map[string]string, error) {
	folders := map[string]string{}
	for _, text := range checkpoints {
		name, dir := splitCheckpoint(text)
		c, err := models.LoadScoring(dir)
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				err = wrong(err)
			}
			return nil, fmt.Errorf("serve: %w", err)
		}
		if name == "" {
			name = c.Spec.Name
			if c.Snapshot.Manifest.Model != "" {
				name = c.Snapshot.Manifest.Model
			}
		}
		if other, taken := folders[name]; taken {
			return nil, wrong(fmt.Errorf("serve: the checkpoints in %s and %s are both called %s; give one another name with --checkpoint NAME=%s", other, dir, name, dir))
		}
		folders[name] = dir
		o.Models[name] = c
		o.Order = append(o.Order, name)
	}
	return folders, nil
}

// splitCheckpoint reads NAME=DIR or DIR; a folder whose own path has an equals sign is a DIR.
func splitCheckpoint(text string) (name, dir string) {
	if name, dir, ok := strings.Cut(text, "="); ok && name != "" && !strings.ContainsAny(name, `/\`) {
		if _, err := os.Stat(text); err != nil {
			return name, dir
		}
	}
	return "", text
}
