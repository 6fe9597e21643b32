package autoint_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/millrace/millrace/models"
	_ "github.com/millrace/millrace/models/autoint"
	_ "github.com/millrace/millrace/models/dnn"
	"github.com/millrace/millrace/models/modeltest"
)

const (
	schema = "labels: [{name: y}]\nfields: [{name: user}, {name: item}, {name: hour}]\n"
	small  = "embedding_dim: 4\nattention_dim: 6\nnum_heads: 2\nattention_layers: 1\n"
	plus   = small + "dnn_hidden_units: [5]\n"
)

// layer is what one interacting layer gives for the vectors of a batch row's fields, in float64: weights [d, blocks·width], residual the fourth block, x itself or nothing.
func layer(x [][]float64, w []float32, width, heads int, scale float64, residual bool) [][]float64 {
	d := len(x[0])
	cols := len(w) / d
	project := func(v []float64, c int) float64 {
		var sum float64
		for i := range v {
			sum += v[i] * float64(w[i*cols+c])
		}
		return sum
	}
	out := make([][]float64, len(x))
	for m := range x {
		out[m] = make([]float64, width)
		for h := range heads {
			weights, total := make([]float64, len(x)), 0.0
			for n := range x {
				var psi float64
				for c := h * width / heads; c < (h+1)*width/heads; c++ {
					psi += project(x[m], c) * project(x[n], width+c)
				}
				weights[n] = math.Exp(scale * psi)
				total += weights[n]
			}
			for c := h * width / heads; c < (h+1)*width/heads; c++ {
				for n := range x {
					out[m][c] += weights[n] / total * project(x[n], 2*width+c)
				}
			}
		}
		for c := range width {
			switch {
			case residual && cols == 4*width:
				out[m][c] += project(x[m], 3*width+c)
			case residual:
				out[m][c] += x[m][c]
			}
			out[m][c] = max(out[m][c], 0)
		}
	}
	return out
}

// vectors returns the vectors of a batch row's three fields.
func vectors(f *modeltest.Fixture, row int) [][]float64 {
	return [][]float64{f.Vector("emb/user", 0, row), f.Vector("emb/item", 1, row), f.Vector("emb/hour", 2, row)}
}

// formula returns the logits that the equations give.
func formula(f *modeltest.Fixture, layers, width, heads int, scale float64, residual bool) []float64 {
	var z []float64
	for r := range f.Batch.Rows {
		x := vectors(f, r)
		for l := range layers {
			x = layer(x, f.Values(fmt.Sprintf("attention/%d/weight", l)), width, heads, scale, residual)
		}
		sum := float64(f.Values("out/bias")[0])
		for m := range x {
			for c, v := range x[m] {
				sum += v * float64(f.Values("out/weight")[m*len(x[m])+c])
			}
		}
		z = append(z, sum)
	}
	return z
}

// TestEquations compares with the paper's equations written down once more.
func TestEquations(t *testing.T) {
	for _, c := range []struct {
		keys          string
		layers, width int
		scale         float64
		residual      bool
	}{
		{"attention_layers: 1\nattention_dim: 6\n", 1, 6, 1, true},
		{"attention_layers: 1\nattention_dim: 4\n", 1, 4, 1, true}, // the width stays: the residual is the layer's input
		{"attention_layers: 3\nattention_dim: 6\n", 3, 6, 1, true},
		{"attention_layers: 3\nattention_dim: 6\nresidual_projection: always\n", 3, 6, 1, true},
		{"attention_layers: 2\nattention_dim: 6\nuse_residual: false\n", 2, 6, 1, false},
		{"attention_layers: 2\nattention_dim: 6\nuse_scale: true\n", 2, 6, 1 / math.Sqrt(3), true},
	} {
		f := modeltest.NewFixture(t, schema, "model: AutoInt\nembedding_dim: 4\nnum_heads: 2\n"+c.keys)
		modeltest.Near(t, f.Logits(), formula(f, c.layers, c.width, 2, c.scale, c.residual))
	}
}

// block sets one of the blocks of a layer's weights: 0 queries, 1 keys, 2 values, 3 the residual.
func block(f *modeltest.Fixture, name string, blocks, which int, value func(i int, old float32) float32) {
	old := f.Values(name)
	width := 6
	f.Set(name, func(i int) float32 {
		if i%(blocks*width)/width == which {
			return value(i, old[i])
		}
		return old[i]
	})
}

func zero(int, float32) float32 { return 0 }

