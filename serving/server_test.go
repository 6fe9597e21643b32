package serving

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/millrace/millrace/core/snapshot"
	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/internal/embedded/redis"
	"github.com/millrace/millrace/models"
	_ "github.com/millrace/millrace/models/all"
	"github.com/millrace/millrace/models/modeltest"
	"github.com/millrace/millrace/serving/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const shopSchema = `
name: shop
user: user
item: item
labels: [{name: click}]
fields:
  - {name: user, from: user}
  - {name: item, from: item}
  - {name: country, from: user}
  - {name: category, from: item}
  - {name: price, type: numeric, from: item, log: true}
  - {name: hour, from: context}
  - {name: age, type: numeric, from: context}
  - {name: seen, type: sequence, from: history, attribute: item, shares: item, max: 5}
`

const (
	lr    = "model: lr\n"
	dnn   = "model: dnn\nembedding_dim: 4\nhidden_units: [8, 4]\n"
	final = "model: finalmlp\nembedding_dim: 4\nmlp1_hidden_units: [8]\nmlp2_hidden_units: [8]\nnum_heads: 2\nuse_fs: true\nfs_hidden_units: [8]\nfs1_context: [user]\nfs2_context: [item]\n"
)

// checkpoint trains nothing: it makes a model whose rows are far from zero for the values that vocabulary names, and writes it as a checkpoint.
func checkpoint(t testing.TB, schema, model string, vocabulary map[string][]string) *models.Checkpoint {
	t.Helper()
	p := modeltest.Program(t, schema, model)
	v := features.Vocabulary{}
	for _, spec := range p.Tables() {
		if v[spec.Vocabulary] != nil {
			continue
		}
		v[spec.Vocabulary] = []uint64{features.MissingID(spec.Vocabulary)}
		for _, value := range vocabulary[spec.Vocabulary] {
			v[spec.Vocabulary] = append(v[spec.Vocabulary], features.ID(spec.Vocabulary, value))
		}
	}
	tr, err := p.NewTrainer(v, false)
	if err != nil {
		t.Fatal(err)
	}
	modeltest.Randomise(tr.Tables, 0.5)
	m, err := tr.Manifest("shop", &features.Stats{Rows: 3, Numeric: map[string]features.NumericStats{
		"price": {Mean: 2, Std: 1, Count: 3}, "age": {Mean: 40, Std: 10, Count: 3},
	}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "checkpoint")
	if _, err := snapshot.Write(dir, m, tr.Parts()); err != nil {
		t.Fatal(err)
	}
	c, err := models.LoadScoring(dir)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func values(prefix string, n int) []string {
	var out []string
	for i := range n {
		out = append(out, fmt.Sprint(prefix, i))
	}
	return out
}

var shopValues = map[string][]string{
	"user": values("u", 50), "item": values("i", 200), "country": {"de", "fr"}, "category": values("c", 9), "hour": values("", 24),
}

// bed is a server on an embedded Redis.
type bed struct {
	redis  *redis.Server
	store  *store.Store
	server *Server
	http   *httptest.Server
	client *http.Client
	stop   func()
}

func start(t testing.TB, o Options) *bed {
	t.Helper()
	b := &bed{}
	var err error
	if b.redis, err = redis.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.redis.Close)
	b.serve(t, o, b.redis.Addr())
	b.ready(t)
	return b
}

// serve starts a server on a store.
func (b *bed) serve(t testing.TB, o Options, addr string) {
	t.Helper()
	var err error
	if b.store, err = store.Open(context.Background(), addr); err != nil {
		t.Fatal(err)
	}
	o.Store = b.store
	if o.Poll == 0 {
		o.Poll = 2 * time.Millisecond
	}
	if b.server, err = New(context.Background(), o); err != nil {
		t.Fatal(err)
	}
	b.http = httptest.NewServer(b.server.Handler())
	b.client = b.http.Client()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- b.server.Run(ctx) }()
	stopped := false
	b.stop = func() {
		if !stopped {
			stopped = true
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	}
	t.Cleanup(func() {
		b.stop()
		b.http.Close()
		b.store.Close()
	})
}

func (b *bed) ready(t testing.TB) {
	t.Helper()
	until(t, "the server is ready", func() bool { return b.server.Ready() == nil })
}

func until(t testing.TB, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !f(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 20 s: %s", what)
		}
	}
}

func one(c *models.Checkpoint) Options {
	return Options{Models: map[string]*models.Checkpoint{"shop": c}}
}

// post sends a body and returns the status and the answer's.
func (b *bed) post(t testing.TB, body string) (int, string) {
	t.Helper()
	res, err := b.client.Post(b.http.URL+"/v1/score", "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(text)
}

func (b *bed) get(t testing.TB, path string) (int, string) {
	t.Helper()
	res, err := b.client.Get(b.http.URL + path)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(text)
}

// score expects an answer.
func (b *bed) score(t testing.TB, req *ScoreRequest) *ScoreResponse {
	t.Helper()
	body, err := json.Marshal(req)
	if err != nil {
		t.Fatal(err)
	}
	code, text := b.post(t, string(body))
	if code != http.StatusOK {
		t.Fatalf("status %d: %s", code, text)
	}
	d := json.NewDecoder(bytes.NewReader([]byte(text)))
	d.DisallowUnknownFields()
	res := &ScoreResponse{}
	if err := d.Decode(res); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	if len(res.Scores) != len(req.Candidates) {
		t.Fatalf("%d scores for %d candidates", len(res.Scores), len(req.Candidates))
	}
	return res
}

func TestScore(t *testing.T) {
	c := checkpoint(t, shopSchema, dnn, shopValues)
	b := start(t, one(c))
	req := &ScoreRequest{UserID: "u1", Candidates: []string{"i5", "i6", "i5", "nobody knows it"}, Context: map[string]any{"hour": 3, "age": 20}}
	res := b.score(t, req)
	if res.Model != "shop" || res.Version != c.Weights.Version || res.Rung != "full" || res.Tasks != nil {
		t.Fatalf("%+v", res)
	}
	s := res.Scores
	if s[0] != s[2] || s[0] == s[1] || s[0] == s[3] {
		t.Fatalf("scores %v: equal candidates must have equal scores, others others", s)
	}
	other := b.score(t, &ScoreRequest{UserID: "u1", Candidates: []string{"nor this", "i6"}, Context: req.Context})
	if other.Scores[0] != s[3] || other.Scores[1] != s[1] {
		t.Fatalf("scores %v after %v: unknown items have one score, and candidates do not depend on each other", other.Scores, s)
	}

	// What the store learns of users and items shows at once.
	ctx := context.Background()
	if err := b.store.PutUsers(ctx, []features.Entity{{ID: "u1", Features: features.Values{"country": "fr"}}}); err != nil {
		t.Fatal(err)
	}
	if err := b.store.PutHistories(ctx, []features.UserHistory{{User: "u2", History: features.History{{Item: "i9", TimeMS: 1, Action: "click", Attributes: features.Values{"item": "i9"}}}}}); err != nil {
		t.Fatal(err)
	}
	if got := b.score(t, req).Scores; got[0] == s[0] {
		t.Fatal("the user's country has no effect")
	}
	two := &ScoreRequest{UserID: "u2", Candidates: []string{"i5"}}
	with := b.score(t, two).Scores[0]
	if err := b.store.PutHistories(ctx, []features.UserHistory{{User: "u2"}}); err != nil {
		t.Fatal(err)
	}
	if b.score(t, two).Scores[0] == with {
		t.Fatal("the user's history has no effect")
	}
	if err := b.store.PutItems(ctx, []features.Entity{{ID: "i77", Features: features.Values{"category": "c3", "price": 12.5}}}); err != nil {
		t.Fatal(err)
	}
	three := &ScoreRequest{UserID: "u2", Candidates: []string{"i77", "i78"}}
	if a := b.score(t, three).Scores; a[0] == a[1] {
		t.Fatal("the item's features have no effect")
	}
}

func TestRefusals(t *testing.T) {
	o := one(checkpoint(t, shopSchema, lr, shopValues))
	o.Candidates, o.BodyBytes = 5, 400
	b := start(t, o)
	f := func(code int, want, body string) {
		t.Helper()
		got, text := b.post(t, body)
		var e errorBody
		if err := json.Unmarshal([]byte(text), &e); got != code || err != nil || !strings.Contains(e.Error, want) {
			t.Errorf("%s: status %d, %s, want %d with %q", body, got, text, code, want)
		}
	}
	f(400, "candidates", `{"user_id":"u","candidates":[]}`)
	f(400, "candidates", `{"user_id":"u"}`)
	f(400, "candidates", `{"user_id":"u","candidates":null}`)
	f(400, "candidates: got string, want a list of texts", `{"user_id":"u","candidates":"i1"}`)
	f(400, "candidates: got number", `{"user_id":"u","candidates":[1]}`)
	f(400, "candidates[1] is empty", `{"user_id":"u","candidates":["a",""]}`)
	f(400, "at most 5", `{"user_id":"u","candidates":["1","2","3","4","5","6"]}`)
	f(400, "user_id", `{"candidates":["a"]}`)
	f(400, "user_id", `{"user_id":"","candidates":["a"]}`)
	f(400, "user_id: got number, want a text", `{"user_id":7,"candidates":["a"]}`)
	f(400, "context: got string, want an object", `{"user_id":"u","candidates":["a"],"context":"x"}`)
	f(400, "age", `{"user_id":"u","candidates":["a"],"context":{"age":"old"}}`)
	f(400, "age", `{"user_id":"u","candidates":["a"],"context":{"age":[1]}}`)
	f(400, "hour", `{"user_id":"u","candidates":["a"],"context":{"hour":{"a":1}}}`)
	f(400, "candidate", `{"user_id":"u","candidate":["a"]}`)
	f(400, "follows", `{"user_id":"u","candidates":["a"]} {}`)
	f(400, "empty", ``)
	f(400, "ends too early", `{"user_id":`)
	f(400, "an object", `[]`)
	f(400, "invalid", `nonsense`)
	f(404, `model \"x\"`[0:5], `{"user_id":"u","candidates":["a"],"model":"x"}`)
	f(413, "400 bytes", `{"user_id":"`+strings.Repeat("u", 500)+`","candidates":["a"]}`)
	if code, _ := b.get(t, "/v1/score"); code != http.StatusMethodNotAllowed {
		t.Errorf("GET /v1/score: %d", code)
	}
	if code, _ := b.get(t, "/v2/score"); code != http.StatusNotFound {
		t.Errorf("GET /v2/score: %d", code)
	}
	code, text := b.post(t, `{"user_id":"u","candidates":["a"],"context":{"age":null,"unheard":{"of":1}},"model":"shop"}`)
	if code != 200 {
		t.Errorf("null and unknown context: %d %s", code, text)
	}
}

