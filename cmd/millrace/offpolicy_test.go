package main

import (
	"fmt"
	"math"
	"math/rand/v2"
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
