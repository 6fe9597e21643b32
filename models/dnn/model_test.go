package dnn_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/millrace/millrace/features"
	_ "github.com/millrace/millrace/models/dnn"
	"github.com/millrace/millrace/models/modeltest"
)

// TestParameterCount: Frappe's 5,389 ids of width 10 and a tower of 364,001, which the benchmark's DeepFM has beside its linear part.
func TestParameterCount(t *testing.T) {
	var text strings.Builder
	text.WriteString("labels: [{name: y}]\nfields:\n")
	v := features.Vocabulary{}
	for f := range 10 {
		name := fmt.Sprintf("f%d", f)
		fmt.Fprintf(&text, "  - {name: %s}\n", name)
		n := 10
		if f == 0 {
			n = 5389 - 10 - 9*10 // an unknown id in each field
		}
		for id := range n {
			v[name] = append(v[name], uint64(id+1))
		}
	}
	p := modeltest.Program(t, text.String(), "model: DNN\nembedding_dim: 10\nhidden_units: [400, 400, 400]\nbatch_norm: true\n")
	tables, err := p.NewTables(v)
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := p.Parameters(tables); got != 53890+364001 {
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
