package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/internal/world"
	"github.com/millrace/millrace/serving"
	"github.com/millrace/millrace/streaming"
)

// audience plays the world's users in real time: each request is scored over HTTP, what is shown goes to Kafka at once and what is clicked when it is clicked.
type audience struct {
	r      *river
	client *http.Client
	url    string
	probes *probes

	mu      sync.Mutex
	waiting []shownRow // rows whose clicks may still come, by time

	dropped atomic.Int64 // requests not played because the machine could not keep up
	err     atomic.Pointer[error]
	clicks  sync.WaitGroup
}

// shownRow is one live impression until its clicks are in.
type shownRow struct {
	at          time.Time
	item        int
	random      bool
	clicked     bool
	score, best float64
	popularity  float64
}

const (
	demoWorkers = 8   // requests in flight
	demoQueue   = 200 // requests waiting for a worker
)

func newAudience(r *river) *audience {
	a := &audience{
		r:      r,
		client: &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 64}},
		url:    "http://" + r.addr + "/v1/score",
	}
	a.probes = newProbes(a)
	return a
}

// live plays requests as their time comes, until ctx ends; then the live figures stand, and it waits for clicks and probes under way.
func (a *audience) live(ctx context.Context) error {
	queue := make(chan world.Request, demoQueue)
	var workers sync.WaitGroup
	for range demoWorkers {
		workers.Go(func() {
			for r := range queue {
				if ctx.Err() != nil {
					a.dropped.Add(1)
					continue
				}
				if err := a.play(&r); err != nil {
					a.fail(err)
				}
			}
		})
	}
	workers.Go(func() { a.settleUntil(ctx) })
	err := a.pace(ctx, queue)
	a.r.board.end()
	close(queue)
	workers.Wait()
	a.clicks.Wait()
	a.probes.wait()
	if p := a.err.Load(); p != nil {
		err = errors.Join(err, *p)
	}
	return err
}

// pace hands requests over when they are due. Those of the time that the backfill took are skipped.
func (a *audience) pace(ctx context.Context, queue chan<- world.Request) error {
	begin := time.Now().UnixMilli()
	for {
		r := a.r.told.arrivals.Next()
		if r.Visit.TimeMS < begin {
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case err := <-a.r.daemonDone:
			a.r.daemonDone <- err
			return fmt.Errorf("the daemon stopped: %w", err)
		case <-time.After(time.Until(time.UnixMilli(r.Visit.TimeMS))):
		}
		if a.err.Load() != nil {
			return nil
		}
		select {
		case queue <- r:
		default:
			a.dropped.Add(1)
		}
	}
}

func (a *audience) fail(err error) { a.err.CompareAndSwap(nil, &err) }

// play asks for scores, shows the ranking, tells Kafka, and lets the user react.
func (a *audience) play(r *world.Request) error {
	n := a.r.told.narrator
	candidates := r.Candidates
	if r.Random {
		candidates = n.w.Shuffle(r)
	}
	start := time.Now()
	res, near, err := a.score(r, candidates)
	if err != nil {
		return err
	}
	a.r.board.scored(time.Since(start), near)
	shown, scores := candidates, res.Scores
	if !r.Random {
		shown, scores = best(candidates, res.Scores, n.w.Config().Shown)
	}

	now := time.Now()
	r.Visit.TimeMS = now.UnixMilli()
	clicks := n.w.React(r, shown)
	clicked := map[int]bool{}
	for _, c := range clicks {
		clicked[c.Position] = true
	}
	var ms []streaming.Message
	rows := make([]shownRow, len(shown))
	a.mu.Lock()
	for p, item := range shown {
		i := n.impression(r, p, item, float64(scores[p]), res.Version)
		ms = append(ms, streaming.Message{Topic: "impressions", Key: []byte(i.UserID), Value: mustJSON(i)})
		rows[p] = shownRow{at: now, item: item, random: r.Random, clicked: clicked[p], score: float64(scores[p]), best: n.w.Average(r.Visit, item), popularity: a.r.told.popular.Score(item)}
	}
	a.waiting = append(a.waiting, rows...)
	a.mu.Unlock()
	for _, c := range clicks {
		a.click(r, shown, c)
	}
	return a.write(ms...)
}