func TestEndpoints(t *testing.T) {
	b := start(t, one(checkpoint(t, shopSchema, lr, shopValues)))
	b.score(t, &ScoreRequest{UserID: "u1", Candidates: []string{"i1", "i2"}})
	b.post(t, "x")
	f := func(path string, code int, want ...string) {
		t.Helper()
		got, text := b.get(t, path)
		if got != code {
			t.Errorf("%s: status %d, want %d", path, got, code)
		}
		for _, w := range want {
			if !strings.Contains(text, w) {
				t.Errorf("%s: no %q in %s", path, w, text)
			}
		}
	}
	f("/healthz", 200)
	f("/readyz", 200)
	f("/v1/models", 200, `"name":"shop"`, `"default":true`, `"ready":true`, `"from":"checkpoint"`, `"labels":["click"]`)
	f("/metrics", 200, `millrace_requests_total{code="200",model="shop"} 1`, `millrace_requests_total{code="400",model=""} 1`,
		`millrace_candidates_total{model="shop"} 2`, `millrace_near_cache_misses_total{model="shop"}`, `millrace_version_swaps_total{model="shop"} 1`,
		`millrace_request_seconds_count{model="shop"} 1`, `millrace_store_round_trips_total`, `millrace_ready{model="shop"} 1`)
	if g := b.server.Figures(); g.Requests != 1 || g.P50 <= 0 || g.P99 < g.P50 || g.Version == "" || g.NearMisses == 0 {
		t.Errorf("figures %+v", g)
	}
	b.stop()
	f("/healthz", 200)
	f("/readyz", 503, "stopping")
	b.score(t, &ScoreRequest{UserID: "u1", Candidates: []string{"i1"}}) // requests still come in while a balancer notices
}

