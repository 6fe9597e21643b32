package streaming

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/core/snapshot"
	"github.com/millrace/millrace/features"
)

func newTestJoin(t testing.TB, limit int) *join {
	t.Helper()
	s := parsedSchema(t)
	j, err := newJoin(s, &JoinConfig{Window: Duration(100 * time.Millisecond), Late: Duration(20 * time.Millisecond), Labels: map[string]LabelRule{"click": {From: []string{"click", "buy"}}}}, limit)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// play runs a script: "i ID USER ITEM TIME" an impression, "a ID IMPRESSION USER TIME [TYPE]" an action, "f ITEM CATEGORY" an item's features, "w TIME" the
// watermark, "restart" a checkpoint and going on from it. It answers the rows that left, "ID LABEL [HISTORY]", and the counts that are not 0.
func play(t testing.TB, j *join, script string) string {
	t.Helper()
	var out []string
	seq := int64(0)
	for _, line := range strings.Split(script, ";") {
		f := strings.Fields(line)
		at := int64(0)
		if len(f) > 1 {
			fmt.Sscan(f[len(f)-1], &at)
		}
		seq++
		switch f[0] {
		case "i":
			j.impression(&impression{id: f[1], user: f[2], item: f[3], t: at})
		case "a":
			kind := "click"
			if len(f) == 6 {
				kind = f[5]
				fmt.Sscan(f[4], &at)
			}
			j.action(&action{id: f[1], impression: f[2], user: f[3], kind: kind, t: at}, seq)
		case "f":
			j.items.put(entityEvent{id: f[1], features: fmt.Sprintf(`{"category":%q}`, f[2]), t: seq})
		case "restart":
			parts := j.parts()
			dir := t.TempDir()
			if _, err := snapshot.Write(dir, snapshot.Manifest{}, parts); err != nil {
				t.Fatal(err)
			}
			s, err := snapshot.Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			n, past := j.n, j.past.limit
			*j = *newTestJoin(t, past)
			j.n = n
			if err := j.restore(s); err != nil {
				t.Fatal(err)
			}
			for i, p := range j.parts() {
				if string(p.Tensors[0].Data) != string(parts[i].Tensors[0].Data) {
					t.Errorf("part %s differs after a restart", p.Name)
				}
			}
		case "w":
			var r features.Row
			err := j.advance(at, func(gone *row) error {
				j.fill(&r, gone)
				text := fmt.Sprintf("%s %v", gone.id, r.Labels["click"])
				for _, b := range r.History {
					text += fmt.Sprintf(" %s@%d", b.Item, b.TimeMS)
					if c := b.Attributes["category"]; c != nil {
						text += fmt.Sprint("/", c)
					}
				}
				if c := r.ItemFeatures["category"]; c != nil {
					text += fmt.Sprint(" is ", c)
				}
				out = append(out, text)
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		default:
			t.Fatalf("what is %q?", line)
		}
	}
	for _, c := range []struct {
		name string
		n    int64
	}{{"late", j.n.late}, {"duplicates", j.n.duplicates}, {"unmatched", j.n.unmatched}, {"ignored", j.n.ignored}, {"evicted", j.past.evicts}} {
		if c.n != 0 {
			out = append(out, fmt.Sprintf("%s=%d", c.name, c.n))
		}
	}
	return strings.Join(out, "; ")
}

func TestJoin(t *testing.T) {
	f := func(script, want string) {
		t.Helper()
		if got := play(t, newTestJoin(t, 0), script); got != want {
			t.Errorf("%s\n gives %s\n want  %s", script, got, want)
		}
		// A checkpoint after any step changes nothing.
		steps := strings.Split(script, ";")
		for k := 1; k < len(steps); k++ {
			again := strings.Join(append(append(append([]string{}, steps[:k]...), "restart"), steps[k:]...), ";")
			if got := play(t, newTestJoin(t, 0), again); got != want {
				t.Errorf("%s\n gives %s\n want  %s", again, got, want)
			}
		}
	}
	// A row leaves when its window closes, not before.
	f("i p u x 1000; w 1099", "")
	f("i p u x 1000; w 1100", "p 0")
	f("i p u x 1000; a c p u 1050; w 1100", "p 1")
	f("i p u x 1000; a c p u 1050 buy; w 1100", "p 1")
	// In order of time and id, whatever the order of arrival.
	f("i r u x 1002; i q u x 1000; i p u x 1000; w 1102", "p 0; q 0; r 0")
	f("i q u x 1000; w 1100; i p u x 1001; w 1101", "q 0; p 0")
	// The window's end is in the window; what comes after it is not, nor what is of somebody else.
	f("i p u x 1000; a c p u 1100; w 1100", "p 1")
	f("i p u x 1000; a c p u 1101; w 1100", "p 0; unmatched=1")
	f("i p u x 1000; a c p v 1050; w 1100", "p 0; unmatched=1")
	f("i p u x 1000; a c p u 1050 share; w 1100", "p 0; ignored=1")
	// An action may come first, and even seem a little older.
	f("a c p u 1050; i p u x 1000; w 1100", "p 1")
	f("a c p u 985; i p u x 1000; w 1100", "p 1")
	f("a c p u 979; i p u x 1000; w 1100", "p 0; unmatched=1")
	f("a c p u 1050; w 1169", "")
	f("a c p u 1050; w 1170", "unmatched=1")
	f("a c p u 1050; a d p u 1060; w 1170; i p u x 1075; w 1175", "p 1; unmatched=1")
	// Duplicates count once, before and after their row has left.
	f("i p u x 1000; i p u x 1000; a c p u 1010; a c p u 1010; w 1100", "p 1; duplicates=2")
	f("i p u x 1000; w 1100; i p u x 1000; w 1200", "p 0; late=1")
	f("i p u x 1000; w 1100; i p u x 1050; w 1200", "p 0; duplicates=1")
	f("a c p u 1010; a c p u 1010; i p u x 1000; w 1100", "p 1; duplicates=1")
	// Late: the window has closed.
	f("w 1100; i p u x 1000; w 1200", "late=1")
	f("w 1100; i p u x 1001; w 1101", "p 0")
	f("i p u x 1000; w 1100; a c p u 1050", "p 0; late=1")
	f("w 1200; a c p u 1050", "late=1")
	// A row sees the behaviours before it, its own never.
	f("i p u x 1000; a c p u 1010; i q u y 1011; i r u y 1010; w 1111", "p 1; r 0; q 0 x@1010")
	f("i p u x 1000; a c p u 990; i q u y 1000; i r u y 1001; w 1101", "p 1; q 0; r 0 x@1000")
	f("i p u x 1000; i q u y 1050; a c p u 1020; w 1150", "p 1; q 0 x@1020")
	f("a c p u 1020; i q u y 1050; i p u x 1000; w 1150", "p 1; q 0 x@1020")
	f("i p u x 1000; i q v y 1050; a c p u 1020; w 1150", "p 1; q 0")
	// Actions that are labels only do not enter histories.
	f("i p u x 1000; a c p u 1010 buy; i q u y 1050; w 1150", "p 1; q 0")
	// Behaviours of the same time stay in their partition's order, even when one had to wait for its impression.
	f("i p u x 1000; i q u y 1000; a c p u 1010; a d q u 1010; i r u z 1050; w 1150", "p 1; q 1; r 0 x@1010 y@1010")
	f("a c p u 1010; i q u y 1000; a d q u 1010; i p u x 1000; i r u z 1050; w 1150", "p 1; q 1; r 0 x@1010 y@1010")
	// The newest five before the impression, also when newer ones have come since.
	f("i a u 1 1000; i b u 2 1000; i c u 3 1000; i d u 4 1000; i e u 5 1000; i f u 6 1000; i g u 7 1000; a A a u 1001; a B b u 1002; a C c u 1003; a D d u 1004; a E e u 1005; a F f u 1006; i q u z 1007; a G g u 1090; w 1107",
		"a 1; b 1; c 1; d 1; e 1; f 1; g 1; q 0 2@1002 3@1003 4@1004 5@1005 6@1006")
	// Features are those at the impression.
	f("f x old; i p u x 1000; f x new; i q u x 1001; w 1101", "p 0 is old; q 0 is new")
	f("f x old; i p u x 1000; f x new; a c p u 1010; i q u x 1020; w 1120", "p 1 is old; q 0 x@1010/old is new")
}

func TestJoinForgets(t *testing.T) {
	j := newTestJoin(t, 0)
	for k := range 10_000 {
		at := int64(1000 + k)
		j.impression(&impression{id: fmt.Sprint("p", k), user: "u", item: "x", t: at})
		j.action(&action{id: fmt.Sprint("c", k), impression: fmt.Sprint("p", k), user: "u", kind: "click", t: at + 10}, at)
		j.action(&action{id: fmt.Sprint("s", k), impression: fmt.Sprint("none", k), user: "u", kind: "click", t: at}, at)
		if err := j.advance(at-20, func(*row) error { return nil }); err != nil {
			t.Fatal(err)
		}
	}
	ids := 0
	for _, s := range []*seen{j.gone, j.acted} {
		for _, b := range s.buckets {
			ids += len(b)
		}
	}
	if len(j.rows) > 200 || len(j.early) > 200 || len(j.earlyOut) > 200 || ids > 2500 || len(j.past.users["u"].past) > 200 {
		t.Errorf("it keeps %d rows, %d early actions, %d ids, %d behaviours", len(j.rows), len(j.early), ids, len(j.past.users["u"].past))
	}
}

func TestHistoryLimit(t *testing.T) {
	script := "i p u x 1000; i q v x 1000; i r w x 1000; a c p u 1001; a d q v 1002; a e p u 1003 click; a f r w 1004; i s u y 1010; i o v y 1010; w 1110"
	want := "p 1; q 1; r 1; o 0; s 0 x@1001 x@1003; evicted=1"
	if got := play(t, newTestJoin(t, 2), script); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := play(t, newTestJoin(t, 2), strings.Replace(script, "a f r", "restart; a f r", 1)); got != want {
		t.Errorf("restarted: got %s, want %s", got, want)
	}
}

// TestHistoryIsPush holds the daemon's histories against the ones that files are prepared with.
func TestHistoryIsPush(t *testing.T) {
	h := newHistories(4, 0)
	var want features.History
	for k, at := range []int64{5, 3, 9, 9, 1, 7, 20, 20, 19, 2, 30} {
		b := features.Behaviour{Item: fmt.Sprint(k), TimeMS: at, Action: "click"}
		h.push("u", b, int64(k), 0)
		want = want.Push(b, 4)
		if got := fmt.Sprint(h.newest("u")); got != fmt.Sprint(want) {
			t.Fatalf("after %d: %s, want %v", k, got, want)
		}
		for _, before := range []int64{9, 20, 31} {
			if got, want := fmt.Sprint(h.before(nil, "u", before)), fmt.Sprint(want.Before(before)); len(want) > 40 && len(got) < len(want) {
				t.Fatalf("before %d: %s lacks some of %s", before, got, want)
			}
		}
	}
}

func TestWatermark(t *testing.T) {
	w := watermark{late: 10, idle: 100}
	a, b := w.add(0), w.add(0)
	f := func(now, want int64) {
		t.Helper()
		if got := w.advance(now); got != want {
			t.Errorf("at %d: %d, want %d", now, got, want)
		}
	}
	f(1000, 0) // nothing is known of either
	a.see(5000)
	f(1000, 0) // b may be behind
	b.see(4000)
	f(1000, 3990)
	b.see(3000)
	f(1000, 3990) // disorder does not turn it back
	b.see(6000)
	f(1000, 4990) // a is the slowest now
	a.caughtUp, a.heard = true, 1000
	f(1099, 4990) // silent, but not for long
	f(1100, 5990) // b alone leads
	b.caughtUp, b.heard = true, 1050
	f(1149, 5990)
	f(1150, 6090) // all are silent: the clock leads, from when the last was heard
	f(1250, 6190)
	a.heard = 1260
	a.see(5500)
	f(1260, 6190) // an old event holds it, and does not turn it back
	a.caughtUp = false
	f(9999, 6190) // not heard from is not silent
	a.see(7000)
	f(9999, 6990)
}

func TestWatermarkTooFar(t *testing.T) {
	w := watermark{late: 10, idle: 100}
	a, b := w.add(0), w.add(0)
	f := func(p *progress, now int64, want bool) {
		t.Helper()
		if got := w.tooFar(p, now, 50); got != want {
			t.Errorf("newest %d of %d and %d: %v", p.newest, a.newest, b.newest, got)
		}
	}
	f(a, 0, false)
	a.see(1000)
	f(a, 0, false)
	a.see(1051)
	f(b, 0, false)
	b.see(1000)
	f(a, 0, true)
	f(b, 0, false)
	b.see(1001)
	f(a, 0, false)
	a.see(5000)
	f(a, 0, true)
	b.caughtUp = true
	f(a, 0, true)
	f(a, 100, false) // b has nothing more to say
}

// FuzzUnpack: a damaged part is an error, never a panic or endless memory.
func FuzzUnpack(f *testing.F) {
	j := newTestJoin(f, 0)
	play(f, j, "f x old; i p u x 1000; f x new; i q u x 1001; a c p u 1010; a d r u 1010; w 1105")
	for _, p := range j.parts() {
		f.Add(p.Tensors[0].Data)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for k := range partNames {
			j := newTestJoin(t, 0)
			u := &unpacker{b: b}
			[]func(*unpacker){j.items.unpack, j.users.unpack, j.past.unpack, j.unpack, func(u *unpacker) { unpackSeen(u, j.gone, j.acted) }}[k](u)
			_ = u.done()
		}
	})
}

// BenchmarkStream takes events through decoding and the join, up to the rows that a learner gets, on one goroutine.
func BenchmarkStream(b *testing.B) {
	s := parsedSchema(b)
	j, err := newJoin(s, &JoinConfig{Window: Duration(10 * time.Second), Late: Duration(time.Second)}, 0)
	if err != nil {
		b.Fatal(err)
	}
	d := newDecoder(s, 1<<20)
	for k := range 1000 {
		j.items.put(entityEvent{id: fmt.Sprintf("item-%05d", k), features: `{"category":"c7","price":3.5}`, t: 1})
	}
	for k := range 5000 {
		j.users.put(entityEvent{id: fmt.Sprintf("user-%06d", k), features: `{"age":31,"country":"no"}`, t: 1})
	}
	asm := features.NewAssembler(s, true)
	var row1 features.Row
	leave := func(r *row) error {
		j.fill(&row1, r)
		if err := asm.Append(&row1); err != nil {
			return err
		}
		if asm.Len() == recordRows {
			asm.Record().Release()
		}
		return nil
	}
	const n = 1 << 15
	type event struct{ key, imp, act []byte }
	events := make([]event, n)
	at := int64(testStart)
	make1 := func(k int) {
		at += 2
		u := fmt.Sprintf("user-%06d", k*7919%5000)
		e := event{key: []byte(u)}
		e.imp = fmt.Appendf(nil, `{"v":1,"impression_id":"r%d","ts_ms":%d,"user_id":%q,"item_id":"item-%05d","request_id":"q%d","position":%d,"propensity":0.1,"score":0.0312,"version":"12-345","context":{"hour":9,"imp":"phone","tags":["a","b"]}}`, at, at, u, k*31%1000, k/10, k%10)
		if k%5 == 0 {
			e.act = fmt.Appendf(nil, `{"v":1,"action_id":"a%d","impression_id":"r%d","ts_ms":%d,"user_id":%q,"type":"click"}`, at, at, at+3000, u)
		}
		events[k%n] = e
	}
	b.ReportAllocs()
	done := 0
	for b.Loop() {
		if done%n == 0 {
			b.StopTimer()
			for k := range n {
				make1(k)
			}
			b.StartTimer()
		}
		e := &events[done%n]
		i, reason := d.impression(e.key, e.imp)
		if reason != "" {
			b.Fatal(reason)
		}
		t := i.t
		j.impression(i)
		if e.act != nil {
			var a action
			if reason := d.action(e.key, e.act, &a); reason != "" {
				b.Fatal(reason)
			}
			j.action(&a, int64(done))
		}
		if done%256 == 0 {
			if err := j.advance(t-1000, leave); err != nil {
				b.Fatal(err)
			}
		}
		done++
	}
	b.ReportMetric(float64(b.N)*1.2/b.Elapsed().Seconds(), "events/s")
}
