package streaming

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/segmentio/kafka-go"
	"go.uber.org/goleak"

	"github.com/millrace/millrace/core/snapshot"
	"github.com/millrace/millrace/features"
	embedded "github.com/millrace/millrace/internal/embedded/kafka"
	"github.com/millrace/millrace/internal/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const testSchema = `
name: test
user: user
item: item
timestamp: ts
history: {actions: [click], max: 5}
labels: [{name: click}]
fields:
  - {name: user, from: user}
  - {name: age, type: numeric, from: user}
  - {name: item, from: item}
  - {name: category, from: item}
  - {name: imp, from: context}
  - {name: hour, type: numeric, from: context}
  - {name: tags, type: multi, from: context, max: 3}
  - {name: hist_item, type: sequence, shares: item, from: history, max: 5}
  - {name: hist_category, type: sequence, shares: category, from: history, max: 5}
`

func parsedSchema(t testing.TB) *features.Schema {
	t.Helper()
	s, err := features.ParseSchema([]byte(testSchema))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// recorder is a learner that writes down what it was given. Its rows are part of its snapshots.
type recorder struct {
	mu      sync.Mutex
	rows    []string
	waiting []string
	updates uint64
	told    int
	full    bool
	crashes int // the snapshot after this many fails, 0: none
}

func (l *recorder) Learn(rec arrow.Record) (int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range int(rec.NumRows()) {
		var cells []string
		for c, f := range rec.Schema().Fields() {
			col := rec.Column(c)
			v := ""
			if !col.IsNull(i) {
				v = col.ValueStr(i)
			}
			if list, ok := col.(*array.List); ok {
				from, to := list.ValueOffsets(i)
				var in []string
				for k := from; k < to; k++ {
					in = append(in, list.ListValues().ValueStr(int(k)))
				}
				v = strings.Join(in, "|")
			}
			cells = append(cells, f.Name+"="+v)
		}
		l.waiting = append(l.waiting, strings.Join(cells, " "))
	}
	return int64(len(l.rows)), nil
}

func (l *recorder) Flush() (int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rows = append(l.rows, l.waiting...)
	l.waiting = nil
	return int64(len(l.rows)), nil
}

func (l *recorder) Update() (*snapshot.Update, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.told == len(l.rows) && l.updates > 0 {
		return nil, nil
	}
	l.updates++
	l.told = len(l.rows)
	u := &snapshot.Update{Model: "test", Seq: l.updates, Version: fmt.Sprint("v", l.updates), Full: l.full || l.updates == 1}
	l.full = false
	return u, nil
}

func (l *recorder) Full() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.told, l.full = -1, true
}

func (l *recorder) Snapshot() (snapshot.Manifest, []snapshot.Part, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.crashes--; l.crashes == 0 {
		return snapshot.Manifest{}, nil, errors.New("crashed")
	}
	b, err := json.Marshal(l.rows)
	return snapshot.Manifest{Model: "test"}, []snapshot.Part{{Name: "rows", Tensors: []snapshot.Tensor{{Name: "rows", DType: "U8", Shape: []int{len(b)}, Data: b}}}}, err
}

func (l *recorder) restore(t testing.TB, s *snapshot.Snapshot) {
	t.Helper()
	if s == nil {
		return
	}
	p, err := s.Part("rows")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(p.Tensors[0].Data, &l.rows); err != nil {
		t.Fatal(err)
	}
}

func (l *recorder) len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.rows) + len(l.waiting)
}

func (l *recorder) sorted() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Sorted(slices.Values(append(slices.Clone(l.rows), l.waiting...)))
}

// shelf is a publisher that keeps what it was given, and fails now and then.
type shelf struct {
	mu        sync.Mutex
	versions  []string
	histories map[string]features.History
	items     map[string]features.Entity
	users     map[string]features.Entity
	failing   int  // calls that fail from now on
	lost      bool // deltas are refused until a full update comes
	fulls     int
}

// lose forgets everything, as a store that was restarted empty does.
func (s *shelf) lose() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.histories, s.items, s.users = map[string]features.History{}, map[string]features.Entity{}, map[string]features.Entity{}
	s.lost, s.fulls = true, 0
}

type needFull struct{}

func (needFull) Error() string  { return "the shelf is empty" }
func (needFull) NeedFull() bool { return true }

func newShelf() *shelf {
	return &shelf{histories: map[string]features.History{}, items: map[string]features.Entity{}, users: map[string]features.Entity{}}
}

func (s *shelf) do(f func()) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failing > 0 {
		s.failing--
		return errors.New("the shelf fell")
	}
	f()
	return nil
}

func (s *shelf) Publish(_ context.Context, u *snapshot.Update) error {
	s.mu.Lock()
	refuse := s.lost && !u.Full
	s.mu.Unlock()
	if refuse {
		return needFull{}
	}
	return s.do(func() {
		s.versions = append(s.versions, u.Version)
		s.lost = false
		if u.Full {
			s.fulls++
		}
	})
}

func (s *shelf) PutHistories(_ context.Context, hs []features.UserHistory) error {
	return s.do(func() {
		for _, h := range hs {
			s.histories[h.User] = h.History
		}
	})
}

func (s *shelf) PutItems(_ context.Context, es []features.Entity) error {
	return s.do(func() {
		for _, e := range es {
			s.items[e.ID] = e
		}
	})
}

func (s *shelf) PutUsers(_ context.Context, es []features.Entity) error {
	return s.do(func() {
		for _, e := range es {
			s.users[e.ID] = e
		}
	})
}

const (
	testPartitions = 3
	testStart      = 1_767_571_200_000
	testWindow     = 2_000
	testLate       = 500
)

// script is a made-up stream: what to write, and what must come of it.
type script struct {
	messages []kafka.Message
	want     []string       // rows of the learner, sorted
	letters  map[string]int // value of a malformed event → how often
	reasons  map[string]int
	past     map[string]features.History
	good     int // usable events
}

type scriptAction struct {
	id, user string
	t        int64
	order    int
}

// newScript makes n impressions with their actions over users and items: out of order within the allowance, actions before their impressions among them,
// duplicates, and a share of malformed events.
func newScript(seed uint64, n int, malformed float64) *script {
	rng := rand.New(rand.NewPCG(seed, 1))
	s := &script{letters: map[string]int{}, reasons: map[string]int{}, past: map[string]features.History{}}
	type event struct {
		at  int64 // when it is written
		msg kafka.Message
		imp int
	}
	var events []event
	type imp struct {
		id, user, item string
		t              int64
		clicks         []scriptAction
	}
	imps := make([]imp, n)
	write := func(topic, key string, t int64, v any) event {
		b, err := json.Marshal(v)
		if err != nil {
			panic(err)
		}
		return event{at: t + rng.Int64N(testLate), msg: kafka.Message{Topic: topic, Key: []byte(key), Value: b}}
	}
	at := int64(testStart)
	for i := range imps {
		at += rng.Int64N(20)
		m := &imps[i]
		*m = imp{id: fmt.Sprint("imp", i), user: fmt.Sprint("u", rng.IntN(n/20+5)), item: fmt.Sprint("i", rng.IntN(40)), t: at}
		e := write("impressions", m.user, m.t, Impression{V: 1, ImpressionID: m.id, TimeMS: m.t, UserID: m.user, ItemID: m.item, Position: i % 10, Context: features.Values{"imp": m.id, "hour": i % 24, "tags": []string{"a", "b"}}})
		events = append(events, e)
		if rng.IntN(40) == 0 {
			events = append(events, event{at: e.at + rng.Int64N(100), msg: e.msg})
		}
		if rng.IntN(4) == 0 {
			t := m.t + rng.Int64N(testWindow+1)
			a := scriptAction{id: fmt.Sprint("act", i), user: m.user, t: t}
			m.clicks = append(m.clicks, a)
			e := write("actions", m.user, t, Action{V: 1, ActionID: a.id, ImpressionID: m.id, TimeMS: t, UserID: m.user, Type: "click"})
			e.imp = i + 1
			events = append(events, e)
			if rng.IntN(10) == 0 {
				events = append(events, event{at: e.at + rng.Int64N(50), msg: e.msg})
			}
		}
		if rng.IntN(30) == 0 {
			events = append(events, write("actions", m.user, m.t, Action{V: 1, ActionID: fmt.Sprint("stray", i), ImpressionID: "none", TimeMS: m.t, UserID: m.user, Type: "click"}))
		}
		for rng.Float64() < malformed*1.35 {
			way := len(s.letters) % len(spoilers)
			bad := e
			if i%3 == 0 {
				bad = write("actions", m.user, m.t, Action{V: 1, ActionID: fmt.Sprint("badact", i), ImpressionID: m.id, TimeMS: m.t, UserID: m.user, Type: "click"})
			}
			b := spoilers[way].spoil(bad.msg.Value, len(s.letters))
			events = append(events, event{at: e.at, msg: kafka.Message{Topic: bad.msg.Topic, Key: bad.msg.Key, Value: b}})
			s.letters[string(b)]++
			s.reasons[spoilers[way].reason]++
		}
	}
	sort.SliceStable(events, func(a, b int) bool { return events[a].at < events[b].at })
	for i := range 40 {
		id := fmt.Sprint("i", i)
		s.messages = append(s.messages, kafka.Message{Topic: "items", Key: []byte(id), Value: fmt.Appendf(nil, `{"v":1,"id":%q,"ts_ms":%d,"features":{"category":"c%d"}}`, id, int64(testStart), i%7)})
	}
	for u := range n/20 + 5 {
		id := fmt.Sprint("u", u)
		s.messages = append(s.messages, kafka.Message{Topic: "users", Key: []byte(id), Value: fmt.Appendf(nil, `{"v":1,"id":%q,"ts_ms":%d,"features":{"age":%d}}`, id, int64(testStart), 20+u%50)})
	}
	clicks := map[string][]scriptAction{}
	item := map[string]string{}
	done := map[string]bool{}
	for k, e := range events {
		s.messages = append(s.messages, e.msg)
		if e.imp == 0 {
			continue
		}
		m := imps[e.imp-1]
		if a := m.clicks[0]; !done[a.id] {
			done[a.id] = true
			a.order = k
			item[a.id] = m.item
			clicks[m.user] = append(clicks[m.user], a)
		}
	}
	for u, as := range clicks {
		sort.SliceStable(as, func(x, y int) bool { return as[x].t < as[y].t })
		for _, a := range as {
			s.past[u] = s.past[u].Push(features.Behaviour{Item: item[a.id], TimeMS: a.t, Action: "click"}, 5)
		}
	}
	for i, m := range imps {
		var items, categories []string
		for _, a := range clicks[m.user] {
			if a.t < m.t {
				it := item[a.id]
				items = append(items, it)
				var n int
				fmt.Sscanf(it, "i%d", &n)
				categories = append(categories, fmt.Sprint("c", n%7))
			}
		}
		var n, u int
		fmt.Sscanf(m.item, "i%d", &n)
		fmt.Sscanf(m.user, "u%d", &u)
		cut := max(len(items)-5, 0)
		s.want = append(s.want, fmt.Sprintf("user=%s age=%d item=%s category=c%d imp=%s hour=%d tags=a|b hist_item=%s hist_category=%s click=%d ts=%d",
			m.user, 20+u%50, m.item, n%7, m.id, i%24, strings.Join(items[cut:], "|"), strings.Join(categories[cut:], "|"), len(m.clicks), m.t))
	}
	slices.Sort(s.want)
	s.good = len(events) - len(s.letters)
	return s
}

// spoilers are ten ways to spoil an event.
var spoilers = []struct {
	reason string
	spoil  func(b []byte, k int) []byte
}{
	{ReasonNotJSON, func(b []byte, k int) []byte { return fmt.Appendf(nil, "nonsense %d", k) }},
	{ReasonNotJSON, func(b []byte, k int) []byte { return fmt.Appendf(b[:len(b)-1:len(b)-1], `,"k":%d`, k) }},
	{ReasonNotUTF8, func(b []byte, k int) []byte {
		return fmt.Appendf(b[:len(b)-1:len(b)-1], ",\"k\":%d,\"x\":\"\xff\"}", k)
	}},
	{ReasonMissingField, func(b []byte, k int) []byte { return withKey(b, k, "impression_id", nil) }},
	{ReasonMissingField, func(b []byte, k int) []byte { return withKey(b, k, "user_id", nil) }},
	{ReasonWrongType, func(b []byte, k int) []byte { return withKey(b, k, "ts_ms", "now") }},
	{ReasonBadTimestamp, func(b []byte, k int) []byte { return withKey(b, k, "ts_ms", -1-k) }},
	{ReasonUnsupportedVersion, func(b []byte, k int) []byte { return withKey(b, k, "v", 2) }},
	{ReasonEmptyID, func(b []byte, k int) []byte { return withKey(b, k, "impression_id", "") }},
	{ReasonKeyMismatch, func(b []byte, k int) []byte { return withKey(b, k, "user_id", fmt.Sprint("stranger", k)) }},
}

func withKey(b []byte, k int, key string, v any) []byte {
	m := map[string]any{}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	if err := dec.Decode(&m); err != nil {
		panic(err)
	}
	m["k"] = k
	if m[key] = v; v == nil {
		delete(m, key)
	}
	out, err := json.Marshal(m)
	if err != nil {
		panic(err)
	}
	return out
}

// produce writes messages by key, in their order.
func produce(t testing.TB, addr string, ms []kafka.Message) {
	t.Helper()
	transport := &kafka.Transport{}
	defer transport.CloseIdleConnections()
	w := &kafka.Writer{Addr: kafka.TCP(addr), Balancer: kafka.Murmur2Balancer{}, BatchSize: 2000, BatchTimeout: time.Millisecond, RequiredAcks: kafka.RequireAll, Transport: transport}
	for len(ms) > 0 {
		n := min(len(ms), 20_000)
		if err := w.WriteMessages(context.Background(), ms[:n]...); err != nil {
			t.Fatal(err)
		}
		ms = ms[n:]
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

var testTopics = map[string]int{"impressions": testPartitions, "actions": testPartitions, "items": 1, "users": 2}

func startEmbedded(t testing.TB) *embedded.Broker {
	t.Helper()
	b, err := embedded.StartWith(embedded.Options{Topics: testTopics, Compacted: []string{"items", "users"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

func testConfig(addr, dir string) *Config {
	return &Config{
		Checkpoint: dir,
		Kafka:      KafkaConfig{Brokers: []string{addr}},
		Join:       JoinConfig{Window: Duration(testWindow * time.Millisecond), Late: Duration(testLate * time.Millisecond), Idle: Duration(300 * time.Millisecond)},
		Publish:    PublishConfig{Every: Duration(50 * time.Millisecond)},
	}
}

// running is a daemon in a test.
type running struct {
	*Daemon
	stop  context.CancelFunc
	ended chan error
}

func run(t testing.TB, o Options) *running {
	t.Helper()
	var over atomic.Bool
	t.Cleanup(func() { over.Store(true) })
	o.OnRetry = func(what string, err error, in time.Duration) {
		if !over.Load() {
			t.Logf("%s: %v; again in %v", what, err, in)
		}
	}
	d, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	r := &running{d, stop, make(chan error, 1)}
	go func() { r.ended <- d.Run(ctx) }()
	return r
}

// end stops the daemon as Ctrl-C does.
func (r *running) end(t testing.TB) {
	t.Helper()
	r.stop()
	if err := <-r.ended; err != nil {
		t.Fatal(err)
	}
}

// kill ends the daemon without its last checkpoint.
func (r *running) kill() {
	close(r.abandon)
	<-r.ended
	r.stop()
}

func waitFor(t testing.TB, what string, timeout time.Duration, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(timeout); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited %v for %s", timeout, what)
		}
	}
}

// readLetters reads the dead-letter topic whole.
func readLetters(t testing.TB, addr string) (byValue map[string]int, byReason map[string]int) {
	t.Helper()
	b := newBroker([]string{addr}, systemClock, func(what string, err error, _ time.Duration) { t.Log(what, err) })
	defer b.close()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	n, err := b.partitions(ctx, "dead-letters")
	if err != nil {
		t.Fatal(err)
	}
	byValue, byReason = map[string]int{}, map[string]int{}
	_, next, err := b.offsets(ctx, "dead-letters", n["dead-letters"])
	if err != nil {
		t.Fatal(err)
	}
	for p, end := range next {
		for from := int64(0); from < end; {
			res, err := b.client.Fetch(ctx, &kafka.FetchRequest{Topic: "dead-letters", Partition: p, Offset: from, MinBytes: 1, MaxBytes: 1 << 20, MaxWait: time.Second})
			if err != nil {
				t.Fatal(err)
			}
			for {
				r, err := res.Records.ReadRecord()
				if err != nil {
					break
				}
				from = r.Offset + 1
				v, err := readAll(r.Value)
				if err != nil {
					t.Fatal(err)
				}
				byValue[string(v)]++
				headers := map[string]string{}
				for _, h := range r.Headers {
					headers[h.Key] = string(h.Value)
				}
				byReason[headers["reason"]]++
				if headers["topic"] == "" || headers["partition"] == "" || headers["offset"] == "" {
					t.Fatalf("a letter has the headers %v", headers)
				}
			}
		}
	}
	return byValue, byReason
}

func sameRows(t testing.TB, got, want []string) {
	t.Helper()
	if slices.Equal(got, want) {
		return
	}
	t.Errorf("%d rows, want %d", len(got), len(want))
	shown := 0
	for i, j := 0, 0; (i < len(got) || j < len(want)) && shown < 6; {
		switch {
		case j == len(want) || i < len(got) && got[i] < want[j]:
			t.Errorf("too much: %s", got[i])
			i++
			shown++
		case i == len(got) || want[j] < got[i]:
			t.Errorf("missing:  %s", want[j])
			j++
			shown++
		default:
			i, j = i+1, j+1
		}
	}
	t.FailNow()
}

func sameCounts(t testing.TB, what string, got, want map[string]int) {
	t.Helper()
	for k, n := range want {
		if got[k] != n {
			t.Errorf("%s %q: %d, want %d", what, k, got[k], n)
		}
	}
	for k, n := range got {
		if want[k] == 0 {
			t.Errorf("%s %q: %d, want none", what, k, n)
		}
	}
}

// consume runs a script through a daemon on the broker and holds every effect against what was written.
func consume(t *testing.T, addr string, s *script) {
	produce(t, addr, s.messages)
	l, shelf := &recorder{}, newShelf()
	shelf.failing = 3
	var told sync.Map
	c := testConfig(addr, t.TempDir())
	c.Listen = "127.0.0.1:0"
	d := run(t, Options{Config: c, Schema: parsedSchema(t), Learner: l, Publisher: shelf, Trained: func(version string, ids []string) {
		for _, id := range ids {
			if _, twice := told.LoadOrStore(id, version); twice {
				t.Errorf("impression %s was told as trained on twice", id)
			}
		}
	}})
	waitFor(t, "the rows", 120*time.Second, func() bool { return l.len() >= len(s.want) })
	waitFor(t, "the impressions' versions", 10*time.Second, func() bool {
		n := 0
		told.Range(func(any, any) bool { n++; return true })
		return n == len(s.want)
	})
	checkMetrics(t, d)
	d.end(t)
	sameRows(t, l.sorted(), s.want)
	f := d.Figures()
	if f.RowsTrained != int64(len(s.want)) || f.DeadLetters != int64(len(s.letters)) || f.EventsIn != int64(s.good+len(s.letters)) {
		t.Errorf("figures %+v; want %d rows, %d letters, %d events", f, len(s.want), len(s.letters), s.good+len(s.letters))
	}
	if f.Late != 0 || f.Duplicates == 0 || f.Unmatched == 0 || f.PublishErrors != 3 || f.Version != shelf.versions[len(shelf.versions)-1] {
		t.Errorf("figures %+v", f)
	}
	byValue, byReason := readLetters(t, addr)
	sameCounts(t, "letter", byValue, s.letters)
	sameCounts(t, "reason", byReason, s.reasons)
	for u, want := range s.past {
		got := shelf.histories[u]
		if len(got) != len(want) {
			t.Errorf("history of %s has %d behaviours, want %d", u, len(got), len(want))
			continue
		}
		for i := range want {
			if got[i].Item != want[i].Item || got[i].TimeMS != want[i].TimeMS || got[i].Action != "click" || got[i].Attributes["category"] == nil {
				t.Errorf("history of %s at %d: %+v, want %+v", u, i, got[i], want[i])
			}
		}
	}
	if len(shelf.items) != 40 || shelf.items["i3"].Features["category"] != "c3" {
		t.Errorf("%d items, i3 is %+v", len(shelf.items), shelf.items["i3"])
	}
}

func TestConsume(t *testing.T) {
	t.Parallel()
	n := 37_000 // with clicks, duplicates and strays about 50,000 events
	if raceEnabled {
		n = 5_000
	}
	s := newScript(1, n, 0.01)
	if !raceEnabled && (s.good < 48_000 || len(s.letters) < 450 || len(s.reasons) < 7) {
		t.Fatalf("the script has %d good events and %d bad ones: %v", s.good, len(s.letters), s.reasons)
	}
	consume(t, startEmbedded(t).Addr(), s)
}

func TestConsumeRealKafka(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a JVM")
	}
	k := testkit.StartKafka(t)
	for topic, n := range testTopics {
		k.Topic(t, topic, n)
	}
	consume(t, k.Addr, newScript(2, 20_000, 0.01))
}

// TestKilled ends the daemon without its last checkpoint at random moments, some between the dead letters and the checkpoint that covers them, and goes on from
// the last one each time: every row is trained exactly once, every letter there once.
func TestKilled(t *testing.T) {
	t.Parallel()
	s := newScript(3, 6_000, 0.02)
	rng := rand.New(rand.NewPCG(7, uint64(time.Now().UnixNano())))
	addr := startEmbedded(t).Addr()
	dir := t.TempDir()
	c := testConfig(addr, dir)
	c.CheckpointEvery = Duration(10 * time.Millisecond)
	// The parts of the stream come between crashes: silence must not close windows.
	c.Join.Idle = Duration(2 * time.Second)
	start := func(crashes int) (*running, *recorder) {
		t.Helper()
		state, err := OpenState(c)
		if err != nil {
			t.Fatal(err)
		}
		l := &recorder{crashes: crashes}
		l.restore(t, state)
		return run(t, Options{Config: c, Schema: parsedSchema(t), Learner: l, State: state}), l
	}
	const kills = 8
	moments := map[int]bool{}
	for k := range kills {
		n := len(s.messages)
		produce(t, addr, s.messages[k*n/kills:(k+1)*n/kills])
		if k%2 == 0 {
			d, l := start(0)
			begun := l.len()
			waitFor(t, "some rows", 30*time.Second, func() bool { return l.len() > begun })
			time.Sleep(time.Duration(rng.IntN(60)) * time.Millisecond)
			d.kill()
			moments[l.len()] = true
			continue
		}
		d, l := start(1 + rng.IntN(4))
		if err := <-d.ended; err == nil || !strings.Contains(err.Error(), "crashed") {
			t.Fatal(err)
		}
		d.stop()
		moments[l.len()] = true
	}
	if len(moments) < 4 {
		t.Errorf("it was killed at %d different moments only", len(moments))
	}
	d, l := start(0)
	waitFor(t, "the rows", 60*time.Second, func() bool { return l.len() >= len(s.want) })
	d.end(t)
	sameRows(t, l.sorted(), s.want)
	byValue, byReason := readLetters(t, addr)
	sameCounts(t, "letter", byValue, s.letters)
	sameCounts(t, "reason", byReason, s.reasons)
	if f := d.Figures(); f.RowsTrained != int64(len(s.want)) || f.DeadLetters != int64(len(s.letters)) || f.EventsIn != int64(s.good+len(s.letters)) {
		t.Errorf("figures %+v; want %d rows, %d letters, %d events", f, len(s.want), len(s.letters), s.good+len(s.letters))
	}

	// Going on with nothing new trains on nothing.
	d, l = start(0)
	waitFor(t, "the start", 10*time.Second, func() bool { return len(d.Figures().Version) > 0 && d.Figures().WatermarkMS > 0 })
	time.Sleep(200 * time.Millisecond)
	d.end(t)
	sameRows(t, l.sorted(), s.want)
}

// TestOutage stops the broker under the daemon and starts it again: nothing is lost, and the silence closes no window.
func TestOutage(t *testing.T) {
	t.Parallel()
	s := newScript(4, 2_000, 0.01)
	dir := t.TempDir()
	b, err := embedded.StartWith(embedded.Options{Dir: dir, Topics: testTopics})
	if err != nil {
		t.Fatal(err)
	}
	half := len(s.messages) / 2
	produce(t, b.Addr(), s.messages[:half])
	l := &recorder{}
	c := testConfig(b.Addr(), t.TempDir())
	c.Join.Idle = Duration(1500 * time.Millisecond)
	d := run(t, Options{Config: c, Schema: parsedSchema(t), Learner: l})
	waitFor(t, "the first rows", 30*time.Second, func() bool { return l.len() > 100 })
	b.Close()
	waitFor(t, "retries", 10*time.Second, func() bool { return d.Figures().Retries > 8 })
	b, err = embedded.StartWith(embedded.Options{Dir: dir, Port: b.Port()})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	produce(t, b.Addr(), s.messages[half:])
	waitFor(t, "the rows", 30*time.Second, func() bool { return l.len() >= len(s.want) })
	d.end(t)
	sameRows(t, l.sorted(), s.want)
	byValue, _ := readLetters(t, b.Addr())
	sameCounts(t, "letter", byValue, s.letters)
}

// TestStoreLost empties the store under the daemon: everything is published anew, and no impression is forgotten or told twice.
func TestStoreLost(t *testing.T) {
	t.Parallel()
	s := newScript(6, 2_000, 0)
	addr := startEmbedded(t).Addr()
	half := len(s.messages) / 2
	produce(t, addr, s.messages[:half])
	l, shelf := &recorder{}, newShelf()
	c := testConfig(addr, t.TempDir())
	c.Join.Idle = Duration(3 * time.Second)
	var mu sync.Mutex
	told := map[string]int{}
	d := run(t, Options{Config: c, Schema: parsedSchema(t), Learner: l, Publisher: shelf, Trained: func(_ string, ids []string) {
		mu.Lock()
		defer mu.Unlock()
		for _, id := range ids {
			told[id]++
		}
	}})
	waitFor(t, "the first rows", 30*time.Second, func() bool { return l.len() > 100 })
	shelf.lose()
	produce(t, addr, s.messages[half:])
	waitFor(t, "the impressions' versions", 30*time.Second, func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(told) == len(s.want)
	})
	d.end(t)
	for id, n := range told {
		if n != 1 {
			t.Errorf("impression %s was told %d times", id, n)
		}
	}
	if shelf.fulls != 1 || len(shelf.items) != 40 || len(shelf.histories) != len(s.past) {
		t.Errorf("%d full updates, %d items, %d of %d histories", shelf.fulls, len(shelf.items), len(shelf.histories), len(s.past))
	}
}

func TestPartitionsDiffer(t *testing.T) {
	t.Parallel()
	b, err := embedded.Start("", map[string]int{"impressions": 2, "actions": 3})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	d := run(t, Options{Config: testConfig(b.Addr(), t.TempDir()), Schema: parsedSchema(t), Learner: &recorder{}})
	defer d.stop()
	if err := <-d.ended; err == nil || !strings.Contains(err.Error(), "topics impressions and actions have 2 and 3 partitions") {
		t.Fatal(err)
	}
}

// TestStrangeCluster starts on a checkpoint whose offsets lie beyond the topics' ends.
func TestStrangeCluster(t *testing.T) {
	t.Parallel()
	s := newScript(5, 200, 0)
	first := startEmbedded(t)
	produce(t, first.Addr(), s.messages)
	dir := t.TempDir()
	l := &recorder{}
	c := testConfig(first.Addr(), dir)
	d := run(t, Options{Config: c, Schema: parsedSchema(t), Learner: l})
	waitFor(t, "the events", 30*time.Second, func() bool { return d.Figures().EventsIn >= 200 })
	d.end(t)
	if _, err := os.Stat(dir + "/checkpoint/manifest.json"); err != nil {
		t.Fatal(err)
	}
	state, err := OpenState(c)
	if err != nil {
		t.Fatal(err)
	}
	c.Kafka.Brokers = []string{startEmbedded(t).Addr()}
	d = run(t, Options{Config: c, Schema: parsedSchema(t), Learner: &recorder{}, State: state})
	defer d.stop()
	if err := <-d.ended; err == nil || !strings.Contains(err.Error(), "another cluster") {
		t.Fatal(err)
	}
}

func TestNewRefuses(t *testing.T) {
	f := func(change func(*Config), want string) {
		t.Helper()
		c := testConfig("h:1", "dir")
		change(c)
		if _, err := New(Options{Config: c, Schema: parsedSchema(t), Learner: &recorder{}}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("New: %v; want %q", err, want)
		}
	}
	f(func(c *Config) { c.Join.Labels = map[string]LabelRule{"buy": {From: []string{"buy"}}} }, `no label "buy", it has click`)
	f(func(c *Config) { c.Checkpoint = "" }, "checkpoint")
	if _, err := New(Options{}); err == nil {
		t.Error("New without anything")
	}
}
