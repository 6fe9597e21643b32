package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/millrace/millrace/core/snapshot"
	"github.com/millrace/millrace/examples"
	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/internal/embedded/kafka"
	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/models"
	"github.com/millrace/millrace/streaming"
	"github.com/millrace/millrace/training"
)

// plainModel is enough where rows are counted.
const plainModel = "model: LR\nlearning_rate: 0.01\nembedding_optimizer: sparse_adam\nbatch_size: 512\n"

// story is what simulate wrote to a broker.
type story struct {
	addr      string
	good      map[string]bool // impressions that can be used
	malformed []malformedLine
	events    int // impressions and actions, malformed ones included
}

// tellStory runs simulate against an embedded Kafka that holds all of it before anybody reads.
func tellStory(t testing.TB, events int, more ...string) story {
	t.Helper()
	broker, err := kafka.StartWith(kafka.Options{
		Topics:    map[string]int{"impressions": 4, "actions": 4, "dead-letters": 2, "items": 1, "users": 1},
		Compacted: []string{"items", "users"},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(broker.Close)
	out := filepath.Join(t.TempDir(), "events")
	args := []string{"simulate", "--events", fmt.Sprint(events), "--seed", "7", "--malformed", "0.01", "--out", out, "--kafka", broker.Addr(), "--json"}
	m := done(t, append(args, more...)...).figures(t)
	s := story{addr: broker.Addr(), good: map[string]bool{}, malformed: jsonLines[malformedLine](t, out+".malformed"), events: events}
	for _, x := range jsonLines[truthLine](t, out+".truth") {
		s.good[x.ImpressionID] = true
	}
	if len(s.good) != int(number(t, m, "impressions")) || len(s.malformed) != int(number(t, m, "malformed")) {
		t.Fatalf("%d truths, %d malformed; figures %v", len(s.good), len(s.malformed), m)
	}
	return s
}

// letters wants in the dead-letter topic exactly the malformed events, each once with its key, bytes, origin and reason.
func (s story) letters(t testing.TB) {
	t.Helper()
	want := map[string]int{}
	for _, l := range s.malformed {
		want[l.Topic+"\x00"+l.Key+"\x00"+string(l.Bytes)+"\x00"+l.Reason]++
	}
	letters := testkit.ReadTopic(t, s.addr, "dead-letters")
	if len(letters) != len(s.malformed) {
		t.Errorf("%d dead letters, want the %d malformed events", len(letters), len(s.malformed))
	}
	reasons := map[string]bool{}
	sources := map[string][]testkit.Message{}
	for _, topic := range []string{"impressions", "actions"} {
		for _, m := range testkit.ReadTopic(t, s.addr, topic) {
			sources[fmt.Sprintf("%s/%d", topic, m.Partition)] = append(sources[fmt.Sprintf("%s/%d", topic, m.Partition)], m)
		}
	}
	for _, l := range letters {
		reasons[l.Headers["reason"]] = true
		key := l.Headers["topic"] + "\x00" + string(l.Key) + "\x00" + string(l.Value) + "\x00" + l.Headers["reason"]
		if want[key]--; want[key] < 0 {
			t.Errorf("no malformed event (or only one) is this letter: %s, %q", l.Headers, l.Value)
		}
		found := false
		for _, m := range sources[l.Headers["topic"]+"/"+l.Headers["partition"]] {
			if fmt.Sprint(m.Offset) == l.Headers["offset"] {
				found = bytes.Equal(m.Value, l.Value) && bytes.Equal(m.Key, l.Key)
				break
			}
		}
		if !found {
			t.Errorf("the letter %v is not the event at its origin", l.Headers)
		}
	}
	for key, n := range want {
		if n > 0 {
			t.Errorf("%d malformed events have no letter: %q", n, key)
		}
	}
	if len(reasons) < 7 {
		t.Errorf("reasons %v: the ten ways have at least seven", reasons)
	}
}

// listener is a publisher that keeps nothing.
type listener struct{}

func (listener) Publish(context.Context, *snapshot.Update) error            { return nil }
func (listener) PutHistories(context.Context, []features.UserHistory) error { return nil }
func (listener) PutItems(context.Context, []features.Entity) error          { return nil }
func (listener) PutUsers(context.Context, []features.Entity) error          { return nil }

// learnStory runs a daemon over all of a story and wants each good impression trained exactly once.
func learnStory(t testing.TB, s story, model string, patience time.Duration) {
	t.Helper()
	schema, err := features.ParseSchema(examples.WorldSchema)
	if err != nil {
		t.Fatal(err)
	}
	spec, err := models.Parse([]byte(model), schema)
	if err != nil {
		t.Fatal(err)
	}
	learner, err := training.NewIncremental(spec, schema, training.IncrementalOptions{Model: "world"})
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := streaming.ParseConfig([]byte(fmt.Sprintf("checkpoint: %s\nkafka: {brokers: [%q]}\njoin: {window: 1s, late: 500ms, idle: 300ms, labels: {click: {from: [click]}}}\npublish: {every: 50ms}\n", t.TempDir(), s.addr)))
	if err != nil {
		t.Fatal(err)
	}
	times := map[string]int{}
	d, err := streaming.New(streaming.Options{
		Config: cfg, Schema: schema, Learner: learner, Publisher: listener{},
		Trained: func(_ string, ids []string) { // the publisher's goroutine alone
			for _, id := range ids {
				times[id]++
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	want := int64(len(s.good))
	for end := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		f := d.Figures()
		if f.EventsIn == int64(s.events) && f.Waiting == 0 && f.RowsTrained >= want && strings.HasSuffix(f.Version, fmt.Sprint("-", want)) || time.Now().After(end) {
			break
		}
		if len(ended) > 0 {
			t.Fatalf("the daemon ended: %v", <-ended)
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	f := d.Figures()
	if f.EventsIn != int64(s.events) || f.RowsTrained != want || f.DeadLetters != int64(len(s.malformed)) || f.Late+f.Duplicates+f.Unmatched != 0 {
		t.Errorf("figures %+v; want %d events, %d rows, %d dead letters, and none late, duplicate or unmatched", f, s.events, want, len(s.malformed))
	}
	if rows, err := learner.Flush(); err != nil || rows != want {
		t.Errorf("the learner took %d rows (%v), want %d", rows, err, want)
	}
	for id, n := range times {
		if n != 1 || !s.good[id] {
			t.Fatalf("impression %s was trained %d times; a good one: %v", id, n, s.good[id])
		}
	}
	if len(times) != len(s.good) {
		t.Errorf("%d impressions were told to be trained on, want %d", len(times), len(s.good))
	}
	s.letters(t)
}

// TestMalformedEvents puts 50,000 events, one in a hundred of them malformed, through the daemon.
func TestMalformedEvents(t *testing.T) {
	t.Parallel()
	learnStory(t, tellStory(t, 50_000, "--users", "2000", "--items", "500"), plainModel, time.Minute)
}

// TestMillionEvents is the same with a million events and the demo's own model.
func TestMillionEvents(t *testing.T) {
	if testing.Short() {
		t.Skip("a million events take minutes")
	}
	learnStory(t, tellStory(t, 1_000_000), string(examples.WorldModel), 20*time.Minute)
}

// streamedRows is how many rows a daemon's checkpoint says it trained on.
func streamedRows(dir string) int64 {
	text, err := os.ReadFile(filepath.Join(dir, "checkpoint", "manifest.json"))
	if err != nil {
		return 0
	}
	var m struct {
		State map[string]json.RawMessage `json:"state"`
	}
	var p struct {
		Rows int64 `json:"rows"`
	}
	if json.Unmarshal(text, &m) != nil || json.Unmarshal(m.State["incremental"], &p) != nil {
		return 0
	}
	return p.Rows
}

// TestStreamKillAndResume kills `millrace stream` with -9 as it goes, and starts it again. In the end every row was trained once, in the checkpoint's own count,
// and every malformed event has one letter.
func TestStreamKillAndResume(t *testing.T) {
	t.Parallel()
	s := tellStory(t, 10_000, "--users", "2000", "--items", "500")
	dir := t.TempDir()
	schema := write(t, dir, "schema.yaml", string(examples.WorldSchema))
	write(t, dir, "model.yaml", string(examples.WorldModel))
	run := filepath.Join(dir, "run")
	config := write(t, dir, "stream.yaml", fmt.Sprintf("schema: %s\nmodel: model.yaml\ncheckpoint: %s\ncheckpoint_every: 20ms\nkafka: {brokers: [%q]}\njoin: {window: 1s, late: 500ms, idle: 300ms}\n", schema, run, s.addr))
	args := []string{"stream", "--config", config, "--json"}
	total := int64(len(s.good))
	midway := 0
	for _, at := range []int64{1, total / 4, total / 2} {
		p := start(t, args...)
		eventually(t, fmt.Sprintf("%d rows are in the checkpoint", at), func() bool {
			if p.over() {
				t.Fatalf("the daemon ended:\n%s", p.stderr)
			}
			return streamedRows(run) >= at
		})
		if err := p.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		p.wait()
		if rows := streamedRows(run); rows > 0 && rows < total {
			midway++
		}
	}
	if midway == 0 {
		t.Error("no kill fell before the end")
	}
	p := start(t, args...)
	eventually(t, "all rows are in the checkpoint", func() bool {
		if p.over() {
			t.Fatalf("the daemon ended:\n%s", p.stderr)
		}
		return streamedRows(run) >= total
	})
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	o := p.wait()
	if o.code != exitDone {
		t.Fatalf("exit %d\n%s", o.code, o.stderr)
	}
	if !strings.Contains(o.stderr, "going on from the checkpoint") {
		t.Errorf("it does not say that it goes on:\n%s", o.stderr)
	}
	m := o.figures(t)
	if rows, letters, events := number(t, m, "rows_trained"), number(t, m, "dead_letters"), number(t, m, "events_in"); int64(rows) != total || int(letters) != len(s.malformed) || int(events) != s.events {
		t.Errorf("%g rows, %g letters, %g events; want %d, %d, %d", rows, letters, events, total, len(s.malformed), s.events)
	}
	if rows := streamedRows(run); rows != total {
		t.Errorf("the checkpoint holds %d rows' training, want %d", rows, total)
	}
	s.letters(t)
	if _, err := models.LoadScoring(run); err != nil {
		t.Error(err)
	}
}

func TestStreamWrongRequests(t *testing.T) {
	s := newShop(t)
	config := func(text string, texts ...string) {
		t.Helper()
		refused(t, []string{"stream", "--config", write(t, s.dir, "stream.yaml", text)}, append(texts, "stream.yaml")...)
	}
	good := "schema: schema.yaml\nmodel: model.yaml\ncheckpoint: " + s.out("run") + "\nkafka: {brokers: [127.0.0.1:1]}\n"
	config(strings.Replace(good, "brokers", "borkers", 1), "borkers", "brokers")
	config(good+"join: {window: long}\n", "long")
	config(strings.Replace(good, "model: model.yaml\n", "", 1), "model")
	config(strings.Replace(good, "127.0.0.1:1", "nowhere", 1), "nowhere", "host:port")
	refused(t, []string{"stream", "--config", s.out("none.yaml")}, "none.yaml")
	refused(t, []string{"stream"}, "config")
	path := write(t, s.dir, "stream.yaml", good)
	refused(t, []string{"stream", "--config", path, "--init", s.out("none")}, "--init", "none")

	// Two daemons on one folder would train everything twice.
	release, err := holdFolder(s.out("run"))
	if err != nil {
		t.Fatal(err)
	}
	refused(t, []string{"stream", "--config", path}, "another daemon", s.out("run"))
	if err := release(); err != nil {
		t.Fatal(err)
	}
	again, err := holdFolder(s.out("run"))
	if err != nil {
		t.Fatal(err)
	}
	if err := again(); err != nil {
		t.Fatal(err)
	}

	done(t, s.args("trained")...)
	other := write(t, s.dir, "lr.yaml", "model: lr\n")
	otherConfig := write(t, s.dir, "other.yaml", strings.Replace(good, "model.yaml", other, 1))
	refused(t, []string{"stream", "--config", otherConfig, "--init", s.out("trained")}, "lr.yaml is a lr", s.out("trained"))
}
