package deepfm_test

import (
	"testing"

	_ "github.com/millrace/millrace/models/deepfm"
	_ "github.com/millrace/millrace/models/dnn"
	_ "github.com/millrace/millrace/models/fm"
	"github.com/millrace/millrace/models/modeltest"
)

const (
	schema = "labels: [{name: y}]\nfields: [{name: user}, {name: item}, {name: hour}]\n"
	small  = "embedding_dim: 4\nhidden_units: [6, 5]\n"
)

// TestSumOfFMAndDNN: the logit is that of FM, whose bias is zero, and that of DNN over the same tables.
func TestSumOfFMAndDNN(t *testing.T) {
	want := modeltest.NewFixture(t, schema, "model: fm\nembedding_dim: 4").Logits()
	for r, z := range modeltest.NewFixture(t, schema, "model: dnn\n"+small).Logits() {
		want[r] += z
	}
	modeltest.Near(t, modeltest.NewFixture(t, schema, "model: deepfm\n"+small).Logits(), want)
}

func TestParameterCount(t *testing.T) {
	modeltest.FrappeParameters(t, "model: DeepFM\nhidden_units: [400, 400, 400]\nbatch_norm: true", 423280)
}

func TestOverfit(t *testing.T) {
	modeltest.Overfit(t, modeltest.Program(t, schema, "model: deepfm\nlearning_rate: 0.02\n"+small), 400)
}

func TestGradients(t *testing.T) {
	modeltest.CheckGradients(t, "labels: [{name: y}, {name: buy}]\nfields: [{name: a}, {name: b}, {name: n, type: numeric}, {name: l, type: multi}]\n", "model: deepfm\nbatch_norm: true\nnet_dropout: 0.2\n"+small)
}

func TestErrors(t *testing.T) {
	modeltest.Errors(t, schema, map[string]string{
		"model: deepfm\nembedding_dim: 0":                           "embedding_dim is 0",
		"model: deepfm\nhidden_units: 0":                            "hidden_units: a layer of 0 units",
		"model: deepfm\nhidden_units: [8, 8]\nnet_dropout: [0,0,0]": "net_dropout has 3 rates for 2 layers",
		"model: deepfm\nhiden_units: 8":                             `the nearest known one is "hidden_units"`,
	})
}
