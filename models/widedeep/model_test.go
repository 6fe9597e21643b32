package widedeep_test

import (
	"testing"

	_ "github.com/millrace/millrace/models/dnn"
	"github.com/millrace/millrace/models/modeltest"
	_ "github.com/millrace/millrace/models/widedeep"
)

const (
	schema = "labels: [{name: y}]\nfields: [{name: user}, {name: item}, {name: hour}]\n"
	small  = "embedding_dim: 4\nhidden_units: [6, 5]\n"
)

// TestSumOfBothParts: the logit is the tower's, which is DNN's, and one weight an id.
func TestSumOfBothParts(t *testing.T) {
	f := modeltest.NewFixture(t, schema, "model: Wide&Deep\n"+small)
	want := modeltest.NewFixture(t, schema, "model: dnn\n"+small).Logits()
	for r := range want {
		for i, name := range []string{"user", "item", "hour"} {
			want[r] += f.Vector("wide/"+name, i, r)[0]
		}
	}
	modeltest.Near(t, f.Logits(), want)
}

func TestParameterCount(t *testing.T) {
	modeltest.FrappeParameters(t, "model: WideDeep\nhidden_units: [400, 400, 400]\nbatch_norm: true", 423280)
}

func TestOverfit(t *testing.T) {
	modeltest.Overfit(t, modeltest.Program(t, schema, "model: widedeep\nlearning_rate: 0.02\n"+small), 400)
}

func TestGradients(t *testing.T) {
	modeltest.CheckGradients(t, "labels: [{name: y}, {name: buy}]\nfields: [{name: a}, {name: n, type: numeric}, {name: l, type: multi}]\n", "model: widedeep\nbatch_norm: true\nnet_dropout: 0.2\n"+small)
}

func TestErrors(t *testing.T) {
	modeltest.Errors(t, schema, map[string]string{
		"model: widedeep\nembedding_dim: -1":                            "embedding_dim is -1",
		"model: widedeep\nhidden_units: [64, 0]":                        "hidden_units: a layer of 0 units",
		"model: widedeep\nhidden_units: [8, 8]\nnet_dropout: [1, 2, 3]": "net_dropout is 1",
		"model: widedeep\nhidden_activations: gelo":                     `hidden_activations is "gelo"`,
	})
}
