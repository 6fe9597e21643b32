package streaming

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Figures of a running daemon, for metrics and the demo's page. Counts are of the daemon's whole life, restarts included.
type Figures struct {
	EventsIn, RowsTrained, DeadLetters, Late, Duplicates, Unmatched int64
	WatermarkMS                                                     int64
	// Version is the last published one; before the first, and without a publisher, the last checkpoint's.
	Version string
	// Lag is how many messages the topics hold that were not processed yet, as last heard; Waiting are rows whose window is open; Users have a history.
	Lag, Waiting, Users int64
	// PublishErrors and Retries count failed calls of the store, and of the brokers with them.
	PublishErrors, Retries, Published int64
}

// shown is what other goroutines see of the daemon, replaced by the processing goroutine as it goes.
type shown struct {
	Figures
	counts       counts
	lag          map[string]int64
	held, items  int64
	checkpointed time.Time
	at           time.Time
}

// show replaces what other goroutines see, unless that was done a moment ago and need not be exact.
func (d *Daemon) show(exact bool) {
	now := d.clock.Now()
	if s := d.shown.Load(); s != nil && !exact && now.Sub(s.at) < 10*time.Millisecond && now.After(s.at) {
		return
	}
	s := &shown{counts: d.total(), lag: map[string]int64{}, checkpointed: d.checkpointed, at: now}
	s.counts.Events, s.counts.Letters = maps.Clone(s.counts.Events), maps.Clone(s.counts.Letters)
	for _, p := range d.parts {
		behind := max(p.high-p.next, 0)
		s.lag[p.topic] += behind
		s.Lag += behind
	}
	for topic, n := range s.counts.Events {
		if topic == d.c.Kafka.Impressions || topic == d.c.Kafka.Actions {
			s.EventsIn += n
		}
	}
	for _, n := range s.counts.Letters {
		s.DeadLetters += n
	}
	s.RowsTrained, s.Late, s.Duplicates, s.Unmatched = s.counts.RowsTrained, s.counts.Late, s.counts.Duplicates, s.counts.Unmatched
	s.WatermarkMS, s.Version = d.marks.at, d.version
	s.Waiting, s.Users = int64(len(d.join.rows)), int64(len(d.join.past.users))
	s.held, s.items = int64(len(d.join.early)), int64(len(d.join.items.by))
	d.shown.Store(s)
}

// look is the latest figures with what the publisher counts itself.
func (d *Daemon) look() shown {
	s := *d.shown.Load()
	s.Retries = d.retries.Load()
	if p := d.publishing.Load(); p != nil {
		s.PublishErrors, s.Published = p.errors.Load(), p.count.Load()
		if v := p.version.Load(); v != nil {
			s.Version = *v
		}
	}
	return s
}

// Figures may be called from any goroutine.
func (d *Daemon) Figures() Figures { return d.look().Figures }

// Listening is the address of metrics and health once Run serves them, else empty.
func (d *Daemon) Listening() string {
	if a := d.listening.Load(); a != nil {
		return *a
	}
	return ""
}

// serve answers /metrics and /healthz on the configured address until the returned function is called.
func (d *Daemon) serve() (stop func(), err error) {
	if d.c.Listen == "" {
		return func() {}, nil
	}
	l, err := net.Listen("tcp", d.c.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen for metrics (key listen): %w", err)
	}
	registry := prometheus.NewRegistry()
	if err := registry.Register(collector{d}); err != nil {
		l.Close()
		return nil, fmt.Errorf("register the metrics: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", d.health)
	s := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		// It ends by Shutdown alone; metrics that fail must not end the daemon.
		_ = s.Serve(l)
	}()
	address := l.Addr().String()
	d.listening.Store(&address)
	return func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		if s.Shutdown(ctx) != nil {
			s.Close()
		}
		<-ended
	}, nil
}

