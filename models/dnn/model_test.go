package dnn_test

import (
	"fmt"
	"strings"
	"testing"

	_ "github.com/millrace/millrace/models/dnn"
	"github.com/millrace/millrace/models/modeltest"
)

// TestParameterCount: Frappe's 5,389 ids of width 10 and a tower of 364,001, which the benchmark's DeepFM has beside its linear part.
func TestParameterCount(t *testing.T) {
	var text strings.Builder
	text.WriteString("labels: [{name: y}]\nfields:\n")
	ids := map[string]int{}
	for f := range 10 {
		name := fmt.Sprintf("f%d", f)
		fmt.Fprintf(&text, "  - {name: %s}\n", name)
		ids[name] = 10
		if f == 0 {
			ids[name] = 5389 - 10 - 9*10 // an unknown id in each field
		}
	}
	if got, _ := modeltest.Parameters(t, text.String(), "model: DNN\nembedding_dim: 10\nhidden_units: [400, 400, 400]\nbatch_norm: true\n", ids); got != 53890+364001 {
		t.Errorf("%d parameters, want %d", got, 53890+364001)
	}
}

func TestOverfit(t *testing.T) {
	const schema = "labels: [{name: y}]\nfields: [{name: a}, {name: b}, {name: n, type: numeric}]\n"
	for _, act := range []string{"relu", "dice", "prelu", "tanh"} {
		t.Run(act, func(t *testing.T) {
			modeltest.Overfit(t, modeltest.Program(t, schema, "model: dnn\nembedding_dim: 4\nhidden_units: [16]\nhidden_activations: "+act+"\nlearning_rate: 0.02\n"), 400)
		})
	}
}
