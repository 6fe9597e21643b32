package main

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// jsonLines reads a file of one JSON object a line.
func jsonLines[T any](t testing.TB, path string) []T {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var out []T
	for s := bufio.NewScanner(f); s.Scan(); {
		var v T
		if err := json.Unmarshal(s.Bytes(), &v); err != nil {
			t.Fatalf("%s line %d: %v", path, len(out)+1, err)
		}
		out = append(out, v)
	}
	return out
}

type malformedLine struct {
	Line   int    `json:"line"`
	Topic  string `json:"topic"`
	Key    string `json:"key"`
	Bytes  []byte `json:"value_base64"`
	Reason string `json:"reason"`
}

type truthLine struct {
	ImpressionID string  `json:"impression_id"`
	P            float64 `json:"p"`
	PAverage     float64 `json:"p_average"`
}

// value is the event's bytes as Kafka would carry them.
func (e fileEvent) value(t testing.TB) []byte {
	t.Helper()
	if e.Bytes == nil {
		return e.Value
	}
	v, err := base64.StdEncoding.DecodeString(*e.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestSimulate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	simulate := func(name, seed string) (string, map[string]any) {
		path := filepath.Join(dir, name)
		return path, done(t, "simulate", "--events", "30000", "--seed", seed, "--malformed", "0.01", "--out", path, "--json").figures(t)
	}
	a, m := simulate("a", "3")
	b, _ := simulate("b", "3")
	c, _ := simulate("c", "4")
	for _, suffix := range []string{"", ".truth", ".malformed"} {
		read := func(path string) []byte {
			data, err := os.ReadFile(path + suffix)
			if err != nil {
				t.Fatal(err)
			}
			return data
		}
		if !bytes.Equal(read(a), read(b)) {
			t.Errorf("the same seed gives another file%s", suffix)
		}
		if bytes.Equal(read(a), read(c)) {
			t.Errorf("another seed gives the same file%s", suffix)
		}
	}

	events, truths, bad := jsonLines[fileEvent](t, a), jsonLines[truthLine](t, a+".truth"), jsonLines[malformedLine](t, a+".malformed")
	count := map[string]int{}
	for _, e := range events {
		count[e.Topic]++
	}
	impressions, actions, malformed := int(number(t, m, "impressions")), int(number(t, m, "actions")), int(number(t, m, "malformed"))
	if n := count["impressions"] + count["actions"]; n != 30_000 || impressions+actions+malformed != n || int(number(t, m, "events")) != n {
		t.Errorf("%d events in the file; figures %v", n, m)
	}
	if n := count["items"] + count["users"]; n != 25_000 || int(number(t, m, "entities")) != n {
		t.Errorf("%d items and users, figures say %v", n, m["entities"])
	}
	if rate := number(t, m, "click_rate"); rate < 0.1 || rate > 0.3 {
		t.Errorf("click rate %g is outside 10 to 30 %%", rate)
	}
	if best := number(t, m, "auc_best"); best < 0.7 || best > 0.85 {
		t.Errorf("best AUC %g is outside 0.70 to 0.85", best)
	}

	// The malformed ones are where the list says, and only there; what is left tells of each impression whose truth is listed, in order.
	if len(bad) != malformed || malformed < 200 || malformed > 400 {
		t.Fatalf("%d malformed events listed, figures say %d, asked for 1 %% of 30,000", len(bad), malformed)
	}
	at := map[int]bool{}
	for _, l := range bad {
		at[l.Line] = true
		e := events[l.Line-1]
		if e.Topic != l.Topic || e.Key != l.Key || !bytes.Equal(e.value(t), l.Bytes) {
			t.Errorf("malformed event of line %d is %q, listed as %q", l.Line, e.value(t), l.Bytes)
		}
	}
	told := 0
	for i, e := range events {
		if e.Topic != "impressions" || at[i+1] {
			continue
		}
		v := map[string]any{}
		if err := json.Unmarshal(e.Value, &v); err != nil {
			t.Fatalf("line %d: %v", i+1, err)
		}
		if told >= len(truths) || truths[told].ImpressionID != v["impression_id"] {
			t.Fatalf("line %d is impression %v, which is not the next truth", i+1, v["impression_id"])
		}
		if x := truths[told]; x.P <= 0 || x.P >= 1 || x.PAverage <= 0 || x.PAverage >= 1 {
			t.Fatalf("truth %+v is no probability", x)
		}
		for key := range v {
			if strings.Contains(key, "p_average") || key == "p" || key == "truth" {
				t.Fatalf("line %d tells the truth: %s", i+1, e.Value)
			}
		}
		told++
	}
	if told != impressions || told != len(truths) {
		t.Errorf("%d good impressions, %d truths, figures say %d", told, len(truths), impressions)
	}
}

func TestSimulateWrongRequests(t *testing.T) {
	out := filepath.Join(t.TempDir(), "events")
	refused(t, []string{"simulate", "--events", "10"}, "--out", "--kafka")
	refused(t, []string{"simulate", "--events", "0", "--out", out}, "--events")
	refused(t, []string{"simulate", "--events", "10", "--malformed", "1.5", "--out", out}, "--malformed", "1.5")
	refused(t, []string{"simulate", "--events", "10", "--out", filepath.Join(out, "nowhere", "events")}, "nowhere")
	refused(t, []string{"simulate", "--events", "10", "--users", "3", "--out", out}, "users")
}

func TestSimulateInterrupted(t *testing.T) {
	t.Parallel()
	out := filepath.Join(t.TempDir(), "events")
	p := start(t, "simulate", "--events", "1000000000", "--users", "2000", "--items", "500", "--out", out, "--json")
	eventually(t, "events are in the file", func() bool {
		info, err := os.Stat(out)
		return err == nil && info.Size() > 0
	})
	if err := p.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	o := p.wait()
	if o.code != exitDone || !strings.Contains(o.stderr, "stopped after") {
		t.Fatalf("exit %d\n%s", o.code, o.stderr)
	}
	m := o.figures(t)
	if n := len(jsonLines[fileEvent](t, out)); n != int(number(t, m, "events")+number(t, m, "entities")) {
		t.Errorf("%d lines; figures %v", n, m)
	}
}
