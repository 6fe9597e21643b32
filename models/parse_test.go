package models_test

import (
	"strings"
	"testing"

	"github.com/millrace/millrace/core/optim"
	"github.com/millrace/millrace/models"
	"github.com/millrace/millrace/models/modeltest"
)

func TestParse(t *testing.T) {
	s := modeltest.Schema(t, schema)
	ok := func(text string, check func(*models.Spec) bool) {
		t.Helper()
		spec, err := models.Parse([]byte(text), s)
		if err != nil {
			t.Errorf("%q: %v", text, err)
		} else if !check(spec) {
			t.Errorf("%q: settings %+v, notices %q", text, spec.Settings, spec.Notices)
		}
	}
	any := func(*models.Spec) bool { return true }
	name := func(want string) func(*models.Spec) bool {
		return func(s *models.Spec) bool { return s.Name == want }
	}
	ok("model: LR", name("lr"))
	ok("model: dnn\nbatch_size: 5.0", func(s *models.Spec) bool { return s.Settings.BatchSize == 5 })
	ok("model: Final-MLP", name("finalmlp"))
	ok("model: dual_mlp", name("dualmlp"))
	ok("model: dnn\nembedding_regularizer: l2(0.05)", func(s *models.Spec) bool { return s.Settings.EmbeddingRegularizer == 0.05 })
	ok("model: dnn\nembedding_regularizer: 1.e-5", func(s *models.Spec) bool { return s.Settings.EmbeddingRegularizer == 1e-5 })
	ok("model: lr\nregularizer: 1.0e-5", func(s *models.Spec) bool {
		return s.Settings.EmbeddingRegularizer == 1e-5 && s.Settings.NetRegularizer == 1e-5
	})
	ok("model: dnn\nmonitor: {AUC: 1, logloss: -1}", func(s *models.Spec) bool { return s.Settings.Monitor == "AUC-logloss" })
	ok("model: dnn\npatience: 5", func(s *models.Spec) bool { return s.Settings.EarlyStopPatience == 5 })
	ok("model: dnn\nembedding_initializer: \"partial(nn.init.normal_, std=1e-2)\"", func(s *models.Spec) bool { return s.Settings.EmbeddingInitializerStd == 0.01 })
	ok("model: dnn\nhidden_units: 64\nnet_dropout: [0.5]\nhidden_activations: [ReLU]", any)
	ok("model: dnn\nhidden_units: [4, 4]\nhidden_activations: [Dice, Dice]\nnet_regularizer: null", any)
	ok("model: dnn\noptimizer: Adam\nembedding_optimizer: sparse_adam", func(s *models.Spec) bool { return s.Settings.EmbeddingOptimizer == "sparse_adam" })
	ok("model: dnn\nloss: focal_loss", func(s *models.Spec) bool {
		return s.Settings.Loss == models.FocalLoss && s.Settings.FocalGamma == 2 && s.Settings.FocalAlpha == 0.25
	})
	ok("model: dnn", func(s *models.Spec) bool { return *s.Settings.ReduceLROnPlateau && s.Settings.Schedule().Fixed() })
	ok("model: dnn\nlr_schedule: Cosine", func(s *models.Spec) bool {
		return !*s.Settings.ReduceLROnPlateau && s.Settings.Schedule() == optim.Schedule{Kind: "cosine", Epochs: 100, StepEpochs: 1, StepFactor: 0.1}
	})
	ok("model: dnn\nlr_schedule: cosine\nreduce_lr_on_plateau: true", func(s *models.Spec) bool { return *s.Settings.ReduceLROnPlateau })
	ok("model: dnn\nloss: binary_crossentropy\ngpu: 0\nnum_workers: 3\nverbose: 1\ntask: binary_classification\nmetrics: [AUC, logloss]", func(s *models.Spec) bool {
		return len(s.Notices) == 1 && strings.Contains(s.Notices[0], "gpu, num_workers, verbose, task, metrics")
	})
	ok("Base:\n  gpu: 1\n  batch_size: 10\nDNN_frappe:\n  model: DNN\n  batch_size: 20\n", func(s *models.Spec) bool { return s.Settings.BatchSize == 20 && len(s.Notices) == 1 })
	ok("model: finalmlp\nfs1_context: [user]\nfs2_context: []", any)
	ok("model: din\ndin_target_field: [[item, category]]\ndin_sequence_field: [[hist_item, hist_category]]", any)
	ok("model: din\ndin_target_field: [\"(item, category)\"]\ndin_sequence_field: [\"(hist_item, hist_category)\"]", any)
	ok("model: din\ndin_target_field: [item]\ndin_sequence_field: [hist_item]", any)

	bad := func(text string, wants ...string) {
		t.Helper()
		_, err := models.Parse([]byte(text), s)
		for _, want := range wants {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%q: error %v, want %q in it", text, err, want)
			}
		}
	}
	bad("", "empty")
	bad("- a", "keys and values")
	bad("embedding_dim: 3", "\"model\"", " din ")
	bad("model: finelmlp", "finelmlp", "finalmlp")
	bad("model: dnn\nhiden_units: [3]", "line 2", "hiden_units", "hidden_units")
	bad("model: lr\nhidden_units: [3]", "line 2", "unknown key")
	bad("model: dnn\nhidden_units: [3]\nhidden_units: [4]", "hidden_units", "twice")
	bad("model: dnn\nembedding_dim: 5.2", "line 2", "embedding_dim", "5.2", "whole number")
	bad("model: dnn\nhidden_units: [16, 5.5]", "hidden_units")
	bad("model: dnn\nhidden_units: 5.5", "hidden_units")
	bad("model: dnn\nhidden_units: [0]", "hidden_units", "0 units")
	bad("model: dnn\nhidden_units: [a]", "hidden_units")
	bad("model: dnn\nbatch_size: many", "batch_size", "many", "whole number")
	bad("model: dnn\nbatch_size: 0", "batch_size")
	bad("model: dnn\nlearning_rate: -1", "learning_rate")
	bad("model: dnn\nlearning_rate: .nan", "learning_rate")
	bad("model: dnn\nepochs: 0", "epochs")
	bad("model: dnn\nembedding_dim: 0", "embedding_dim")
	bad("model: dnn\nembedding_dim: 100000000", "embedding_dim")
	bad("model: dnn\nnet_dropout: 1", "net_dropout")
	bad("model: dnn\nhidden_units: [4, 4]\nnet_dropout: [0.1, 0.2, 0.3]", "net_dropout", "3 rates for 2 layers")
	bad("model: dnn\nhidden_activations: reluu", "hidden_activations", "relu")
	bad("model: dnn\nhidden_activations: [relu, dice]", "different activations")
	bad("model: dnn\noptimizer: lion", "optimizer", "lion")
	bad("model: dnn\nmonitor: accuracy", "monitor", "accuracy")
	bad("model: dnn\nloss: mse", "loss", "mse")
	bad("model: dnn\nfocal_gamma: -1", "focal_gamma is -1")
	bad("model: dnn\nfocal_alpha: 1", "focal_alpha is 1")
	bad("model: dnn\nprelu_slope: -0.1", "prelu_slope is -0.1")
	bad("model: dnn\ndice_momentum: 0", "dice_momentum is 0")
	bad("model: dnn\ndice_momentum: 1.5", "dice_momentum is 1.5")
	bad("model: dnn\nlr_schedule: sine", "lr_schedule", "sine")
	bad("model: dnn\nlr_warmup_steps: -3", "-3 warm-up steps")
	bad("model: dnn\nlr_schedule: cosine\nlr_end_factor: 1.5", "end factor 1.5")
	bad("model: dnn\nlr_schedule: step\nlr_step_factor: 0", "step factor 0")
	bad("model: dnn\nembedding_initializer: uniform", "embedding_initializer")
	bad("model: finalmlp\nnum_heads: 7", "num_heads", "7")
	bad("model: finalmlp\nfs1_context: [usr]", "fs1_context", "usr", "user")
	bad("model: finalmlp\nmlp1_hidden_units: []", "mlp1_hidden_units")
	bad("model: dualmlp\nuse_fs: true", "use_fs")
	bad("model: din\ndin_target_field: [item]", "din_target_field")
	bad("model: din\ndin_sequence_field: [item]", "item", "want a sequence")
	bad("model: din\ndin_sequence_field: [hist_itm]", "hist_itm", "hist_item")
	bad("model: din\ndin_sequence_field: [hist_rating]", "no counterpart")
	bad("model: din\nattention_dropout: 2", "attention_dropout")
	bad("A:\n  model: dnn\nB:\n  model: lr", "second experiment")

	none := modeltest.Schema(t, "labels: [{name: y}]\nfields: [{name: a}]\n")
	if _, err := models.Parse([]byte("model: din"), none); err == nil || !strings.Contains(err.Error(), "no sequence field") {
		t.Errorf("error %v for DIN without a history", err)
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range all {
		f.Add(text)
	}
	f.Add("Base: {gpu: 1}\nX:\n  model: DNN\n  monitor: {AUC: 1}\n")
	f.Add("model: din\ndin_target_field: [[item, ~]]\ndin_sequence_field: [[hist_item, hist_rating]]")
	f.Add("model: &a dnn\nhidden_units: *a")
	s := modeltest.Schema(f, schema)
	f.Fuzz(func(t *testing.T, text string) {
		spec, err := models.Parse([]byte(text), s)
		if (spec == nil) == (err == nil) {
			t.Errorf("spec %v and error %v", spec, err)
		}
	})
}
