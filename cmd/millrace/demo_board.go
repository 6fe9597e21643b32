package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/millrace/millrace/core/metric"
	"github.com/millrace/millrace/serving"
	"github.com/millrace/millrace/streaming"
)

//go:embed demo.html
var demoPage []byte

// demoFigures are the figures of the live time: nothing of the backfill is in them, but in Backfill, and nothing of what came after it, but whether rows shown in
// it were clicked and when clicks made in it were learned.
type demoFigures struct {
	EventsIn       int64           `json:"events_in"`
	RowsTrained    int64           `json:"rows_trained"`
	DeadLetters    int64           `json:"dead_letters"`
	AUCRows        int             `json:"auc_rows"`
	AUCProgressive *float64        `json:"auc_progressive"`
	AUCBest        *float64        `json:"auc_best"`
	AUCPopularity  *float64        `json:"auc_popularity"`
	ScoredRequests int64           `json:"scored_requests"`
	ScoreP50MS     *float64        `json:"score_p50_ms"`
	ScoreP99MS     *float64        `json:"score_p99_ms"`
	FreshnessP50S  *float64        `json:"freshness_p50_s"`
	FreshnessN     int             `json:"freshness_clicks"`
	RedisKeys      int64           `json:"redis_keys"`
	NearCacheHit   *float64        `json:"near_cache_hit"`
	Checkpoint     string          `json:"checkpoint"`
	Dropped        int64           `json:"dropped_requests"`
	Seconds        float64         `json:"seconds"`
	Backfill       backfillFigures `json:"backfill"`
}

// board gathers the live figures, for the page, the terminal and the JSON.
type board struct {
	r *river

	mu        sync.Mutex
	past      backfillFigures
	pastGoal  int64 // events that the backfill tells unless time runs out
	begun     time.Time
	rows      []shownRow // random rows that are settled, the newest keptRows of them
	latencies []time.Duration
	requests  int64
	near      serving.NearCache
	points    []point
	ended     time.Time
	atEnd     streaming.Figures // of the daemon, when live time ended
	lastIn    int64
	lastAt    time.Time
}

// point is one moment on the page's charts. AUCs are of the newest recentRows random rows.
type point struct {
	T           float64  `json:"t"`
	EventsPerS  float64  `json:"events_per_s"`
	Progressive *float64 `json:"progressive"`
	Best        *float64 `json:"best"`
	Popularity  *float64 `json:"popularity"`
	Freshness   *float64 `json:"freshness"`
	P50         *float64 `json:"p50"`
	P99         *float64 `json:"p99"`
}

// A demo may run for days: figures are of the newest rows and requests, and charts of the last half hour.
const (
	keptRows      = 200_000
	keptLatencies = 50_000
	recentRows    = 5_000
	keptPoints    = 900
	pointEvery    = 2 * time.Second
)

func newBoard(r *river) *board { return &board{r: r} }

func (b *board) begin() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.begun = time.Now()
	b.lastIn, b.lastAt = b.r.daemon.Figures().EventsIn, b.begun
}

// told keeps how far the backfill is.
func (b *board) told(past backfillFigures, goal int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.past, b.pastGoal = past, goal
}

func (b *board) backfilled() backfillFigures {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.past
}

// end marks where the live figures end.
func (b *board) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ended.IsZero() {
		b.ended, b.atEnd = time.Now(), b.r.daemon.Figures()
	}
}

func (b *board) live() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.begun.IsZero()
}

// scored counts one answered request of the audience.
func (b *board) scored(d time.Duration, near serving.NearCache) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.requests++
	b.near.Hits, b.near.Misses = b.near.Hits+near.Hits, b.near.Misses+near.Misses
	b.latencies = keep(append(b.latencies, d), keptLatencies)
}

// settled counts one random row whose clicks are in.
func (b *board) settled(row shownRow) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rows = keep(append(b.rows, row), keptRows)
}

