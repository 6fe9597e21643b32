package serving

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/models"
	"github.com/millrace/millrace/models/modeltest"
	"github.com/millrace/millrace/serving/store"
)

const din = "model: din\nembedding_dim: 4\nattention_hidden_units: [8]\ndnn_hidden_units: [8]\ndin_target_field: [item]\ndin_sequence_field: [seen]\n"

// offline scores the rows of a file straight from a checkpoint's tables.
func offline(t testing.TB, c *models.Checkpoint, file string, most int) []float32 {
	t.Helper()
	r, err := features.Open(c.Schema, []string{file}, features.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	e, err := c.NewEncoder()
	if err != nil {
		t.Fatal(err)
	}
	var out []float32
	for len(out) < most {
		rec, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		var b features.Batch
		err = e.EncodeInto(&b, rec)
		rec.Release()
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, modeltest.Scores(t, c.Program, c.Dense, models.TableRows(c.Tables), &b)...)
	}
	return out[:min(most, len(out))]
}

func near(t *testing.T, row int, got, want float32) {
	t.Helper()
	if d := math.Abs(float64(got) - float64(want)); !(d <= 1e-6) {
		t.Fatalf("row %d: %v online, %v offline", row, got, want)
	}
}

// TestOnlineEqualsOffline scores random users, items, histories and contexts over HTTP and from a CSV file of the same rows.
func TestOnlineEqualsOffline(t *testing.T) {
	for _, model := range []string{lr, dnn, final, din} {
		name, _, _ := strings.Cut(strings.TrimPrefix(model, "model: "), "\n")
		t.Run(name, func(t *testing.T) {
			c := checkpoint(t, shopSchema, model, shopValues)
			rng := rand.New(rand.NewPCG(9, 9))
			b := start(t, one(c))
			pick := func(prefix string, n int) string { return fmt.Sprint(prefix, rng.IntN(n)) } // some outside the vocabulary
			var users, items []features.Entity
			var histories []features.UserHistory
			for i := range 60 {
				e := features.Entity{ID: fmt.Sprint("u", i), Features: features.Values{}}
				if rng.IntN(4) > 0 {
					e.Features["country"] = []string{"de", "fr", "it"}[rng.IntN(3)]
				}
				users = append(users, e)
				h := features.UserHistory{User: e.ID}
				for k := range rng.IntN(9) {
					item := pick("i", 230)
					h.History = append(h.History, features.Behaviour{Item: item, TimeMS: int64(k), Action: "click", Attributes: features.Values{"item": item}})
				}
				histories = append(histories, h)
			}
			for i := range 230 {
				e := features.Entity{ID: fmt.Sprint("i", i), Features: features.Values{}}
				if rng.IntN(4) > 0 {
					e.Features["category"] = pick("c", 12)
				}
				if rng.IntN(4) > 0 {
					e.Features["price"] = json.Number(fmt.Sprint(rng.IntN(10000), ".", rng.IntN(100)))
				}
				items = append(items, e)
			}
			ctx := context.Background()
			for _, err := range []error{b.store.PutUsers(ctx, users), b.store.PutItems(ctx, items), b.store.PutHistories(ctx, histories)} {
				if err != nil {
					t.Fatal(err)
				}
			}
			text := func(v any) string {
				if v == nil {
					return ""
				}
				return fmt.Sprint(v)
			}
			csv := "user,item,country,category,price,hour,age,seen\n"
			var online []float32
			for range 60 {
				u := rng.IntN(len(users))
				req := &ScoreRequest{UserID: users[u].ID, Context: map[string]any{"hour": rng.IntN(30)}}
				if rng.IntN(3) > 0 {
					req.Context["age"] = rng.IntN(90)
				}
				var seen []string
				for _, h := range histories[u].History {
					seen = append(seen, h.Item)
				}
				for range 1 + rng.IntN(8) {
					e := items[rng.IntN(len(items))]
					req.Candidates = append(req.Candidates, e.ID)
					csv += strings.Join([]string{req.UserID, e.ID, text(users[u].Features["country"]), text(e.Features["category"]), text(e.Features["price"]),
						text(req.Context["hour"]), text(req.Context["age"]), strings.Join(seen, "|")}, ",") + "\n"
				}
				online = append(online, b.score(t, req).Scores...)
			}
			file := filepath.Join(t.TempDir(), "rows.csv")
			if err := os.WriteFile(file, []byte(csv), 0o666); err != nil {
				t.Fatal(err)
			}
			want := offline(t, c, file, 1<<30)
			if len(want) != len(online) {
				t.Fatalf("%d rows online, %d offline", len(online), len(want))
			}
			distinct := map[float32]bool{}
			for i := range want {
				near(t, i, online[i], want[i])
				distinct[want[i]] = true
			}
			if len(distinct) < len(want)/4 {
				t.Fatalf("%d distinct scores of %d rows: the test could not tell a mix-up", len(distinct), len(want))
			}
		})
	}
}

