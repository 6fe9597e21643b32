package streaming

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"

	"github.com/millrace/millrace/internal/clock"
)

var systemClock = clock.System

func readAll(b kafka.Bytes) ([]byte, error) { return protocol.ReadAll(b) }

// checkMetrics reads a running daemon's metrics and health.
func checkMetrics(t *testing.T, d *running) {
	t.Helper()
	get := func(path string) string {
		t.Helper()
		c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		res, err := c.Get("http://" + d.Listening() + path)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		if err != nil || res.StatusCode != http.StatusOK {
			t.Fatalf("GET %s: %d, %v", path, res.StatusCode, err)
		}
		return string(b)
	}
	m := get("/metrics")
	for _, want := range []string{
		`millrace_stream_events_total{topic="impressions"} `, `millrace_stream_dead_letters_total{reason="not_utf8"} `, "millrace_stream_rows_trained_total ",
		"millrace_stream_late_total 0", "millrace_stream_watermark_lag_seconds ", `millrace_stream_lag_messages{topic="actions"} `, "millrace_stream_checkpoint_age_seconds ",
		"millrace_stream_publish_errors_total 3",
	} {
		if !strings.Contains(m, want) {
			t.Errorf("the metrics lack %q:\n%s", want, m)
		}
	}
	if h := get("/healthz"); !strings.Contains(h, `"status":"ok"`) {
		t.Errorf("health: %s", h)
	}
}
