package training_test

import (
	"context"
	"errors"
	"math"
	"testing"

	"github.com/millrace/millrace/training"
)

// curve collects the figures of epochs.
type curve struct {
	stopper
	epochs []training.EpochFigures
}

func (c *curve) Epoch(e training.EpochFigures) { c.epochs = append(c.epochs, e) }

// The figures of an epoch tell the loss that the model added, whose own part is what is left; a run stopped in the middle of an epoch and resumed has the same ones.
func TestAuxiliaryFigures(t *testing.T) {
	o := shop(t, "model: DIEN\nembedding_dim: 4\ndnn_hidden_units: [8]\naux_loss_alpha: 0.5\naux_hidden_units: [6]\nepochs: 2\nbatch_size: 256\nlearning_rate: 0.01\n")
	whole := &curve{stopper: stopper{1 << 30, func() {}}}
	o.Observer = whole
	run(t, o)
	p := o
	p.Out += "2"
	ctx, cancel := context.WithCancel(context.Background())
	p.Observer = &stopper{5, cancel}
	if _, err := training.Train(ctx, p); !errors.Is(err, training.ErrInterrupted) {
		t.Fatalf("error %v, want the interruption", err)
	}
	resumed := &curve{stopper: stopper{1 << 30, func() {}}}
	p.Observer, p.Resume = resumed, true
	run(t, p)
	sameTree(t, "stopped and resumed", o.Out, p.Out)
	if len(whole.epochs) != 2 || len(resumed.epochs) != 2 {
		t.Fatalf("%d and %d epochs", len(whole.epochs), len(resumed.epochs))
	}
	for i, e := range whole.epochs {
		again := resumed.epochs[i].Auxiliary
		if len(e.Auxiliary) != 1 || len(again) != 1 || e.Auxiliary[0] != again[0] {
			t.Fatalf("auxiliary losses %+v and %+v", e.Auxiliary, again)
		}
		x := e.Auxiliary[0]
		if x.Name != "interest/next" || x.Weight != 0.5 || !(x.Loss > 0.1 && x.Loss < 1.5) {
			t.Errorf("auxiliary loss %+v", x)
		}
		if own := float64(e.Loss - e.L2 - e.OfModel()); math.Abs(own-float64(e.Valid.Logloss)) > 0.15 {
			t.Errorf("epoch %d: the labels' own loss is %.3f, the validation's %.3f", e.Epoch, own, e.Valid.Logloss)
		}
	}
}