// TestFrappe scores 1,000 rows of Frappe's test part over HTTP, one request a row.
func TestFrappe(t *testing.T) {
	if testing.Short() {
		t.Skip("a thousand requests")
	}
	file := testkit.RequireData(t, "frappe/x1_test.csv.gz")
	schema, err := os.ReadFile("../examples/frappe/schema.yaml")
	if err != nil {
		t.Fatal(err)
	}
	model, err := os.ReadFile("../examples/frappe/finalmlp.yaml")
	if err != nil {
		t.Fatal(err)
	}
	s := modeltest.Schema(t, string(schema))
	r, err := features.Open(s, []string{file}, features.ReadOptions{BatchRows: 1000})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	rec, err := r.Next()
	if err != nil {
		t.Fatal(err)
	}
	defer rec.Release()
	vocabulary := map[string][]string{}
	cell := func(row int, name string) string {
		return rec.Column(rec.Schema().FieldIndices(name)[0]).ValueStr(row)
	}
	for _, f := range s.Fields {
		seen := map[string]bool{}
		for row := range int(rec.NumRows()) {
			if v := cell(row, f.Name); row%7 > 0 && !seen[v] { // the rest is unknown to the model
				seen[v] = true
				vocabulary[f.Name] = append(vocabulary[f.Name], v)
			}
		}
	}
	c := checkpoint(t, string(schema), string(model), vocabulary)
	want := offline(t, c, file, 1000)
	b := start(t, one(c))
	for row := range want {
		req := &ScoreRequest{UserID: cell(row, "user"), Candidates: []string{cell(row, "item")}, Context: map[string]any{}}
		for _, f := range s.Fields {
			if f.From == features.FromContext {
				req.Context[f.Name] = cell(row, f.Name)
			}
		}
		near(t, row, b.score(t, req).Scores[0], want[row])
	}
}

