package finalmlp_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/models"
	_ "github.com/millrace/millrace/models/finalmlp"
	"github.com/millrace/millrace/models/modeltest"
)

const schema = "labels: [{name: y}]\nfields: [{name: user}, {name: item}, {name: hour}]\n"

const small = "embedding_dim: 4\nmlp1_hidden_units: [12]\nmlp2_hidden_units: [8]\nnum_heads: 4\nfs_hidden_units: [6]\n"

// scores returns the scores of a model file after its dense tensors were changed.
func scores(t *testing.T, text string, change func(set func(name string, value func(i int) float32))) []float32 {
	t.Helper()
	p := modeltest.Program(t, schema, text)
	tr := modeltest.Trainer(t, p, 9)
	modeltest.Randomise(tr.Tables, 0.5)
	for _, name := range []string{"emb/user", "emb/item", "emb/hour"} { // alike, whatever other tables there are
		tab := tr.Tables[name]
		for slot := range uint32(tab.Len()) {
			for k := range tab.Row(slot) {
				tab.Row(slot)[k] = float32(math.Sin(float64(len(name)) + 7*float64(slot) + float64(k)))
			}
		}
	}
	dense := tr.Step.Dense()
	if change != nil {
		change(func(name string, value func(i int) float32) { modeltest.Set(t, dense, name, value) })
	}
	return modeltest.Scores(t, p, dense, models.TableRows(tr.Tables), modeltest.Batch(p.Schema(), 16, 9, 1))
}

func zero(int) float32 { return 0 }

// TestClosedGateIsIdentity: a gate whose output layer is zero is exactly 1.
func TestClosedGateIsIdentity(t *testing.T) {
	for _, context := range []string{"", "fs1_context: [user]\nfs2_context: [item, hour]\n"} {
		got := scores(t, "model: finalmlp\n"+small+context, func(set func(string, func(int) float32)) {
			for _, n := range []string{"fs1/gate/out/weight", "fs1/gate/out/bias", "fs2/gate/out/weight", "fs2/gate/out/bias"} {
				set(n, zero)
			}
		})
		want := scores(t, "model: finalmlp\nuse_fs: false\n"+small, nil)
		if !slices.Equal(got, want) {
			t.Errorf("context %q: the gate is not the identity", context)
		}
	}
}

// TestWithoutBilinearIsDualMLP: W = 0 leaves the sum of the two linear outputs.
func TestWithoutBilinearIsDualMLP(t *testing.T) {
	got := scores(t, "model: finalmlp\nuse_fs: false\n"+small, func(set func(string, func(int) float32)) { set("fusion/bilinear", zero) })
	want := scores(t, "model: dualmlp\nembedding_dim: 4\nmlp1_hidden_units: [12]\nmlp2_hidden_units: [8]\n", nil)
	if !slices.Equal(got, want) {
		t.Error("FinalMLP without its bilinear term is not DualMLP")
	}
}

// TestHeadsAreBlocks: k heads are one head with a block-diagonal W.
func TestHeadsAreBlocks(t *testing.T) {
	const p, q, k = 12, 8, 4
	w := func(j, a, b int) float32 { return float32(math.Cos(float64(100*j + 10*a + b))) }
	heads := scores(t, "model: finalmlp\nuse_fs: false\n"+small, func(set func(string, func(int) float32)) {
		set("fusion/bilinear", func(i int) float32 { return w(i/(p/k*q/k), i/(q/k)%(p/k), i%(q/k)) })
	})
	one := scores(t, "model: finalmlp\nuse_fs: false\n"+strings.Replace(small, "num_heads: 4", "num_heads: 1", 1), func(set func(string, func(int) float32)) {
		set("fusion/bilinear", func(i int) float32 {
			a, b := i/q, i%q
			if a/(p/k) != b/(q/k) {
				return 0
			}
			return w(a/(p/k), a%(p/k), b%(q/k))
		})
	})
	for i := range one {
		if math.Abs(float64(heads[i]-one[i])) > 1e-6 {
			t.Errorf("row %d: %g with heads, %g with blocks", i, heads[i], one[i])
		}
	}
}

// TestEmptyContextIsStatic: without context fields no gradient reaches the gate but for its output bias.
func TestEmptyContextIsStatic(t *testing.T) {
	p := modeltest.Program(t, schema, "model: finalmlp\n"+small)
	tr := modeltest.Trainer(t, p, 9)
	modeltest.Randomise(tr.Tables, 0.5)
	if _, err := tr.Step.Run(modeltest.Batch(p.Schema(), 16, 9, 1), 1); err != nil {
		t.Fatal(err)
	}
	dense, _ := tr.Step.Gradients()
	for _, d := range dense {
		if !strings.HasPrefix(d.Name, "fs") {
			continue
		}
		dead := !slices.ContainsFunc(d.Grad.F32, func(x float32) bool { return x != 0 })
		if want := !strings.HasSuffix(d.Name, "gate/out/bias"); dead != want {
			t.Errorf("%s: gradient zero is %v, want %v", d.Name, dead, want)
		}
	}
}

// TestParameterCounts compares with the counts that the benchmark logs for its published runs, padding rows included.
func TestParameterCounts(t *testing.T) {
	count := func(sizes map[string]int, names []string, model string, want int) {
		t.Helper()
		var text strings.Builder
		text.WriteString("labels: [{name: y}]\nfields:\n")
		ids := map[string]int{}
		for _, n := range names {
			fmt.Fprintf(&text, "  - {name: %s}\n", n)
			ids[n] = sizes[n] - 2 // one row each for padding and unknown ids
		}
		got, padding := modeltest.Parameters(t, text.String(), model, ids)
		if got+padding != want {
			t.Errorf("%d parameters and %d of padding rows, want %d together", got, padding, want)
		}
	}
	frappe := map[string]int{"user": 956, "item": 4084, "daytime": 9, "weekday": 9, "isweekend": 4, "homework": 5, "cost": 4, "weather": 11, "country": 82, "city": 235}
	fields := []string{"user", "item", "daytime", "weekday", "isweekend", "homework", "cost", "weather", "country", "city"}
	count(frappe, fields, "model: FinalMLP\nmlp1_hidden_units: [400]\nmlp2_hidden_units: [100]\nmlp1_batch_norm: true\nmlp2_batch_norm: true\nfs_hidden_units: [400]\nfs1_context: [user]\nfs2_context: [item]\nnum_heads: 5", 253392)
	count(frappe, fields, "model: DualMLP\nmlp1_hidden_units: [400, 400, 400]\nmlp2_hidden_units: [500, 500, 500]\nmlp1_batch_norm: true\nmlp2_batch_norm: true", 972992)
	movies := map[string]int{"user": 16980, "item": 23745, "tag": 49517}
	count(movies, []string{"user", "item", "tag"}, "model: FinalMLP\nmlp1_hidden_units: [400]\nmlp2_hidden_units: [800]\nmlp1_batch_norm: true\nmlp2_batch_norm: true\nfs_hidden_units: [800]\nnum_heads: 10", 1040902)
}

func TestGradients(t *testing.T) {
	modeltest.CheckGradients(t, schema, "model: finalmlp\nfs1_context: [user]\nmlp1_batch_norm: true\nmlp2_hidden_activations: dice\nmlp1_dropout: 0.3\n"+small)
}
