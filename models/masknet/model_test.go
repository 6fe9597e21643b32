package masknet_test

import (
	"testing"

	_ "github.com/millrace/millrace/models/dnn"
	_ "github.com/millrace/millrace/models/masknet"
	"github.com/millrace/millrace/models/modeltest"
)

const (
	schema = "labels: [{name: y}]\nfields: [{name: user}, {name: item}, {name: hour}]\n"
	plain  = "embedding_dim: 4\nemb_layernorm: false\nnet_layernorm: false\n"
)

// open makes every mask one, whatever e.
func open(f *modeltest.Fixture, blocks ...string) {
	for _, b := range blocks {
		f.Zero(b + "/mask/out/weight")
		f.Set(b+"/mask/out/bias", func(int) float32 { return 1 })
	}
}

// TestOpenMasksAreATower: with masks of one and no norms, serial blocks are DNN's layers without biases.
func TestOpenMasksAreATower(t *testing.T) {
	f := modeltest.NewFixture(t, schema, "model: masknet\ndnn_hidden_units: [6, 5]\n"+plain)
	open(f, "block/0", "block/1")
	want := modeltest.NewFixture(t, schema, "model: dnn\nembedding_dim: 4\nhidden_units: [6, 5]\n")
	for to, from := range map[string]string{"mlp/0/weight": "block/0/weight", "mlp/1/weight": "block/1/weight", "out/weight": "out/weight"} {
		v := f.Values(from)
		want.Set(to, func(i int) float32 { return v[i] })
	}
	modeltest.Near(t, f.Logits(), want.Logits())
}

// TestOpenMasksInParallelAreALayer: parallel blocks then are DNN's first layer, cut into pieces.
func TestOpenMasksInParallelAreALayer(t *testing.T) {
	f := modeltest.NewFixture(t, schema, "model: masknet\nmodel_type: ParallelMaskNet\nparallel_num_blocks: 2\nparallel_block_dim: 3\ndnn_hidden_units: [5]\n"+plain)
	open(f, "block/0", "block/1")
	want := modeltest.NewFixture(t, schema, "model: dnn\nembedding_dim: 4\nhidden_units: [6, 5]\n")
	first, second, tower, out := f.Values("block/0/weight"), f.Values("block/1/weight"), f.Values("mlp/0/weight"), f.Values("out/weight")
	want.Set("mlp/0/weight", func(i int) float32 {
		if r, c := i/6, i%6; c < 3 {
			return first[r*3+c]
		} else {
			return second[r*3+c-3]
		}
	})
	want.Set("mlp/1/weight", func(i int) float32 { return tower[i] })
	want.Set("out/weight", func(i int) float32 { return out[i] })
	modeltest.Near(t, f.Logits(), want.Logits())
}

// TestMaskIsItsEquation computes one serial block, whose mask reads the embeddings, by plain loops.
func TestMaskIsItsEquation(t *testing.T) {
	f := modeltest.NewFixture(t, schema, "model: masknet\ndnn_hidden_units: [3]\ndnn_hidden_activations: identity\nreduction_ratio: 0.5\n"+plain)
	f.Set("block/0/mask/0/bias", func(i int) float32 { return 0.1 * float32(i) })
	f.Set("block/0/mask/out/bias", func(i int) float32 { return 0.05 * float32(i) })
	w1, b1 := f.Values("block/0/mask/0/weight"), f.Values("block/0/mask/0/bias")
	w2, b2 := f.Values("block/0/mask/out/weight"), f.Values("block/0/mask/out/bias")
	w, out, bias := f.Values("block/0/weight"), f.Values("out/weight"), f.Values("out/bias")
	var want []float64
	for r := range f.Batch.Rows {
		e := append(append(f.Vector("emb/user", 0, r), f.Vector("emb/item", 1, r)...), f.Vector("emb/hour", 2, r)...)
		z := float64(bias[0])
		for k := range e {
			mask := float64(b2[k])
			for h := range 6 {
				s := float64(b1[h])
				for i, x := range e {
					s += x * float64(w1[i*6+h])
				}
				mask += max(s, 0) * float64(w2[h*12+k])
			}
			for u := range 3 {
				z += mask * e[k] * float64(w[k*3+u]) * float64(out[u])
			}
		}
		want = append(want, z)
	}
	modeltest.Near(t, f.Logits(), want)
}

// TestNormalisedFieldsIgnoreScale: with layer norms on the fields and open masks, embeddings that are twice as large give the same logits.
func TestNormalisedFieldsIgnoreScale(t *testing.T) {
	f := modeltest.NewFixture(t, schema, "model: masknet\nembedding_dim: 4\ndnn_hidden_units: [6]\n")
	open(f, "block/0")
	want := f.Logits()
	for _, tab := range f.Tables {
		for slot := range uint32(tab.Len()) {
			for k := range tab.Row(slot) {
				tab.Row(slot)[k] *= 2
			}
		}
	}
	modeltest.Near(t, f.Logits(), want)
}

func TestParameterCount(t *testing.T) {
	modeltest.FrappeParameters(t, "model: MaskNet\nmodel_type: ParallelMaskNet\nparallel_num_blocks: 3\nparallel_block_dim: 50\nreduction_ratio: 2\nemb_layernorm: false\ndnn_hidden_units: [400, 400, 400]", 571691)
}

func TestOverfit(t *testing.T) {
	for _, kind := range []string{"SerialMaskNet", "ParallelMaskNet"} {
		modeltest.Overfit(t, modeltest.Program(t, schema, "model: masknet\nembedding_dim: 4\ndnn_hidden_units: [16]\nlearning_rate: 0.02\nembedding_initializer_std: 0.1\nmodel_type: "+kind), 400)
	}
}

func TestGradients(t *testing.T) {
	const two = "labels: [{name: y}, {name: buy}]\nfields: [{name: a}, {name: b}, {name: n, type: numeric}, {name: l, type: multi}]\n"
	for _, kind := range []string{"SerialMaskNet", "ParallelMaskNet\nparallel_num_blocks: 2\nparallel_block_dim: 3"} {
		for _, act := range []string{"relu", "dice"} {
			modeltest.CheckGradients(t, two, "model: masknet\nembedding_dim: 3\ndnn_hidden_units: [5, 4]\nnet_dropout: 0.2\ndnn_hidden_activations: "+act+"\nmodel_type: "+kind)
		}
	}
}

func TestErrors(t *testing.T) {
	modeltest.Errors(t, schema, map[string]string{
		"model: masknet\nmodel_type: masked":                                  `model_type is "masked"`,
		"model: masknet\nmodel_type: ParallelMaskNet\nparallel_num_blocks: 0": "parallel_num_blocks is 0",
		"model: masknet\nmodel_type: ParallelMaskNet\nparallel_block_dim: 0":  "parallel_block_dim: a layer of 0 units",
		"model: masknet\ndnn_hidden_units: []":                                "dnn_hidden_units is empty",
		"model: masknet\nreduction_ratio: 0.001":                              "reduction_ratio is 0.001: a mask over 30 columns",
		"model: masknet\nnet_dropout: 1":                                      "net_dropout is 1",
		"model: masknet\nnet_dropout: [0.1, 0.2]":                             "want a number",
	})
}
