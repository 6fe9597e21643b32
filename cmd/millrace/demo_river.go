package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"time"

	"github.com/millrace/millrace/core/snapshot"
	"github.com/millrace/millrace/examples"
	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/internal/embedded/kafka"
	"github.com/millrace/millrace/internal/embedded/redis"
	"github.com/millrace/millrace/internal/world"
	"github.com/millrace/millrace/models"
	"github.com/millrace/millrace/serving"
	"github.com/millrace/millrace/serving/store"
	"github.com/millrace/millrace/streaming"
	"github.com/millrace/millrace/training"
)

// demoModel is the demo's model by name, in the store and in requests.
const demoModel = "world"

// The demo's join closes a row a second after its impression; clicks come within that.
const (
	demoWindow  = time.Second
	demoLate    = 200 * time.Millisecond
	demoPublish = 500 * time.Millisecond
)

// river is the demo's running parts.
type river struct {
	dir, addr string
	broker    *kafka.Broker
	redis     *redis.Server
	store     *store.Store
	producer  *streaming.Producer
	daemon    *streaming.Daemon
	server    *serving.Server
	http      *http.Server
	told      *history
	covered   *coverage
	audience  *audience
	board     *board

	cancel     context.CancelFunc // of the daemon, the server and its HTTP
	daemonDone chan error
	serverDone chan error
}

// startRiver starts every part, in the order in which they need each other.
func startRiver(ctx context.Context, f demoFlags, dir string, listener net.Listener, stderr io.Writer) (r *river, err error) {
	r = &river{dir: dir, addr: listener.Addr().String(), covered: newCoverage(), daemonDone: make(chan error, 1), serverDone: make(chan error, 1)}
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	r.cancel = cancel
	defer func() {
		if err != nil {
			_, stopErr := r.stop(io.Discard)
			err = errors.Join(err, stopErr)
		}
	}()

	rate := 150.0
	past := float64(f.backfill) / (rate * 11.7) // seconds of event time that the backfill covers: about 11.7 events a request
	w, err := world.New(world.Config{Seed: f.seed, Rate: rate, Random: 0.4, StartMS: time.Now().Add(-time.Duration(past * float64(time.Second))).UnixMilli()})
	if err != nil {
		return r, wrong(err)
	}
	r.told = newHistory(w)

	if r.broker, err = kafka.StartWith(kafka.Options{
		Topics:    map[string]int{"impressions": 4, "actions": 4, "dead-letters": 1, "items": 1, "users": 1},
		Compacted: []string{"items", "users"},
	}); err != nil {
		return r, err
	}
	if r.redis, err = redis.Start(); err != nil {
		return r, err
	}
	if r.store, err = store.Open(ctx, r.redis.Addr()); err != nil {
		return r, err
	}
	r.producer = streaming.NewProducer([]string{r.broker.Addr()})

	if err = r.startDaemon(run); err != nil {
		return r, err
	}
	fmt.Fprintf(stderr, "Kafka on %s, Redis on %s, in process\n", r.broker.Addr(), r.redis.Addr())
	r.board = newBoard(r)
	return r, r.startServer(ctx, run, listener)
}

// startDaemon writes the untrained model as the server's first checkpoint and starts the daemon on the same learner.
func (r *river) startDaemon(run context.Context) error {
	schema, err := features.ParseSchema(examples.WorldSchema)
	if err != nil {
		return fmt.Errorf("the demo's schema: %w", err)
	}
	spec, err := models.Parse(examples.WorldModel, schema)
	if err != nil {
		return fmt.Errorf("the demo's model: %w", err)
	}
	learner, err := training.NewIncremental(spec, schema, training.IncrementalOptions{Model: demoModel, Seed: 1})
	if err != nil {
		return err
	}
	manifest, parts, err := learner.Snapshot()
	if err != nil {
		return err
	}
	if _, err := snapshot.Write(filepath.Join(r.dir, "untrained", "checkpoint"), manifest, parts); err != nil {
		return err
	}
	cfg := &streaming.Config{
		Checkpoint:      filepath.Join(r.dir, "run"),
		Kafka:           streaming.KafkaConfig{Brokers: []string{r.broker.Addr()}, Group: "millrace", Impressions: "impressions", Actions: "actions", Items: "items", Users: "users", DeadLetters: "dead-letters"},
		Join:            streaming.JoinConfig{Window: streaming.Duration(demoWindow), Late: streaming.Duration(demoLate), Labels: map[string]streaming.LabelRule{"click": {From: []string{"click"}}}},
		Publish:         streaming.PublishConfig{Every: streaming.Duration(demoPublish)},
		CheckpointEvery: streaming.Duration(30 * time.Second),
	}
	if r.daemon, err = streaming.New(streaming.Options{Config: cfg, Schema: schema, Learner: learner, Publisher: r.store, Trained: r.covered.published}); err != nil {
		return err
	}
	go func() { r.daemonDone <- r.daemon.Run(run) }()
	return nil
}

