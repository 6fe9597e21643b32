package training_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/millrace/millrace/features"
	"github.com/millrace/millrace/models"
	"github.com/millrace/millrace/training"
)

const towerSchema = `
user: user
item: item
labels: [{name: click}]
fields:
  - {name: user, from: user}
  - {name: item, from: item}
  - {name: kind, from: item}
`

// towers returns the options of a run on users who take items of their kind, of which there are ten with five items each.
func towers(t testing.TB, model string) training.Options {
	t.Helper()
	dir := t.TempDir()
	s, err := features.ParseSchema([]byte(towerSchema))
	if err != nil {
		t.Fatal(err)
	}
	spec, err := models.Parse([]byte(model), s)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name string, rows int, seed uint64) []string {
		rng := rand.New(rand.NewPCG(seed, 0))
		var b strings.Builder
		b.WriteString("user,item,kind,click\n")
		for range rows {
			user, item, click := rng.IntN(60), rng.IntN(50), 0
			if rng.IntN(2) == 0 {
				click, item = 1, user%10*5+rng.IntN(5)
			}
			fmt.Fprintf(&b, "u%d,i%d,k%d,%d\n", user, item, item/5, click)
		}
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(b.String()), 0o666); err != nil {
			t.Fatal(err)
		}
		return []string{path}
	}
	return training.Options{
		Schema: s, Spec: spec, Seed: 5, SplitSeed: 5, Out: filepath.Join(dir, "run"),
		Train: write("train.csv", 4000, 1), Valid: training.Portion{Files: write("valid.csv", 500, 2)}, Test: training.Portion{Files: write("test.csv", 500, 3)},
	}
}

const towerModel = "model: twotower\nembedding_dim: 8\nuser_tower_units: [8]\nitem_tower_units: [8]\nlearning_rate: 0.02\nembedding_initializer_std: 0.1\nbatch_size: 128\nepochs: 6\ntemperature: 0.2\n"

// TestRetrievalFindsTheKind: trained by either loss, a user's five items come first among fifty: in an order that nothing tells, so each is the first one in five times.
func TestRetrievalFindsTheKind(t *testing.T) {
	for _, loss := range []string{"binary_crossentropy", "in_batch_softmax"} {
		o := towers(t, towerModel+"loss: "+loss)
		r := run(t, o)
		if r.AUC < .9 {
			t.Errorf("%s: AUC %g", loss, r.AUC)
		}
		c, err := models.LoadScoring(o.Out)
		if err != nil {
			t.Fatal(err)
		}
		got, err := training.Retrieve(context.Background(), c, o.Test.Files, training.RetrievalOptions{Items: o.Train, Cutoffs: []int{1, 5, 50}})
		if err != nil {
			t.Fatal(err)
		}
		if got.Items != 50 || got.Missing != 0 || got.Queries < 200 || got.Queries > 300 {
			t.Errorf("%s: %+v", loss, got)
		}
		if one, five, all := got.At[0].Recall, got.At[1].Recall, got.At[2].Recall; one < .1 || one > .35 || five < .9 || all != 1 || got.MRR < .3 || got.MRR > .6 {
			t.Errorf("%s: %+v", loss, got)
		}
	}
}

// TestRetrievalMisses: what the catalogue has not is not found, and rows that are no positives ask for nothing.
func TestRetrievalMisses(t *testing.T) {
	o := towers(t, strings.Replace(towerModel, "epochs: 6", "epochs: 1", 1))
	run(t, o)
	c, err := models.LoadScoring(o.Out)
	if err != nil {
		t.Fatal(err)
	}
	few := filepath.Join(t.TempDir(), "few.csv")
	if err := os.WriteFile(few, []byte("user,item,kind,click\nu1,i5,k1,0\nu1,i6,k1,0\nu1,i7,k1,1\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	asked := filepath.Join(t.TempDir(), "asked.csv")
	if err := os.WriteFile(asked, []byte("user,item,kind,click\nu1,i6,k1,1\nu1,i49,k9,1\nu1,i5,k1,0\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	got, err := training.Retrieve(context.Background(), c, []string{asked}, training.RetrievalOptions{Items: []string{few}, Cutoffs: []int{3}})
	if err != nil || got.Items != 3 || got.Queries != 2 || got.Missing != 1 || got.At[0].Recall != .5 {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestRetrievalErrors(t *testing.T) {
	o := shop(t, strings.Replace(shopModel, "epochs: 4", "epochs: 1", 1))
	run(t, o)
	c, err := models.LoadScoring(o.Out)
	if err != nil {
		t.Fatal(err)
	}
	f := func(want string, o training.RetrievalOptions) {
		t.Helper()
		if _, err := training.Retrieve(context.Background(), c, []string{"x"}, o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	f("model dnn has no vectors of users and items", training.RetrievalOptions{Cutoffs: []int{1}})
	f("cutoff 0: want 1", training.RetrievalOptions{Cutoffs: []int{0}})
	c.Schema.Item = ""
	f("the schema's item column is no field", training.RetrievalOptions{Cutoffs: []int{1}})
}
