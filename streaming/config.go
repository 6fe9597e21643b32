package streaming

// Config is the YAML of `millrace stream` (docs: the design's keys). Unknown keys are errors that name the nearest known key.
type Config struct {
	Schema     string        `yaml:"schema"`
	Model      string        `yaml:"model"`
	Checkpoint string        `yaml:"checkpoint"`
	Listen     string        `yaml:"listen"` // metrics
	Kafka      KafkaConfig   `yaml:"kafka"`
	Join       JoinConfig    `yaml:"join"`
	Publish    PublishConfig `yaml:"publish"`
	// CheckpointEvery is how often a checkpoint is written (default 60s).
	CheckpointEvery Duration `yaml:"checkpoint_every"`
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
}

// JoinConfig: a row leaves the join when its window closes on event time; Late is how far events may be out of order.
type JoinConfig struct {
	Window Duration             `yaml:"window"`
	Late   Duration             `yaml:"late"`
	Labels map[string]LabelRule `yaml:"labels"`
}

// LabelRule: the label is 1 when one of these actions came within the window.
type LabelRule struct {
	From []string `yaml:"from"`
}

// PublishConfig: where and how often updates go.
type PublishConfig struct {
	Redis string   `yaml:"redis"`
	Every Duration `yaml:"every"`
}

// Duration is a time.Duration written as "30m".
type Duration int64

// ParseConfig reads and checks a configuration.
func ParseConfig(data []byte) (*Config, error) { panic("contract") }
