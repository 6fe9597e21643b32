package streaming

import (
	"strings"
	"testing"
	"time"
)

const minimal = "checkpoint: dir\nkafka: {brokers: ['h:9092']}\n"

func TestParseConfig(t *testing.T) {
	c, err := ParseConfig([]byte(minimal + `
schema: s.yaml
listen: 127.0.0.1:9100
join: {window: 10s, labels: {click: {from: [click, tap]}}}
publish: {redis: 'r:6379', every: 500ms}
`))
	if err != nil {
		t.Fatal(err)
	}
	if c.Kafka.Impressions != "impressions" || c.Kafka.DeadLetters != "dead-letters" || c.Kafka.Group != "millrace" || c.Kafka.MaxBytes != 1<<20 {
		t.Errorf("defaults of kafka: %+v", c.Kafka)
	}
	if time.Duration(c.Join.Window) != 10*time.Second || time.Duration(c.Join.Late) != 5*time.Minute || time.Duration(c.CheckpointEvery) != time.Minute {
		t.Errorf("durations: %+v", c)
	}
	if time.Duration(c.Publish.Every) != 500*time.Millisecond || strings.Join(c.Join.Labels["click"].From, " ") != "click tap" {
		t.Errorf("publish %+v, labels %+v", c.Publish, c.Join.Labels)
	}
}

func TestParseConfigErrors(t *testing.T) {
	f := func(yaml, want string) {
		t.Helper()
		if _, err := ParseConfig([]byte(yaml)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseConfig(%q) = %v; want %q", yaml, err, want)
		}
	}
	f("checkpoint: dir", "kafka.brokers")
	f("listen: x", "checkpoint: the folder")
	f(minimal+"chekpoint: x", `line 3: unknown key "chekpoint" in a configuration; did you mean "checkpoint"?`)
	f(minimal+"join: {windw: 1s}", `line 3: unknown key "windw" in join; did you mean "window"?`)
	f(minimal+"join: {labels: {click: {form: [click]}}}", `line 3: unknown key "form" in join.labels.click; did you mean "from"?`)
	f(minimal+"join: {window: 30}", "line 3: \"30\" is not a duration")
	f(minimal+"join: {window: -1s}", "join.window")
	f(minimal+"join: {labels: {click: {}}}", "join.labels.click.from")
	f("checkpoint: x\nkafka: {brokers: [nohost]}", `"nohost" is not host:port`)
	f("checkpoint: x\nkafka: {brokers: ['h:1'], actions: impressions}", "kafka.impressions and kafka.actions")
	f(minimal+"history_users: -1", "history_users")
	f(minimal+"tables: {user: {max_row: 5}}", `line 3: unknown key "max_row" in tables.user; did you mean "max_rows"?`)
	f(minimal+"tables: {user: {max_rows: 1}}", "tables.user.max_rows: 1")
	f(minimal+"tables: {\"*\": {evict_after: -1}}", "tables.*.evict_after: -1")
	f("a: [", "configuration: not YAML")
}
