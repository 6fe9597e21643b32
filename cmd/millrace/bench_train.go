package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/core/graph"
	"github.com/millrace/millrace/core/kernel"
	"github.com/millrace/millrace/core/nn"
	"github.com/millrace/millrace/core/optim"
	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/models"
)

// The step that is measured: a tower 320-400-400-400-1, fed in the second case by 20 fields of 16, each with a table of 10,000 rows.
const (
	benchFields = 20
	benchDim    = 16
	benchIDs    = 10_000
	benchInputs = benchFields * benchDim
	benchUnits  = 400
)

// towerFLOPs is what the three products of each layer take for one row: forward, and the gradients of weights and inputs.
const towerFLOPs = 3 * 2 * (benchInputs*benchUnits + 2*benchUnits*benchUnits + benchUnits)

type trainFigures struct {
	Peak  peaks       `json:"peak_gflops"`
	Train []stepSpeed `json:"train"`
}

// stepSpeed is one kind of step. Rows and operations a second, and the share of peak, are the median step's.
type stepSpeed struct {
	Model       string  `json:"model"`
	Rows        int     `json:"rows"`
	Threads     int     `json:"threads"`
	Steps       int     `json:"steps"`
	FastestMS   float64 `json:"fastest_ms"`
	MedianMS    float64 `json:"median_ms"`
	MaxMS       float64 `json:"max_ms"`
	RowsPerS    float64 `json:"rows_per_second"`
	GFLOPs      float64 `json:"gflops"`
	PeakShare   float64 `json:"peak_share"`
	Allocations uint64  `json:"allocations"`
}

// stepMakers build what takes one step on a batch of so many rows. flops are the operations a row that are counted; a step without is measured when it is asked for.
var stepMakers = []struct {
	name  string
	flops float64
	make  func(rows int) (func() error, error)
}{
	{"mlp", towerFLOPs, makeTowerStep},
	{"dnn", towerFLOPs, makeModelStep},
	{"din", 0, makeDINStep},
}

func benchTrainCommand() *cobra.Command {
	var f benchFlags
	var rows int
	var collector bool
	var names []string
	c := &cobra.Command{
		Use:   "train",
		Short: "Training steps: forward, backward and Adam",
		Long: "Training steps of a tower 320-400-400-400-1 with ReLU: forward, backward and Adam.\n" +
			"mlp is the tower with the gradient of its input; dnn is the whole model, which looks its input up in 20 tables of 10,000 rows of 16 and moves the rows it read.\n" +
			"din is DIN over ragged histories, at the sizes of bench score: lengths geometric with mean 10, cut at 100.",
		Example: "  millrace bench train --json\n  millrace bench train --threads 2 --collector\n  millrace bench train --model din --rows 1024",
		Args:    cobra.NoArgs,
	}
	f.add(c, []int{1, 2}, 1, 3*time.Second, "least duration of all steps of a repetition")
	c.Flags().StringSliceVar(&names, "model", nil, "measure these steps: mlp, dnn, din; default: mlp and dnn")
	c.Flags().IntVar(&rows, "rows", 4096, "rows of a batch")
	c.Flags().BoolVar(&collector, "collector", false, "keep the garbage collector running beside the steps")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if err := f.check(); err != nil {
			return err
		}
		if rows < 1 || rows > 1<<20 {
			return wrong(fmt.Errorf("--rows is %d, want 1 to %d", rows, 1<<20))
		}
		for _, n := range names {
			if n != "mlp" && n != "dnn" && n != "din" {
				return wrong(fmt.Errorf("--model %s is not known; all are: mlp dnn din", n))
			}
		}
		printMachine(c.ErrOrStderr())
		if collector {
			defer collectBeside()()
		}
		r, err := benchTrain(c.Context(), &f, rows, names)
		if err != nil {
			return err
		}
		w := tabwriter.NewWriter(c.ErrOrStderr(), 0, 0, 2, ' ', tabwriter.AlignRight)
		fmt.Fprint(w, "step\trows\tthreads\tfastest ms\tmedian\tmax\trows/s\tGFLOP/s\tof peak\tallocations\t\n")
		for _, s := range r.Train {
			fmt.Fprintf(w, "%s\t%d\t%d\t%.2f\t%.2f\t%.2f\t%.0f\t%.1f\t%.1f %%\t%d\t\n", s.Model, s.Rows, s.Threads, s.FastestMS, s.MedianMS, s.MaxMS,
				s.RowsPerS, s.GFLOPs, 100*s.PeakShare, s.Allocations)
		}
		w.Flush()
		r.Peak.print(c.ErrOrStderr())
		return printJSON(c.OutOrStdout(), f.json, r)
	}
	return c
}