func TestNotReady(t *testing.T) {
	r, err := redis.Start()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	s, err := store.Open(context.Background(), r.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	o := one(checkpoint(t, shopSchema, lr, shopValues))
	o.Store = s
	server, err := New(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	f := func(method, path, body string, code int) {
		t.Helper()
		w := httptest.NewRecorder()
		server.Handler().ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader(body)))
		if w.Code != code || (code == 503) != (w.Header().Get("Retry-After") != "") {
			t.Errorf("%s before Run: %d %s", path, w.Code, w.Body)
		}
	}
	f("GET", "/healthz", "", 200)
	f("GET", "/readyz", "", 503)
	f("GET", "/v1/models", "", 200)
	f("POST", "/v1/score", `{"user_id":"u","candidates":["a"]}`, 503)
}

// TestStoreLost: what the store lost is 503, never a score by unknown rows; with a way to reload, the server puts its checkpoint back.
func TestStoreLost(t *testing.T) {
	c := checkpoint(t, shopSchema, lr, shopValues)
	o := one(c)
	reload := make(chan struct{})
	o.Reload = func(string) (*models.Checkpoint, error) {
		<-reload
		return models.LoadScoring(c.Snapshot.Dir)
	}
	b := start(t, o)
	req := &ScoreRequest{UserID: "u1", Candidates: []string{"i1", "i2"}}
	want := b.score(t, req).Scores
	b.redis.FlushAll()
	until(t, "the server is not ready", func() bool { return b.server.Ready() != nil })
	code, text := b.post(t, `{"user_id":"u7","candidates":["i3"]}`)
	if code != 503 {
		t.Fatalf("rows that are gone: %d %s", code, text)
	}
	close(reload)
	b.ready(t)
	if got := b.score(t, req).Scores; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("%v after putting the checkpoint back, want %v", got, want)
	}
	b.redis.Close()
	code, text = b.post(t, `{"user_id":"u8","candidates":["i4"]}`)
	if code != 503 {
		t.Fatalf("no Redis: %d %s", code, text)
	}
	if code, text := b.get(t, "/readyz"); code != 503 || !strings.Contains(text, "store") {
		t.Fatalf("no Redis: ready %d %s", code, text)
	}
}