// click tells Kafka of a click when its time comes, and may send a probe after it.
func (a *audience) click(r *world.Request, shown []int, c world.Click) {
	action := a.r.told.action(r, c)
	request := *r
	a.clicks.Add(1)
	time.AfterFunc(time.Until(time.UnixMilli(action.TimeMS)), func() {
		defer a.clicks.Done()
		a.probes.consider(&request, shown, action)
		if err := a.write(streaming.Message{Topic: "actions", Key: []byte(action.UserID), Value: mustJSON(action)}); err != nil {
			a.fail(err)
		}
	})
}

func (a *audience) write(ms ...streaming.Message) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return a.r.producer.Write(ctx, ms...)
}

// score posts one request to the server.
func (a *audience) score(r *world.Request, candidates []int) (*serving.ScoreResponse, serving.NearCache, error) {
	n := a.r.told.narrator
	req := serving.ScoreRequest{UserID: n.w.Users()[r.Visit.User].ID, Context: n.context(r)}
	for _, i := range candidates {
		req.Candidates = append(req.Candidates, n.w.Items()[i].ID)
	}
	return a.post(&req)
}

// post asks the server, and returns with its answer what the look-ups of this one request cost.
func (a *audience) post(req *serving.ScoreRequest) (out *serving.ScoreResponse, near serving.NearCache, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("score user %s: %w", req.UserID, err)
		}
	}()
	body, err := json.Marshal(req)
	if err != nil {
		return nil, near, err
	}
	res, err := a.client.Post(a.url, "application/json", bytes.NewReader(body))
	if err != nil {
		return nil, near, err
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, near, err
	}
	if res.StatusCode != http.StatusOK {
		return nil, near, fmt.Errorf("HTTP %d: %s", res.StatusCode, data)
	}
	out = new(serving.ScoreResponse)
	if err := json.Unmarshal(data, out); err != nil {
		return nil, near, err
	}
	if len(out.Scores) != len(req.Candidates) {
		return nil, near, fmt.Errorf("%d scores for %d candidates", len(out.Scores), len(req.Candidates))
	}
	near, err = serving.ParseNearCache(res.Header.Get(serving.NearCacheHeader))
	return out, near, err
}

// best returns the n candidates of the highest scores, best first.
func best(candidates []int, scores []float32, n int) ([]int, []float32) {
	order := make([]int, len(candidates))
	for i := range order {
		order[i] = i
	}
	sort.SliceStable(order, func(i, j int) bool { return scores[order[i]] > scores[order[j]] })
	items, best := make([]int, n), make([]float32, n)
	for i := range n {
		items[i], best[i] = candidates[order[i]], scores[order[i]]
	}
	return items, best
}

// settleUntil counts rows whose clicks are in, until ctx ends.
func (a *audience) settleUntil(ctx context.Context) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			a.settle(time.Now().Add(-demoWindow))
		}
	}
}

// settle counts the rows shown before a time: popularity learns from all of them, the AUCs are of the random ones.
func (a *audience) settle(before time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	late := a.waiting[:0]
	for _, row := range a.waiting {
		if row.at.After(before) {
			late = append(late, row)
			continue
		}
		a.r.told.popular.Observe(row.item, row.clicked)
		if row.random {
			a.r.board.settled(row)
		}
	}
	a.waiting = late
}

// settleAll waits for the last windows to close in the daemon, and counts the last rows.
func (a *audience) settleAll() {
	time.Sleep(demoWindow + demoLate + 2*demoPublish)
	a.settle(time.Now())
}