// TestSwaps publishes fifty versions under concurrent requests. No request fails, no observer sees an older version after a newer one, and every answer is exactly
// what its version gives.
func TestSwaps(t *testing.T) {
	c := checkpoint(t, shopSchema, dnn, shopValues)
	req := &ScoreRequest{UserID: "u1", Candidates: []string{"i1", "i2", "i3", "unheard of"}, Context: map[string]any{"hour": 1}}
	b := start(t, one(c))
	numbers := map[string]int{c.Weights.Version: 0}
	want := map[string]string{c.Weights.Version: fmt.Sprint(b.score(t, req).Scores)}
	var mu sync.Mutex
	done := make(chan struct{})
	var wg sync.WaitGroup
	type answer struct{ version, scores string }
	answers := make([][]answer, 3)
	for g := range answers {
		wg.Go(func() {
			for last := 0; ; {
				select {
				case <-done:
					return
				default:
				}
				body, _ := json.Marshal(req)
				code, text := b.post(t, string(body))
				var res ScoreResponse
				if err := json.Unmarshal([]byte(text), &res); code != 200 || err != nil {
					t.Errorf("status %d: %s", code, text)
					return
				}
				mu.Lock()
				n, ok := numbers[res.Version]
				mu.Unlock()
				if !ok || n < last {
					t.Errorf("version %s (%d) after %d", res.Version, n, last)
					return
				}
				last = n
				answers[g] = append(answers[g], answer{res.Version, fmt.Sprint(res.Scores)})
			}
		})
	}
	publisher, err := store.Open(context.Background(), b.redis.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer publisher.Close()
	versions := 50
	for n := 1; n <= versions; n++ {
		for _, tab := range c.Tables {
			for slot := range tab.Len() {
				row := tab.Row(uint32(slot))
				for k := range row {
					row[k] *= 0.97
				}
			}
		}
		u := c.Update("shop")
		u.Version = fmt.Sprint("v", n)
		mu.Lock()
		numbers[u.Version] = n
		mu.Unlock()
		if err := publisher.Publish(context.Background(), u); err != nil {
			t.Fatal(err)
		}
		until(t, "the version is served", func() bool { return b.server.Figures().Version == u.Version })
		want[u.Version] = fmt.Sprint(b.score(t, req).Scores)
	}
	close(done)
	wg.Wait()
	total, seen := 0, map[string]bool{}
	for _, list := range answers {
		for _, a := range list {
			total++
			seen[a.version] = true
			if a.scores != want[a.version] {
				t.Fatalf("version %s answered %s, it gives %s", a.version, a.scores, want[a.version])
			}
		}
	}
	if len(want) != versions+1 || len(seen) < versions/4 || want["v1"] == want["v2"] {
		t.Fatalf("%d answers of %d versions: too few to tell", total, len(seen))
	}
}

// TestRealRedis scores through a redis-server.
func TestRealRedis(t *testing.T) {
	r := testkit.StartRedis(t)
	c := checkpoint(t, shopSchema, final, shopValues)
	b := &bed{}
	b.serve(t, one(c), r.Addr)
	b.ready(t)
	req := &ScoreRequest{UserID: "u1", Candidates: values("i", 100), Context: map[string]any{"hour": 1, "age": 3}}
	first := b.score(t, req)
	other := start(t, one(c))
	if again := other.score(t, req); fmt.Sprint(again.Scores) != fmt.Sprint(first.Scores) {
		t.Fatalf("%v over redis-server, %v over the embedded one", first.Scores, again.Scores)
	}
}

func TestSeveralLabels(t *testing.T) {
	s := appendResponse(nil, "m\"", "v", []string{"click", "buy"}, [][]float32{{0.5, 1e-9}, {0.25, 1}})
	var res ScoreResponse
	if err := json.Unmarshal(s, &res); err != nil {
		t.Fatalf("%v in %s", err, s)
	}
	if res.Model != "m\"" || fmt.Sprint(res.Scores, res.Tasks) != "[0.5 1e-09] map[buy:[0.25 1] click:[0.5 1e-09]]" {
		t.Fatalf("%+v", res)
	}
}

func FuzzRequest(f *testing.F) {
	f.Add([]byte(`{"user_id":"u","candidates":["a","b"],"context":{"hour":9,"x":[1,{"y":null}]},"model":"m"}`))
	f.Add([]byte(`{"user_id":"u","candidates":[]}`))
	f.Add([]byte(`{"user_id":1}`))
	f.Add([]byte(`[`))
	f.Fuzz(func(t *testing.T, body []byte) {
		req, err := decodeRequest(body, 3)
		if err != nil {
			if err.Error() == "" {
				t.Fatal("an error without words")
			}
			return
		}
		if req.UserID == "" || len(req.Candidates) == 0 || len(req.Candidates) > 3 {
			t.Fatalf("%s is taken for %+v", body, req)
		}
	})
}
