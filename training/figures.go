package training

import (
	"encoding/json"
	"math"

	"github.com/millrace/millrace/core/metric"
	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/models"
)

// Figure is a metric; NaN, where it is undefined, is null in JSON.
type Figure float64

// MarshalJSON writes the shortest decimal that reads back as the same number.
func (f Figure) MarshalJSON() ([]byte, error) {
	if math.IsNaN(float64(f)) || math.IsInf(float64(f), 0) {
		return []byte("null"), nil
	}
	return json.Marshal(float64(f))
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (f *Figure) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		*f = Figure(math.NaN())
		return nil
	}
	return json.Unmarshal(b, (*float64)(f))
}

// TaskFigures are the metrics of one label.
type TaskFigures struct {
	AUC         Figure `json:"auc"`
	Logloss     Figure `json:"logloss"`
	GAUC        Figure `json:"gauc"`
	NE          Figure `json:"ne"`          // normalised entropy
	ECE         Figure `json:"ece"`         // expected calibration error, in eceBins bins of equal counts
	Calibration Figure `json:"calibration"` // mean score over the observed rate
}

// eceBins is in how many bins of about equal counts the calibration is measured and drawn.
const eceBins = 20

func taskFigures(r *metric.Rows) TaskFigures {
	return TaskFigures{
		AUC: Figure(r.AUC()), Logloss: Figure(r.Logloss()), GAUC: Figure(r.GAUC()),
		NE: Figure(r.NormalizedEntropy()), ECE: Figure(r.ECE(eceBins)), Calibration: Figure(r.CalibrationRatio()),
	}
}

// metrics are pointers to all metrics, in one order.
func (t *TaskFigures) metrics() []*Figure {
	return []*Figure{&t.AUC, &t.Logloss, &t.GAUC, &t.NE, &t.ECE, &t.Calibration}
}

// Figures are the metrics of an evaluation: of the one label, or the mean over the labels with each label's own in Tasks.
type Figures struct {
	TaskFigures
	Tasks map[string]TaskFigures `json:"tasks,omitempty"`
}

// figuresOf computes the metrics of rows, one accumulator a label.
func figuresOf(s *features.Schema, rows []*metric.Rows) Figures {
	var f Figures
	each := make([]TaskFigures, len(rows))
	for i, r := range rows {
		each[i] = taskFigures(r)
	}
	f.TaskFigures = meanFigures(each)
	if len(each) > 1 {
		f.Tasks = map[string]TaskFigures{}
		for i, l := range s.Labels {
			f.Tasks[l.Name] = each[i]
		}
	}
	return f
}

// undefinedFigures are those of no rows.
func undefinedFigures() (t TaskFigures) {
	for _, f := range t.metrics() {
		*f = Figure(math.NaN())
	}
	return t
}

// meanFigures averages each metric.
func meanFigures(each []TaskFigures) (mean TaskFigures) {
	for i := range each {
		from := each[i].metrics()
		for k, sum := range mean.metrics() {
			*sum += *from[k]
		}
	}
	for _, sum := range mean.metrics() {
		*sum /= Figure(len(each))
	}
	return mean
}

// EpochFigures are those of one epoch: the training loss with its L2 part and what the model adds to it, those parts by themselves, and the validation metrics.
type EpochFigures struct {
	Epoch        int     `json:"epoch"` // the first is 1
	Loss         Figure  `json:"loss"`
	L2           Figure  `json:"l2"`
	LearningRate float64 `json:"learning_rate"`
	Valid        Figures `json:"valid"`
	Monitor      Figure  `json:"monitor"`
	Best         bool    `json:"best"`
	// Auxiliary are the losses that the model adds, without their weights.
	Auxiliary []AuxiliaryFigures `json:"auxiliary,omitempty"`
}

// Result is what a run ends with; its JSON is the last line of train --json.
type Result struct {
	Figures
	BestEpoch         int     `json:"best_epoch"`
	Epochs            int     `json:"epochs"`
	Rows              int64   `json:"rows"`
	RowsPerSecond     Figure  `json:"rows_per_s"`
	Seconds           float64 `json:"seconds"`
	Parameters        int     `json:"parameters"`
	ParametersFuxiCTR int     `json:"parameters_fuxictr"`
	BadRows           int64   `json:"bad_rows"`
	Split             string  `json:"split"`
	Seed              uint64  `json:"seed"`
	Valid             Figure  `json:"valid_auc"`
	// Init is what was taken over from the checkpoint of --init.
	Init *models.Inheritance `json:"init,omitempty"`

	monitor float64 // of the best epoch
	curve   []EpochFigures
	paused  bool // at PauseAfter
}
