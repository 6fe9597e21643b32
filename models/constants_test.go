package models_test

import (
	"strings"
	"testing"

	"github.com/millrace/millrace/core/optim"
	"github.com/millrace/millrace/models"
	"github.com/millrace/millrace/models/modeltest"
)

func TestOptimizerConstants(t *testing.T) {
	s := modeltest.Schema(t, "labels: [{name: y}]\nfields: [{name: a}]\n")
	f := func(text string, want optim.Config) {
		t.Helper()
		spec, err := models.Parse([]byte("model: lr\n"+text), s)
		if err != nil {
			t.Fatal(err)
		}
		c := spec.Settings.Optim()
		got := optim.Config{Beta1: c.Beta1, Beta2: c.Beta2, Eps: c.Eps, FTRLBeta: c.FTRLBeta, FTRLL1: c.FTRLL1, FTRLL2: c.FTRLL2, WeightDecay: c.WeightDecay}
		if got != want {
			t.Errorf("%q gives %+v, want %+v", text, got, want)
		}
	}
	f("", optim.Config{})
	f("optimizer: ftrl\nftrl_beta: 0.5\nftrl_l1: 1e-3\nftrl_l2: 0.2\n", optim.Config{FTRLBeta: 0.5, FTRLL1: 1e-3, FTRLL2: 0.2})
	f("embedding_optimizer: ftrl\nftrl_l1: 3\n", optim.Config{FTRLL1: 3})
	f("optimizer: lamb\nweight_decay: 0.01\noptimizer_betas: [0.8, 0.99]\noptimizer_eps: 1e-7\n", optim.Config{Beta1: 0.8, Beta2: 0.99, Eps: 1e-7, WeightDecay: 0.01})
	f("optimizer: adagrad\noptimizer_eps: 1e-5\n", optim.Config{Eps: 1e-5})

	wrong := func(text string, want ...string) {
		t.Helper()
		_, err := models.Parse([]byte("model: lr\n"+text), s)
		for _, w := range want {
			if err == nil || !strings.Contains(err.Error(), w) {
				t.Errorf("%q: %v, want %s", text, err, w)
			}
		}
	}
	wrong("ftrl_l1: 1\n", "ftrl_l1 is a constant of ftrl", "the optimizer is adam")
	wrong("optimizer: sgd\noptimizer_betas: [0.9, 0.99]\n", "optimizer_betas", "sgd")
	wrong("optimizer: sgd\nembedding_optimizer: adagrad\nweight_decay: 1\n", "sgd and adagrad")
	wrong("optimizer_betas: [0.9]\n", "1 numbers")
	wrong("optimizer_betas: [0.9, 1]\n", "less than 1")
	wrong("optimizer: ftrl\nftrl_beta: 0\n", "ftrl_beta is 0, want more than 0")
	wrong("optimizer: ftrl\nftrl_l2: -1\n", "at least 0")
	wrong("optimizer: ftrl\nftrl_l2: .nan\n", "ftrl_l2")
	wrong("optimizer: ftrl\nftrl_11: 1\n", "ftrl_11", "ftrl_l1")
	wrong("optimizer: lamb\nweight_decay: much\n", "a number")
}

// TestFTRLZeroes: the key reaches the kernels: with a large λ1 every weight is zero after a step.
func TestFTRLZeroes(t *testing.T) {
	const schema = "labels: [{name: y}]\nfields: [{name: a}]\n"
	largest := func(text string) float32 {
		p := modeltest.Program(t, schema, "model: lr\noptimizer: ftrl\n"+text)
		tr := modeltest.Trainer(t, p, 9)
		modeltest.Randomise(tr.Tables, 1)
		b := modeltest.Batch(p.Schema(), 64, 9, 1)
		if _, _, err := tr.Train(b); err != nil {
			t.Fatal(err)
		}
		var most float32
		for _, tab := range tr.Tables {
			for _, id := range b.Columns[0].IDs {
				most = max(most, tab.Row(tab.Find(id))[0])
			}
		}
		return most
	}
	if x := largest("ftrl_l1: 1000\n"); x != 0 {
		t.Errorf("a weight of %g beside λ1 = 1000", x)
	}
	if x := largest(""); x == 0 {
		t.Error("all weights are zero without λ1")
	}
}
