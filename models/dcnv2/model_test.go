package dcnv2_test

import (
	"math"
	"slices"
	"testing"

	_ "github.com/millrace/millrace/models/dcnv2"
	"github.com/millrace/millrace/models/modeltest"
)

const (
	schema = "labels: [{name: y}]\nfields: [{name: user}, {name: item}, {name: hour}]\n"
	alone  = "model: DCNv2\nembedding_dim: 2\nmodel_structure: crossnet_only\nnum_cross_layers: 3\n"
	mixed  = "use_low_rank_mixture: true\nlow_rank: 3\nnum_experts: 2\n"
)

// embeddings returns e of a batch row.
func embeddings(f *modeltest.Fixture, r int) []float64 {
	return slices.Concat(f.Vector("emb/user", 0, r), f.Vector("emb/item", 1, r), f.Vector("emb/hour", 2, r))
}

// output returns wᵀx + b.
func output(f *modeltest.Fixture, x []float64) float64 {
	z := float64(f.Values("out/bias")[0])
	for i, w := range f.Values("out/weight") {
		z += float64(w) * x[i]
	}
	return z
}

// TestZeroWeightsAreTheIdentity: with W = b = 0 the cross network returns x_0, whichever its layers.
func TestZeroWeightsAreTheIdentity(t *testing.T) {
	for _, layers := range []string{"", "cross_parameterization: vector\n", mixed} {
		f := modeltest.NewFixture(t, schema, alone+layers)
		f.Zero("cross/")
		var want []float64
		for r := range f.Batch.Rows {
			want = append(want, output(f, embeddings(f, r)))
		}
		modeltest.Near(t, f.Logits(), want)
	}
}

// TestLayersAreTheirEquations computes three layers of each kind by plain loops.
func TestLayersAreTheirEquations(t *testing.T) {
	value := func(x []float32, cols, r, c int) float64 { return float64(x[r*cols+c]) }
	layer := map[string]func(f *modeltest.Fixture, name string, x0, x []float64) []float64{
		"": func(f *modeltest.Fixture, name string, x0, x []float64) []float64 {
			w, b, next := f.Values(name+"/weight"), f.Values(name+"/bias"), slices.Clone(x)
			for c := range x {
				u := float64(b[c])
				for k := range x {
					u += x[k] * value(w, len(x), k, c)
				}
				next[c] += x0[c] * u
			}
			return next
		},
		"cross_parameterization: vector\n": func(f *modeltest.Fixture, name string, x0, x []float64) []float64 {
			w, b, next := f.Values(name+"/weight"), f.Values(name+"/bias"), slices.Clone(x)
			s := 0.
			for k := range x {
				s += x[k] * float64(w[k])
			}
			for c := range x {
				next[c] += x0[c]*s + float64(b[c])
			}
			return next
		},
		mixed: func(f *modeltest.Fixture, name string, x0, x []float64) []float64 {
			const n, rank = 2, 3
			v, cw, u, g, b := f.Values(name+"/v"), f.Values(name+"/c"), f.Values(name+"/u"), f.Values(name+"/gate"), f.Values(name+"/bias")
			var gates [n]float64
			total := 0.
			for i := range n {
				for k := range x {
					gates[i] += x[k] * value(g, n, k, i)
				}
				gates[i] = math.Exp(gates[i])
				total += gates[i]
			}
			next := slices.Clone(x)
			for i := range n {
				var low, high [rank]float64
				for j := range rank {
					for k := range x {
						low[j] += x[k] * value(v, n*rank, k, i*rank+j)
					}
					low[j] = math.Tanh(low[j])
				}
				for j := range rank {
					for k := range rank {
						high[j] += low[k] * value(cw, rank, i*rank+k, j)
					}
					high[j] = math.Tanh(high[j])
				}
				for c := range x {
					e := float64(b[c])
					for j := range rank {
						e += high[j] * value(u, len(x), i*rank+j, c)
					}
					next[c] += gates[i] / total * x0[c] * e
				}
			}
			return next
		},
	}
	for keys, next := range layer {
		f := modeltest.NewFixture(t, schema, alone+keys)
		for _, name := range []string{"cross/0", "cross/1", "cross/2"} {
			f.Set(name+"/bias", func(i int) float32 { return 0.1 * float32(i-2) })
		}
		var want []float64
		for r := range f.Batch.Rows {
			x0 := embeddings(f, r)
			x := x0
			for _, name := range []string{"cross/0", "cross/1", "cross/2"} {
				x = next(f, name, x0, x)
			}
			want = append(want, output(f, x))
		}
		modeltest.Near(t, f.Logits(), want)
	}
}