// TestNoQueriesOrKeys: without queries or keys every weight is 1/M, the first state of small embeddings too.
func TestNoQueriesOrKeys(t *testing.T) {
	for which := range 2 {
		f := modeltest.NewFixture(t, schema, "model: autoint\nuse_residual: false\n"+small)
		block(f, "attention/0/weight", 3, which, zero)
		for _, w := range attention(t, f)[0].Values {
			if math.Abs(float64(w)-1./3) > 1e-6 {
				t.Fatalf("block %d is zero and a weight is %g, want 1/3", which, w)
			}
		}
	}
}

// TestNoValues: without values a layer is ReLU of its residual.
func TestNoValues(t *testing.T) {
	f := modeltest.NewFixture(t, schema, "model: autoint\n"+small)
	block(f, "attention/0/weight", 4, 2, zero)
	got := f.Logits()
	w := f.Values("attention/0/weight")
	for _, which := range []int{0, 1} { // then neither queries nor keys matter
		block(f, "attention/0/weight", 4, which, func(i int, old float32) float32 { return old + float32(math.Cos(float64(i))) })
	}
	modeltest.Near(t, got, f.Logits())
	var want []float64
	for r := range f.Batch.Rows {
		z := float64(f.Values("out/bias")[0])
		for m, e := range vectors(f, r) {
			for c := range 6 {
				var sum float64
				for i := range e {
					sum += e[i] * float64(w[i*24+18+c])
				}
				z += max(sum, 0) * float64(f.Values("out/weight")[m*6+c])
			}
		}
		want = append(want, z)
	}
	modeltest.Near(t, got, want)
}

// TestOneField attends to itself: the layer is ReLU((W_V + W_Res)e).
func TestOneField(t *testing.T) {
	one := "labels: [{name: y}]\nfields: [{name: user}]\n"
	f := modeltest.NewFixture(t, one, "model: autoint\n"+small)
	w := f.Values("attention/0/weight")
	var want []float64
	for r := range f.Batch.Rows {
		z := float64(f.Values("out/bias")[0])
		for c := range 6 {
			var sum float64
			for i, x := range f.Vector("emb/user", 0, r) {
				sum += x * float64(w[i*24+12+c]+w[i*24+18+c])
			}
			z += max(sum, 0) * float64(f.Values("out/weight")[c])
		}
		want = append(want, z)
	}
	modeltest.Near(t, f.Logits(), want)
}

// TestNoLayers leaves a linear map of the embeddings.
func TestNoLayers(t *testing.T) {
	f := modeltest.NewFixture(t, schema, "model: autoint\nembedding_dim: 4\nattention_layers: 0\n")
	modeltest.Near(t, f.Logits(), formula(f, 0, 4, 1, 1, true))
}

// TestScaledQueries: W_Q scaled by s without a scale is W_Q scaled by s·√d_h with it.
func TestScaledQueries(t *testing.T) {
	logits := func(keys string, s float64) []float64 {
		f := modeltest.NewFixture(t, schema, "model: autoint\n"+small+keys)
		block(f, "attention/0/weight", 4, 0, func(_ int, old float32) float32 { return float32(s) * old })
		return f.Logits()
	}
	modeltest.Near(t, logits("", 1.7), logits("use_scale: true\n", 1.7*math.Sqrt(3)))
}

// TestEqualHeads: two heads with the same weights are one head's result twice.
func TestEqualHeads(t *testing.T) {
	two := modeltest.NewFixture(t, schema, "model: autoint\n"+small)
	old := two.Values("attention/0/weight")
	two.Set("attention/0/weight", func(i int) float32 { return old[i-i%6+i%6%3] })
	one := modeltest.NewFixture(t, schema, "model: autoint\nembedding_dim: 4\nattention_dim: 3\nattention_layers: 1\n")
	one.Set("attention/0/weight", func(i int) float32 { return old[i/12*24+i%12/3*6+i%3] })
	sums := two.Values("out/weight")
	one.Set("out/weight", func(i int) float32 { return sums[i/3*6+i%3] + sums[i/3*6+i%3+3] })
	modeltest.Near(t, two.Logits(), one.Logits())
}

// TestPlusIsASum: without the tower's output AutoInt+ is AutoInt, without the attention's it is the tower; the tower reads the embeddings, not the layers.
func TestPlusIsASum(t *testing.T) {
	f := modeltest.NewFixture(t, schema, "model: AutoInt+\n"+plus)
	f.Zero("dnn/out")
	modeltest.Near(t, f.Logits(), modeltest.NewFixture(t, schema, "model: autoint\n"+small).Logits())

	f = modeltest.NewFixture(t, schema, "model: AutoInt+\n"+plus)
	f.Zero("out")
	g := modeltest.NewFixture(t, schema, "model: dnn\nembedding_dim: 4\nhidden_units: [5]\n")
	for from, to := range map[string]string{"dnn/0/weight": "mlp/0/weight", "dnn/0/bias": "mlp/0/bias", "dnn/out/weight": "out/weight", "dnn/out/bias": "out/bias"} {
		values := f.Values(from)
		g.Set(to, func(i int) float32 { return values[i] })
	}
	modeltest.Near(t, f.Logits(), g.Logits())
}

