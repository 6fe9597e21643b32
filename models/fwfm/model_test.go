package fwfm_test

import (
	"testing"

	_ "github.com/millrace/millrace/models/fm"
	_ "github.com/millrace/millrace/models/fwfm"
	"github.com/millrace/millrace/models/modeltest"
)

const schema = "labels: [{name: y}]\nfields: [{name: user}, {name: item}, {name: hour}]\n"

// TestEqualWeightsAreFM: with every r = 1 and one weight an id it is the factorization machine.
func TestEqualWeightsAreFM(t *testing.T) {
	f := modeltest.NewFixture(t, schema, "model: fwfm\nembedding_dim: 4\nlinear_type: LW")
	f.Set("pairs/weight", func(int) float32 { return 1 })
	modeltest.Near(t, f.Logits(), modeltest.NewFixture(t, schema, "model: fm\nembedding_dim: 4").Logits())
}

// TestLinearParts: with every r = 0 the bias and the linear part are left.
func TestLinearParts(t *testing.T) {
	fields := []string{"user", "item", "hour"}
	for _, kind := range []string{"LW", "FeLV", "FiLV"} {
		f := modeltest.NewFixture(t, schema, "model: fwfm\nembedding_dim: 4\nlinear_type: "+kind)
		f.Zero("pairs/weight")
		f.Set("pairs/bias", func(int) float32 { return 0.25 })
		var want []float64
		for r := range f.Batch.Rows {
			z := 0.25
			for i, name := range fields {
				v := f.Vector("emb/"+name, i, r)
				switch kind {
				case "LW":
					z += f.Vector("linear/"+name, i, r)[0]
				case "FeLV":
					for c, w := range f.Vector("linear/"+name, i, r) {
						z += v[c] * w
					}
				case "FiLV":
					for c, w := range f.Values("linear/weight")[i*4 : (i+1)*4] {
						z += v[c] * float64(w)
					}
				}
			}
			want = append(want, z)
		}
		modeltest.Near(t, f.Logits(), want)
	}
}

func TestParameterCount(t *testing.T) {
	modeltest.FrappeParameters(t, "model: FwFM\nlinear_type: FeLV", 107826)
}

func TestOverfit(t *testing.T) {
	modeltest.Overfit(t, modeltest.Program(t, schema, "model: fwfm\nembedding_dim: 4\nlearning_rate: 0.05\nembedding_initializer_std: 0.1"), 400)
}

func TestGradients(t *testing.T) {
	for _, kind := range []string{"LW", "FeLV", "FiLV"} {
		modeltest.CheckGradients(t, "labels: [{name: y}, {name: buy}]\nfields: [{name: a}, {name: b}, {name: n, type: numeric}]\n", "model: fwfm\nembedding_dim: 3\nlinear_type: "+kind)
	}
}

func TestErrors(t *testing.T) {
	modeltest.Errors(t, schema, map[string]string{
		"model: fwfm\nlinear_type: XX":     `linear_type is "XX", want LW, FeLV or FiLV`,
		"model: fwfm\nembedding_dim: 9999": "embedding_dim is 9999",
		"model: fwfm\nregularizer: -2":     "regularizer is -2, want at least 0",
	})
	modeltest.Errors(t, "labels: [{name: y}]\nfields: [{name: user}]\n", map[string]string{"model: fwfm": "needs at least two"})
}
