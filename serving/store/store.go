// Package store keeps what the server needs at a request in Redis: embedding rows, dense weights, user histories, item and user features; and a near-cache
// of rows in process.
//
// Rows lie in bucketed hashes, one set of them a table and generation. A full update makes a new generation and never touches the old one; a delta overwrites
// rows of the current generation in place. The head of a model names version, sequence number and generation; it is the last thing that an update changes, so
// a reader that sees a version finds rows and dense weights at least as new. Every bucket holds a marker field: a bucket that Redis lost or evicted is an error
// for the reader, never a table of unknown ids.
package store

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// ErrNoModel says that the store holds no version of a model.
var ErrNoModel = errors.New("the store has no version of it")

// ErrLost says that rows which the store held are gone: evicted, flushed or of a generation retired long ago.
var ErrLost = errors.New("rows are gone from the store")

// NeedFullError says that a delta has no version to build on: the store lost the model, or another writer replaced it. Only a full update helps.
type NeedFullError struct {
	Model, Reason string
}

func (e *NeedFullError) Error() string {
	return fmt.Sprintf("model %s needs a full update: %s", e.Model, e.Reason)
}

// NeedFull tells callers that do not know the type.
func (e *NeedFullError) NeedFull() bool { return true }

// Store talks to Redis. It satisfies the daemon's Publisher and is safe for concurrent use.
type Store struct {
	c     redis.UniversalClient
	token string // names this process as a writer

	mu  sync.Mutex
	own map[string]int64 // model → generation this store wrote or built on

	items       itemCache
	trips, errs atomic.Int64
}

// Open connects to addr (host:port, or a comma-separated list for a cluster) and checks that it answers.
// User and password, where the server wants them, are part of a redis:// or rediss:// address; rediss is TLS.
func Open(ctx context.Context, addr string) (*Store, error) {
	o, err := options(addr)
	if err != nil {
		return nil, fmt.Errorf("open the store: %w", err)
	}
	quiet()
	s := &Store{c: redis.NewUniversalClient(o), token: newToken(), own: map[string]int64{}}
	s.c.AddHook((*counter)(s))
	if err := s.Ping(ctx); err != nil {
		s.c.Close()
		return nil, err
	}
	return s, nil
}

// quiet silences the client library, which would write to standard error: what fails is in the errors of the calls and in Traffic.
var quiet = sync.OnceFunc(func() { redis.SetLogger(silence{}) })

type silence struct{}

// Printf drops a line.
func (silence) Printf(context.Context, string, ...any) {}

func options(addr string) (*redis.UniversalOptions, error) {
	o := &redis.UniversalOptions{
		DialTimeout:           2 * time.Second,
		ReadTimeout:           5 * time.Second,
		WriteTimeout:          5 * time.Second,
		ContextTimeoutEnabled: true,
		MaxRetries:            2,
		MinRetryBackoff:       5 * time.Millisecond,
		MaxRetryBackoff:       100 * time.Millisecond,
		DisableIdentity:       true,
		DialerRetries:         1,
	}
	if strings.Contains(addr, "://") {
		u, err := redis.ParseURL(addr)
		if err != nil {
			return nil, fmt.Errorf("read the address: %w", err) // never shows the address: it may hold a password
		}
		o.Addrs, o.Username, o.Password, o.DB, o.TLSConfig = []string{u.Addr}, u.Username, u.Password, u.DB, u.TLSConfig
		return o, nil
	}
	for a := range strings.SplitSeq(addr, ",") {
		a = strings.TrimSpace(a)
		if _, _, err := net.SplitHostPort(a); err != nil {
			return nil, fmt.Errorf("address %q: want host:port", a)
		}
		o.Addrs = append(o.Addrs, a)
	}
	return o, nil
}

// Ping checks that Redis answers.
func (s *Store) Ping(ctx context.Context) error {
	if err := s.c.Ping(ctx).Err(); err != nil {
		return fmt.Errorf("reach the store: %w", err)
	}
	return nil
}

// Close closes the connections.
func (s *Store) Close() error { return s.c.Close() }

// Traffic counts round trips to Redis (a pipeline is one) and those that failed.
func (s *Store) Traffic() (trips, errs int64) { return s.trips.Load(), s.errs.Load() }

// counter is the Store as a hook of its client.
type counter Store

func (c *counter) count(err error) error {
	c.trips.Add(1)
	if err != nil && !errors.Is(err, redis.Nil) && !errors.Is(err, redis.TxFailedErr) && !redis.HasErrorPrefix(err, "NOSCRIPT") { // a script is sent on its first use
		c.errs.Add(1)
	}
	return err
}

// DialHook leaves dialling alone.
func (c *counter) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessHook counts single commands.
func (c *counter) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error { return c.count(next(ctx, cmd)) }
}

// ProcessPipelineHook counts pipelines.
func (c *counter) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error { return c.count(next(ctx, cmds)) }
}
