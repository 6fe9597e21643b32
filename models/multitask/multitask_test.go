package multitask_test

import (
	"math"
	"strings"
	"testing"

	"github.com/millrace/millrace/models/modeltest"
	_ "github.com/millrace/millrace/models/multitask"
)

const schema = `
labels: [{name: click}, {name: buy}]
fields:
  - {name: user}
  - {name: item}
  - {name: tags, type: multi, max: 5}
  - {name: price, type: numeric}
`

const (
	shared = "model: SharedBottom\nembedding_dim: 4\nbottom_hidden_units: [6]\ntower_hidden_units: [5]\n"
	mmoe   = "model: MMoE\nembedding_dim: 4\nnum_experts: 3\nexpert_hidden_units: [6]\ngate_hidden_units: []\ntower_hidden_units: [5]\n"
	ple    = "model: PLE\nembedding_dim: 4\nnum_layers: 2\nnum_shared_experts: 2\nnum_specific_experts: 1\nexpert_hidden_units: [6]\ngate_hidden_units: [3]\ntower_hidden_units: [5]\n"
	esmm   = "model: ESMM\nembedding_dim: 4\ntower_hidden_units: [5]\n"
)

func TestGradients(t *testing.T) {
	for _, m := range []string{
		shared, mmoe, ple, esmm, strings.Replace(mmoe, "gate_hidden_units: []", "gate_hidden_units: [3]\nhidden_activations: sigmoid\nbatch_norm: true", 1),
		ple + "shared_gate: shared\n", strings.Replace(ple, "num_layers: 2", "num_layers: 1", 1),
	} {
		modeltest.CheckGradients(t, schema, m)
	}
}

func near(t *testing.T, what string, got, want []float64) {
	t.Helper()
	for i := range want {
		if !(math.Abs(got[i]-want[i]) <= 2e-6) {
			t.Errorf("%s, row %d: %g, want %g", what, i, got[i], want[i])
		}
	}
}

// copyTo sets the tensors of g that start with a prefix to those of f that start with another.
func copyTo(g, f *modeltest.Fixture, to, from string) {
	g.T.Helper()
	found := false
	for _, d := range g.Dense {
		if rest, ok := strings.CutPrefix(d.Name, to); ok {
			v := f.Values(from + rest)
			g.Set(d.Name, func(i int) float32 { return v[i] })
			found = true
		}
	}
	if !found {
		g.T.Fatalf("there is no tensor %s…", to)
	}
}

// One expert, or equal experts under whatever gates, are a shared bottom.
func TestMixturesOfEqualExpertsAreASharedBottom(t *testing.T) {
	want := modeltest.NewFixture(t, schema, shared)
	f := func(model string, experts ...string) {
		t.Helper()
		g := modeltest.NewFixture(t, schema, model)
		for _, e := range experts {
			copyTo(g, want, e, "bottom/")
		}
		copyTo(g, want, "tower/", "tower/")
		copyTo(g, want, "emb/", "emb/")
		a, b := g.Scores(), want.Scores()
		near(t, model+" click", a[0], b[0])
		near(t, model+" buy", a[1], b[1])
	}
	f(strings.Replace(mmoe, "num_experts: 3", "num_experts: 1", 1), "expert/0/")
	f(mmoe, "expert/0/", "expert/1/", "expert/2/")
	f(strings.Replace(ple, "num_layers: 2", "num_layers: 1", 1), "layer0/shared/0/", "layer0/shared/1/", "layer0/expert/click/0/", "layer0/expert/buy/0/")
}

// The gate of one task does not move the other's scores.
func TestGatesAreTheTasksOwn(t *testing.T) {
	g := modeltest.NewFixture(t, schema, mmoe)
	before := g.Scores()
	g.Set("gate/buy/out/weight", func(i int) float32 { return float32(i%5) - 2 })
	after := g.Scores()
	near(t, "click", after[0], before[0])
	if math.Abs(after[1][0]-before[1][0]) < 1e-6 {
		t.Errorf("buy is %g after its gate changed", after[1][0])
	}
}

func TestESMMMultiplies(t *testing.T) {
	g := modeltest.NewFixture(t, schema, esmm)
	single := func(label string) []float64 { // the tower alone, as the only tower of a model of one label
		one := modeltest.NewFixture(t, strings.Replace(schema, "[{name: click}, {name: buy}]", "[{name: y}]", 1), "model: SharedBottom\nembedding_dim: 4\nbottom_hidden_units: []\ntower_hidden_units: [5]\n")
		copyTo(one, g, "tower/", "tower/"+label+"/")
		copyTo(one, g, "emb/", "emb/")
		return one.Scores()[0]
	}
	click, conversion, got := single("click"), single("buy"), g.Scores()
	near(t, "pCTR", got[0], click)
	for i := range click {
		click[i] *= conversion[i]
	}
	near(t, "pCTCVR", got[1], click)
}

func TestErrors(t *testing.T) {
	cases := map[string]string{
		mmoe + "hidden_activations: gelo\n":                                             "gelo",
		strings.Replace(mmoe, "num_experts: 3", "num_experts: 0", 1):                    "num_experts is 0",
		strings.Replace(mmoe, "expert_hidden_units: [6]", "expert_hidden_units: []", 1): "expert_hidden_units is empty",
		strings.Replace(ple, "num_shared_experts: 2", "num_shared_experts: -1", 1):      "num_shared_experts is -1",
		ple + "shared_gate: some\n":                                                     `shared_gate is "some"`,
		strings.Replace(esmm, "embedding_dim: 4", "embedding_dim: 0", 1):                "embedding_dim",
		mmoe + "num_expert: 3\n":                                                        "num_experts",
		shared + "net_dropout: [0.1, 0.2]\n":                                            "net_dropout has 2 rates",
	}
	modeltest.Errors(t, schema, cases)
	three := strings.Replace(schema, "{name: buy}", "{name: buy}, {name: like}", 1)
	modeltest.Errors(t, three, map[string]string{esmm: "3 labels"})
}