// keep drops the oldest elements once there are twice too many.
func keep[T any](xs []T, n int) []T {
	if len(xs) < 2*n {
		return xs
	}
	return append(xs[:0:0], xs[len(xs)-n:]...)
}

// aucs are of the same rows, scored by the server, by the truth averaged over positions, and by popularity until then.
func aucs(rows []shownRow) (progressive, best, popularity *float64) {
	var m, t, p metric.Rows
	scores := [3][]float32{}
	labels := make([]float32, len(rows))
	for i, r := range rows {
		if r.clicked {
			labels[i] = 1
		}
		scores[0] = append(scores[0], float32(r.score))
		scores[1] = append(scores[1], float32(r.best))
		scores[2] = append(scores[2], float32(r.popularity))
	}
	m.Add(scores[0], labels, nil, nil)
	t.Add(scores[1], labels, nil, nil)
	p.Add(scores[2], labels, nil, nil)
	return defined(m.AUC()), defined(t.AUC()), defined(p.AUC())
}

// defined is nil for NaN, which JSON cannot say.
func defined(x float64) *float64 {
	if x != x {
		return nil
	}
	return &x
}

// quantile returns the q-quantile in the given unit, nil of nothing.
func quantile(ds []time.Duration, q float64, unit time.Duration) *float64 {
	if len(ds) == 0 {
		return nil
	}
	sorted := slices.Sorted(slices.Values(ds))
	x := float64(sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]) / float64(unit)
	return &x
}

// figures sums the live time up.
func (b *board) figures() *demoFigures {
	b.mu.Lock()
	rows := slices.Clone(b.rows)
	latencies := slices.Clone(b.latencies)
	f := &demoFigures{ScoredRequests: b.requests}
	f.NearCacheHit = defined(float64(b.near.Hits) / float64(b.near.Hits+b.near.Misses))
	until, now := b.ended, b.atEnd
	if until.IsZero() {
		until, now = time.Now(), b.r.daemon.Figures()
	}
	f.Seconds = until.Sub(b.begun).Seconds()
	past := b.past
	b.mu.Unlock()

	f.EventsIn, f.RowsTrained, f.DeadLetters = max(now.EventsIn-past.Events, 0), max(now.RowsTrained-past.Rows, 0), now.DeadLetters-past.letters
	f.AUCRows = len(rows)
	f.AUCProgressive, f.AUCBest, f.AUCPopularity = aucs(rows)
	f.ScoreP50MS, f.ScoreP99MS = quantile(latencies, 0.5, time.Millisecond), quantile(latencies, 0.99, time.Millisecond)
	waits, _ := b.r.audience.probes.freshness()
	f.FreshnessP50S, f.FreshnessN = quantile(waits, 0.5, time.Second), len(waits)
	f.Dropped = b.r.audience.dropped.Load()
	f.Backfill = past
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if keys, err := b.r.store.Keys(ctx, demoModel); err == nil {
		f.RedisKeys = keys
	}
	return f
}

// point adds one moment to the charts.
func (b *board) point() point {
	in := b.r.daemon.Figures().EventsIn
	waits, _ := b.r.audience.probes.freshness()
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	p := point{T: now.Sub(b.begun).Seconds(), EventsPerS: float64(in-b.lastIn) / now.Sub(b.lastAt).Seconds()}
	b.lastIn, b.lastAt = in, now
	p.Progressive, p.Best, p.Popularity = aucs(b.rows[max(0, len(b.rows)-recentRows):])
	recent := b.latencies[max(0, len(b.latencies)-1000):]
	p.P50, p.P99 = quantile(recent, 0.5, time.Millisecond), quantile(recent, 0.99, time.Millisecond)
	p.Freshness = quantile(waits[max(0, len(waits)-50):], 0.5, time.Second)
	b.points = keep(append(b.points, p), keptPoints)
	return p
}

// rowsTrained is of the live time, until now.
func (b *board) rowsTrained() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return max(b.r.daemon.Figures().RowsTrained-b.past.Rows, 0)
}

