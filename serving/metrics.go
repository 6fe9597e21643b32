package serving

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metrics are the server's own registry: two servers in a process do not meet.
type metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	inFlight prometheus.Gauge
	panics   prometheus.Counter
}

func newMetrics(s *Server) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "millrace_requests_total", Help: "Scoring requests by model and HTTP status; 499: the client went away.",
		}, []string{"model", "code"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "millrace_request_seconds", Help: "Time of scoring requests that were answered with scores.",
			Buckets: []float64{.00025, .0005, .00075, .001, .0015, .002, .003, .004, .006, .01, .015, .025, .05, .1, .25, .5, 1, 2.5},
		}, []string{"model"}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{Name: "millrace_requests_in_flight", Help: "Scoring requests at work."}),
		panics:   prometheus.NewCounter(prometheus.CounterOpts{Name: "millrace_panics_total", Help: "Requests that met a bug."}),
	}
	m.registry.MustRegister(m.requests, m.seconds, m.inFlight, m.panics,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), &storeCollector{s})
	return m
}

func (m *metrics) request(model string, code int, took time.Duration) {
	m.requests.WithLabelValues(model, strconv.Itoa(code)).Inc()
	if code == http.StatusOK {
		m.seconds.WithLabelValues(model).Observe(took.Seconds())
	}
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// storeCollector reads what hosts and store count themselves.
type storeCollector struct{ s *Server }

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("millrace_"+name, help, labels, nil)
}

var (
	descTrips      = desc("store_round_trips_total", "Round trips to Redis; a pipeline is one.")
	descErrors     = desc("store_errors_total", "Round trips to Redis that failed.")
	descHits       = desc("near_cache_hits_total", "Distinct embedding ids of requests that the near-cache had.", "model")
	descMisses     = desc("near_cache_misses_total", "Distinct embedding ids of requests that were read from Redis.", "model")
	descCandidates = desc("candidates_total", "Candidates scored.", "model")
	descBad        = desc("bad_features_total", "Stored features that did not fit the schema and counted as missing.", "model")
	descSwaps      = desc("version_swaps_total", "Versions taken into service.", "model")
	descAge        = desc("version_age_seconds", "Time since the version in service was loaded.", "model")
	descInfo       = desc("version_info", "The version in service; always 1.", "model", "version")
	descReady      = desc("ready", "1 when the model can be scored.", "model")
)

// Describe sends nothing: what is collected depends on the models' state.
func (c *storeCollector) Describe(chan<- *prometheus.Desc) {}

// Collect sends the current counts.
func (c *storeCollector) Collect(ch chan<- prometheus.Metric) {
	counter := func(d *prometheus.Desc, v int64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	trips, errs := c.s.o.Store.Traffic()
	counter(descTrips, trips)
	counter(descErrors, errs)
	for name, h := range c.s.hosts {
		hits, misses := h.reader.Cache()
		counter(descHits, hits, name)
		counter(descMisses, misses, name)
		counter(descCandidates, h.candidates.Load(), name)
		counter(descBad, h.badFeatures.Load(), name)
		counter(descSwaps, h.swaps.Load(), name)
		ready := 0.0
		if h.ready() == nil {
			ready = 1
		}
		gauge(descReady, ready, name)
		if v := h.current.Load(); v != nil {
			gauge(descAge, time.Since(v.rows.Loaded).Seconds(), name)
			gauge(descInfo, 1, name, v.weights.Version)
		}
	}
}
