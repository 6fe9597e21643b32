package training

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"time"

	"github.com/millrace/millrace/core/optim"
	"github.com/millrace/millrace/core/snapshot"
	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/models"
)

// Train runs a training to its end, or until ctx ends: then it saves its state and returns ErrInterrupted.
// An error that is the request's own fault is a *RequestError or a *features.DataError.
func Train(ctx context.Context, o Options) (*Result, error) {
	if err := checkFolder(&o); err != nil {
		return nil, err
	}
	return train(ctx, o, func() error { return clearFolder(&o) })
}

// train runs one training; clear, called when nothing about the request is left to find wrong, makes room for it.
func train(ctx context.Context, o Options, clear func() error) (*Result, error) {
	if o.Observer == nil {
		o.Observer = nobody{}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	r := &run{Options: o, began: o.Now(), clear: clear}
	if err := r.open(ctx); err != nil {
		if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
			return nil, ErrInterrupted
		}
		return nil, err
	}
	for !r.state.Done {
		if o.PauseAfter > 0 && r.state.Epoch >= o.PauseAfter {
			return r.pause(), nil
		}
		if err := r.epoch(ctx); err != nil {
			return nil, err
		}
	}
	return r.finish(ctx)
}

// pause is how a run stands that will go on later from its saved state: no figures but those of the validations so far.
func (r *run) pause() *Result {
	s := &r.state
	out := &Result{BestEpoch: s.Best, Epochs: s.Epoch, Rows: s.Total, Split: "valid", Seed: r.Seed, curve: s.Curve, monitor: math.Inf(-1), paused: true}
	if s.Best > 0 {
		best := s.Curve[s.Best-1]
		out.Figures, out.Valid, out.monitor = best.Valid, best.Valid.AUC, float64(best.Monitor)
	}
	return out
}

// run is a training under way.
type run struct {
	Options
	began   time.Time
	clear   func() error
	files   []string
	split   *features.Split
	monitor models.Monitor
	stats   *features.Stats
	program *models.Program
	trainer *models.Trainer
	loader  *features.Loader
	valid   *evaluator
	state   runState
	saved   time.Time
	// auxiliary are the model's own losses in the last step.
	auxiliary []models.AuxiliaryLoss
}

// runState is where a run goes on after an interruption, beside the weights.
type runState struct {
	Inputs  inputs         `json:"inputs"`
	Epoch   int            `json:"epoch"` // finished epochs
	Batch   int            `json:"batch"` // batches done of the one under way
	Rows    int64          `json:"rows"`  // of the epoch under way, like the two sums
	LossSum float64        `json:"loss_sum"`
	L2Sum   float64        `json:"l2_sum"`
	Plateau optim.Plateau  `json:"plateau"`
	Rate    float64        `json:"rate"` // before the schedule's factor
	Curve   []EpochFigures `json:"curve"`
	Best    int            `json:"best"`
	Total   int64          `json:"total"`    // rows of a whole epoch
	BadRows int64          `json:"bad_rows"` // of the training files
	// ValidBad counts those of validation files of their own.
	ValidBad int64   `json:"valid_bad_rows"`
	Done     bool    `json:"done"`
	Seconds  float64 `json:"seconds"` // of training steps
	Elapsed  float64 `json:"elapsed"` // of everything
	Trained  int64   `json:"trained"` // rows over all epochs
	// Init is what was taken over from the checkpoint of --init, FirstStep how many steps its optimizer had made.
	Init      *models.Inheritance `json:"init,omitempty"`
	FirstStep uint64              `json:"first_step,omitempty"`
	// Auxiliary are the sums of the losses that the model adds.
	Auxiliary []auxiliarySum `json:"auxiliary,omitempty"`
}

// start reads the training data once for statistics and vocabularies and makes the initial weights.
func (r *run) start(ctx context.Context) error {
	stats, vocabulary, err := features.Fit(r.Schema, r.files, r.part("train"), r.preparing(ctx), r.Observer.Fit)
	if err != nil {
		return err
	}
	r.stats, r.state.Total = stats, stats.Rows
	if r.program, err = models.NewProgram(r.Spec, r.Schema, r.Seed); err != nil {
		return &RequestError{err}
	}
	r.state.Plateau.Patience, r.state.Rate = r.Spec.Settings.EarlyStopPatience, r.Spec.Settings.LearningRate
	if r.Init != nil {
		return r.warmStart(vocabulary)
	}
	r.trainer, err = r.program.NewTrainer(vocabulary, false)
	return err
}

