package training_test

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/millrace/millrace/training"
)

// curveOf reads a run's epochs.
func curveOf(t testing.TB, out string) []training.EpochFigures {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(out, "run.json"))
	if err != nil {
		t.Fatal(err)
	}
	var r struct{ Curve []training.EpochFigures }
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	return r.Curve
}

func TestLearningRateSchedules(t *testing.T) {
	// 3000 rows in batches of 128: 24 steps an epoch; the rate told is that of an epoch's last step, after 23 steps and 23·128 rows of it.
	at := func(epoch float64) float64 { return epoch - 1 + 23*128/3000. }
	f := func(keys string, want func(epoch float64) float64) {
		t.Helper()
		o := shop(t, shopModel+"early_stop_patience: 9\n"+keys)
		run(t, o)
		for _, e := range curveOf(t, o.Out) {
			if w := .01 * want(float64(e.Epoch)); math.Abs(e.LearningRate-w) > 1e-12 {
				t.Errorf("%s: rate %g in epoch %d, want %g", keys, e.LearningRate, e.Epoch, w)
			}
		}
	}
	f("lr_schedule: cosine", func(e float64) float64 { return (1 + math.Cos(math.Pi*at(e)/4)) / 2 })
	f("lr_schedule: linear\nlr_end_factor: 0.2", func(e float64) float64 { return .2 + .8*(1-at(e)/4) })
	f("lr_schedule: step\nlr_step_factor: 0.5\nlr_step_epochs: 2", func(e float64) float64 { return math.Pow(.5, math.Floor(at(e)/2)) })
	f("lr_warmup_steps: 48\nreduce_lr_on_plateau: false", func(e float64) float64 { return min(1, 24*e/48) })
	f("lr_schedule: step\nlr_warmup_steps: 96", func(e float64) float64 { return math.Pow(.1, math.Floor(at(e))) * 24 * e / 96 })
}

// TestScheduleResumes: stopped within epochs, a scheduled training ends with the same bits.
func TestScheduleResumes(t *testing.T) {
	o := shop(t, strings.Replace(shopModel, "epochs: 4", "epochs: 3", 1)+"lr_schedule: cosine\nlr_warmup_steps: 30\nloss: focal_loss\n")
	run(t, o)
	goesOn(t, "a scheduled training", o, 17)
}

// TestFocalLossTrains: another loss, another model, that ranks about as well. Without the L2 term, which is the larger against it the smaller the loss.
func TestFocalLossTrains(t *testing.T) {
	free := strings.Replace(shopModel, "embedding_regularizer: 0.001", "embedding_regularizer: 0", 1)
	plain := run(t, shop(t, free))
	focal := shop(t, free+"loss: focal_loss\nfocal_gamma: 0.5\nfocal_alpha: 0.5\n")
	r := run(t, focal)
	if r.Logloss == plain.Logloss {
		t.Error("the focal loss gives the same model as the cross-entropy")
	}
	if r.AUC < plain.AUC-.03 {
		t.Errorf("AUC %g, with the cross-entropy %g", r.AUC, plain.AUC)
	}
	page, err := os.ReadFile(filepath.Join(focal.Out, "report.html"))
	if err != nil || !strings.Contains(string(page), "Focal loss in training") {
		t.Errorf("the report does not say that its training loss is focal (%v)", err)
	}
}
