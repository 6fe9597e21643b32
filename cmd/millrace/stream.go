package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/core/snapshot"
	"github.com/millrace/millrace/core/table"
	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/models"
	"github.com/millrace/millrace/serving/store"
	"github.com/millrace/millrace/streaming"
	"github.com/millrace/millrace/training"
)

func streamCommand() *cobra.Command {
	var (
		config, init string
		threads      int
		asJSON       bool
	)
	c := &cobra.Command{
		Use:   "stream --config C.yaml [--init CHECKPOINT]",
		Short: "Train on events from Kafka as they come, and publish fresh weights and histories",
		Long: `Reads impressions, actions, items and users from Kafka, joins impressions with later actions, trains on them, and publishes what changed to Redis.

Offsets live in the checkpoint with the weights that they produced: after a crash the daemon goes on from there, and no row is trained twice or lost. Ctrl-C
writes a last checkpoint. Events that cannot be used go to the dead-letter topic with the reason. docs/stream.md lists the configuration's keys.`,
		Example: "  millrace stream --config stream.yaml --init runs/din",
		Args:    cobra.NoArgs,
	}
	flags := c.Flags()
	flags.StringVar(&config, "config", "", "the daemon's configuration (YAML)")
	flags.StringVar(&init, "init", "", "start from this checkpoint, while the daemon has none of its own; where the schema differs, from the weights that still mean the same")
	flags.IntVar(&threads, "threads", 0, "threads of the numeric kernels (default: all processors)")
	flags.BoolVar(&asJSON, "json", false, "print the figures as one JSON object on the last line")
	c.MarkFlagRequired("config")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if err := setThreads(threads); err != nil {
			return err
		}
		f, err := stream(c.Context(), config, init, c.ErrOrStderr())
		if err != nil {
			return err
		}
		return printJSON(c.OutOrStdout(), asJSON, f)
	}
	return c
}

// streamFigures are the figures of a daemon's run; counts are of its whole life.
type streamFigures struct {
	EventsIn    int64   `json:"events_in"`
	RowsTrained int64   `json:"rows_trained"`
	DeadLetters int64   `json:"dead_letters"`
	Late        int64   `json:"late"`
	Duplicates  int64   `json:"duplicates"`
	Unmatched   int64   `json:"unmatched"`
	WatermarkMS int64   `json:"watermark_ms"`
	Lag         int64   `json:"lag"`
	Version     string  `json:"version"`
	Checkpoint  string  `json:"checkpoint"`
	Seconds     float64 `json:"seconds"`
	// Init is what was taken over from the checkpoint of --init where the schema differs from its.
	Init *models.Inheritance `json:"init,omitempty"`
}

// stream runs a daemon until ctx ends.
func stream(ctx context.Context, config, init string, stderr io.Writer) (*streamFigures, error) {
	start := time.Now()
	cfg, err := readStreamConfig(config)
	if err != nil {
		return nil, wrong(err)
	}
	release, err := holdFolder(cfg.Checkpoint)
	if err != nil {
		return nil, wrong(err)
	}
	defer release()
	o := streaming.Options{Config: cfg}
	lines := &lineWriter{w: stderr}
	inherited, err := startLearner(&o, init, lines)
	if err != nil {
		return nil, err
	}
	if cfg.Publish.Redis != "" {
		s, err := store.Open(ctx, cfg.Publish.Redis)
		if err != nil {
			return nil, err
		}
		defer s.Close()
		o.Publisher = s
	}
	o.OnRetry = lines.retry
	d, err := streaming.New(o)
	if err != nil {
		return nil, wrong(err)
	}
	lines.line("reading %s and %s from %v; checkpoint in %s", cfg.Kafka.Impressions, cfg.Kafka.Actions, cfg.Kafka.Brokers, cfg.Checkpoint)
	if cfg.Listen != "" {
		lines.line("metrics and health on %s", cfg.Listen)
	}
	told, stop := context.WithCancel(ctx)
	var telling sync.WaitGroup
	telling.Go(func() { tellStream(told, d, lines) })
	err = d.Run(ctx)
	stop()
	telling.Wait()
	if err != nil {
		return nil, err
	}
	f := d.Figures()
	lines.line("stopped; the checkpoint is in %s: %d events, %d rows trained, %d dead letters", cfg.Checkpoint, f.EventsIn, f.RowsTrained, f.DeadLetters)
	return &streamFigures{
		EventsIn: f.EventsIn, RowsTrained: f.RowsTrained, DeadLetters: f.DeadLetters, Late: f.Late, Duplicates: f.Duplicates, Unmatched: f.Unmatched,
		WatermarkMS: f.WatermarkMS, Lag: f.Lag, Version: f.Version, Checkpoint: cfg.Checkpoint, Seconds: time.Since(start).Seconds(), Init: inherited,
	}, nil
}

