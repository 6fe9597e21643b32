package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/core/kernel"
	"github.com/millrace/millrace/core/snapshot"
	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/models"
)

// The model that is measured: DIN over item and category of 16 each, attention unit 80-40 sigmoid with softmax, tower 200-80 PReLU.
// Its rows are drawn wide, so that scores differ from one candidate to the next.
const (
	dinSchema = `
user: user
item: item
labels: [{name: click}]
fields:
  - {name: user, from: user}
  - {name: item, from: item}
  - {name: category, from: item}
  - {name: hist_item, type: sequence, shares: item, from: history, max: 100}
  - {name: hist_category, type: sequence, shares: category, from: history, max: 100}
`
	dinModel = "model: DIN\nembedding_dim: 16\ndnn_hidden_units: [200, 80]\ndnn_activations: prelu\nattention_hidden_units: [80, 40]\n" +
		"attention_hidden_activations: sigmoid\ndin_use_softmax: true\nembedding_optimizer: sparse_adam\nembedding_initializer_std: 0.5\n"
)

// dinSizes are how many rows the tables have.
var dinSizes = map[string]int{"user": 50_000, "item": 60_000, "category": 800}

// request is one user's candidates with one history.
type request struct{ candidates, behaviours int }

var requests = []request{{200, 100}, {200, 10}, {1, 100}}

type scoreFigures struct {
	Peak  peaks        `json:"peak_gflops"`
	Score []scoreSpeed `json:"score"`
}

// scoreSpeed is one kind of request: encoded ids in, probabilities out.
type scoreSpeed struct {
	Model       string  `json:"model"`
	Candidates  int     `json:"candidates"`
	Behaviours  int     `json:"behaviours"`
	Threads     int     `json:"threads"`
	FastestMS   float64 `json:"fastest_ms"`
	PerSecond   float64 `json:"candidates_per_second"`
	Allocations uint64  `json:"allocations"`
}

func benchScoreCommand() *cobra.Command {
	var f benchFlags
	var write string
	c := &cobra.Command{
		Use:   "score",
		Short: "Requests to DIN: one user's candidates with one history",
		Long: "Requests to DIN with item and category of 16, attention unit 80-40, tower 200-80: encoded ids in, probabilities out,\n" +
			"rows looked up in tables of 50,000 users, 60,000 items and 800 categories.",
		Example: "  millrace bench score --json",
		Args:    cobra.NoArgs,
	}
	f.add(c, []int{1}, 7, 60*time.Millisecond, "least duration of a repetition")
	c.Flags().StringVar(&write, "write", "", "write weights, requests and scores to this safetensors file, for another runtime to compare with")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if err := f.check(); err != nil {
			return err
		}
		printMachine(c.ErrOrStderr())
		r, err := benchScore(c.Context(), &f, write)
		if err != nil {
			return err
		}
		w := tabwriter.NewWriter(c.ErrOrStderr(), 0, 0, 2, ' ', tabwriter.AlignRight)
		fmt.Fprint(w, "candidates\tbehaviours\tthreads\tfastest ms\tcandidates/s\tallocations\t\n")
		for _, s := range r.Score {
			fmt.Fprintf(w, "%d\t%d\t%d\t%.4f\t%.0f\t%d\t\n", s.Candidates, s.Behaviours, s.Threads, s.FastestMS, s.PerSecond, s.Allocations)
		}
		w.Flush()
		r.Peak.print(c.ErrOrStderr())
		return printJSON(c.OutOrStdout(), f.json, r)
	}
	return c
}

// dinTrainer makes the model and its tables with all their ids.
func dinTrainer() (*models.Program, *models.Trainer, error) {
	program, err := benchProgram(dinSchema, dinModel)
	if err != nil {
		return nil, nil, err
	}
	trainer, err := program.NewTrainer(benchVocabulary(program, func(v string) int { return dinSizes[v] }), false)
	return program, trainer, err
}