func benchTrain(ctx context.Context, f *benchFlags, rows int, names []string) (*trainFigures, error) {
	defer kernel.SetThreads(0)
	r := &trainFigures{}
	for _, threads := range f.threads {
		kernel.SetThreads(threads)
		for _, m := range stepMakers {
			if len(names) == 0 && m.flops == 0 || len(names) > 0 && !slices.Contains(names, m.name) {
				continue
			}
			s, err := f.timeSteps(ctx, &r.Peak, m.make, rows)
			if err != nil {
				return nil, fmt.Errorf("measure a step of %s: %w", m.name, err)
			}
			s.Model, s.Rows, s.Threads = m.name, rows, threads
			s.RowsPerS = float64(rows) / s.MedianMS * 1e3
			s.GFLOPs = m.flops * s.RowsPerS / 1e9
			r.Train = append(r.Train, s)
		}
	}
	for i := range r.Train {
		s := &r.Train[i]
		s.PeakShare = r.Peak.share(s.Threads, s.GFLOPs)
	}
	return r, nil
}

// timeSteps times each step; of several repetitions it returns the one with the fastest median.
func (f *benchFlags) timeSteps(ctx context.Context, p *peaks, make func(rows int) (func() error, error), rows int) (s stepSpeed, err error) {
	step, err := make(rows)
	if err != nil {
		return s, err
	}
	for range 5 { // buffers grow to their sizes, pages are touched
		if err := step(); err != nil {
			return s, err
		}
	}
	runtime.GC()
	if s.Allocations, err = allocations(5, step); err != nil {
		return s, err
	}
	loop, flops := p.loop()
	peak := repetition{call: loop, minTime: min(f.minTime, 60*time.Millisecond)}
	if err := peak.run(ctx); err != nil {
		return s, err
	}
	var times []float64
	for i := range f.repeat {
		times = times[:0]
		for start := time.Now(); time.Since(start) < f.minTime || len(times) == 0; {
			if err := ctx.Err(); err != nil {
				return s, err
			}
			began := time.Now()
			if err := step(); err != nil {
				return s, err
			}
			times = append(times, float64(time.Since(began).Microseconds())/1e3)
		}
		slices.Sort(times)
		if median := times[len(times)/2]; i == 0 || median < s.MedianMS {
			s.Steps, s.FastestMS, s.MedianMS, s.MaxMS = len(times), times[0], median, times[len(times)-1]
		}
		for range 7 {
			if err := peak.run(ctx); err != nil {
				return s, err
			}
		}
	}
	p.keep(flops / peak.best.Seconds() / 1e9)
	return s, nil
}

