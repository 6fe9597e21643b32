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

	started    time.Time
	cancel     context.CancelFunc // of the daemon, the server and its HTTP
	daemonDone chan error
	serverDone chan error

	past       streaming.Figures // when live time began
	backfilled backfillFigures
}

// startRiver starts every part, in the order in which they need each other.
func startRiver(ctx context.Context, f demoFlags, dir string, listener net.Listener, stderr io.Writer) (r *river, err error) {
	r = &river{dir: dir, addr: listener.Addr().String(), started: time.Now(), covered: newCoverage(), daemonDone: make(chan error, 1), serverDone: make(chan error, 1)}
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

	learner, err := r.startDaemon(run)
	if err != nil {
		return r, err
	}
	_ = learner
	fmt.Fprintf(stderr, "Kafka on %s, Redis on %s, in process\n", r.broker.Addr(), r.redis.Addr())
	r.board = newBoard(r)
	return r, r.startServer(ctx, run, listener)
}

// startDaemon writes the untrained model as the server's first checkpoint and starts the daemon on the same learner.
func (r *river) startDaemon(run context.Context) (*training.Incremental, error) {
	schema, err := features.ParseSchema(examples.WorldSchema)
	if err != nil {
		return nil, fmt.Errorf("the demo's schema: %w", err)
	}
	spec, err := models.Parse(examples.WorldModel, schema)
	if err != nil {
		return nil, fmt.Errorf("the demo's model: %w", err)
	}
	learner, err := training.NewIncremental(spec, schema, training.IncrementalOptions{Model: demoModel, Seed: 1})
	if err != nil {
		return nil, err
	}
	manifest, parts, err := learner.Snapshot()
	if err != nil {
		return nil, err
	}
	if _, err := snapshot.Write(filepath.Join(r.dir, "untrained", "checkpoint"), manifest, parts); err != nil {
		return nil, err
	}
	cfg := &streaming.Config{
		Checkpoint:      filepath.Join(r.dir, "run"),
		Kafka:           streaming.KafkaConfig{Brokers: []string{r.broker.Addr()}, Group: "millrace", Impressions: "impressions", Actions: "actions", Items: "items", Users: "users", DeadLetters: "dead-letters"},
		Join:            streaming.JoinConfig{Window: streaming.Duration(demoWindow), Late: streaming.Duration(demoLate), Labels: map[string]streaming.LabelRule{"click": {From: []string{"click"}}}},
		Publish:         streaming.PublishConfig{Every: streaming.Duration(demoPublish)},
		CheckpointEvery: streaming.Duration(30 * time.Second),
	}
	if r.daemon, err = streaming.New(streaming.Options{Config: cfg, Schema: schema, Learner: learner, Publisher: r.store, Trained: r.covered.published}); err != nil {
		return nil, err
	}
	go func() { r.daemonDone <- r.daemon.Run(run) }()
	return learner, nil
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
}

const (
	backfillAtMost = 50 * time.Second // of producing; what is under way then is still learned
	backfillAhead  = 60_000           // events produced ahead of the daemon
)

// backfill tells the audience's past as fast as the daemon takes it.
func (r *river) backfill(ctx context.Context, events int64, stderr io.Writer) error {
	start := time.Now()
	entities := r.told.entities()
	produced := int64(0) // impressions and actions: what the daemon's figures count as events
	if err := r.producer.Write(ctx, entities...); err != nil {
		return err
	}
	var batch []streaming.Message
	told := int64(0)
	spoke := time.Now()
	for told < events && time.Since(start) < backfillAtMost {
		batch = batch[:0]
		for len(batch) < 4_000 && told < events {
			batch = append(batch, r.told.next().Message)
			told++
		}
		if err := r.producer.Write(ctx, batch...); err != nil {
			return err
		}
		produced += int64(len(batch))
		for produced-r.daemon.Figures().EventsIn > backfillAhead {
			if err := r.pause(ctx, 20*time.Millisecond); err != nil {
				return err
			}
		}
		if time.Since(spoke) > 2*time.Second {
			spoke = time.Now()
			fmt.Fprintf(stderr, "backfill: %d of %d events of the past, %d rows trained, %.0f s\n", told, events, r.daemon.Figures().RowsTrained, time.Since(start).Seconds())
		}
	}
	for time.Since(start) < backfillAtMost+8*time.Second && r.daemon.Figures().EventsIn < produced {
		if err := r.pause(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
	r.backfilled = backfillFigures{Events: told, Rows: r.daemon.Figures().RowsTrained, Seconds: time.Since(start).Seconds()}
	fmt.Fprintf(stderr, "backfill: %d events of the past told and %d rows trained in %.1f s\n", told, r.backfilled.Rows, r.backfilled.Seconds)
	return nil
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

// goLive marks where the live figures begin.
func (r *river) goLive() {
	r.past = r.daemon.Figures()
	r.board.begin()
}

// stop ends the audience's world: waits for the last windows, writes the last checkpoint, closes every part, and returns the live figures.
func (r *river) stop(stderr io.Writer) (*demoFigures, error) {
	var errs []error
	var figures *demoFigures
	if r.audience != nil && r.board.live() {
		if err := r.audience.settleAll(); err != nil {
			errs = append(errs, err)
		}
		figures = r.board.figures()
	} else {
		figures = &demoFigures{}
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