// TestWide: the linear part adds one weight an id, and has no bias.
func TestWide(t *testing.T) {
	f := modeltest.NewFixture(t, schema, "model: AutoInt\nuse_wide: true\n"+small)
	want := modeltest.NewFixture(t, schema, "model: autoint\n"+small).Logits()
	for r := range want {
		for i, name := range []string{"user", "item", "hour"} {
			want[r] += f.Vector("wide/"+name, i, r)[0]
		}
	}
	modeltest.Near(t, f.Logits(), want)
}

// TestNormBeforeOrAfterReLU: before it, a shift β below every normed value silences the layer; after it, β goes into the logit as it is.
func TestNormBeforeOrAfterReLU(t *testing.T) {
	for place, want := range map[string]float64{"before_relu": 0, "after_relu": -9 * 18} {
		f := modeltest.NewFixture(t, schema, "model: autoint\nlayer_norm: true\nlayer_norm_place: "+place+"\n"+small)
		f.Set("attention/0/norm/gamma", func(int) float32 { return 0 })
		f.Set("attention/0/norm/beta", func(int) float32 { return -9 })
		f.Set("out/weight", func(int) float32 { return 0.1 })
		for r, z := range f.Logits() {
			if math.Abs(z-want/10) > 1e-2 {
				t.Errorf("%s, row %d: logit %g, want %g", place, r, z, want/10)
			}
		}
	}
}

// attention returns the explanations of the fixture's batch.
func attention(t *testing.T, f *modeltest.Fixture) []models.Explanation {
	t.Helper()
	e, err := f.Program.NewExplainer()
	if err != nil {
		t.Fatal(err)
	}
	w, err := f.Program.NewWeights("v", f.Dense)
	if err != nil {
		t.Fatal(err)
	}
	scores, found, err := e.Explain(f.Batch, w, models.TableRows(f.Tables), nil)
	if err != nil {
		t.Fatal(err)
	}
	for r, p := range modeltest.Scores(t, f.Program, f.Dense, models.TableRows(f.Tables), f.Batch) {
		if scores[0][r] != p {
			t.Errorf("row %d: the explainer scores %g, the scorer %g", r, scores[0][r], p)
		}
	}
	return found
}

// TestAttentionMaps: each layer's weights come out, for each field and head a distribution over the fields, and are those of the equations.
func TestAttentionMaps(t *testing.T) {
	f := modeltest.NewFixture(t, schema, "model: AutoInt+\nattention_layers: 2\nembedding_dim: 4\nattention_dim: 6\nnum_heads: 2\nnet_dropout: 0.5\n")
	found := attention(t, f)
	if len(found) != 2 || found[1].Name != "attention/1/weights" || strings.Join(found[1].Fields, " ") != "user item hour" {
		t.Fatalf("explanations %+v", found)
	}
	if found[0].Rows != 3*16 || found[0].Cols != 2*3 {
		t.Fatalf("attention [%d, %d], want [48, 6]", found[0].Rows, found[0].Cols)
	}
	w := f.Values("attention/0/weight")
	for r := range f.Batch.Rows {
		x := vectors(f, r)
		for m := range x {
			for h := range 2 {
				var want [3]float64
				var total float64
				for n := range x {
					var psi float64
					for c := 3 * h; c < 3*h+3; c++ {
						var q, k float64
						for i := range 4 {
							q += x[m][i] * float64(w[i*24+c])
							k += x[n][i] * float64(w[i*24+6+c])
						}
						psi += q * k
					}
					want[n] = math.Exp(psi)
					total += want[n]
				}
				for n := range x {
					if got := float64(found[0].Values[(r*3+n)*6+h*3+m]); math.Abs(got-want[n]/total) > 1e-5 {
						t.Fatalf("row %d head %d: weight of field %d for %d is %g, want %g", r, h, n, m, got, want[n]/total)
					}
				}
			}
		}
	}
}

