package main

import (
	"net"
	"os"
	"path/filepath"
	"testing"
)

// TestDemo lives for three seconds.
func TestDemo(t *testing.T) {
	if testing.Short() {
		t.Skip("takes nine seconds")
	}
	dir := filepath.Join(t.TempDir(), "demo")
	m := done(t, "demo", "--seconds", "3", "--headless", "--json", "--backfill", "5000", "--data-dir", dir).figures(t)
	for _, key := range []string{"events_in", "rows_trained", "auc_rows", "auc_progressive", "auc_best", "auc_popularity", "scored_requests", "score_p50_ms", "score_p99_ms", "redis_keys", "near_cache_hit"} {
		if x := number(t, m, key); x <= 0 {
			t.Errorf("%s is %g", key, x)
		}
	}
	if letters := number(t, m, "dead_letters"); letters != 0 {
		t.Errorf("%g dead letters", letters)
	}
	if _, there := m["freshness_p50_s"]; !there {
		t.Error("no freshness_p50_s")
	}
	if p50, p99 := number(t, m, "score_p50_ms"), number(t, m, "score_p99_ms"); p50 > p99 {
		t.Errorf("p50 %g, p99 %g", p50, p99)
	}
	if hit := number(t, m, "near_cache_hit"); hit > 1 {
		t.Errorf("near-cache hit %g is no share", hit)
	}

	if s := number(t, m, "seconds"); s < 3 || s > 3.5 {
		t.Errorf("live for %g s, want 3", s)
	}
	// Ten rows a request: probes and the past are in no figure.
	if events, rows, requests := number(t, m, "events_in"), number(t, m, "rows_trained"), number(t, m, "scored_requests"); rows > 10*requests || events > 20*requests {
		t.Errorf("%g events and %g rows of %g requests", events, rows, requests)
	}

	// The checkpoint stays, and eval takes it: rows of the world's own columns.
	checkpoint, ok := m["checkpoint"].(string)
	if !ok {
		t.Fatalf("checkpoint %v", m["checkpoint"])
	}
	rows := write(t, t.TempDir(), "rows.csv", "user,country,age,item,category,brand,price,hour,device,hist_item,hist_category,click\n"+
		"u1,c1,30,i1,k1,b1,10,9,phone,i2|i3,k2|k3,1\nu2,c2,40,i2,k2,b2,20,10,desktop,,,0\n")
	e := done(t, "eval", "--checkpoint", checkpoint, "--data", rows, "--json").figures(t)
	if number(t, e, "rows") != 2 {
		t.Errorf("eval: %v", e)
	}
	number(t, e, "logloss")
	for _, c := range commands {
		if c().Name() == "inspect" {
			done(t, "inspect", checkpoint)
		}
	}
}

func TestDemoWrongRequests(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dir := filepath.Join(t.TempDir(), "demo")
	refused(t, []string{"demo", "--seconds", "1", "--listen", l.Addr().String(), "--data-dir", dir}, l.Addr().String(), "taken", "--listen")
	refused(t, []string{"demo", "--seconds", "-1"}, "--seconds")
	refused(t, []string{"demo", "--backfill", "-1"}, "--backfill")

	foreign := t.TempDir()
	write(t, foreign, "precious.txt", "mine")
	refused(t, []string{"demo", "--seconds", "1", "--headless", "--data-dir", foreign}, foreign, "not empty", "--data-dir")
	if _, err := os.Stat(filepath.Join(foreign, "precious.txt")); err != nil {
		t.Error(err)
	}

	held, unlock, err := demoFolder(demoFlags{dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	refused(t, []string{"demo", "--seconds", "1", "--headless", "--data-dir", dir}, held, "in use", "--data-dir")
}
