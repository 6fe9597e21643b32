package training

import (
	"encoding/json"
	"math"

	"github.com/millrace/millrace/core/metric"
	"github.com/millrace/millrace/features"
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
	AUC     Figure `json:"auc"`
	Logloss Figure `json:"logloss"`
	GAUC    Figure `json:"gauc"`
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
		each[i] = TaskFigures{Figure(r.AUC()), Figure(r.Logloss()), Figure(r.GAUC())}
	}
	if len(each) == 1 {
		f.TaskFigures = each[0]
		return f
	}
	f.Tasks = map[string]TaskFigures{}
	for i, l := range s.Labels {
		f.Tasks[l.Name] = each[i]
	}
	mean := func(of func(TaskFigures) Figure) Figure {
		var sum Figure
		for _, t := range each {
			sum += of(t)
		}
		return sum / Figure(len(each))
	}
	f.AUC = mean(func(t TaskFigures) Figure { return t.AUC })
	f.Logloss = mean(func(t TaskFigures) Figure { return t.Logloss })
	f.GAUC = mean(func(t TaskFigures) Figure { return t.GAUC })
	return f
}

// EpochFigures are those of one epoch: the training loss, with and without its L2 part, and the validation metrics.
type EpochFigures struct {
	Epoch        int     `json:"epoch"` // the first is 1
	Loss         Figure  `json:"loss"`
	L2           Figure  `json:"l2"`
	LearningRate float64 `json:"learning_rate"`
	Valid        Figures `json:"valid"`
	Monitor      Figure  `json:"monitor"`
	Best         bool    `json:"best"`
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

	monitor float64 // of the best epoch
	curve   []EpochFigures
}

// EvalResult is the JSON of eval.
type EvalResult struct {
	Figures
	Rows    int64 `json:"rows"`
	BadRows int64 `json:"bad_rows"`
}