// stuck is how long the processing may take over one step, a checkpoint of large tables included, before the daemon calls itself unhealthy.
const stuck = 5 * time.Minute

func (d *Daemon) health(w http.ResponseWriter, _ *http.Request) {
	s := d.look()
	age := d.clock.Now().Sub(s.at)
	w.Header().Set("Content-Type", "application/json")
	status := "ok"
	if age > stuck {
		status = "stuck"
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	// A client that went away is not our trouble.
	_ = json.NewEncoder(w).Encode(map[string]any{"status": status, "last_step_s": age.Seconds(), "rows_trained": s.RowsTrained, "lag": s.Lag, "version": s.Version})
}

// collector turns the daemon's figures into metrics.
type collector struct{ d *Daemon }

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("millrace_stream_"+name, help, labels, nil)
}

var (
	descEvents     = describe("events_total", "Messages processed, by topic.", "topic")
	descLetters    = describe("dead_letters_total", "Messages that could not be used, by reason.", "reason")
	descRows       = describe("rows_trained_total", "Joined rows handed to the learner.")
	descRejected   = describe("rows_rejected_total", "Joined rows whose values did not fit the schema.")
	descLate       = describe("late_total", "Events that came after their window had closed.")
	descDuplicates = describe("duplicates_total", "Impressions and actions seen before.")
	descUnmatched  = describe("unmatched_total", "Actions without an impression, or outside of its window.")
	descIgnored    = describe("ignored_total", "Actions of types that are neither labels nor histories.")
	descLost       = describe("lost_total", "Messages that retention removed before they were read.")
	descEvicted    = describe("histories_evicted_total", "Users whose histories were evicted.")
	descRetries    = describe("retries_total", "Failed calls that were tried again.")
	descPublish    = describe("publish_errors_total", "Failed calls of the store.")
	descPublished  = describe("published_total", "Updates that reached the store.")
	descLag        = describe("lag_messages", "Messages not processed yet, by topic.", "topic")
	descWatermark  = describe("watermark_lag_seconds", "How far event time is behind the clock.")
	descAge        = describe("checkpoint_age_seconds", "Time since the last checkpoint.")
	descWaiting    = describe("rows_waiting", "Impressions whose window is open.")
	descHeld       = describe("early_actions", "Impressions that actions wait for.")
	descUsers      = describe("histories", "Users with a history.")
	descItems      = describe("items", "Items with features.")
)

func (c collector) Describe(out chan<- *prometheus.Desc) { prometheus.DescribeByCollect(c, out) }

func (c collector) Collect(out chan<- prometheus.Metric) {
	s := c.d.look()
	now := c.d.clock.Now()
	counter := func(d *prometheus.Desc, n int64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	for topic, n := range s.counts.Events {
		counter(descEvents, n, topic)
	}
	for _, reason := range Reasons {
		counter(descLetters, s.counts.Letters[reason], reason)
	}
	counter(descRows, s.RowsTrained)
	counter(descRejected, s.counts.Rejected)
	counter(descLate, s.Late)
	counter(descDuplicates, s.Duplicates)
	counter(descUnmatched, s.Unmatched)
	counter(descIgnored, s.counts.Ignored)
	counter(descLost, s.counts.Lost)
	counter(descEvicted, s.counts.Evicted)
	counter(descRetries, s.Retries)
	counter(descPublish, s.PublishErrors)
	counter(descPublished, s.Published)
	for topic, n := range s.lag {
		gauge(descLag, float64(n), topic)
	}
	if s.WatermarkMS > 0 {
		gauge(descWatermark, float64(now.UnixMilli()-s.WatermarkMS)/1000)
	}
	if !s.checkpointed.IsZero() {
		gauge(descAge, now.Sub(s.checkpointed).Seconds())
	}
	gauge(descWaiting, float64(s.Waiting))
	gauge(descHeld, float64(s.held))
	gauge(descUsers, float64(s.Users))
	gauge(descItems, float64(s.items))
}