// TestBadStoredFeature: a stored feature that does not fit counts as missing.
func TestBadStoredFeature(t *testing.T) {
	b := start(t, one(checkpoint(t, shopSchema, dnn, shopValues)))
	if err := b.store.PutItems(context.Background(), []features.Entity{{ID: "i1", Features: features.Values{"price": "dear", "category": "c1"}}, {ID: "i2", Features: features.Values{"category": "c1"}}}); err != nil {
		t.Fatal(err)
	}
	c := checkpoint(t, shopSchema, dnn, shopValues)
	_ = c
	res := b.score(t, &ScoreRequest{UserID: "u1", Candidates: []string{"i1"}})
	if err := b.store.PutItems(context.Background(), []features.Entity{{ID: "i1", Features: features.Values{"category": "c1"}}}); err != nil {
		t.Fatal(err)
	}
	h := b.server.hosts["shop"]
	if h.badFeatures.Load() != 1 {
		t.Fatalf("%d bad features counted", h.badFeatures.Load())
	}
	until(t, "the item is read again", func() bool {
		return b.score(t, &ScoreRequest{UserID: "u1", Candidates: []string{"i1"}}).Scores[0] == res.Scores[0]
	})
}

func TestNearCacheHeader(t *testing.T) {
	b := start(t, one(checkpoint(t, shopSchema, dnn, shopValues)))
	b.ready(t)
	post := func() NearCache {
		t.Helper()
		res, err := b.client.Post(b.http.URL+"/v1/score", "application/json", strings.NewReader(`{"user_id":"u1","candidates":["i1","i2","i1"],"context":{"hour":9}}`))
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		n, err := ParseNearCache(res.Header.Get(NearCacheHeader))
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	first, second := post(), post()
	if first.Misses == 0 || second.Misses != 0 || second.Hits != first.Hits+first.Misses {
		t.Errorf("first %v, then %v", first, second)
	}
	for _, wrong := range []string{"", "hits=1", "hits=a, misses=2"} {
		if n, err := ParseNearCache(wrong); err == nil {
			t.Errorf("%q: %v", wrong, n)
		}
	}
}

func TestSeveralModels(t *testing.T) {
	a, c := checkpoint(t, shopSchema, lr, shopValues), checkpoint(t, shopSchema, final, shopValues)
	b := start(t, Options{Models: map[string]*models.Checkpoint{"a": a, "b": c}, Order: []string{"b", "a"}})
	req := &ScoreRequest{UserID: "u1", Candidates: []string{"i1"}}
	if res := b.score(t, req); res.Model != "b" || res.Version != c.Weights.Version {
		t.Fatalf("the default is %+v", res)
	}
	req.Model = "a"
	if res := b.score(t, req); res.Model != "a" || res.Version != a.Weights.Version {
		t.Fatalf("model a is %+v", res)
	}
}

func TestOptions(t *testing.T) {
	c := checkpoint(t, shopSchema, lr, shopValues)
	f := func(o Options) {
		t.Helper()
		if _, err := New(context.Background(), o); err == nil {
			t.Errorf("%v makes a server", o)
		}
	}
	f(Options{})
	f(one(c))
	f(Options{Store: &store.Store{}})
	f(Options{Store: &store.Store{}, Models: map[string]*models.Checkpoint{"a": c}, Order: []string{"b"}})
}