func benchScore(ctx context.Context, f *benchFlags, write string) (*scoreFigures, error) {
	defer kernel.SetThreads(0)
	program, trainer, err := dinTrainer()
	if err != nil {
		return nil, err
	}
	weights, err := program.NewWeights("bench", trainer.Step.Dense())
	if err != nil {
		return nil, err
	}
	scorer, err := program.NewScorer()
	if err != nil {
		return nil, err
	}
	r := &scoreFigures{}
	exchange := tablesAndDense(trainer)
	for _, threads := range f.threads {
		kernel.SetThreads(threads)
		for _, q := range requests {
			batch := q.batch()
			var out [][]float32
			call := func() (err error) {
				out, err = scorer.Score(batch, weights, models.TableRows(trainer.Tables), out)
				return err
			}
			runtime.GC()
			t, err := f.fastest(ctx, &r.Peak, call)
			if err != nil {
				return nil, err
			}
			n, err := allocations(20, call)
			if err != nil {
				return nil, err
			}
			if threads == f.threads[0] {
				exchange = append(exchange, q.tensors(batch, out[0])...)
			}
			r.Score = append(r.Score, scoreSpeed{
				Model: "din", Candidates: q.candidates, Behaviours: q.behaviours, Threads: threads,
				FastestMS: t.Seconds() * 1e3, PerSecond: float64(q.candidates) / t.Seconds(), Allocations: n,
			})
		}
	}
	if write == "" {
		return r, nil
	}
	return r, writeTensors(write, exchange)
}

// tablesAndDense are the model's weights: tables with the row of id i at i, the unknown row at 0, and the dense tensors under their names.
func tablesAndDense(t *models.Trainer) []snapshot.Tensor {
	out := t.Step.Dense()
	for _, name := range models.SortedNames(t.Tables) {
		tab := t.Tables[name]
		var rows []float32
		for id := range uint64(tab.Len()) {
			rows = append(rows, tab.Row(tab.Find(id))...)
		}
		out = append(out, snapshot.NewTensor(name, rows, tab.Len(), tab.Dim()))
	}
	return out
}

// tensors are the request's ids, field by field, and the scores they got.
func (q request) tensors(b *features.Batch, scores []float32) []snapshot.Tensor {
	name := fmt.Sprintf("%dx%d/", q.candidates, q.behaviours)
	ids := func(field string, column, n int) snapshot.Tensor {
		return snapshot.NewTensor(name+field, slices.Clone(b.Columns[column].IDs[:n]), n)
	}
	return []snapshot.Tensor{
		ids("user", 0, 1), ids("item", 1, q.candidates), ids("category", 2, q.candidates), ids("hist_item", 3, q.behaviours), ids("hist_category", 4, q.behaviours),
		snapshot.NewTensor(name+"scores", slices.Clone(scores), len(scores)),
	}
}

func writeTensors(path string, tensors []snapshot.Tensor) error {
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("write weights and scores: %w", err)
	}
	if err := snapshot.EncodeTensors(f, tensors, nil); err != nil {
		f.Close()
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// batch has the request's rows: one user and history, candidates drawn uniformly.
func (q request) batch() *features.Batch {
	rng := rand.New(rand.NewPCG(7, 8))
	draw := func(vocabulary string) uint64 { return 1 + rng.Uint64N(uint64(dinSizes[vocabulary])) }
	items, categories := make([]uint64, q.behaviours), make([]uint64, q.behaviours)
	for i := range items {
		items[i], categories[i] = draw("item"), draw("category")
	}
	b := &features.Batch{Rows: q.candidates, Columns: make([]features.Column, 5), Labels: [][]float32{make([]float32, q.candidates)}}
	user := draw("user")
	b.Columns[3].Offsets, b.Columns[4].Offsets = []int32{0}, []int32{0}
	for range q.candidates {
		b.Columns[0].IDs = append(b.Columns[0].IDs, user)
		b.Columns[1].IDs = append(b.Columns[1].IDs, draw("item"))
		b.Columns[2].IDs = append(b.Columns[2].IDs, draw("category"))
		for c, ids := range [][]uint64{items, categories} {
			b.Columns[3+c].IDs = append(b.Columns[3+c].IDs, ids...)
			b.Columns[3+c].Offsets = append(b.Columns[3+c].Offsets, int32(len(b.Columns[3+c].IDs)))
		}
	}
	return b
}
