package training

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/models"
	_ "github.com/millrace/millrace/models/all"
)

func gridSchema(t testing.TB) *features.Schema {
	t.Helper()
	s, err := features.ParseSchema([]byte("user: user\nitem: item\nlabels: [{name: click}]\nfields:\n  - {name: user, from: user}\n  - {name: item, from: item}\n"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestParseGrid(t *testing.T) {
	s := gridSchema(t)
	f := func(text, base string, size int, varied string) {
		t.Helper()
		var under []byte
		if base != "" {
			under = []byte(base)
		}
		g, err := ParseGrid([]byte(text), under, s)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			return
		}
		var names []string
		for _, k := range g.vary {
			names = append(names, k.name)
		}
		if got := strings.Join(names, " "); got != varied || g.Size() != size {
			t.Errorf("%s: choices %q of size %d, want %q of %d", text, got, g.Size(), varied, size)
		}
		rng := rand.New(rand.NewPCG(1, 1))
		for range 50 {
			text, err := g.file(g.draw(rng))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := models.Parse(text, s); err != nil {
				t.Errorf("a drawn model file does not parse: %v\n%s", err, text)
			}
		}
	}
	f("model: DNN\nembedding_dim: [4, 8]\nbatch_size: [16, 32, 64]", "", 6, "embedding_dim batch_size")
	f("model: DNN\nhidden_units: [16, 8]\nembedding_dim: [4, 8]", "", 4, "hidden_units embedding_dim") // one layer of 16, or of 8
	f("model: DNN\nhidden_units: [[16, 8]]\nembedding_dim: [4, 8]", "", 2, "hidden_units embedding_dim")
	f("model: DNN\nhidden_units: [[16], [8, 4]]", "", 2, "hidden_units")
	f("model: DNN\nlearning_rate: {log: [1.0e-4, 1.0e-2]}", "", 0, "learning_rate")
	f("model: DNN\nembedding_dim: {range: [4, 16]}", "", 13, "embedding_dim") // whole numbers
	f("model: DNN\nembedding_dim: {log: [4, 64]}", "", 0, "embedding_dim")
	f("model: DNN\nbatch_size: {range: [100, 500], step: 100}", "", 5, "batch_size")
	f("model: DNN\nbatch_size: {choice: [100, 500]}", "", 2, "batch_size")
	f("learning_rate: [0.1, 0.01]", "model: LR\nlearning_rate: 1\nbatch_size: 8", 2, "learning_rate")
	f("grid: {learning_rate: [0.1, 0.01]}\nmodel: LR", "", 2, "learning_rate")
	f("model: [LR, DNN]\nlearning_rate: [0.1, 0.01]", "", 4, "model learning_rate")
}

func TestParseGridErrors(t *testing.T) {
	s := gridSchema(t)
	f := func(text string, wants ...string) {
		t.Helper()
		_, err := ParseGrid([]byte(text), nil, s)
		if err == nil {
			t.Errorf("%s is taken", text)
			return
		}
		for _, w := range wants {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s: %v, want %q", text, err, w)
			}
		}
	}
	f("", "keys and values")
	f("learning_rate: [1, 2]", `"model" is missing`)
	f("model: DNN\nlearning_rate: 0.1", "no key holds a choice")
	f("model: DNN\nlearning_rate: []", "line 2", "learning_rate", "empty")
	f("model: DNN\nlearning_rate: {log: [0, 1]}", "more than 0")
	f("model: DNN\nlearning_rate: {log: [1, 0.1]}", "the lower first")
	f("model: DNN\nlearning_rate: {range: [0.1, 0.2], log: [0.1, 1]}", "one of")
	f("model: DNN\nlearning_rate: {range: [0.1, 0.2], step: 5}", "step 5")
	f("model: DNN\nlearning_rate: {uniform: [0.1, 0.2]}", "want a list of values")
	f("model: DNN\nlearning_rates: [0.1, 0.2]", "learning_rate")
	f("model: DNN\nlearning_rate: [0.1, -2]", "learning_rate", "-2")
	f("model: DNN\nlearning_rate: {range: [-2, -1]}", "learning_rate")
	f("model: DNN\nbatch_size: [1, 2]\nbatch_size: [3, 4]", "twice")
}

func TestGridDraws(t *testing.T) {
	s := gridSchema(t)
	g, err := ParseGrid([]byte("model: DNN\nlearning_rate: {log: [1.0e-4, 1.0e-2]}\nembedding_dim: {range: [4, 6]}"), nil, s)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	below, counts := 0, map[string]int{}
	const draws = 3000
	for range draws {
		c := g.draw(rng)
		var x float64
		if err := c[0].value.Decode(&x); err != nil || x < 1e-4 || x > 1e-2 {
			t.Fatalf("learning rate %s", c[0].value.Value)
		}
		if x < 1e-3 {
			below++
		}
		counts[c[1].value.Value]++
	}
	if below < draws*45/100 || below > draws*55/100 { // half of a log range of two decades is below its middle
		t.Errorf("%d of %d learning rates below 1e-3", below, draws)
	}
	for _, v := range []string{"4", "5", "6"} {
		if counts[v] < draws*29/100 {
			t.Errorf("embedding_dim %s: %d of %d", v, counts[v], draws)
		}
	}
	all := map[string]bool{}
	g, err = ParseGrid([]byte("model: DNN\nlearning_rate: [0.1, 0.01]\nembedding_dim: {range: [4, 6]}\nbatch_size: {range: [10, 40], step: 10}"), nil, s)
	if err != nil {
		t.Fatal(err)
	}
	for i := range g.Size() {
		text, err := g.file(g.combination(i))
		if err != nil {
			t.Fatal(err)
		}
		all[string(text)] = true
	}
	if len(all) != 24 || g.Size() != 24 {
		t.Errorf("%d combinations of %d, want 24", len(all), g.Size())
	}
}
