package bst_test

import (
	"testing"

	_ "github.com/millrace/millrace/models/bst"
	"github.com/millrace/millrace/models/modeltest"
)

const (
	schema = "labels: [{name: y}]\nfields: [{name: user}, {name: item}, {name: hist, type: sequence, shares: item, max: 6}]\n"
	small  = "embedding_dim: 4\ndnn_hidden_units: [6]\n"
)

// TestZeroBlocksKeepTheCandidate: with the blocks' output layers zero and residuals the sequence passes as it is, so the target's row is the candidate.
func TestZeroBlocksKeepTheCandidate(t *testing.T) {
	f := modeltest.NewFixture(t, schema, "model: bst\nseq_pooling_type: target\nlayer_norm: false\nuse_position_emb: false\nstacked_transformer_layers: 2\nembedding_dim: 4\ndnn_hidden_units: []\n")
	for _, name := range []string{"transformer/0/o/", "transformer/1/o/", "transformer/0/ffn/1/", "transformer/1/ffn/1/"} {
		f.Zero(name)
	}
	w := f.Values("out/weight")
	var want []float64
	for r := range f.Batch.Rows {
		z := 0.
		user, item := f.Vector("emb/user", 0, r), f.Vector("emb/item", 1, r)
		for c := range 4 {
			z += user[c]*float64(w[c]) + item[c]*(float64(w[4+c])+float64(w[8+c]))
		}
		want = append(want, z)
	}
	modeltest.Near(t, f.Logits(), want)
}

// TestOrderMattersOnlyWithPositions: reversed histories score alike without places and otherwise with them.
func TestOrderMattersOnlyWithPositions(t *testing.T) {
	for _, positions := range []string{"false", "true"} {
		f := modeltest.NewFixture(t, schema, "model: bst\nseq_pooling_type: target\n"+small+"use_position_emb: "+positions)
		before := f.Logits()
		h := &f.Batch.Columns[2]
		for r := range f.Batch.Rows {
			for i, j := int(h.Offsets[r]), int(h.Offsets[r+1])-1; i < j; i, j = i+1, j-1 {
				h.IDs[i], h.IDs[j] = h.IDs[j], h.IDs[i]
			}
		}
		after := f.Logits()
		if positions == "false" {
			modeltest.Near(t, after, before)
			continue
		}
		same := 0
		for r := range before {
			if d := before[r] - after[r]; d < 1e-4 && d > -1e-4 {
				same++
			}
		}
		if same == len(before) {
			t.Error("positions do not tell an order from its reverse")
		}
	}
}

func TestOverfit(t *testing.T) {
	modeltest.Overfit(t, modeltest.Program(t, schema, "model: bst\nlearning_rate: 0.02\nembedding_initializer_std: 0.1\n"+small), 400)
}

func TestGradients(t *testing.T) {
	const two = "labels: [{name: y}, {name: buy}]\nfields: [{name: user}, {name: item}, {name: cat}, {name: n, type: numeric}, {name: items, type: sequence, shares: item, max: 6}, {name: cats, type: sequence, shares: cat, max: 6}]\n"
	for _, keys := range []string{
		"seq_pooling_type: target\nstacked_transformer_layers: 2\n",
		"seq_pooling_type: mean\nlayer_norm: false\nattention_dropout: 0.2\n",
		"seq_pooling_type: sum\nuse_residual: false\nnum_heads: 4\nuse_position_emb: false\n",
		"bst_sequence_field: [items, cats]\nbst_target_field: [item, cat]\n",
	} {
		modeltest.CheckGradients(t, two, "model: bst\n"+small+keys)
	}
}

func TestErrors(t *testing.T) {
	modeltest.Errors(t, schema, map[string]string{
		"model: bst\nembedding_dim: 4\nnum_heads: 3": "num_heads is 3: it must divide the width of a behaviour of [hist], 8",
		"model: bst\nseq_pooling_type: concat":       `seq_pooling_type is "concat"`,
		"model: bst\nstacked_transformer_layers: 0":  "stacked_transformer_layers is 0",
		"model: bst\nuse_causal_mask: true":          "use_causal_mask: only false",
		"model: bst\nattention_dropout: 1":           "attention_dropout is 1",
		"model: bst\nbst_sequence_field: item":       "want a sequence",
		"model: bst\nbst_target_field: item":         "bst_target_field is given without bst_sequence_field",
	})
	modeltest.Errors(t, "labels: [{name: y}]\nfields: [{name: user}]\n", map[string]string{"model: bst": "BST needs a history"})
}
