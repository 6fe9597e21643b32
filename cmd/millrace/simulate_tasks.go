package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/millrace/millrace/core/metric"
	"github.com/millrace/millrace/internal/world"
)

// simulatedTasks are the figures of a simulate run with --tasks. AUCBest is that of the true probabilities, a task each.
type simulatedTasks struct {
	Events  int64              `json:"events"`
	Rate    map[string]float64 `json:"rate"`
	AUCBest map[string]float64 `json:"auc_best"`
	Seconds float64            `json:"seconds"`
}

// simulateTasks writes the impressions of a world of two conflicting tasks as CSV, and their true probabilities to F.truth.
func simulateTasks(ctx context.Context, f simulateFlags, stdout, stderr io.Writer) error {
	if f.out == "" || f.kafka != "" || f.malformed > 0 || f.random != 0 {
		return wrong(errors.New("simulate: --tasks writes a table: give --out FILE, and neither --kafka nor --malformed nor --random"))
	}
	w, err := world.NewTasks(world.TasksConfig{Seed: f.seed, Users: f.users, Items: f.items})
	if err != nil {
		return wrong(err)
	}
	start := time.Now()
	var rows [2]metric.Rows
	var positive [2]float64
	got := &simulatedTasks{Rate: map[string]float64{}, AUCBest: map[string]float64{}}
	err = errors.Join(
		writeFile(f.out, func(events *bufio.Writer) error {
			return writeFile(f.out+".truth", func(truth *bufio.Writer) error {
				fmt.Fprintln(events, "user,item,topic,style,mode,trait1,trait2,trait3,time,mood,click,save")
				fmt.Fprintln(truth, "click,save")
				for ; got.Events < f.events && ctx.Err() == nil; got.Events++ {
					r := w.Next()
					var label [2]float32
					for i, y := range r.Label {
						if y {
							label[i] = 1
							positive[i]++
						}
						rows[i].Add([]float32{float32(r.Probability[i])}, []float32{label[i]}, nil, nil)
					}
					fmt.Fprintf(events, "%d,%d,%d,%d,%d,%d,%d,%d,%d,%d,%g,%g\n", r.User, r.Item, r.Topic, r.Style, r.Mode, r.Traits[0], r.Traits[1], r.Traits[2], r.TimeMS, r.Mood, label[0], label[1])
					if _, err := fmt.Fprintf(truth, "%.9g,%.9g\n", r.Probability[0], r.Probability[1]); err != nil {
						return err
					}
				}
				return nil
			})
		}), ctx.Err())
	if err != nil {
		return fmt.Errorf("simulate: %w", err)
	}
	for i, name := range world.TaskNames {
		got.Rate[name], got.AUCBest[name] = positive[i]/float64(got.Events), rows[i].AUC()
		fmt.Fprintf(stderr, "%s: rate %.3f, best reachable AUC %.4f\n", name, got.Rate[name], got.AUCBest[name])
	}
	got.Seconds = time.Since(start).Seconds()
	return printJSON(stdout, f.json, got)
}

// writeFile lets fill write a file of that name.
func writeFile(name string, fill func(*bufio.Writer) error) error {
	file, err := os.Create(name)
	if err != nil {
		return wrong(err)
	}
	w := bufio.NewWriterSize(file, 1<<20)
	return errors.Join(fill(w), w.Flush(), file.Close())
}
