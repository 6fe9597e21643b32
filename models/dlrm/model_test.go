package dlrm_test

import (
	"math"
	"testing"

	_ "github.com/millrace/millrace/models/dlrm"
	_ "github.com/millrace/millrace/models/dnn"
	"github.com/millrace/millrace/models/modeltest"
)

const (
	schema  = "labels: [{name: y}]\nfields: [{name: user}, {name: item}, {name: hour}]\n"
	numeric = "labels: [{name: y}]\nfields: [{name: user}, {name: price, type: numeric}, {name: item}, {name: age, type: numeric}]\n"
)

// TestPairsBesideNumbers: without hidden layers the logit is linear in the inner products of all pairs, the numbers' vector among them, and in that vector.
func TestPairsBesideNumbers(t *testing.T) {
	f := modeltest.NewFixture(t, numeric, "model: dlrm\nembedding_dim: 2\ntop_mlp_units: []\nbottom_mlp_units: []\n")
	f.Set("out/bias", func(int) float32 { return 0.2 })
	f.Set("bottom/out/bias", func(i int) float32 { return 0.3 - 0.1*float32(i) })
	out, w, b := f.Values("out/weight"), f.Values("bottom/out/weight"), f.Values("bottom/out/bias")
	var want []float64
	for r := range f.Batch.Rows {
		price, age := f.Batch.Columns[1], f.Batch.Columns[3]
		numbers := []float32{price.Values[r], price.Missing[r], age.Values[r], age.Missing[r]}
		dense := []float64{float64(b[0]), float64(b[1])}
		for i, x := range numbers {
			for c := range dense {
				dense[c] += float64(x * w[i*2+c])
			}
		}
		for c := range dense {
			dense[c] = math.Max(dense[c], 0)
		}
		vectors := [][]float64{f.Vector("emb/user", 0, r), f.Vector("emb/item", 2, r), dense}
		z, pair := 0.2, 0
		for i := range vectors {
			for j := i + 1; j < len(vectors); j++ {
				z += float64(out[pair]) * (vectors[i][0]*vectors[j][0] + vectors[i][1]*vectors[j][1])
				pair++
			}
		}
		want = append(want, z+float64(out[pair])*dense[0]+float64(out[pair+1])*dense[1])
	}
	modeltest.Near(t, f.Logits(), want)
}

// TestCatIsATower: with all vectors side by side and no numbers it is DNN.
func TestCatIsATower(t *testing.T) {
	f := modeltest.NewFixture(t, schema, "model: dlrm\nembedding_dim: 4\ninteraction_op: cat\ntop_mlp_units: [6, 5]\n")
	want := modeltest.NewFixture(t, schema, "model: dnn\nembedding_dim: 4\nhidden_units: [6, 5]\n")
	for to, from := range map[string]string{"mlp/0/weight": "top/0/weight", "mlp/1/weight": "top/1/weight", "out/weight": "out/weight"} {
		v := f.Values(from)
		want.Set(to, func(i int) float32 { return v[i] })
	}
	modeltest.Near(t, f.Logits(), want.Logits())
}

func TestParameterCount(t *testing.T) {
	modeltest.FrappeParameters(t, "model: DLRM\ninteraction_op: cat\ntop_mlp_units: [400, 400, 400]\nbatch_norm: true", 417891)
}

func TestOverfit(t *testing.T) {
	for _, op := range []string{"dot", "cat"} {
		modeltest.Overfit(t, modeltest.Program(t, numeric, "model: dlrm\nembedding_dim: 4\ntop_mlp_units: [16]\nbottom_mlp_units: [8]\nlearning_rate: 0.02\nembedding_initializer_std: 0.1\ninteraction_op: "+op), 400)
	}
}

func TestGradients(t *testing.T) {
	const keys = "embedding_dim: 2\ntop_mlp_units: [5]\nbottom_mlp_units: [4]\nbottom_mlp_activations: tanh\ntop_mlp_dropout: 0.2\nbatch_norm: true\ninteraction_op: "
	for _, op := range []string{"dot", "cat"} {
		modeltest.CheckGradients(t, numeric, "model: dlrm\n"+keys+op)
		modeltest.CheckGradients(t, "labels: [{name: y}, {name: buy}]\nfields: [{name: a}, {name: b}, {name: c}, {name: l, type: multi}]\n", "model: dlrm\n"+keys+op)
	}
	modeltest.CheckGradients(t, "labels: [{name: y}]\nfields: [{name: a, type: numeric}]\n", "model: dlrm\n"+keys+"cat")
}

func TestErrors(t *testing.T) {
	modeltest.Errors(t, schema, map[string]string{
		"model: dlrm\ninteraction_op: sum":                                     `interaction_op is "sum"`,
		"model: dlrm\ntop_mlp_units: [0]":                                      "top_mlp_units: a layer of 0 units",
		"model: dlrm\nbottom_mlp_units: [0]":                                   "bottom_mlp_units: a layer of 0 units",
		"model: dlrm\ntop_mlp_units: [4, 4]\ntop_mlp_dropout: [0.1, 0.1, 0.1]": "top_mlp_dropout has 3 rates for 2 layers",
	})
	modeltest.Errors(t, "labels: [{name: y}]\nfields: [{name: a, type: numeric}, {name: b, type: numeric}]\n", map[string]string{"model: dlrm": "interaction_op dot: the schema's fields make one vector"})
}
