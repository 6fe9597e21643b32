package training_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/millrace/millrace/training"
)

const awareModel = shopModel + "minibatch_aware_regularizer: true\n"

// TestMinibatchAwareTrains: the regulariser counts the training rows itself, and a run that was stopped counts them again and ends with the same bits.
func TestMinibatchAwareTrains(t *testing.T) {
	o := shop(t, awareModel)
	run(t, o)
	for _, e := range curveOf(t, o.Out) {
		if !(e.L2 > 0) {
			t.Errorf("epoch %d: the regulariser's part of the loss is %g", e.Epoch, e.L2)
		}
	}
	p := o
	p.Out, p.Resume = o.Out+"-stopped", true
	ctx, cancel := context.WithCancel(context.Background())
	p.Observer = &stopper{cancel: cancel, left: 31}
	if _, err := training.Train(ctx, p); !errors.Is(err, training.ErrInterrupted) {
		t.Fatal(err)
	}
	p.Observer = nil
	run(t, p)
	sameTree(t, "a training with the mini-batch aware regulariser, stopped and gone on", o.Out, p.Out)
}

// TestMinibatchAwareStream: a stream has no training rows to count.
func TestMinibatchAwareStream(t *testing.T) {
	spec, s := streamSpec(t, "model: LR\nembedding_regularizer: 0.1\nminibatch_aware_regularizer: true\n")
	if _, err := training.NewIncremental(spec, s, training.IncrementalOptions{Model: "m"}); err == nil || !strings.Contains(err.Error(), "minibatch_aware_regularizer") {
		t.Errorf("a learner of a stream with the mini-batch aware regulariser: %v", err)
	}
}