// readStreamConfig reads a configuration. Schema and model may be written relative to its folder.
func readStreamConfig(path string) (*streaming.Config, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	c, err := streaming.ParseConfig(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	for _, f := range []struct {
		key  string
		path *string
	}{{"schema", &c.Schema}, {"model", &c.Model}} {
		if *f.path == "" {
			return nil, fmt.Errorf("%s: %s: the file's path is missing", path, f.key)
		}
		if filepath.IsAbs(*f.path) {
			continue
		}
		if _, err := os.Stat(*f.path); err != nil {
			*f.path = filepath.Join(filepath.Dir(path), *f.path)
		}
	}
	return c, nil
}

// startLearner sets the schema and the learner: from the daemon's own checkpoint, else from init's, else from nothing. It returns what was taken over from init's where the schema
// differs from its.
func startLearner(o *streaming.Options, init string, lines *lineWriter) (*models.Inheritance, error) {
	c := o.Config
	schema, spec, err := readSpec(c.Schema, c.Model)
	if err != nil {
		return nil, wrong(err)
	}
	for _, n := range spec.Notices {
		lines.line("%s", n)
	}
	o.Schema = schema
	name := c.Publish.Model
	if name == "" {
		name = spec.Name
	}
	options := training.IncrementalOptions{Model: name, Limits: map[string]table.Limits{}}
	for of, t := range c.Tables {
		options.Limits[of] = table.Limits{MaxRows: t.MaxRows, EvictAfter: uint32(t.EvictAfter)}
	}
	own, err := streaming.OpenState(c)
	if err != nil {
		return nil, err
	}
	from := init
	if own != nil {
		if init != "" {
			lines.line("--init %s has no effect: the daemon goes on from its own checkpoint in %s", init, own.Dir)
		}
		from = own.Dir
	}
	if from == "" {
		learner, err := training.NewIncremental(spec, schema, options)
		if err != nil {
			return nil, wrong(err)
		}
		o.Learner = learner
		return nil, nil
	}
	if own == nil {
		if _, err := snapshot.Locate(from); err != nil {
			return nil, wrong(fmt.Errorf("--init: %w", err))
		}
	}
	checkpoint, err := models.Load(from)
	if err != nil {
		return nil, err
	}
	differs := sameSchema(schema, checkpoint.Schema)
	if differs != nil && own != nil {
		return nil, wrong(fmt.Errorf("%s and the checkpoint in %s: %w", c.Schema, from, differs))
	}
	switch then := checkpoint.Spec; {
	case then.Name != spec.Name:
		return nil, wrong(fmt.Errorf("%s is a %s and the checkpoint in %s a %s: start with another checkpoint folder", c.Model, spec.Name, from, then.Name))
	case differs != nil:
		learner, in, err := training.WarmIncremental(spec, schema, checkpoint, options)
		if err != nil {
			return nil, wrong(fmt.Errorf("--init %s: %w", from, err))
		}
		for _, text := range training.WarmStartLines(in) {
			lines.line("%s", text)
		}
		o.Learner = learner
		return in, nil
	case !reflect.DeepEqual(then.Model, spec.Model) || !reflect.DeepEqual(then.Settings, spec.Settings):
		lines.line("the model's settings are those of the checkpoint in %s; where %s differs from them it has no effect", from, c.Model)
	}
	if own != nil {
		// The position and the weights must be of one and the same checkpoint.
		o.State = checkpoint.Snapshot
		lines.line("going on from the checkpoint in %s, version %s", own.Dir, checkpoint.Snapshot.Manifest.Version)
	}
	learner, err := training.ResumeIncremental(checkpoint, options)
	if err != nil {
		return nil, err
	}
	o.Learner = learner
	return nil, nil
}

// sameSchema reports whether events encoded by one schema mean the same to weights trained under the other.
func sameSchema(now, then *features.Schema) error {
	a, err := now.Marshal()
	if err != nil {
		return err
	}
	b, err := then.Marshal()
	if err != nil {
		return err
	}
	if !bytes.Equal(a, b) {
		return errors.New("the schema differs from the one that the weights were trained with: start with another checkpoint folder, and --init with this one to keep what still means the same")
	}
	return nil
}

// tellEveryStream is how often the daemon's figures are told.
const tellEveryStream = 10 * time.Second

// tellStream writes a line of figures now and then.
func tellStream(ctx context.Context, d *streaming.Daemon, lines *lineWriter) {
	tick := time.NewTicker(tellEveryStream)
	defer tick.Stop()
	last := d.Figures()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		f := d.Figures()
		lines.line("%d events (%.0f/s), %d rows trained, %d dead letters, lag %d, version %s",
			f.EventsIn, float64(f.EventsIn-last.EventsIn)/tellEveryStream.Seconds(), f.RowsTrained, f.DeadLetters, f.Lag, f.Version)
		last = f
	}
}

// lineWriter writes lines from several goroutines, and of what is tried again and again only a line now and then.
type lineWriter struct {
	mu      sync.Mutex
	w       io.Writer
	retried time.Time
	unsaid  int
}

func (l *lineWriter) line(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fmt.Fprintf(l.w, format+"\n", args...)
}

func (l *lineWriter) retry(what string, err error, in time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if time.Since(l.retried) < 2*time.Second {
		l.unsaid++
		return
	}
	more := ""
	if l.unsaid > 0 {
		more = fmt.Sprintf(" (and %d more like it)", l.unsaid)
	}
	l.retried, l.unsaid = time.Now(), 0
	fmt.Fprintf(l.w, "%s: %v; again in %v%s\n", what, err, in.Round(time.Millisecond), more)
}