// report adds a point and prints a line every so often until ctx ends.
func (r *river) report(ctx context.Context, stderr io.Writer) {
	tick := time.NewTicker(pointEvery)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		p := r.board.point()
		if n%2 == 1 {
			fmt.Fprintf(stderr, "%4.0f s  %5.0f events/s  %8d rows trained  AUC %s of best %s (popularity %s)  fresh in %s s  p50 %s ms  p99 %s ms\n",
				p.T, p.EventsPerS, r.board.rowsTrained(), shown(p.Progressive, 3), shown(p.Best, 3), shown(p.Popularity, 3), shown(p.Freshness, 1), shown(p.P50, 1), shown(p.P99, 1))
		}
	}
}

// shown prints a figure, or a dash where there is none yet.
func shown(x *float64, digits int) string {
	if x == nil {
		return "–"
	}
	return fmt.Sprintf("%.*f", digits, *x)
}

func (f *demoFigures) print(w io.Writer) {
	if f.Seconds == 0 {
		fmt.Fprintf(w, "ended in the backfill, before live time: %d events of the past told in %.0f s; checkpoint in %s\n", f.Backfill.Events, f.Backfill.Seconds, f.Checkpoint)
		return
	}
	share := "–"
	if f.AUCProgressive != nil && f.AUCBest != nil {
		share = fmt.Sprintf("%.0f %%", 100*(*f.AUCProgressive-0.5)/(*f.AUCBest-0.5))
	}
	fmt.Fprintf(w, `live for %.0f s: %d events in, %d rows trained, %d dead letters
AUC %s on %d random rows; best possible %s; popularity %s: the model is %s of the way from chance to the best
%d requests scored, p50 %s ms, p99 %s ms; %s of row look-ups from the near-cache; %d ids in Redis
a click changes its user's scores within %s s (p50 of %d clicks)
`, f.Seconds, f.EventsIn, f.RowsTrained, f.DeadLetters, shown(f.AUCProgressive, 4), f.AUCRows, shown(f.AUCBest, 4), shown(f.AUCPopularity, 4), share,
		f.ScoredRequests, shown(f.ScoreP50MS, 2), shown(f.ScoreP99MS, 2), percent(f.NearCacheHit), f.RedisKeys, shown(f.FreshnessP50S, 2), f.FreshnessN)
	if f.Checkpoint != "" {
		fmt.Fprintf(w, "checkpoint in %s: try millrace inspect %s\n", f.Checkpoint, f.Checkpoint)
	}
}

func percent(x *float64) string {
	if x == nil {
		return "–"
	}
	return fmt.Sprintf("%.1f %%", 100**x)
}

// handler serves the live page and its figures beside the scoring API.
func (b *board) handler(api http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", api)
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write(demoPage)
	})
	mux.HandleFunc("GET /demo/figures", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(b.page())
	})
	return mux
}

// page is what the live page polls.
func (b *board) page() any {
	type page struct {
		Live     bool            `json:"live"`
		Past     backfillFigures `json:"past"`
		PastGoal int64           `json:"past_goal"` // events
		PastIn   int64           `json:"past_in"`   // events that the daemon has taken
		PastRows int64           `json:"past_rows"` // rows that it has learned
		Figures  *demoFigures    `json:"figures,omitempty"`
		Points   []point         `json:"points"`
		Story    *clickStory     `json:"story,omitempty"`
		Version  string          `json:"version"`
	}
	now := b.r.daemon.Figures()
	b.mu.Lock()
	p := page{Live: !b.begun.IsZero(), Past: b.past, PastGoal: b.pastGoal, PastIn: now.EventsIn, PastRows: now.RowsTrained, Version: now.Version, Points: slices.Clone(b.points)}
	b.mu.Unlock()
	if p.Live {
		p.Figures = b.figures()
		_, p.Story = b.r.audience.probes.freshness()
	}
	return p
}
