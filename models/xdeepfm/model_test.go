package xdeepfm_test

import (
	"testing"

	_ "github.com/millrace/millrace/models/dnn"
	"github.com/millrace/millrace/models/modeltest"
	_ "github.com/millrace/millrace/models/xdeepfm"
)

const schema = "labels: [{name: y}]\nfields: [{name: user}, {name: item}, {name: hour}]\n"

// TestCINIsTheTripleLoop computes two layers, their sums and the linear part by plain loops.
func TestCINIsTheTripleLoop(t *testing.T) {
	const d, fields = 2, 3
	f := modeltest.NewFixture(t, schema, "model: xdeepfm\nembedding_dim: 2\ndnn_hidden_units: []\ncin_hidden_units: [4, 3]\n")
	units := []int{4, 3}
	names := []string{"user", "item", "hour"}
	f.Set("cin/0/bias", func(i int) float32 { return 0.1 * float32(i) })
	var want []float64
	for r := range f.Batch.Rows {
		z := float64(f.Values("cin/out/bias")[0])
		var x0, x [][]float64
		for i, n := range names {
			x0 = append(x0, f.Vector("emb/"+n, i, r))
			z += f.Vector("linear/"+n, i, r)[0]
		}
		x = x0
		at := 0
		for k, h := range units {
			name := []string{"cin/0", "cin/1"}[k]
			w, b := f.Values(name+"/weight"), f.Values(name+"/bias")
			next := make([][]float64, h)
			for m := range next {
				next[m] = make([]float64, d)
				for c := range d {
					next[m][c] = float64(b[m])
					for i := range x {
						for j := range x0 {
							next[m][c] += float64(w[m*len(x)*fields+i*fields+j]) * x[i][c] * x0[j][c]
						}
					}
					z += float64(f.Values("cin/out/weight")[at]) * next[m][c]
				}
				at++
			}
			x = next
		}
		want = append(want, z)
	}
	modeltest.Near(t, f.Logits(), want)
}

// TestWithoutMapsIsWideAndDeep: with a zero output layer of the interaction network the linear part and the tower are left.
func TestWithoutMapsIsWideAndDeep(t *testing.T) {
	f := modeltest.NewFixture(t, schema, "model: xdeepfm\nembedding_dim: 4\ndnn_hidden_units: [6, 5]\ncin_hidden_units: [4]\n")
	f.Zero("cin/out/")
	want := modeltest.NewFixture(t, schema, "model: dnn\nembedding_dim: 4\nhidden_units: [6, 5]\n").Logits()
	for r := range want {
		for i, n := range []string{"user", "item", "hour"} {
			want[r] += f.Vector("linear/"+n, i, r)[0]
		}
	}
	modeltest.Near(t, f.Logits(), want)
}

func TestParameterCounts(t *testing.T) {
	modeltest.FrappeParameters(t, "model: xDeepFM\ncin_hidden_units: [64]\ndnn_hidden_units: [400, 400, 400]\nbatch_norm: true", 429809)
	modeltest.FrappeParameters(t, "model: xDeepFM\ncin_layer_units: [64, 64, 64]\ndnn_hidden_units: []", 147984)
}

func TestOverfit(t *testing.T) {
	for _, dnn := range []string{"[16]", "[]"} {
		modeltest.Overfit(t, modeltest.Program(t, schema, "model: xdeepfm\nembedding_dim: 4\ncin_hidden_units: [8, 8]\nlearning_rate: 0.02\nembedding_initializer_std: 0.1\ndnn_hidden_units: "+dnn), 400)
	}
}

func TestGradients(t *testing.T) {
	const two = "labels: [{name: y}, {name: buy}]\nfields: [{name: a}, {name: b}, {name: n, type: numeric}, {name: l, type: multi}]\n"
	for _, keys := range []string{"dnn_hidden_units: [4]\nbatch_norm: true\nnet_dropout: 0.2\n", "dnn_hidden_units: []\n"} {
		modeltest.CheckGradients(t, two, "model: xdeepfm\nembedding_dim: 2\ncin_hidden_units: [3, 2]\n"+keys)
	}
}

func TestErrors(t *testing.T) {
	modeltest.Errors(t, schema, map[string]string{
		"model: xdeepfm\ncin_hidden_units: []":       "cin_hidden_units is empty",
		"model: xdeepfm\ncin_hidden_units: [16, -1]": "cin_hidden_units: a layer of -1 units",
		"model: xdeepfm\ndnn_hidden_units: [0]":      "dnn_hidden_units: a layer of 0 units",
		"model: xdeepfm\ncin_layers: [4]":            "unknown key",
	})
}