// TestParameterCounts: the benchmark's logs, and the paper's 39,361 weights on Criteo against 31,169 where equal widths share the residual.
func TestParameterCounts(t *testing.T) {
	modeltest.FrappeParameters(t, "model: AutoInt\nattention_layers: 6\nattention_dim: 128\nnum_heads: 4\n", 306051)
	modeltest.FrappeParameters(t, "model: AutoInt\nattention_layers: 5\nattention_dim: 128\nnum_heads: 4\nuse_scale: true\nlayer_norm: true\ndnn_hidden_units: [400, 400, 400]\nbatch_norm: true\n", 622180)

	count := func(fields, ids int, model string, want int) {
		t.Helper()
		var text strings.Builder
		text.WriteString("labels: [{name: y}]\nfields:\n")
		vocabulary := map[string]int{}
		for f := range fields {
			name := fmt.Sprintf("f%d", f)
			fmt.Fprintf(&text, "  - {name: %s}\n", name)
			vocabulary[name] = max(ids-1, 0) * (1 - min(f, 1)) // all known ids in the first field, unknown ones in each
		}
		if got, _ := modeltest.Parameters(t, text.String(), model, vocabulary); got != want {
			t.Errorf("%q: %d parameters, want %d", model, got, want)
		}
	}
	criteo := "model: AutoInt\nembedding_dim: 16\nattention_layers: 3\nattention_dim: 64\nnum_heads: 2\n"
	count(39, 1, criteo+"residual_projection: always\n", 39*16+39361)
	count(39, 1, criteo, 39*16+31169)
	movies := "attention_layers: 2\nattention_dim: 128\nnum_heads: 1\nlayer_norm: true\nuse_wide: true\n"
	count(3, 90239-2, "model: AutoInt\n"+movies, 1047798)
	count(3, 90239-2, "model: AutoInt+\ndnn_hidden_units: [400, 400, 400]\nbatch_norm: true\n"+movies, 1383799)
}

func TestOverfit(t *testing.T) {
	for _, model := range []string{"model: autoint\nattention_layers: 2\nattention_dim: 8\nnum_heads: 2\n", "model: autointplus\ndnn_hidden_units: [8]\nlayer_norm: true\nuse_scale: true\n"} {
		modeltest.Overfit(t, modeltest.Program(t, schema, model+"learning_rate: 0.02\n"), 500)
	}
}

func TestGradients(t *testing.T) {
	const mixed = "labels: [{name: y}, {name: buy}]\nfields: [{name: a}, {name: b}, {name: n, type: numeric}, {name: l, type: multi}]\n"
	for _, keys := range []string{
		"model: autoint\nattention_layers: 2\n",
		"model: autoint\nuse_residual: false\nuse_scale: true\nattention_dropout: 0.3\n",
		"model: autoint\nattention_layers: 2\nresidual_projection: always\nattention_activation: relu\nlayer_norm: true\nlayer_norm_place: after_relu\nembedding_dropout: 0.1\n",
		"model: autointplus\nattention_layers: 2\nlayer_norm: true\nuse_scale: true\nuse_wide: true\nbatch_norm: true\nnet_dropout: 0.2\ndnn_hidden_units: [5]\n",
	} {
		modeltest.CheckGradients(t, mixed, keys+"embedding_dim: 4\nattention_dim: 6\nnum_heads: 2\n")
	}
}

func TestErrors(t *testing.T) {
	modeltest.Errors(t, schema, map[string]string{
		"model: autoint\nembedding_dim: 0":                                        "embedding_dim is 0",
		"model: autoint\nattention_dim: 9\nnum_heads: 2":                          "num_heads is 2: it must divide attention_dim",
		"model: autoint\nattention_layers: -1":                                    "attention_layers is -1",
		"model: autoint\nattention_dim: 0":                                        "attention_dim is 0",
		"model: autoint\nattention_dropout: 1":                                    "attention_dropout is 1",
		"model: autoint\nembedding_dropout: 2":                                    "embedding_dropout is 2",
		"model: autoint\nattention_activation: tanh":                              `attention_activation is "tanh"`,
		"model: autoint\nresidual_projection: never":                              `residual_projection is "never"`,
		"model: autoint\nlayer_norm_place: none":                                  `layer_norm_place is "none"`,
		"model: AutoInt+\ndnn_hidden_units: []":                                   "dnn_hidden_units is empty",
		"model: AutoInt+\ndnn_hidden_units: [8, 8]\nnet_dropout: [0.1, 0.2]":      "give attention_dropout as well",
		"model: AutoInt+\ndnn_hidden_units: [8, 8]\nnet_dropout: [0.1, 0.2, 0.3]": "net_dropout has 3 rates for 2 layers",
		"model: AutoInt\nattention_head: 2":                                       `the nearest known one is "attention_dim"`,
	})
}