// startServer serves the untrained checkpoint until the daemon's versions arrive, and the live page beside it.
func (r *river) startServer(ctx, run context.Context, listener net.Listener) error {
	first, err := models.Load(filepath.Join(r.dir, "untrained"))
	if err != nil {
		return err
	}
	if r.server, err = serving.New(ctx, serving.Options{Models: map[string]*models.Checkpoint{demoModel: first}, Order: []string{demoModel}, Store: r.store}); err != nil {
		return err
	}
	go func() { r.serverDone <- r.server.Run(run) }()
	r.audience = newAudience(r)
	r.http = &http.Server{Handler: r.board.handler(r.server.Handler()), ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = r.http.Serve(listener) }()
	return nil
}

// backfillFigures say how the past was learned; no live figure contains any of it.
type backfillFigures struct {
	Events  int64   `json:"events"`
	Rows    int64   `json:"rows"`
	Seconds float64 `json:"seconds"`

	letters int64
}

const (
	backfillAtMost = 58 * time.Second // the whole of it
	backfillTell   = 52 * time.Second // by when the daemon should have taken all that was told
	backfillAhead  = 60_000           // events produced ahead of the daemon
)

// backfill tells the audience's past as fast as the daemon takes it, and stops early on a machine that would take longer than a minute.
func (r *river) backfill(ctx context.Context, events int64, stderr io.Writer) error {
	start := time.Now()
	if err := r.producer.Write(ctx, r.told.entities()...); err != nil {
		return err
	}
	past := backfillFigures{}
	defer func() {
		past.letters, past.Seconds = r.daemon.Figures().DeadLetters, time.Since(start).Seconds()
		r.board.told(past, events)
	}()
	spoke := time.Now()
	for past.Events < events && !r.backfillFull(start, past.Events) {
		var batch []streaming.Message
		for len(batch) < 4_000 && past.Events < events {
			e := r.told.next()
			if e.impression != "" {
				past.Rows++
			}
			past.Events++
			batch = append(batch, e.Message)
		}
		if err := r.producer.Write(ctx, batch...); err != nil {
			return err
		}
		past.Seconds = time.Since(start).Seconds()
		r.board.told(past, events)
		for past.Events-r.daemon.Figures().EventsIn > backfillAhead && time.Since(start) < backfillAtMost {
			if err := r.pause(ctx, 20*time.Millisecond); err != nil {
				return err
			}
		}
		if time.Since(spoke) > 2*time.Second {
			spoke = time.Now()
			fmt.Fprintf(stderr, "backfill: %d of %d events of the past, %d rows trained, %.0f s\n", past.Events, events, r.daemon.Figures().RowsTrained, time.Since(start).Seconds())
		}
	}
	for f := r.daemon.Figures(); f.EventsIn < past.Events || f.RowsTrained < past.Rows; f = r.daemon.Figures() {
		if time.Since(start) >= backfillAtMost {
			fmt.Fprintf(stderr, "backfill: %d events of the past are still on their way to the daemon\n", past.Events-f.EventsIn)
			break
		}
		if err := r.pause(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
	fmt.Fprintf(stderr, "backfill: %d events and %d rows of the past learned in %.1f s, before live time\n", past.Events, past.Rows, time.Since(start).Seconds())
	return nil
}

// backfillFull reports whether the daemon, at the pace so far, needs the rest of the backfill's time for what was told already.
func (r *river) backfillFull(start time.Time, told int64) bool {
	passed, in := time.Since(start), r.daemon.Figures().EventsIn
	if in == 0 {
		return passed > backfillTell
	}
	return time.Duration(float64(passed)*float64(told)/float64(in)) > backfillTell && passed > backfillTell/4
}

// pause waits, and reports a part that has died meanwhile.
func (r *river) pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case err := <-r.daemonDone:
		r.daemonDone <- err
		return fmt.Errorf("the daemon stopped: %w", err)
	case <-time.After(d):
		return nil
	}
}

// stop ends the audience's world: waits for the last windows, writes the last checkpoint, closes every part, and returns the live figures.
func (r *river) stop(stderr io.Writer) (*demoFigures, error) {
	var errs []error
	var figures *demoFigures
	if r.audience != nil && r.board.live() {
		r.audience.settleAll()
		figures = r.board.figures()
	} else {
		figures = &demoFigures{}
		if r.board != nil {
			figures.Backfill = r.board.backfilled()
		}
	}
	r.cancel()
	if r.daemon != nil {
		fmt.Fprintln(stderr, "writing the last checkpoint")
		errs = append(errs, <-r.daemonDone)
		figures.Checkpoint = filepath.Join(r.dir, "run")
	}
	if r.http != nil {
		errs = append(errs, r.http.Close())
	}
	if r.server != nil {
		errs = append(errs, <-r.serverDone)
	}
	if r.producer != nil {
		errs = append(errs, r.producer.Close())
	}
	if r.store != nil {
		errs = append(errs, r.store.Close())
	}
	if r.redis != nil {
		r.redis.Close()
	}
	if r.broker != nil {
		r.broker.Close()
	}
	return figures, errors.Join(errs...)
}
