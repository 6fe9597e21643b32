package main

import (
	"strings"
	"testing"
)

// TestEvalRetrieval: every positive is searched for among the catalogue's items, and all of them are as many as there are.
func TestEvalRetrieval(t *testing.T) {
	s := newShop(t)
	s.model = write(t, s.dir, "towers.yaml", "model: twotower\nembedding_dim: 4\nuser_tower_units: [8]\nitem_tower_units: [8]\nbatch_size: 128\nepochs: 1\nloss: in_batch_softmax\n")
	done(t, s.args("run")...)
	o := done(t, "eval", "--checkpoint", s.out("run"), "--data", s.test, "--items", s.train, "--retrieval", "1,30", "--json")
	r := o.figures(t)["retrieval"].(map[string]any)
	if number(t, r, "items") != 30 || number(t, r, "missing") != 0 || number(t, r, "queries") < 30 {
		t.Errorf("retrieval %v", r)
	}
	at := r["at"].([]any)
	if one, all := at[0].(map[string]any), at[1].(map[string]any); number(t, all, "recall") != 1 || number(t, one, "recall") > number(t, r, "mrr") {
		t.Errorf("retrieval %v", r)
	}
	for _, text := range []string{"positives searched for among 30 items", "recall@30 1.000000"} {
		if !strings.Contains(o.stderr, text) {
			t.Errorf("standard error does not say %q:\n%s", text, o.stderr)
		}
	}
	refused(t, []string{"eval", "--checkpoint", s.out("run"), "--data", s.test, "--items", s.train}, "--items is for --retrieval")
	refused(t, []string{"eval", "--checkpoint", s.out("run"), "--data", s.test, "--retrieval", "0"}, "cutoff 0")
	plain := newShop(t)
	done(t, plain.args("run")...)
	refused(t, []string{"eval", "--checkpoint", plain.out("run"), "--data", plain.test, "--retrieval", "5"}, "has no vectors of users and items")
}

// TestLossesOfGroupsByCommand: the losses of groups and sampled negatives are keys of any model file.
func TestLossesOfGroupsByCommand(t *testing.T) {
	s := newShop(t)
	s.model = write(t, s.dir, "pairs.yaml", "model: lr\nbatch_size: 128\nepochs: 1\nloss: bpr\npointwise_weight: 0.5\nnegative_sampling: {rate: 0.5}\nmonitor: gAUC\n")
	m := done(t, s.args("run")...).figures(t)
	if rows := number(t, m, "rows"); rows < 350 || rows > 650 {
		t.Errorf("%g rows trained of 700 with half of the negatives", rows)
	}
	s.model = write(t, s.dir, "wrong.yaml", "model: lr\nloss: pairwize\n")
	refused(t, s.args("wrong"), `loss is "pairwize"`)
}