// restore reads the saved state; false when there is none.
func (r *run) restore() (bool, error) {
	dir := filepath.Join(r.Out, stateFolder)
	c, err := models.Load(dir)
	if errors.Is(err, os.ErrNotExist) {
		for _, name := range []string{checkpointFolder, seedsFolder} {
			if _, err := os.Stat(filepath.Join(r.Out, name)); err == nil {
				return false, refuse("resume: %s holds %s/ but no state of a single run to go on from; --overwrite starts anew", r.Out, name)
			}
		}
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("resume: %w", err)
	}
	var state runState
	if err := json.Unmarshal(c.Snapshot.Manifest.State[models.ProgressState], &state); err != nil {
		return false, fmt.Errorf("resume: progress of %s: %w", dir, err)
	}
	now, err := models.NewProgram(r.Spec, r.Schema, r.Seed)
	if err != nil {
		return false, &RequestError{err}
	}
	m, err := now.NewManifest("", nil)
	if err != nil {
		return false, err
	}
	for name, text := range m.Files {
		if c.Snapshot.Manifest.Files[name] != text {
			return false, refuse("resume: %s is not what the run in %s was started with; --overwrite starts anew", name, r.Out)
		}
	}
	if was, now := state.Inputs.differing(&r.state.Inputs); was != "" {
		return false, refuse("resume: the run in %s was started with %s, now it is %s; --overwrite starts anew", r.Out, was, now)
	}
	r.state, r.stats, r.program = state, c.Stats, c.Program
	if r.trainer, err = c.Trainer(false); err != nil {
		return false, fmt.Errorf("resume: %w", err)
	}
	if r.state.Rate == 0 { // saved before there were schedules
		r.state.Rate = r.trainer.Optimizer.LearningRate()
	}
	r.began = r.began.Add(-time.Duration(state.Elapsed * float64(time.Second)))
	r.Observer.Note(fmt.Sprintf("going on at epoch %d after %d rows of it", state.Epoch+1, state.Rows))
	return true, nil
}

// save writes the state from which Resume goes on.
func (r *run) save() error {
	r.state.Elapsed = r.Now().Sub(r.began).Seconds()
	m, err := r.trainer.Manifest(r.Spec.Name, r.stats, &r.state)
	if err == nil {
		_, err = snapshot.Write(filepath.Join(r.Out, stateFolder), m, r.trainer.Parts())
	}
	if err != nil {
		return fmt.Errorf("save the run's state: %w", err)
	}
	r.saved = r.Now()
	return nil
}

// epoch trains on the rest of the epoch under way, validates, and decides how to go on.
func (r *run) epoch(ctx context.Context) error {
	if err := r.trainEpoch(ctx); err != nil {
		return err
	}
	s := &r.state
	s.Epoch++
	weights, err := r.program.NewWeights("", r.trainer.Step.Dense())
	if err != nil {
		return err
	}
	if len(r.Valid.Files) > 0 {
		r.valid.skipBad = r.SkipBad - r.loader.BadRows()
	}
	rows, err := r.valid.run(ctx, weights, r.trainer.Tables)
	if err != nil {
		if ctx.Err() != nil { // the epoch's last step was not saved: it is repeated
			return r.interrupt(true)
		}
		return err
	}
	e := EpochFigures{
		Epoch: s.Epoch, Loss: Figure((s.LossSum + s.L2Sum) / float64(s.Rows)), L2: Figure(s.L2Sum / float64(s.Rows)),
		LearningRate: r.trainer.Optimizer.LearningRate(), Valid: figuresOf(r.Schema, rows), Auxiliary: s.endAuxiliary(),
	}
	v := e.Valid.TaskFigures
	e.Monitor = Figure(r.monitor.Value(float64(v.AUC), float64(v.GAUC), float64(v.Logloss)))
	if math.IsNaN(float64(e.Monitor)) && !math.IsNaN(float64(v.Logloss)) { // so it is after every epoch
		return r.undefined()
	}
	improved, reduce, stop := s.Plateau.Observe(float64(e.Monitor))
	if improved {
		e.Best, s.Best = true, s.Epoch
		if err := r.writeCheckpoint(&e); err != nil {
			return err
		}
	}
	if reduce && *r.Spec.Settings.ReduceLROnPlateau {
		s.Rate = s.Plateau.Rate(s.Rate)
		r.trainer.Optimizer.SetLearningRate(s.Rate) // until the schedule, where there is one, takes it up
	}
	s.Curve = append(s.Curve, e)
	s.Total, s.BadRows = s.Rows, r.loader.BadRows()
	if len(r.Valid.Files) > 0 {
		s.ValidBad = r.valid.badRows
	}
	s.Batch, s.Rows, s.LossSum, s.L2Sum = 0, 0, 0, 0
	s.Done = stop || s.Epoch >= r.Spec.Settings.Epochs
	r.Observer.Epoch(e)
	return r.save()
}

