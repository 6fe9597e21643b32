package models

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/millrace/millrace/core/graph"
	"github.com/millrace/millrace/core/optim"
	"github.com/millrace/millrace/core/snapshot"
	"github.com/millrace/millrace/core/table"
	"github.com/millrace/millrace/features"
)

// Trainer is what moves a program's weights: a step, its tables and its optimizer. Training and the daemon's learner share it.
type Trainer struct {
	Program   *Program
	Tables    map[string]*table.Table
	Step      *Step
	Optimizer *optim.Optimizer

	aware *minibatchAware // nil: the optimizer regularises
}

// NewTrainer returns a trainer with initial weights; see NewStep about admit and NewTables about the vocabulary.
func (p *Program) NewTrainer(v features.Vocabulary, admit bool) (*Trainer, error) {
	tables, err := p.NewTables(v)
	if err != nil {
		return nil, err
	}
	return p.newTrainer(tables, admit)
}

// Trainer returns a trainer that goes on from a checkpoint with the optimizer's state as it was, where the checkpoint has it. It takes over the checkpoint's tables.
func (c *Checkpoint) Trainer(admit bool) (*Trainer, error) {
	t, err := c.Program.newTrainer(c.Tables, admit)
	if err != nil {
		return nil, err
	}
	if err := t.Step.SetDense(c.Dense); err != nil {
		return nil, err
	}
	if c.Snapshot == nil || !slices.ContainsFunc(c.Snapshot.Manifest.Parts, func(p snapshot.PartInfo) bool { return p.Name == OptimizerPart }) {
		return t, nil
	}
	part, err := c.Snapshot.Part(OptimizerPart)
	if err != nil {
		return nil, err
	}
	if err := t.loadOptimizer(part); err != nil {
		return nil, fmt.Errorf("restore the optimizer: %w", err)
	}
	return t, nil
}

func (p *Program) newTrainer(tables map[string]*table.Table, admit bool) (*Trainer, error) {
	t := &Trainer{Program: p, Tables: tables}
	var err error
	if t.Step, err = p.NewStep(tables, admit); err != nil {
		return nil, err
	}
	if t.Optimizer, err = optim.New(p.spec.Settings.Optim()); err != nil {
		return nil, err
	}
	return t, nil
}

// Train takes one step on a batch: the loss without and the value of its L2 part. The step's number is the optimizer's count.
func (t *Trainer) Train(b *features.Batch) (loss, l2 float64, err error) {
	if t.NeedsOccurrences() {
		return 0, 0, errors.New("mini-batch aware regulariser: the training rows' ids are not counted")
	}
	if loss, err = t.Step.Run(b, t.Optimizer.Steps()+1); err != nil {
		return 0, 0, err
	}
	dense, rows := t.Step.Gradients()
	var aware float64
	if t.aware != nil {
		if aware, err = t.aware.add(rows); err != nil {
			return 0, 0, err
		}
	}
	l2, _, err = t.Optimizer.Step(dense, rows)
	return loss, l2 + aware, err
}

// Parts returns the trainer's weights and optimizer state as parts of a checkpoint. The tables' parts are views: nothing may train until they are written.
func (t *Trainer) Parts() []snapshot.Part {
	parts := []snapshot.Part{{Name: DensePart, Tensors: t.Step.Dense()}, t.optimizerPart()}
	for _, spec := range t.Program.tables {
		parts = append(parts, t.Tables[spec.Name].Part())
	}
	return parts
}

const (
	stepsTensor = "steps"
	rateTensor  = "learning_rate"
)

func (t *Trainer) optimizerPart() snapshot.Part {
	state, steps := t.Optimizer.State()
	p := snapshot.Part{Name: OptimizerPart, Tensors: []snapshot.Tensor{
		snapshot.NewTensor(stepsTensor, []uint64{steps}),
		snapshot.NewTensor(rateTensor, []float64{t.Optimizer.LearningRate()}),
	}}
	for _, name := range slices.Sorted(maps.Keys(state)) {
		p.Tensors = append(p.Tensors, snapshot.NewTensor("state/"+name, state[name].F32, state[name].Rows, state[name].Cols))
	}
	return p
}

func (t *Trainer) loadOptimizer(p *snapshot.Part) error {
	state, steps, rate, err := readOptimizer(p)
	if err != nil {
		return err
	}
	if err := t.Optimizer.Load(state, steps); err != nil {
		return err
	}
	t.Optimizer.SetLearningRate(rate)
	return nil
}

// readOptimizer reads what optimizerPart wrote.
func readOptimizer(p *snapshot.Part) (state map[string]*graph.Tensor, step uint64, learningRate float64, err error) {
	var steps []uint64
	var rate []float64
	state = map[string]*graph.Tensor{}
	for _, x := range p.Tensors {
		switch x.Name {
		case stepsTensor:
			steps, err = snapshot.Values[uint64](x)
		case rateTensor:
			rate, err = snapshot.Values[float64](x)
		default:
			var values []float32
			if values, err = snapshot.Values[float32](x); err == nil && len(x.Shape) == 2 && len(x.Name) > len("state/") {
				state[x.Name[len("state/"):]] = &graph.Tensor{Rows: x.Shape[0], Cols: x.Shape[1], F32: values}
			}
		}
		if err != nil {
			return nil, 0, 0, err
		}
	}
	if len(steps) != 1 || len(rate) != 1 {
		return nil, 0, 0, fmt.Errorf("part %s has no step count or learning rate", p.Name)
	}
	return state, steps[0], rate[0], nil
}

// Manifest begins the manifest of a checkpoint of these weights, with the progress given as JSON.
func (t *Trainer) Manifest(model string, stats *features.Stats, progress any) (snapshot.Manifest, error) {
	m, err := t.Program.NewManifest(model, stats)
	if err != nil {
		return m, err
	}
	text, err := json.Marshal(progress)
	if err != nil {
		return m, fmt.Errorf("write the progress: %w", err)
	}
	m.State[ProgressState] = text
	return m, nil
}

// SortedNames returns the names of tables in order.
func SortedNames(tables map[string]*table.Table) []string { return slices.Sorted(maps.Keys(tables)) }