// TestVectorIsMatrixOfEqualColumns: with zero biases a vector layer is the matrix layer whose W has w in every column.
func TestVectorIsMatrixOfEqualColumns(t *testing.T) {
	one := modeltest.NewFixture(t, schema, alone+"cross_parameterization: vector\n")
	all := modeltest.NewFixture(t, schema, alone)
	for _, name := range []string{"cross/0", "cross/1", "cross/2"} {
		w := one.Values(name + "/weight")
		all.Set(name+"/weight", func(i int) float32 { return w[i/len(w)] })
	}
	modeltest.Near(t, all.Logits(), one.Logits())
}

func TestParameterCounts(t *testing.T) {
	modeltest.FrappeParameters(t, "model: DCNv2\nmodel_structure: parallel\nnum_cross_layers: 4\nparallel_dnn_hidden_units: [400, 400, 400]\nbatch_norm: true", 458391)
	modeltest.FrappeParameters(t, "model: DCNv2\nmodel_structure: crossnet_only\nnum_cross_layers: 4", 94391)
	modeltest.FrappeParameters(t, "model: DCN\nnum_cross_layers: 3\ndnn_hidden_units: [400, 400, 400]\nbatch_norm: true", 418591)
	modeltest.FrappeParameters(t, "model: DCN\ncrossing_layers: 6\ndnn_hidden_units: []", 55191)
}

func TestOverfit(t *testing.T) {
	for _, model := range []string{"model: dcnv2\nparallel_dnn_hidden_units: [16]\n", "model: dcnv2\nmodel_structure: stacked\nstacked_dnn_hidden_units: [16]\n" + mixed, "model: dcn\ndnn_hidden_units: [16]\n"} {
		modeltest.Overfit(t, modeltest.Program(t, schema, model+"embedding_dim: 4\nlearning_rate: 0.02\n"), 400)
	}
}

func TestGradients(t *testing.T) {
	const two = "labels: [{name: y}, {name: buy}]\nfields: [{name: a}, {name: b}, {name: n, type: numeric}, {name: l, type: multi}]\n"
	const dnn = "embedding_dim: 2\nstacked_dnn_hidden_units: [4]\nparallel_dnn_hidden_units: [5]\nnum_cross_layers: 2\nnet_dropout: 0.2\n"
	for _, structure := range []string{"parallel", "stacked", "stacked_parallel", "crossnet_only"} {
		modeltest.CheckGradients(t, two, "model: dcnv2\nmodel_structure: "+structure+"\n"+dnn)
	}
	modeltest.CheckGradients(t, two, "model: dcnv2\n"+mixed+dnn)
	modeltest.CheckGradients(t, two, "model: dcnv2\ncross_parameterization: vector\nbatch_norm: true\n"+dnn)
}

func TestErrors(t *testing.T) {
	modeltest.Errors(t, schema, map[string]string{
		"model: dcnv2\nmodel_structure: side":                                      `model_structure is "side"`,
		"model: dcnv2\ncross_parameterization: tensor":                             `cross_parameterization is "tensor"`,
		"model: dcnv2\nnum_cross_layers: 0":                                        "num_cross_layers is 0",
		"model: dcnv2\nuse_low_rank_mixture: true\nlow_rank: 0":                    "low_rank is 0",
		"model: dcnv2\nuse_low_rank_mixture: true\nnum_experts: -1":                "num_experts is -1",
		"model: dcnv2\nuse_low_rank_mixture: true\ncross_parameterization: vector": "use_low_rank_mixture: crosses by vectors",
		"model: dcnv2\nparallel_dnn_hidden_units: []":                              "parallel_dnn_hidden_units is empty",
		"model: dcnv2\nmodel_structure: stacked\nstacked_dnn_hidden_units: [0]":    "stacked_dnn_hidden_units: a layer of 0 units",
		"model: dcnv2\nparallel_dnn_hidden_units: [4]\nnet_dropout: 1.5":           "net_dropout is 1.5",
		"model: dcn\ndnn_hidden_units: [-4]":                                       "dnn_hidden_units: a layer of -4 units",
		"model: dcn\nparallel_dnn_hidden_units: [4]":                               `the nearest known one is "dnn_hidden_units"`,
	})
}
