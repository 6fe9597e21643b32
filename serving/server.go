// Package serving answers scoring requests over HTTP: it looks user histories and features up, gathers embedding rows through a near-cache, and scores with
// the current version of the model.
//
// Each model has a host: one goroutine follows its versions in the store and swaps them in through an atomic pointer; a request takes the version it finds at its
// start and keeps it to its end. What one request needs (assembler, batch, lookup, scorer) is a worker; workers are few and used again.
package serving

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/millrace/millrace/models"
	"github.com/millrace/millrace/serving/store"
)

// Options wire a server. Models maps a name to its checkpoint; the first name in Order is the default. What is zero has a default.
type Options struct {
	Models map[string]*models.Checkpoint
	Order  []string
	Store  *store.Store

	// Reload reads a model's checkpoint again, for when the store has lost what was put there. Without it the server waits for someone else to publish.
	Reload func(model string) (*models.Checkpoint, error)
	// Notice, where given, hears what an operator should know: seeding, versions, what went wrong. It may be called from several goroutines.
	Notice func(model, text string)
	// Now is the clock; default time.Now.
	Now func() time.Time

	Timeout    time.Duration // of a request; default 2 s
	Poll       time.Duration // how often the store is asked for a new version; default 50 ms
	Candidates int           // most candidates of a request; default 10,000
	BodyBytes  int64         // longest body; default 4 MiB
	CacheBytes int64         // near-cache of each model; default 256 MiB
	Workers    int           // requests of a model at work at once; default 4 a processor
}

func (o *Options) complete() error {
	if o.Store == nil {
		return errors.New("no store")
	}
	if len(o.Models) == 0 {
		return errors.New("no model")
	}
	for _, name := range o.Order {
		if o.Models[name] == nil {
			return fmt.Errorf("model %q of the order has no checkpoint", name)
		}
	}
	var rest []string
	for name := range o.Models {
		if !slices.Contains(o.Order, name) {
			rest = append(rest, name)
		}
	}
	slices.Sort(rest)
	o.Order = append(slices.Clone(o.Order), rest...)
	if o.Notice == nil {
		o.Notice = func(string, string) {}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	defaultTo(&o.Timeout, 2*time.Second)
	defaultTo(&o.Poll, 50*time.Millisecond)
	defaultTo(&o.Candidates, 10_000)
	defaultTo(&o.BodyBytes, 4<<20)
	defaultTo(&o.CacheBytes, 256<<20)
	defaultTo(&o.Workers, 4*runtime.GOMAXPROCS(0))
	return nil
}

func defaultTo[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// Server scores. Handler serves the HTTP API; Run follows new versions in the store until ctx ends.
type Server struct {
	o        Options
	hosts    map[string]*host
	metrics  *metrics
	latency  latencies
	requests atomic.Int64
	stopping atomic.Bool
	handler  http.Handler
}

// New returns a server that is not ready yet: Run puts the checkpoints' rows into the store where their versions are missing.
// The server keeps what it needs of the checkpoints and lets go of their tables once they are in the store.
func New(ctx context.Context, o Options) (*Server, error) {
	if err := o.complete(); err != nil {
		return nil, fmt.Errorf("make a server: %w", err)
	}
	s := &Server{o: o, hosts: map[string]*host{}}
	for _, name := range o.Order {
		h, err := newHost(name, o.Models[name], &s.o)
		if err != nil {
			return nil, fmt.Errorf("make a server for model %s: %w", name, err)
		}
		s.hosts[name] = h
	}
	s.o.Models = nil
	s.metrics = newMetrics(s)
	s.handler = s.routes()
	return s, ctx.Err()
}

// Handler serves the HTTP API. It may be used before Run and after it.
func (s *Server) Handler() http.Handler { return s.handler }

// Run puts checkpoints into the store and follows new versions until ctx ends; then it returns nil, and the server answers with the versions it has but is no longer
// ready. Trouble with the store is retried and told to Notice; it ends nothing.
func (s *Server) Run(ctx context.Context) error {
	defer s.stopping.Store(true)
	g, ctx := errgroup.WithContext(ctx)
	for _, h := range s.hosts {
		g.Go(func() error {
			h.follow(ctx)
			return nil
		})
	}
	return g.Wait()
}

// Ready says whether every model can be scored, and if not, why.
func (s *Server) Ready() error {
	if s.stopping.Load() {
		return errors.New("the server is stopping")
	}
	for _, name := range s.o.Order {
		if err := s.hosts[name].ready(); err != nil {
			return fmt.Errorf("model %s: %w", name, err)
		}
	}
	return nil
}

// Figures of a running server, for metrics and the demo's page: requests scored, latency quantiles in seconds, near-cache hits and misses, the default model's version.
type Figures struct {
	Requests             int64
	P50, P99             float64
	NearHits, NearMisses int64
	Version              string
}

// Figures may be called from any goroutine. Requests and latencies are of scored requests only; latency is measured from the first byte of the body read to the answer written.
func (s *Server) Figures() Figures {
	f := Figures{Requests: s.requests.Load(), P50: s.latency.quantile(0.5), P99: s.latency.quantile(0.99)}
	for _, h := range s.hosts {
		hits, misses := h.reader.Cache()
		f.NearHits += hits
		f.NearMisses += misses
	}
	if v := s.hosts[s.o.Order[0]].current.Load(); v != nil {
		f.Version = v.weights.Version
	}
	return f
}
