package main

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
)

func TestOffPolicyCommand(t *testing.T) {
	dir := t.TempDir()
	rng := rand.New(rand.NewPCG(1, 9))
	rates := []float64{.1, .3, .6}
	logs := func(name string, policy []float64) string {
		var b strings.Builder
		b.WriteString("user,arm,click,propensity\n")
		for i := range 3000 {
			a, u := 0, rng.Float64()
			for ; a < 2 && u >= policy[a]; a++ {
				u -= policy[a]
			}
			click := 0
			if rng.Float64() < rates[a] {
				click = 1
			}
			fmt.Fprintf(&b, "u%d,arm%d,%d,%g\n", i/3, a, click, policy[a])
		}
		return write(t, dir, name, b.String())
	}
	old, new := logs("old.csv", []float64{.6, .3, .1}), logs("new.csv", []float64{.1, .2, .7})
	args := []string{"offpolicy", "--data", old, "--action", "arm", "--reward", "click"}
	o := done(t, append(args, "--target-data", new, "--group", "user", "--json")...)
	m := o.figures(t)
	truth := .1*.1 + .2*.3 + .7*.6
	for _, x := range m["estimates"].([]any) {
		e := x.(map[string]any)
		if e["method"] == "direct" {
			continue
		}
		if math.Abs(number(t, e, "value")-truth) > 4*number(t, e, "std_err") || number(t, e, "low") >= number(t, e, "high") {
			t.Errorf("%v, the truth is %g", e, truth)
		}
	}
	if got := number(t, m["on_policy"].(map[string]any), "value"); math.Abs(got-truth) > .04 {
		t.Errorf("on policy %g, the truth is %g", got, truth)
	}
	if again := done(t, append(args, "--target-data", new, "--group", "user", "--json")...); again.stdout != o.stdout {
		t.Error("the same command prints other figures")
	}
	schema := write(t, dir, "schema.yaml", "user: user\nitem: arm\nlabels: [{name: click}]\nfields: [{name: arm, from: item}]\n")
	if s := done(t, "offpolicy", "--schema", schema, "--data", old, "--target-data", new, "--json"); s.stdout != o.stdout {
		t.Error("columns from the schema: other figures")
	}
	done(t, append(args, "--uniform", "--clip", "2", "--samples", "0")...)

	refused(t, args, "one of --target-data")
	refused(t, append(args, "--uniform", "--target", "p"), "one of --target-data")
	refused(t, []string{"offpolicy", "--data", old, "--uniform"}, "--action")
	refused(t, append(args, "--uniform", "--samples", "1"), "--samples is 1")
	refused(t, append(args, "--uniform", "--clip", "-1"), "--clip is -1")
	refused(t, append(args, "--uniform", "--propensity", "chance"), "old.csv", `"chance"`)
}

// TestOffPolicyOfCheckpoint asks logs of a uniform policy what a trained model would earn, and compares with what it does earn in a world whose rewards are known.
func TestOffPolicyOfCheckpoint(t *testing.T) {
	dir := t.TempDir()
	rng := rand.New(rand.NewPCG(2, 9))
	const kinds, items = 3, 5
	rate := func(kind, item int) float64 { return []float64{.1, .2, .5, .15, .7}[(item+2*kind)%items] }
	logs := func(name string, rows int) string {
		var b strings.Builder
		b.WriteString("kind,item,price,click,propensity\n")
		for range rows {
			kind, item := rng.IntN(kinds), rng.IntN(items)
			click := 0
			if rng.Float64() < rate(kind, item) {
				click = 1
			}
			fmt.Fprintf(&b, "k%d,i%d,%d,%d,0.2\n", kind, item, item*item, click)
		}
		return write(t, dir, name, b.String())
	}
	schema := write(t, dir, "schema.yaml", "item: item\nlabels: [{name: click}]\nfields:\n  - {name: kind, from: user}\n  - {name: price, type: numeric, from: item, standardise: true}\n  - {name: item, from: item}\n")
	model := write(t, dir, "model.yaml", "model: DNN\nembedding_dim: 4\nhidden_units: [16]\nembedding_initializer_std: 0.1\nlearning_rate: 0.02\nbatch_size: 64\nepochs: 4\n")
	done(t, "train", "--schema", schema, "--model", model, "--train", logs("train.csv", 3000), "--valid", logs("valid.csv", 500), "--out", dir+"/run")

	// What the model thinks of every pair, and what each policy by it earns.
	var all strings.Builder
	all.WriteString("kind,item,price,click,propensity\n")
	for k := range kinds {
		for i := range items {
			fmt.Fprintf(&all, "k%d,i%d,%d,0,0.2\n", k, i, i*i)
		}
	}
	done(t, "predict", "--checkpoint", dir+"/run", "--data", write(t, dir, "all.csv", all.String()), "--out", dir+"/all-scores.csv")
	rows := readCSV(t, dir+"/all-scores.csv")[1:]
	logit := func(k, i int) float64 {
		p, err := strconv.ParseFloat(rows[k*items+i][len(rows[0])-1], 64)
		if err != nil {
			t.Fatal(err)
		}
		return math.Log(p / (1 - p))
	}
	var softmax, greedy float64
	for k := range kinds {
		best, sum := 0, 0.0
		for i := range items {
			sum += math.Exp(logit(k, i))
			if logit(k, i) > logit(k, best) {
				best = i
			}
		}
		for i := range items {
			softmax += math.Exp(logit(k, i)) / sum * rate(k, i) / kinds
			greedy += .1 / items * rate(k, i) / kinds
		}
		greedy += .9 * rate(k, best) / kinds
	}
	fresh := logs("fresh.csv", 4000)
	f := func(truth float64, flags ...string) {
		t.Helper()
		m := done(t, append([]string{"offpolicy", "--checkpoint", dir + "/run", "--data", fresh, "--json"}, flags...)...).figures(t)
		if n := len(m["estimates"].([]any)); n != 4 {
			t.Errorf("%d estimates, want 4", n)
		}
		for _, x := range m["estimates"].([]any)[:3] {
			e := x.(map[string]any)
			if se := number(t, e, "std_err"); math.Abs(number(t, e, "value")-truth) > 3.5*se || se > .03 {
				t.Errorf("%v %v, the truth is %g", flags, e, truth)
			}
		}
	}
	f(softmax)
	f(softmax, "--by", "kind", "--samples", "0")
	f(greedy, "--epsilon", "0.1")
	if !(greedy > softmax && softmax > .33) {
		t.Errorf("greedy earns %g, softmax %g, all alike 0.33: the model has not learned", greedy, softmax)
	}
	refused(t, []string{"offpolicy", "--checkpoint", dir + "/run", "--data", fresh, "--temperature", "0"}, "--temperature is 0")
	refused(t, []string{"offpolicy", "--checkpoint", dir + "/run", "--data", fresh, "--epsilon", "2"}, "--epsilon is 2")
	refused(t, []string{"offpolicy", "--checkpoint", dir + "/none", "--data", fresh}, "none")
}