// makeTowerStep builds the tower alone: its input is given and gets a gradient.
func makeTowerStep(rows int) (func() error, error) {
	rng := rand.New(rand.NewPCG(3, 4))
	n := nn.New(graph.Float32, 1)
	var x, y, loss *graph.Node
	if err := graph.Build(func() {
		x, y = n.Graph.Input("x", benchInputs), n.Graph.Input("y", 1)
		z := n.MLP("tower", x, nn.MLPSpec{Hidden: []int{benchUnits, benchUnits, benchUnits}, Activation: "relu", Out: 1})
		loss = graph.BCEWithLogits(z, y, nil)
	}); err != nil {
		return nil, err
	}
	plan, err := n.Graph.CompileTraining(loss, append(n.Trainable(), x))
	if err != nil {
		return nil, err
	}
	n.Bind(plan)
	labels := make([]float32, rows)
	for i := range labels {
		labels[i] = float32(rng.IntN(2))
	}
	plan.Bind(x, &graph.Tensor{Rows: rows, Cols: benchInputs, F32: randomFloats(rng, rows*benchInputs)})
	plan.Bind(y, &graph.Tensor{Rows: rows, Cols: 1, F32: labels})
	adam, err := optim.New(optim.Config{Optimizer: optim.AdamName})
	if err != nil {
		return nil, err
	}
	dense := make([]optim.Dense, len(n.Params))
	return func() error {
		if err := plan.Run(); err != nil {
			return err
		}
		for i, p := range n.Params {
			dense[i] = optim.Dense{Name: p.Name, Value: p.Value, Grad: plan.Grad(p.Node)}
		}
		_, _, err := adam.Step(dense, nil)
		return err
	}, nil
}

// makeModelStep builds the whole model and goes round over batches of uniform ids.
func makeModelStep(rows int) (func() error, error) {
	var schema strings.Builder
	schema.WriteString("labels: [{name: click}]\nfields:\n")
	for i := range benchFields {
		fmt.Fprintf(&schema, "  - {name: f%d}\n", i)
	}
	program, err := benchProgram(schema.String(), fmt.Sprintf(
		"model: DNN\nembedding_dim: %d\nhidden_units: [%d, %[2]d, %[2]d]\nembedding_optimizer: sparse_adam\n", benchDim, benchUnits))
	if err != nil {
		return nil, err
	}
	trainer, err := program.NewTrainer(benchVocabulary(program, func(string) int { return benchIDs }), false)
	if err != nil {
		return nil, err
	}
	rng := rand.New(rand.NewPCG(5, 6))
	batches := make([]*features.Batch, 8)
	for i := range batches {
		b := &features.Batch{Rows: rows, Columns: make([]features.Column, benchFields), Labels: [][]float32{make([]float32, rows)}}
		for r := range rows {
			for c := range b.Columns {
				b.Columns[c].IDs = append(b.Columns[c].IDs, 1+rng.Uint64N(benchIDs))
			}
			b.Labels[0][r] = float32(rng.IntN(2))
		}
		batches[i] = b
	}
	return trainRound(trainer, batches), nil
}

// trainRound goes round over batches, one a call.
func trainRound(trainer *models.Trainer, batches []*features.Batch) func() error {
	next := 0
	return func() error {
		b := batches[next%len(batches)]
		next++
		_, _, err := trainer.Train(b)
		return err
	}
}

// benchProgram builds a program from the texts of a schema and a model file.
func benchProgram(schema, model string) (*models.Program, error) {
	s, err := features.ParseSchema([]byte(schema))
	if err != nil {
		return nil, err
	}
	spec, err := models.Parse([]byte(model), s)
	if err != nil {
		return nil, err
	}
	return models.NewProgram(spec, s, 7)
}

// benchVocabulary has the ids 1 to size of each vocabulary that the program reads.
func benchVocabulary(p *models.Program, size func(vocabulary string) int) features.Vocabulary {
	v := features.Vocabulary{}
	for _, t := range p.Tables() {
		if v[t.Vocabulary] != nil {
			continue
		}
		for id := range size(t.Vocabulary) {
			v[t.Vocabulary] = append(v[t.Vocabulary], uint64(id+1))
		}
	}
	return v
}

// collectBeside collects garbage over and over until the returned function is called.
func collectBeside() (stop func()) {
	done := make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() {
		for {
			select {
			case <-done:
				return
			case <-time.After(10 * time.Millisecond):
				runtime.GC()
			}
		}
	})
	return func() {
		close(done)
		running.Wait()
	}
}
