package streaming

import (
	"errors"
	"fmt"
	"math"
	"net"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/millrace/millrace/internal/strict"
)

// Config is the YAML of `millrace stream`. Unknown keys are errors that name the nearest known key.
type Config struct {
	// Schema, Model and Checkpoint are paths: of the schema, of the model's settings, and of the folder that keeps the daemon's checkpoint (in its checkpoint/).
	Schema     string `yaml:"schema"`
	Model      string `yaml:"model"`
	Checkpoint string `yaml:"checkpoint"`
	// Listen is the address of metrics and health; empty: none.
	Listen  string        `yaml:"listen"`
	Kafka   KafkaConfig   `yaml:"kafka"`
	Join    JoinConfig    `yaml:"join"`
	Publish PublishConfig `yaml:"publish"`
	// CheckpointEvery is how often a checkpoint is written (default 60s).
	CheckpointEvery Duration `yaml:"checkpoint_every"`
	// HistoryUsers bounds how many users' histories are kept; the least recently active beyond it are evicted and counted. 0: no bound.
	HistoryUsers int `yaml:"history_users"`
	// Tables bounds embedding tables, by the name of a table or its field; "*" is for those not named.
	Tables map[string]TableConfig `yaml:"tables"`
}

// TableConfig bounds an embedding table; zeros are no bounds. A field's min_count is in the schema.
type TableConfig struct {
	// MaxRows is how many rows it may have; beyond it those go that were not touched for longest and least often.
	MaxRows int `yaml:"max_rows"`
	// EvictAfter is for how many steps (minibatches) a row may go untouched before it is evicted.
	EvictAfter int64 `yaml:"evict_after"`
}

// KafkaConfig names brokers and topics; the defaults are the topic names of the wire format.
type KafkaConfig struct {
	Brokers     []string `yaml:"brokers"`
	Group       string   `yaml:"group"`
	Impressions string   `yaml:"impressions"`
	Actions     string   `yaml:"actions"`
	Items       string   `yaml:"items"`
	Users       string   `yaml:"users"`
	DeadLetters string   `yaml:"dead_letters"`
	// MaxBytes is the longest usable value (default 1 MiB).
	MaxBytes int `yaml:"max_bytes"`
}

// JoinConfig: a row leaves the join when its window closes on event time; Late is how far events may be out of order.
type JoinConfig struct {
	Window Duration `yaml:"window"`
	Late   Duration `yaml:"late"`
	// Idle is how long a partition that was read to its end must be silent before event time no longer waits for it (default 2s).
	Idle Duration `yaml:"idle"`
	// Ahead is how far ahead of the clock an event's time may be (default 24h): one wrong clock must not close everybody's windows.
	Ahead Duration `yaml:"ahead"`
	// Labels says which actions make each of the schema's labels 1. Empty: the action of the label's name.
	Labels map[string]LabelRule `yaml:"labels"`
}

// LabelRule: the label is 1 when one of these actions came within the window.
type LabelRule struct {
	From []string `yaml:"from"`
}

// PublishConfig: where and how often updates go.
type PublishConfig struct {
	// Redis is the store's address; empty: train and checkpoint only.
	Redis string   `yaml:"redis"`
	Every Duration `yaml:"every"`
	// Model is the model's name in the store and in requests (default: the architecture's).
	Model string `yaml:"model"`
}

// Duration is a time.Duration written as "30m".
type Duration int64

// UnmarshalYAML reads what time.ParseDuration reads.
func (d *Duration) UnmarshalYAML(n *yaml.Node) error {
	v, err := time.ParseDuration(n.Value)
	if n.Kind != yaml.ScalarNode || err != nil {
		return fmt.Errorf("line %d: %q is not a duration such as 30m or 1.5s", n.Line, n.Value)
	}
	*d = Duration(v)
	return nil
}

// MarshalYAML writes the duration as UnmarshalYAML reads it.
func (d Duration) MarshalYAML() (any, error) { return time.Duration(d).String(), nil }

func (d Duration) duration() time.Duration { return time.Duration(d) }

func (d Duration) milliseconds() int64 { return time.Duration(d).Milliseconds() }

// ParseConfig reads and checks a configuration. Errors name the line and the key, for an unknown key the nearest known one.
func ParseConfig(data []byte) (*Config, error) {
	c := new(Config)
	if err := strict.Decode(data, c, "a configuration"); err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	if err := c.complete(); err != nil {
		return nil, err
	}
	return c, nil
}

// complete fills in defaults and reports what is missing or out of range.
func (c *Config) complete() error {
	text := func(p *string, otherwise string) {
		if *p == "" {
			*p = otherwise
		}
	}
	span := func(p *Duration, otherwise time.Duration) {
		if *p == 0 {
			*p = Duration(otherwise)
		}
	}
	k := &c.Kafka
	text(&k.Group, "millrace")
	text(&k.Impressions, "impressions")
	text(&k.Actions, "actions")
	text(&k.Items, "items")
	text(&k.Users, "users")
	text(&k.DeadLetters, "dead-letters")
	if k.MaxBytes == 0 {
		k.MaxBytes = 1 << 20
	}
	span(&c.Join.Window, 30*time.Minute)
	span(&c.Join.Late, 5*time.Minute)
	span(&c.Join.Idle, 2*time.Second)
	span(&c.Join.Ahead, 24*time.Hour)
	span(&c.Publish.Every, time.Second)
	span(&c.CheckpointEvery, time.Minute)

	var errs []error
	wrong := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf("configuration: "+format, args...))
		}
	}
	wrong(c.Checkpoint == "", "checkpoint: the folder to keep the checkpoint in is missing")
	wrong(len(k.Brokers) == 0, "kafka.brokers: at least one host:port is needed")
	for _, b := range k.Brokers {
		_, _, err := net.SplitHostPort(b)
		wrong(err != nil, "kafka.brokers: %q is not host:port", b)
	}
	seen := map[string]string{}
	for _, t := range []struct{ key, name string }{{"impressions", k.Impressions}, {"actions", k.Actions}, {"items", k.Items}, {"users", k.Users}, {"dead_letters", k.DeadLetters}} {
		wrong(seen[t.name] != "", "kafka.%s and kafka.%s are both %q", seen[t.name], t.key, t.name)
		seen[t.name] = t.key
	}
	for _, d := range []struct {
		key string
		d   Duration
	}{{"join.window", c.Join.Window}, {"join.late", c.Join.Late}, {"join.idle", c.Join.Idle}, {"join.ahead", c.Join.Ahead}, {"publish.every", c.Publish.Every}, {"checkpoint_every", c.CheckpointEvery}} {
		wrong(d.d < Duration(time.Millisecond), "%s: %v is under a millisecond", d.key, time.Duration(d.d))
	}
	wrong(k.MaxBytes < 0, "kafka.max_bytes: %d is negative", k.MaxBytes)
	wrong(c.HistoryUsers < 0, "history_users: %d is negative", c.HistoryUsers)
	for name, t := range c.Tables {
		wrong(t.MaxRows < 0 || t.MaxRows == 1, "tables.%s.max_rows: %d, want 2 or more, or 0 for no bound", name, t.MaxRows)
		wrong(t.EvictAfter < 0 || t.EvictAfter > math.MaxInt32, "tables.%s.evict_after: %d, want 0 to %d steps", name, t.EvictAfter, math.MaxInt32)
	}
	for name, rule := range c.Join.Labels {
		wrong(len(rule.From) == 0, "join.labels.%s.from: at least one type of action is needed", name)
	}
	return errors.Join(errs...)
}
