package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/core/metric"
	"github.com/millrace/millrace/internal/world"
	"github.com/millrace/millrace/streaming"
)

type simulateFlags struct {
	events       int64
	seed         uint64
	out          string
	kafka        string
	malformed    float64
	json         bool
	users, items int
	random       float64
	tasks        bool
}

func simulateCommand() *cobra.Command {
	var f simulateFlags
	c := &cobra.Command{
		Use:   "simulate --events N [--out F | --kafka ADDR]",
		Short: "Write the events of a simulated audience whose best AUC is known",
		Long: `Writes impressions and clicks of a simulated audience, and the items and users they are about, as JSON lines to a file or to Kafka.

The audience's true click probabilities are known. With --out F they go to F.truth (one line an impression), never into the events: the best AUC that any
model can reach is printed at the end. --malformed mixes in events that no consumer can use, in ten different ways; F.malformed lists each with the reason
that a consumer should give. With --kafka, topics that the brokers have not yet are made, impressions and actions with four partitions each.

--tasks writes another world instead: a CSV table of impressions with two labels, click and save, which want different things of the same behaviours, and the true probabilities in F.truth.
examples/conflict has its recipe.`,
		Example: `  millrace simulate --events 100000 --seed 1 --out events.jsonl
  millrace simulate --events 1000000 --malformed 0.01 --kafka localhost:9092 --json`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return simulate(c.Context(), f, c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	fl := c.Flags()
	fl.Int64Var(&f.events, "events", 100_000, "how many impressions and actions, malformed ones included")
	fl.Uint64Var(&f.seed, "seed", 1, "the world's seed: the same seed gives the same events")
	fl.StringVar(&f.out, "out", "", "file for the events; F.truth and F.malformed go beside it")
	fl.StringVar(&f.kafka, "kafka", "", "Kafka brokers to write to, comma separated")
	fl.Float64Var(&f.malformed, "malformed", 0, "share of events that are malformed")
	fl.BoolVar(&f.json, "json", false, "print the figures as one JSON object")
	fl.IntVar(&f.users, "users", 0, "users in the world (default 20000)")
	fl.IntVar(&f.items, "items", 0, "items in the world (default 5000)")
	fl.Float64Var(&f.random, "random", 0, "share of requests ranked at random (default 0.25)")
	fl.BoolVar(&f.tasks, "tasks", false, "a table of impressions with two conflicting tasks instead of events")
	return c
}

// simulated are the figures of a simulate run.
type simulated struct {
	Events      int64    `json:"events"`
	Impressions int64    `json:"impressions"`
	Actions     int64    `json:"actions"`
	Malformed   int64    `json:"malformed"`
	Entities    int64    `json:"entities"`
	ClickRate   float64  `json:"click_rate"`
	AUCBest     *float64 `json:"auc_best"` // of random rows, scored by their true probability averaged over positions
	Seconds     float64  `json:"seconds"`
}

func simulate(ctx context.Context, f simulateFlags, stdout, stderr io.Writer) error {
	if f.tasks && f.events > 0 {
		return simulateTasks(ctx, f, stdout, stderr)
	}
	if f.out == "" && f.kafka == "" {
		return wrong(errors.New("simulate: say where the events go: --out FILE or --kafka ADDR"))
	}
	if f.events < 1 {
		return wrong(fmt.Errorf("simulate: --events %d: at least 1", f.events))
	}
	if f.malformed < 0 || f.malformed >= 1 {
		return wrong(fmt.Errorf("simulate: --malformed %g is outside [0, 1)", f.malformed))
	}
	w, err := world.New(world.Config{Seed: f.seed, Users: f.users, Items: f.items, Random: f.random})
	if err != nil {
		return wrong(err)
	}
	start := time.Now()
	sinks, err := openSinks(ctx, f)
	if err != nil {
		return err
	}
	got, err := tell(ctx, w, f, sinks, stderr)
	err = errors.Join(err, sinks.close())
	if err != nil {
		return err
	}
	got.Seconds = time.Since(start).Seconds()
	best := "undefined"
	if got.AUCBest != nil {
		best = fmt.Sprintf("%.4f", *got.AUCBest)
	}
	fmt.Fprintf(stderr, "%d events in %.1f s: %d impressions, %d actions, %d malformed; %d items and users\nclick rate %.3f; best reachable AUC on random rows %s\n",
		got.Events, got.Seconds, got.Impressions, got.Actions, got.Malformed, got.Entities, got.ClickRate, best)
	return printJSON(stdout, f.json, got)
}

// tell writes the entities and then the events to the sinks, until it is interrupted: what was told until then is written whole.
func tell(interrupted context.Context, w *world.World, f simulateFlags, s *sinks, stderr io.Writer) (*simulated, error) {
	ctx := context.WithoutCancel(interrupted)
	h := newHistory(w)
	got := &simulated{}
	for _, m := range h.entities() {
		if err := s.event(ctx, m); err != nil {
			return nil, err
		}
		got.Entities++
	}
	rng := rand.New(rand.NewPCG(f.seed, 0x62_61_64))
	truths := map[string]told{} // impressions whose clicks may still come
	var order []string
	var rows metric.Rows
	clicks := map[string]bool{}
	settle := func(before int64) {
		for len(order) > 0 && truths[order[0]].timeMS < before {
			id := order[0]
			order = order[1:]
			label := float32(0)
			if clicks[id] {
				label = 1
			}
			if t := truths[id]; t.random {
				rows.Add([]float32{float32(t.average)}, []float32{label}, nil, nil)
			}
			delete(truths, id)
			delete(clicks, id)
		}
	}
	bad := malformer{rng: rng}
	last := time.Now()
	for got.Events < f.events {
		e := h.next()
		if f.malformed > 0 && rng.Float64() < f.malformed {
			m, reason := bad.make(e, got.Malformed)
			if err := s.malformed(ctx, m, reason); err != nil {
				return nil, err
			}
			got.Malformed++
			got.Events++
			if got.Events == f.events {
				break
			}
		}
		if err := s.told(ctx, e); err != nil {
			return nil, err
		}
		got.Events++
		if e.impression != "" {
			got.Impressions++
			truths[e.impression] = e
			order = append(order, e.impression)
		} else {
			got.Actions++
			clicks[e.of] = true
		}
		settle(e.timeMS - 10_000)
		if got.Events%1024 != 0 {
			continue
		}
		if interrupted.Err() != nil {
			fmt.Fprintf(stderr, "stopped after %d of %d events\n", got.Events, f.events)
			break
		}
		if time.Since(last) > 2*time.Second {
			last = time.Now()
			fmt.Fprintf(stderr, "%d of %d events\n", got.Events, f.events)
		}
	}
	settle(1 << 62)
	if auc := rows.AUC(); auc == auc {
		got.AUCBest = &auc
	}
	if got.Impressions > 0 {
		got.ClickRate = float64(got.Actions) / float64(got.Impressions)
	}
	return got, s.flush(ctx)
}

// sinks are where events go: a file with its truth and malformed lists, Kafka, or both.
type sinks struct {
	files            []*os.File
	events, truth, m *bufio.Writer
	line             int64
	kafka            *streaming.Producer
	batch            []streaming.Message
}

// simulatePartitions is how many partitions impressions and actions get where the brokers have not these topics yet.
const simulatePartitions = 4

func openSinks(ctx context.Context, f simulateFlags) (*sinks, error) {
	s := &sinks{}
	if f.kafka != "" {
		brokers := strings.Split(f.kafka, ",")
		for i := range brokers {
			brokers[i] = strings.TrimSpace(brokers[i])
			if _, _, err := net.SplitHostPort(brokers[i]); err != nil {
				return nil, wrong(fmt.Errorf("simulate: --kafka %q is not host:port", brokers[i]))
			}
		}
		if err := streaming.EnsureTopics(ctx, brokers, streaming.EventTopics(simulatePartitions)); err != nil {
			return nil, fmt.Errorf("simulate: %w", err)
		}
		s.kafka = streaming.NewProducer(brokers)
	}
	if f.out != "" {
		for _, o := range []struct {
			suffix string
			w      **bufio.Writer
		}{{"", &s.events}, {".truth", &s.truth}, {".malformed", &s.m}} {
			file, err := os.Create(f.out + o.suffix)
			if err != nil {
				return nil, wrong(errors.Join(fmt.Errorf("simulate: %w", err), s.close()))
			}
			s.files = append(s.files, file)
			*o.w = bufio.NewWriterSize(file, 1<<20)
		}
	}
	return s, nil
}

// fileEvent is one line of the events' file. Value is the event; a value that is not JSON is given as its bytes in base64 instead.
type fileEvent struct {
	Topic string          `json:"topic"`
	Key   string          `json:"key"`
	Value json.RawMessage `json:"value,omitempty"`
	Bytes *string         `json:"value_base64,omitempty"`
}

func (s *sinks) event(ctx context.Context, m streaming.Message) error {
	if s.events != nil {
		s.line++
		e := fileEvent{Topic: m.Topic, Key: string(m.Key), Value: m.Value}
		if !json.Valid(m.Value) {
			b := base64.StdEncoding.EncodeToString(m.Value)
			e.Value, e.Bytes = nil, &b
		}
		if err := writeLine(s.events, e); err != nil {
			return fmt.Errorf("write event %d: %w", s.line, err)
		}
	}
	if s.kafka != nil {
		if s.batch = append(s.batch, m); len(s.batch) >= 5_000 {
			return s.flush(ctx)
		}
	}
	return nil
}

func (s *sinks) told(ctx context.Context, e told) error {
	if s.truth != nil && e.impression != "" {
		err := writeLine(s.truth, struct {
			ImpressionID string  `json:"impression_id"`
			P            float64 `json:"p"`
			PAverage     float64 `json:"p_average"`
		}{e.impression, e.truth, e.average})
		if err != nil {
			return fmt.Errorf("write the truth of impression %s: %w", e.impression, err)
		}
	}
	return s.event(ctx, e.Message)
}

func (s *sinks) malformed(ctx context.Context, m streaming.Message, reason string) error {
	if err := s.event(ctx, m); err != nil {
		return err
	}
	if s.m == nil {
		return nil
	}
	err := writeLine(s.m, struct {
		Line   int64  `json:"line"`
		Topic  string `json:"topic"`
		Key    string `json:"key"`
		Bytes  []byte `json:"value_base64"`
		Reason string `json:"reason"`
	}{s.line, m.Topic, string(m.Key), m.Value, reason})
	if err != nil {
		return fmt.Errorf("write malformed event at line %d: %w", s.line, err)
	}
	return nil
}

func (s *sinks) flush(ctx context.Context) error {
	if len(s.batch) == 0 {
		return nil
	}
	err := s.kafka.Write(ctx, s.batch...)
	s.batch = s.batch[:0]
	return err
}

func (s *sinks) close() error {
	var errs []error
	for _, w := range []*bufio.Writer{s.events, s.truth, s.m} {
		if w != nil {
			errs = append(errs, w.Flush())
		}
	}
	for _, f := range s.files {
		errs = append(errs, f.Close())
	}
	if s.kafka != nil {
		errs = append(errs, s.kafka.Close())
	}
	return errors.Join(errs...)
}

func writeLine(w io.Writer, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = w.Write(append(data, '\n'))
	return err
}