func (r *run) trainEpoch(ctx context.Context) (err error) {
	s := &r.state
	epoch, err := r.loader.Epoch(s.Epoch, s.Batch)
	if err != nil {
		return err
	}
	defer func() {
		if cerr := epoch.Close(); err == nil {
			err = cerr
		}
	}()
	if n := r.loader.Rows(); n > 0 { // without the negatives that sampling leaves out
		s.Total = n
	}
	auc := math.NaN()
	if n := len(s.Curve); n > 0 {
		auc = float64(s.Curve[n-1].Valid.AUC)
	}
	schedule := r.Spec.Settings.Schedule()
	last := r.Now()
	for {
		if ctx.Err() != nil {
			return r.interrupt(false)
		}
		b, err := epoch.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if !schedule.Fixed() {
			done := float64(s.Epoch) + float64(s.Rows)/float64(max(s.Total, 1))
			r.trainer.Optimizer.SetLearningRate(s.Rate * schedule.Factor(r.trainer.Optimizer.Steps()-s.FirstStep, done))
		}
		loss, l2, err := r.trainer.Train(b)
		if err != nil {
			return fmt.Errorf("epoch %d: %w", s.Epoch+1, err)
		}
		n := float64(b.Rows)
		s.Batch++
		s.Rows += int64(b.Rows)
		s.Trained += int64(b.Rows)
		s.LossSum += loss * n
		s.L2Sum += l2 * n
		r.auxiliary = r.trainer.Step.Auxiliaries(r.auxiliary[:0])
		s.addAuxiliary(r.auxiliary, n)
		now := r.Now()
		s.Seconds += now.Sub(last).Seconds()
		last = now
		r.Observer.Step(Progress{
			Epoch: s.Epoch + 1, Epochs: r.Spec.Settings.Epochs, Rows: s.Rows, Total: s.Total,
			RowsPerSecond: float64(s.Trained) / s.Seconds, Loss: (s.LossSum + s.L2Sum) / float64(s.Rows), ValidAUC: auc,
		})
		if r.SaveEvery > 0 && now.Sub(r.saved) >= r.SaveEvery {
			if err := r.save(); err != nil {
				return err
			}
			last = r.Now()
		}
	}
	if s.Rows == 0 {
		return refuse("there are no rows to train on")
	}
	return nil
}

// interrupt saves and returns ErrInterrupted. After the last step of an epoch the state on disk says so, and validation is repeated.
func (r *run) interrupt(ended bool) error {
	if ended {
		r.state.Epoch--
	}
	if err := r.save(); err != nil {
		return err
	}
	return ErrInterrupted
}

// writeCheckpoint publishes the weights as the best so far.
func (r *run) writeCheckpoint(e *EpochFigures) error {
	m, err := r.trainer.Manifest(r.Spec.Name, r.stats, e)
	if err == nil {
		_, err = snapshot.Write(filepath.Join(r.Out, checkpointFolder), m, r.trainer.Parts())
	}
	if err != nil {
		return fmt.Errorf("write the checkpoint: %w", err)
	}
	return nil
}

func (r *run) undefined() error {
	return refuse("%s of the validation rows is undefined (it needs rows of both classes): no checkpoint can be the best", r.Spec.Settings.Monitor)
}

// finish loads the best checkpoint, measures it on the test rows (else on the validation rows) and writes the report.
func (r *run) finish(ctx context.Context) (*Result, error) {
	s := &r.state
	if s.Best == 0 {
		return nil, r.undefined()
	}
	c, err := models.LoadScoring(filepath.Join(r.Out, checkpointFolder))
	if err != nil {
		return nil, err
	}
	encoder, err := c.NewEncoder()
	if err != nil {
		return nil, err
	}
	split, portion := "test", r.Test
	if !portion.Given() {
		split, portion = "valid", r.Valid
	}
	e, err := r.evaluator(split, portion, encoder, c.Program)
	if err != nil {
		return nil, err
	}
	bad := s.BadRows + s.ValidBad
	switch {
	case len(r.Test.Files) > 0:
		e.skipBad = r.SkipBad - bad
	case split == "valid" && len(r.Valid.Files) > 0:
		e.skipBad = r.SkipBad - s.BadRows
	}
	sample := &sample{}
	e.watch = sample.add
	rows, err := e.run(ctx, c.Weights, c.Tables)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ErrInterrupted
		}
		return nil, err
	}
	if len(r.Test.Files) > 0 {
		bad += e.badRows
	}
	best := s.Curve[s.Best-1]
	parameters, padding := c.Program.Parameters(c.Tables)
	result := &Result{
		Figures: figuresOf(r.Schema, rows), BestEpoch: s.Best, Epochs: s.Epoch, Rows: s.Total, RowsPerSecond: Figure(float64(s.Trained) / s.Seconds),
		Parameters: parameters, ParametersFuxiCTR: parameters + padding, BadRows: bad, Split: split, Seed: r.Seed,
		Valid: best.Valid.AUC, Init: s.Init, monitor: float64(best.Monitor), curve: s.Curve,
	}
	result.Seconds = r.Now().Sub(r.began).Seconds()
	importance, err := sample.importance(ctx, c)
	if err != nil {
		return nil, err
	}
	if err := r.writeReport(result, rows, importance, c); err != nil {
		return nil, err
	}
	return result, nil
}
