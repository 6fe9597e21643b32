package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/klauspost/compress/gzip"

	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/serving"
)

var listening = regexp.MustCompile(`listening on (http://\S+)`)

// startServer starts the server in a process of its own and waits until it is ready.
func startServer(t testing.TB, args ...string) (p *started, url string) {
	t.Helper()
	p = start(t, append([]string{"serve", "--listen", "127.0.0.1:0", "--json"}, args...)...)
	eventually(t, "the server is ready", func() bool {
		if p.over() {
			t.Fatalf("the server ended:\n%s", p.stderr)
		}
		if m := listening.FindStringSubmatch(p.stderr.String()); m != nil {
			url = m[1]
			res, err := http.Get(url + "/readyz")
			if err != nil {
				return false
			}
			res.Body.Close()
			return res.StatusCode == http.StatusOK && strings.Contains(p.stderr.String(), "ready after")
		}
		return false
	})
	return p, url
}

// post sends a scoring request.
func post(t testing.TB, url string, body any) (status int, res serving.ScoreResponse, text string) {
	t.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.Post(url+"/v1/score", "application/json", bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	data, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	if r.StatusCode == http.StatusOK {
		if err := json.Unmarshal(data, &res); err != nil {
			t.Fatalf("%v: %s", err, data)
		}
	}
	return r.StatusCode, res, string(data)
}

// scoreEach scores the rows of a CSV file through the server, one request a user and context with the candidates in the order of the rows, and compares with
// predict's scores.
func scoreEach(t testing.TB, url string, rows [][]string, user, item string, labels map[string]bool, scores [][]string) {
	t.Helper()
	if len(scores) != len(rows) {
		t.Fatalf("predict wrote %d rows of %d", len(scores)-1, len(rows)-1)
	}
	type request struct {
		body serving.ScoreRequest
		rows []int
	}
	requests := map[string]*request{}
	var order []string
	for i := 1; i < len(rows); i++ {
		var who, what string
		var key strings.Builder
		context := map[string]any{}
		for k, name := range rows[0] {
			v := rows[i][k]
			switch {
			case name == item:
				what = v
				continue
			case labels[name]:
				continue
			case name == user:
				who = v
			default:
				context[name] = v
			}
			key.WriteString(v + "\x00")
		}
		r := requests[key.String()]
		if r == nil {
			r = &request{body: serving.ScoreRequest{UserID: who, Context: context}}
			requests[key.String()] = r
			order = append(order, key.String())
		}
		r.body.Candidates = append(r.body.Candidates, what)
		r.rows = append(r.rows, i)
	}
	worst := 0.0
	for _, key := range order {
		r := requests[key]
		status, res, text := post(t, url, r.body)
		if status != http.StatusOK || len(res.Scores) != len(r.rows) {
			t.Fatalf("%+v: HTTP %d, %s", r.body, status, text)
		}
		for k, i := range r.rows {
			want, err := strconv.ParseFloat(scores[i][len(scores[i])-1], 64)
			if err != nil {
				t.Fatal(err)
			}
			worst = max(worst, math.Abs(float64(res.Scores[k])-want))
			if math.Abs(float64(res.Scores[k])-want) > 1e-6 {
				t.Fatalf("row %d %v: the server says %v, predict %v", i-1, rows[i], res.Scores[k], want)
			}
		}
	}
	t.Logf("%d rows in %d requests; the largest difference is %.2g", len(rows)-1, len(order), worst)
}

const onlineSchema = `name: online
user: user
item: item
labels: [{name: click}]
fields:
  - {name: user, from: user}
  - {name: item, from: item}
  - {name: temperature, type: numeric, from: context, standardise: true}
  - {name: day, from: context}
`

// onlineRows are rows whose features are all in the request; every fifth has an item or user that no other has.
func onlineRows(rows int, seed uint64) string {
	rng := rand.New(rand.NewPCG(seed, 5))
	var b strings.Builder
	b.WriteString("click,user,item,temperature,day\n")
	for r := range rows {
		user, item, click := rng.IntN(15), rng.IntN(20), 0
		if rng.IntN(20) < item {
			click = 1
		}
		who, what := fmt.Sprintf("u%d", user), fmt.Sprintf("i%d", item)
		switch r % 10 {
		case 4:
			what = fmt.Sprintf("rare-%d-%d", seed, r)
		case 9:
			who = fmt.Sprintf("rare-%d-%d", seed, r)
		}
		temperature := strconv.FormatFloat(float64(user)/4-1, 'g', -1, 64)
		if user == 3 {
			temperature = ""
		}
		fmt.Fprintf(&b, "%d,%s,%s,%s,%s\n", click, who, what, temperature, []string{"mon", "tue", ""}[user%3])
	}
	return b.String()
}

// TestOfflineEqualsOnline scores the same rows by predict and by the server.
func TestOfflineEqualsOnline(t *testing.T) {
	s := newShop(t)
	s.schema = write(t, s.dir, "online.yaml", onlineSchema)
	s.train = write(t, s.dir, "train.csv", onlineRows(600, 1))
	s.valid = write(t, s.dir, "valid.csv", onlineRows(200, 2))
	s.test = write(t, s.dir, "test.csv", onlineRows(300, 3))
	done(t, s.args("run")...)
	done(t, "predict", "--checkpoint", s.out("run"), "--data", s.test, "--out", s.out("p.csv"))
	p, url := startServer(t, "--checkpoint", "shop="+s.out("run"), "--redis", "embedded")
	scoreEach(t, url, readCSV(t, s.test), "user", "item", map[string]bool{"click": true}, readCSV(t, s.out("p.csv")))

	body := serving.ScoreRequest{UserID: "u1", Candidates: []string{"i1", "i19", "never seen"}, Context: map[string]any{"temperature": 1.5, "day": "mon"}}
	status, res, text := post(t, url, body)
	if status != http.StatusOK || res.Model != "shop" || res.Version == "" || res.Rung != "full" {
		t.Errorf("HTTP %d: %s", status, text)
	}
	for _, score := range res.Scores {
		if score <= 0 || score >= 1 {
			t.Errorf("scores %v: want probabilities", res.Scores)
		}
	}
	body.Candidates = []string{"never seen", "i1", "i19"}
	if _, again, _ := post(t, url, body); len(again.Scores) != 3 || again.Scores[0] != res.Scores[2] || again.Scores[1] != res.Scores[0] || again.Scores[2] != res.Scores[1] {
		t.Errorf("scores %v of other order, then %v: not in the request's order", res.Scores, again.Scores)
	}
	body.UserID = "nobody"
	if status, _, text := post(t, url, body); status != http.StatusOK {
		t.Errorf("an unknown user: HTTP %d: %s", status, text)
	}
	wrongly := func(want int, body any) {
		t.Helper()
		if status, _, text := post(t, url, body); status != want || !strings.Contains(text, "error") {
			t.Errorf("HTTP %d: %s; want %d", status, text, want)
		}
	}
	body.Candidates = []string{}
	wrongly(http.StatusBadRequest, body)
	wrongly(http.StatusBadRequest, map[string]any{"user_id": "u1"})
	wrongly(http.StatusBadRequest, []int{1})
	for _, path := range []string{"/healthz", "/readyz", "/metrics"} {
		res, err := http.Get(url + path)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if res.StatusCode != http.StatusOK || path == "/metrics" && !strings.Contains(string(text), "# TYPE millrace_") {
			t.Errorf("%s: HTTP %d: %.200s", path, res.StatusCode, text)
		}
	}

	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	o := p.wait()
	if o.code != exitDone {
		t.Fatalf("exit %d after SIGTERM\n%s", o.code, o.stderr)
	}
	if m := o.figures(t); number(t, m, "requests") < 10 || number(t, m, "ready_after_s") <= 0 {
		t.Errorf("figures %v", m)
	}
}

func TestServeWrongRequests(t *testing.T) {
	s := newShop(t)
	done(t, s.args("run")...)
	refused(t, []string{"serve", "--redis", "embedded"}, "checkpoint")
	refused(t, []string{"serve", "--checkpoint", s.out("none"), "--redis", "embedded", "--listen", "127.0.0.1:0"}, "none")
	refused(t, []string{"serve", "--checkpoint", s.out("run"), "--listen", "127.0.0.1:0"}, "--redis")
	refused(t, []string{"serve", "--checkpoint", "a=" + s.out("run"), "--checkpoint", "a=" + s.out("run"), "--redis", "embedded", "--listen", "127.0.0.1:0"}, "both called a")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	refused(t, []string{"serve", "--checkpoint", s.out("run"), "--redis", "embedded", "--listen", l.Addr().String()}, l.Addr().String(), "taken", "--listen")
}

// unzippedHead writes the first lines of a gzip file of a data set, 0 for all, and returns the path.
func unzippedHead(t testing.TB, from, dir, name string, lines int) string {
	t.Helper()
	f, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	if lines > 0 {
		text = bytes.Join(bytes.SplitAfterN(text, []byte("\n"), lines+1)[:lines], nil)
	}
	return write(t, dir, name, string(text))
}

// TestFrappeOfflineEqualsOnline trains FinalMLP for an epoch on Frappe and scores 1,000 test rows through the server, on a real Redis.
func TestFrappeOfflineEqualsOnline(t *testing.T) {
	if testing.Short() {
		t.Skip("trains on 202,027 rows")
	}
	data := testkit.RequireData(t, "frappe")
	redis := testkit.StartRedis(t)
	dir := t.TempDir()
	text, err := os.ReadFile("../../examples/frappe/finalmlp.yaml")
	if err != nil {
		t.Fatal(err)
	}
	model := write(t, dir, "finalmlp.yaml", strings.Replace(string(text), "epochs: 100", "epochs: 1", 1))
	run := filepath.Join(dir, "run")
	done(t, "train", "--schema", "../../examples/frappe/schema.yaml", "--model", model, "--train", filepath.Join(data, "x1_train_rebuilt.csv.gz"),
		"--valid", filepath.Join(data, "x1_valid.csv.gz"), "--out", run)
	test := unzippedHead(t, filepath.Join(data, "x1_test.csv.gz"), dir, "test.csv", 1001)
	done(t, "predict", "--checkpoint", run, "--data", test, "--out", filepath.Join(dir, "p.csv"))
	_, url := startServer(t, "--checkpoint", "frappe="+run, "--redis", redis.Addr)
	scoreEach(t, url, readCSV(t, test), "user", "item", map[string]bool{"label": true}, readCSV(t, filepath.Join(dir, "p.csv")))
}
