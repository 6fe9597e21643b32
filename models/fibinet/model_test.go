package fibinet_test

import (
	"math"
	"slices"
	"testing"

	_ "github.com/millrace/millrace/models/fibinet"
	"github.com/millrace/millrace/models/modeltest"
)

const schema = "labels: [{name: y}]\nfields: [{name: user}, {name: item}, {name: hour}]\n"

// TestProductsAreTheNaiveLoops computes SENET, the products and, without hidden layers, the output layer by plain loops.
func TestProductsAreTheNaiveLoops(t *testing.T) {
	const d, fields = 2, 3
	for _, kind := range []string{"field_all", "field_each", "field_interaction"} {
		for _, excitation := range []string{"relu", "sigmoid"} {
			f := modeltest.NewFixture(t, schema, "model: fibinet\nembedding_dim: 2\nhidden_units: []\nreduction_ratio: 0.5\nbilinear_type: "+kind+"\nexcitation_activation: "+excitation)
			w, w1, w2, out := f.Values("bilinear/weight"), f.Values("senet/0/weight"), f.Values("senet/1/weight"), f.Values("out/weight")
			products := func(e [][]float64) (p []float64) {
				pair := 0
				for i := range e {
					for j := i + 1; j < len(e); j++ {
						m := map[string]int{"field_all": 0, "field_each": i, "field_interaction": pair}[kind]
						for c := range d {
							u := 0.
							for k := range d {
								u += e[i][k] * float64(w[(m*d+k)*d+c])
							}
							p = append(p, u*e[j][c])
						}
						pair++
					}
				}
				return p
			}
			var want []float64
			for r := range f.Batch.Rows {
				var e, scaled [][]float64
				z := float64(f.Values("out/bias")[0])
				var mean [fields]float64
				for i, n := range []string{"user", "item", "hour"} {
					e = append(e, f.Vector("emb/"+n, i, r))
					mean[i] = (e[i][0] + e[i][1]) / d
					z += f.Vector("linear/"+n, i, r)[0]
				}
				var hidden [6]float64 // ⌊3 / 0.5⌋
				for h := range hidden {
					for i := range fields {
						hidden[h] += mean[i] * float64(w1[i*len(hidden)+h])
					}
					hidden[h] = math.Max(hidden[h], 0)
				}
				for i := range fields {
					a := 0.
					for h := range hidden {
						a += hidden[h] * float64(w2[h*fields+i])
					}
					if a = math.Max(a, 0); excitation == "sigmoid" {
						a = 0
						for h := range hidden {
							a += hidden[h] * float64(w2[h*fields+i])
						}
						a = 1 / (1 + math.Exp(-a))
					}
					scaled = append(scaled, []float64{a * e[i][0], a * e[i][1]})
				}
				for k, p := range slices.Concat(products(e), products(scaled)) {
					z += p * float64(out[k])
				}
				want = append(want, z)
			}
			modeltest.Near(t, f.Logits(), want)
		}
	}
}

func TestParameterCount(t *testing.T) {
	modeltest.FrappeParameters(t, "model: FiBiNET\nbilinear_type: field_all\nreduction_ratio: 2\nhidden_units: [400, 400, 400]\nbatch_norm: true", 743480)
}

func TestOverfit(t *testing.T) {
	modeltest.Overfit(t, modeltest.Program(t, schema, "model: fibinet\nembedding_dim: 4\nhidden_units: [16]\nlearning_rate: 0.02\nembedding_initializer_std: 0.1"), 400)
}

func TestGradients(t *testing.T) {
	const two = "labels: [{name: y}, {name: buy}]\nfields: [{name: a}, {name: b}, {name: n, type: numeric}, {name: l, type: multi}]\n"
	for _, kind := range []string{"field_all", "field_each", "field_interaction"} {
		modeltest.CheckGradients(t, two, "model: fibinet\nembedding_dim: 2\nhidden_units: [4]\nbatch_norm: true\nnet_dropout: 0.2\nreduction_ratio: 0.5\nexcitation_activation: sigmoid\nbilinear_type: "+kind)
	}
}

func TestErrors(t *testing.T) {
	modeltest.Errors(t, schema, map[string]string{
		"model: fibinet\nbilinear_type: none":         `bilinear_type is "none"`,
		"model: fibinet\nreduction_ratio: 0":          "reduction_ratio is 0",
		"model: fibinet\nreduction_ratio: 1.0e-200":   "reduction_ratio is 1e-200",
		"model: fibinet\nexcitation_activation: tanh": `excitation_activation is "tanh"`,
		"model: fibinet\nhidden_units: [100000]":      "hidden_units: a layer of 100000 units",
	})
	modeltest.Errors(t, "labels: [{name: y}]\nfields: [{name: user}]\n", map[string]string{"model: fibinet\nbilinear_type: field_all": "needs at least two"})
}
