package fm_test

import (
	"testing"

	_ "github.com/millrace/millrace/models/fm"
	"github.com/millrace/millrace/models/modeltest"
)

const schema = "labels: [{name: y}]\nfields: [{name: user}, {name: item}, {name: hour}]\n"

// TestPairSum: the logit is bias, weights and the inner products of all pairs, each taken by itself.
func TestPairSum(t *testing.T) {
	for _, dim := range []string{"1", "4"} {
		f := modeltest.NewFixture(t, schema, "model: fm\nembedding_dim: "+dim)
		f.Set("bias", func(int) float32 { return 0.3 })
		fields := []string{"user", "item", "hour"}
		var want []float64
		for r := range f.Batch.Rows {
			z := 0.3
			for i, a := range fields {
				z += f.Vector("linear/"+a, i, r)[0]
				for j := i + 1; j < len(fields); j++ {
					v, w := f.Vector("emb/"+a, i, r), f.Vector("emb/"+fields[j], j, r)
					for c := range v {
						z += v[c] * w[c]
					}
				}
			}
			want = append(want, z)
		}
		modeltest.Near(t, f.Logits(), want)
	}
}

// TestBiasAlone: with embeddings and weights of zero nothing but the bias is left.
func TestBiasAlone(t *testing.T) {
	f := modeltest.NewFixture(t, schema, "model: fm")
	f.Set("bias", func(int) float32 { return -0.7 })
	var want []float64
	for range f.Batch.Rows {
		want = append(want, -0.7)
	}
	modeltest.Randomise(f.Tables, 0)
	modeltest.Near(t, f.Logits(), want)
}

func TestParameterCount(t *testing.T) {
	modeltest.FrappeParameters(t, "model: FM\nembedding_dim: 10", 59280)
}

func TestOverfit(t *testing.T) {
	modeltest.Overfit(t, modeltest.Program(t, schema, "model: fm\nembedding_dim: 4\nlearning_rate: 0.05\nembedding_initializer_std: 0.1"), 400)
}

func TestGradients(t *testing.T) {
	modeltest.CheckGradients(t, "labels: [{name: y}, {name: buy}]\nfields: [{name: a}, {name: b}, {name: n, type: numeric}, {name: l, type: multi}]\n", "model: fm\nembedding_dim: 3")
}

func TestErrors(t *testing.T) {
	modeltest.Errors(t, schema, map[string]string{
		"model: fm\nembedding_dim: 0":   "embedding_dim is 0, want 1 to 4096",
		"model: fm\nregularizer: -1":    "regularizer is -1, want at least 0",
		"model: fm\nembeding_dim: 4":    `the nearest known one is "embedding_dim"`,
		"model: fm\nhidden_units: [64]": `unknown key "hidden_units"`,
	})
}
